"""Networks trained on the flip-flop task have a stable point for each pattern of signs, and saddles between them.

Slow: trains three networks.
"""

import itertools

import numpy as np
import pytest
from command_line import isolated_home

import launch
from rnnjax.report.summary.fixed_points import member_search, point_counts
from rnnjax.runs.reader import load_run

pytestmark = pytest.mark.slow

CORNERS = set(itertools.product((-1, 1), repeat=3))
EDGES = {
    tuple(np.add(a, b) // 2) for a, b in itertools.combinations(CORNERS, 2) if np.abs(np.subtract(a, b)).sum() == 2
}


@pytest.fixture(autouse=True)
def isolated(optimized, tmp_path_factory, monkeypatch):
    with isolated_home(tmp_path_factory, monkeypatch):
        yield


def test_three_of_three_seeds_have_eight_stable_points_and_twelve_saddles_between_neighbours(tmp_path):
    flags = "--cells simple --seeds 3 --devices 1 --compilation-cache off"
    assert launch.main(["flipflop", *flags.split(), "--out", str(tmp_path / "run")]) == 0
    members = load_run(tmp_path / "run").members
    assert [member.seed for member in members] == [0, 1, 2]
    for member in members:
        assert member.result.test_accuracy > 0.999
        assert member.result.test_loss < 0.005
        search = member_search(member)
        counts = point_counts(search)
        assert counts.stable == 8
        stable = [point for point in search.points if point.fixed and point.unstable == 0]
        assert {tuple(np.round(point.outputs).astype(int)) for point in stable} == CORNERS
        assert max(np.abs(np.abs(point.outputs) - 1).max() for point in stable) < 0.1
        assert all(np.hypot(point.eigenvalues_real, point.eigenvalues_imag).max() < 1 for point in stable)
        assert counts.saddles[1] == 12
        saddles = [point for point in search.points if point.fixed and point.unstable == 1]
        assert {tuple(np.round(point.outputs).astype(int)) for point in saddles} == EDGES
    page = (tmp_path / "run" / "report.html").read_text()
    assert '<section id="fixed_points">' in page
    assert "All 3 seeds have 8 stable points." in page
