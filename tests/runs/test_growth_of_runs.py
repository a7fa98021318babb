"""The run that ``benchmarks.growth`` writes to time reports is one that can be read."""

from benchmarks.growth_parts import WriteRun, write_run
from rnnjax.runs.reader import load_run


def test_a_written_run_is_a_run(tmp_path):
    write_run(WriteRun(tmp_path / "run", seeds=2, values=2, logged=3, lags=20))
    run = load_run(tmp_path / "run")
    assert len(run.members) == 4
    assert all(member.status == "finished" and member.gradients for member in run.members)
