"""The page that compares several runs: their headlines, what differs in their settings, one table, the same figures."""

import dataclasses
import sys
from collections.abc import Mapping
from pathlib import Path

from markupsafe import Markup

from rnnjax.errors import UserError
from rnnjax.regular_files import open_regular
from rnnjax.report import document
from rnnjax.report.html import render
from rnnjax.report.interactive.embed import embed_figures
from rnnjax.report.sections.diagnosis_figures import BELT_SHARE, LOSS_DECAY
from rnnjax.report.sections.rendering import drawn_sections
from rnnjax.report.sections.training_figures import GRADIENT_BY_LAG, SCORES, learning, over_training
from rnnjax.report.summary.seed_groups import seed_groups
from rnnjax.report.tables.summary_table import html_table
from rnnjax.report.text.headline import headline, missing_parts
from rnnjax.runs.json_io import flat, write_bytes
from rnnjax.runs.reader import load_run
from rnnjax.runs.run_record import Run

KIND = "comparison"
MOST_BEFORE_MARK = 4096  # bytes of a page
NOT_SETTINGS = ("out", "started", "command")  # flags and facts that describe where and when a run was
TABLE_SOURCE = "members/*/result.json, gradients.jsonl and diagnosis-*.json of each run"


def write_comparison(run_folders: tuple[Path, ...], out: Path) -> Path:
    """Write an HTML page about two or more runs; return its path. Each cell is labelled "run: cell".

    Args:
        run_folders: as runs wrote them, finished or not, of any experiments.
        out: the page's file; an earlier comparison is overwritten, any other file is not.

    Raises:
        UserError: there are fewer than two runs, one is named twice or damaged, or ``out`` is another file or cannot
            be written.
    """
    if len(run_folders) < 2:
        raise UserError(
            f"A comparison needs at least two run folders, got {len(run_folders)}: name them one after another."
        )
    paths = [folder.resolve() for folder in run_folders]
    if twice := [str(folder) for folder, path in zip(run_folders, paths, strict=True) if paths.count(path) > 1]:
        raise UserError(f"'{twice[0]}' is named twice; name two or more different run folders.")
    runs = {name: load_run(path) for name, path in zip(short_names(paths), paths, strict=True)}
    try:
        return _write(runs, out)
    except OSError as error:
        raise UserError(
            f"The comparison cannot be written to '{out}' ({error.strerror}); name another file."
        ) from error


def short_names(paths: list[Path]) -> list[str]:
    """Distinct names of folders: their last parts, as many as needed, without a common beginning of whole words."""
    for depth in range(1, max(len(path.parts) for path in paths) + 1):
        names = ["/".join(path.parts[-depth:]) for path in paths]
        if len(set(names)) == len(names):
            break
    begin = 0
    while len({name[: begin + 1] for name in names}) == 1:
        begin += 1
    begin = max(names[0].rfind(separator, 0, begin) for separator in "-/") + 1
    return [name[begin:] for name in names] if all(len(name) > begin for name in names) else names


def _write(runs: dict[str, Run], out: Path) -> Path:
    mark = document.MARK.format(kind=KIND)
    if out.exists() and not (out.is_file() and mark in _beginning(out)):
        raise UserError(f"'{out}' exists and is not a comparison; name another file or remove it.")
    out.parent.mkdir(parents=True, exist_ok=True)
    named = [_named(name, run) for name, run in runs.items()]
    merged = _merged(named)
    groups = seed_groups(merged)
    scripts, interactive = embed_figures(groups)
    figures = (SCORES, GRADIENT_BY_LAG, over_training(groups), LOSS_DECAY, BELT_SHARE, learning(groups))
    headlines = {name: headline(seed_groups(run)) for name, run in runs.items()}
    top = (
        render("headlines", headlines=headlines),
        differences(runs),
        document.notes("Not complete", [note for run in named for note in missing_parts(run, seed_groups(run))]),
        html_table(merged, TABLE_SOURCE),
    )
    page = document.document(
        kind=KIND,
        title=f"rnnjax: {len(runs)} runs side by side",
        headline=f"{len(runs)} runs side by side",
        top=Markup("\n").join(top),
        sections=drawn_sections(figures, groups, interactive, None),
        end=_folders(runs),
        scripts=scripts,
    )
    write_bytes(out, page.encode())
    return out


def _beginning(page: Path) -> str:
    with open_regular(page, sys.maxsize, follow_links=True) as file:
        return file.read(len(document.MARK) + MOST_BEFORE_MARK).decode(errors="replace")


def _named(name: str, run: Run) -> Run:
    """A run with its name before the label of each member."""
    members = tuple(dataclasses.replace(member, label=f"{name}: {member.label}") for member in run.members)
    return dataclasses.replace(
        run, members=members, not_started=tuple(f"{name}: {member}" for member in run.not_started)
    )


def _merged(runs: list[Run]) -> Run:
    """All members in one run, which has the flags and the task of the first."""
    return dataclasses.replace(runs[0], members=tuple(member for run in runs for member in run.members))


def differences(runs: Mapping[str, Run]) -> Markup:
    """A table of the flags, and of the facts of the environment, that differ between the runs (by name)."""
    flags = [{"experiment": run.experiment, **flat(run.flags)} for run in runs.values()]
    environments = [flat(run.environment) for run in runs.values()]
    names = dict.fromkeys(name for values in (*flags, *environments) for name in values)
    settings = [environment | values for environment, values in zip(environments, flags, strict=True)]
    rows = [
        [name, *(document.fact(values[name]) if name in values else "–" for values in settings)]
        for name in names
        if name not in NOT_SETTINGS
    ]
    rows = [row for row in rows if len(set(row[1:])) > 1]
    if not rows:
        return Markup("<p>All flags and the environment are the same.</p>")
    note = "All other flags, and the rest of the environment, are the same."
    return document.table(["differs", *runs], rows, note=note, source="config.json and environment.json")


def _folders(runs: dict[str, Run]) -> Markup:
    folders = {name: str(run.path) for name, run in runs.items()}
    return render("run_facts", title="The runs", facts=document.facts("Folders", folders), source="")
