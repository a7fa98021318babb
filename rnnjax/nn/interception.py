"""Flax's interception of method calls, undone at the end also where Python runs without assertions (``python -O``)."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import flax.linen as nn

Interceptor = Callable[[Callable[..., Any], Any, Any, Any], Any]


@contextlib.contextmanager
def intercept_methods(interceptor: Interceptor) -> Iterator[None]:
    """While entered, ``interceptor(call, args, kwargs, context)`` takes the place of every call of a module's method.

    ``flax.linen.intercept_methods`` ends an interception inside an ``assert``, and so never under ``python -O``: every
    later call of a model would be intercepted too. Here the interceptor itself ends.
    """
    active = [interceptor]

    def while_active(call: Callable[..., Any], args: Any, kwargs: Any, context: Any) -> Any:
        return active[0](call, args, kwargs, context) if active else call(*args, **kwargs)

    with nn.intercept_methods(while_active):
        try:
            yield
        finally:
            active.clear()
