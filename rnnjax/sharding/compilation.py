"""Compiling programs ahead of their first call: several at once, or one later."""

from collections.abc import Callable, Hashable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import jax

from rnnjax.sharding.layout import Layout, Program
from rnnjax.sharding.program_spec import ProgramSpec
from rnnjax.typing import PyTree

Name = TypeVar("Name", bound=Hashable)


def compile_in_parallel(
    layout: Layout,
    specs: Mapping[Name, ProgramSpec],
    single_device: Mapping[Name, tuple[Callable[..., PyTree], tuple[PyTree, ...]]],
) -> dict[Name, Program]:
    """Compile programs ahead of their first call.

    While one is traced, which keeps Python busy, those before it are compiled in other threads.

    Args:
        layout: lowers ``specs``.
        specs: functions by name.
        single_device: (function, arguments) by name, each compiled for one device.
    """
    pool = ThreadPoolExecutor()
    try:
        futures: dict[Name, Future[Program]] = {
            name: pool.submit(jax.jit(function).lower(*arguments).compile)
            for name, (function, arguments) in single_device.items()
        }
        futures |= {name: pool.submit(layout.lower(spec)) for name, spec in specs.items()}
        return {name: future.result() for name, future in futures.items()}
    finally:  # after Ctrl-C, compilations that have not begun are cancelled
        pool.shutdown(wait=False, cancel_futures=True)


class DeferredProgram:
    """A program that is compiled when it is first called, or before that in the background.

    Args:
        lower: traces a function, and returns what compiles it.
    """

    def __init__(self, lower: Callable[[], Callable[[], Program]]) -> None:
        self._lower = lower
        self._program: Future[Program] | None = None

    def compile_in_background(self) -> None:
        """Begin to trace and to compile it in another thread."""
        if self._program is None:
            pool = ThreadPoolExecutor(1)
            self._program = pool.submit(self._compile)
            pool.shutdown(wait=False)

    def _compile(self) -> Program:
        with jax.disable_jit(False):  # of this thread, also where JAX_DISABLE_JIT is set
            return self._lower()()

    def __call__(self, *arguments: PyTree) -> PyTree:
        """The results of the program; waits until it has been compiled."""
        self.compile_in_background()
        assert self._program is not None
        return self._program.result()(*arguments)
