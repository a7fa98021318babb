"""Programs compiled together, and one later."""

import jax
import pytest

from rnnjax.sharding.compilation import DeferredProgram, compile_in_parallel


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


SHAPE = (jax.ShapeDtypeStruct((), "float32"),)


@pytest.mark.parametrize("in_background", [False, True])
def test_a_deferred_program_is_compiled_once(in_background):
    traces = []

    def double(x):
        traces.append(x)
        return 2 * x

    program = DeferredProgram(lambda: jax.jit(double).lower(*SHAPE).compile)
    if in_background:
        program.compile_in_background()
    assert float(program(jax.numpy.float32(3))) == 6
    assert float(program(jax.numpy.float32(4))) == 8
    assert len(traces) == 1


def test_a_call_raises_what_went_wrong():
    with pytest.raises(TypeError, match="missing 1 required positional argument"):
        DeferredProgram(lambda: jax.jit(lambda x, y: x).lower(*SHAPE).compile)(jax.numpy.float32(3))
