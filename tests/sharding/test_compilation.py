"""Programs compiled together, and one in the background."""

import contextlib
import gc
import time

import jax
import pytest

from rnnjax.sharding.compilation import BackgroundProgram, compile_in_parallel


class RecordingLayout:
    """A layout that compiles nothing."""

    def lower(self, spec):
        def compiled():
            if spec == "broken":
                raise KeyError(spec)
            return f"program of {spec}"

        return compiled


def test_programs_come_under_their_names():
    single_device = {"double": (lambda x: 2 * x, (jax.ShapeDtypeStruct((), "float32"),))}
    programs = compile_in_parallel(RecordingLayout(), {"train": "one", "evaluate": "two"}, single_device)
    assert float(programs.pop("double")(jax.numpy.float32(3))) == 6
    assert programs == {"train": "program of one", "evaluate": "program of two"}


def test_what_goes_wrong_while_compiling_is_raised():
    with pytest.raises(KeyError, match="broken"):
        compile_in_parallel(RecordingLayout(), {"a": "one", "b": "broken"}, {})


@pytest.mark.parametrize("enabled", [True, False])
@pytest.mark.parametrize("spec", ["one", "broken"])
def test_garbage_is_collected_afterwards_as_before(enabled, spec, monkeypatch):
    switched = []
    monkeypatch.setattr(gc, "isenabled", lambda: enabled)
    monkeypatch.setattr(gc, "disable", lambda: switched.append("off"))
    monkeypatch.setattr(gc, "enable", lambda: switched.append("on"))
    with contextlib.suppress(KeyError):
        compile_in_parallel(RecordingLayout(), {"a": spec}, {})
    assert switched == (["off", "on"] if enabled else ["off"])


SHAPE = (jax.ShapeDtypeStruct((), "float32"),)


def test_a_program_in_the_background_is_compiled_without_a_call():
    with jax.disable_jit():
        program = BackgroundProgram(lambda x: 2 * x, SHAPE)
    deadline = time.monotonic() + 60
    while not program.is_ready and time.monotonic() < deadline:
        time.sleep(0.01)
    assert program.is_ready
    assert float(program(jax.numpy.float32(3))) == 6


def test_a_call_waits_and_raises_what_went_wrong():
    assert float(BackgroundProgram(lambda x: 2 * x, SHAPE)(jax.numpy.float32(3))) == 6
    with pytest.raises(TypeError, match="missing 1 required positional argument"):
        BackgroundProgram(lambda x, y: x, SHAPE)(jax.numpy.float32(3))
