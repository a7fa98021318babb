"""The alarms of a run on top of its page and under its table in the terminal: what is wrong, and what to do."""

from html import escape

from rich import console
from rich.text import Text

from rnnjax.formatting import number
from rnnjax.report.summary.alarm_evidence import Raised, raised
from rnnjax.report.summary.seed_groups import SeedGroup, seed_groups
from rnnjax.report.text.remedies import remedy_with_flags
from rnnjax.runs.run_record import Run

CSS = """
.alarms ul { list-style: none; padding: 0; }
.alarms li { border-left: 4px solid #d55e00; padding: .1rem 0 .1rem .8rem; margin: .7rem 0; }
.alarms p { margin: .1rem 0; }
.alarms small { color: var(--quiet); overflow-wrap: anywhere; }
"""


def html(run: Run, labels: tuple[SeedGroup, ...]) -> str:
    """A box with an entry for each alarm of each cell, everything in it escaped; empty where there is none."""
    entries = "".join(_entry(one) for one in raised(run, labels))
    return f'<aside class="alarms"><h2>Alarms</h2><ul>{entries}</ul></aside>' if entries else ""


def _entry(one: Raised) -> str:
    return (
        f"<li><p><b>{escape(who(one))}: {escape(one.alarm.name)}.</b> {escape(sentence(one))}</p>"
        f"<p>{escape(remedy_with_flags(one.alarm))}</p><small>{escape(numbers(one))}</small></li>"
    )


def who(one: Raised) -> str:
    """The cell, and how many of its seeds: "LSTM, 2 of 3 seeds"; the label alone where it has one seed."""
    return one.alarm.label if one.of == 1 else f"{one.alarm.label}, {len(one.seeds)} of {one.of} seeds"


def sentence(one: Raised) -> str:
    """The alarm's sentence without the label before it; of several seeds it says whose numbers these are."""
    bare = one.alarm.sentence.removeprefix(f"{one.alarm.label}: ")
    bare = bare[:1].upper() + bare[1:]
    return bare if len(one.seeds) == 1 else f"Seed {one.seeds[0]}: {bare}"


def numbers(one: Raised) -> str:
    """The evidence, of each number the values of all seeds that raised the alarm: "belt share 0.012, 0.023"."""
    names = dict.fromkeys(name for known in one.numbers for name in known)
    told = []
    for name in names:
        values = [_number(known[name]) if name in known else "–" for known in one.numbers]
        told.append(f"{name.replace('_', ' ')} {values[0] if len(set(values)) == 1 else ', '.join(values)}")
    seeds = f"seed{'' if len(one.seeds) == 1 else 's'} {', '.join(map(str, one.seeds))}"
    return f"{'; '.join(told)} ({seeds})" if told else f"({seeds})"


def _number(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.3g}" if abs(value) < 1000 else number(value)


def rich_alarms(run: Run) -> console.Group | None:
    """The same for ``rich.print``; None where there is no alarm."""
    lines = []
    for one in raised(run, seed_groups(run)):
        first = Text.assemble((f"alarm: {who(one)}: {one.alarm.name}. ", "bold red"), sentence(one))
        lines += [first, Text(f"  {remedy_with_flags(one.alarm)}", style="dim")]
    return console.Group(*lines) if lines else None
