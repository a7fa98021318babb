"""The fixed and slow points of trained networks: which were found, counted by how stable they are."""

from typing import NamedTuple

from rnnjax.analysis.diagnosis import FixedPointSearch
from rnnjax.report.summary.seed_groups import SeedGroup
from rnnjax.runs.run_record import RunRecord


class PointCounts(NamedTuple):
    """Numbers of points of one network."""

    stable: int  # fixed points without an unstable direction
    saddles: dict[int, int]  # number of unstable directions, from 1 -> fixed points that have so many
    slow: int

    @property
    def all_saddles(self) -> int:
        """Fixed points with at least one unstable direction."""
        return sum(self.saddles.values())


def point_counts(search: FixedPointSearch) -> PointCounts:
    """The points of a search, counted by kind."""
    unstable = sorted(point.unstable for point in search.points if point.fixed)
    saddles = {directions: unstable.count(directions) for directions in dict.fromkeys(unstable) if directions}
    return PointCounts(unstable.count(0), saddles, sum(not point.fixed for point in search.points))


def member_search(member: RunRecord) -> FixedPointSearch | None:
    """What was found in a trained member; None where nothing was searched for."""
    diagnosis = member.diagnoses.get("end")
    return None if diagnosis is None else diagnosis.fixed_points


def group_searches(group: SeedGroup) -> list[tuple[int, FixedPointSearch]]:
    """Seed and search of each reported member that has one, the lowest seed first."""
    found = [(member.seed, search) for member in group.reported if (search := member_search(member)) is not None]
    return sorted(found, key=lambda pair: pair[0])
