"""A small use of everything, in the modes in which people debug JAX and Python."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LIMITED = ("sh", "-c", 'ulimit -v 8388608; exec "$@"', "sh")  # 8 GB: loops that JAX unrolls must not fill the machine
MODES = {
    "without jit": ((), {"JAX_DISABLE_JIT": "1"}),
    "NaN and infinity are errors": ((), {"JAX_DEBUG_NANS": "True", "JAX_DEBUG_INFS": "True"}),
    "strict promotion of dtypes": ((), {"JAX_NUMPY_DTYPE_PROMOTION": "strict"}),
    "python -OO": (("-OO",), {}),
    "warnings are errors": ((), {"PYTHONWARNINGS": "error"}),
}
LIBRARY = ["tests/modes/smoke.py"]
SMALL = (
    "adding --length 3 --steps 2 --cells lstm --features 3 --seeds 1 --batch-size 1000 --log-gradients-every 1"
    " --validate-every 0 --compilation-cache off"
)
LAUNCH = ["launch.py", *SMALL.split()]
USES = [(mode, LIBRARY) for mode in MODES] + [(mode, LAUNCH) for mode in MODES if mode != "strict promotion of dtypes"]


def run(mode, arguments, folder):
    """The finished process, with standard output and error as text."""
    options, variables = MODES[mode]
    given = [*arguments, *(["--out", str(folder / "run")] if arguments is LAUNCH else [])]
    home = {name: str(folder) for name in ("HOME", "XDG_CACHE_HOME")}
    return subprocess.run(
        [*LIMITED, sys.executable, *options, *given], cwd=ROOT, capture_output=True, text=True, timeout=900,
        env=os.environ | {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"} | home | variables,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("mode", "arguments"), USES, ids=[f"{mode}, {arguments[0]}" for mode, arguments in USES])
def test_everything_works(mode, arguments, tmp_path):
    done = run(mode, arguments, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    if arguments is LAUNCH:
        assert (tmp_path / "run" / "report.html").is_file()
        assert len([*tmp_path.glob("run/members/*/result.json")]) == 1
    else:
        assert done.stdout == "all right\n"
