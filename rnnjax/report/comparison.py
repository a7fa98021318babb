"""Several run folders in, one page out that shows them side by side: what differs between them, and what came of it."""

import dataclasses
from html import escape
from pathlib import Path

from rnnjax.errors import UserError
from rnnjax.report import document
from rnnjax.report.interactive.embed import embedded
from rnnjax.report.sections.diagnosis_figures import BELT_SHARE
from rnnjax.report.sections.rendering import drawn_sections
from rnnjax.report.sections.training_figures import GRADIENTS, SCORES, learning
from rnnjax.report.summary.seed_groups import seed_groups
from rnnjax.report.tables.summary_table import html_table, note
from rnnjax.report.text import headline as sentences
from rnnjax.runs.json_io import flat, write_bytes
from rnnjax.runs.reader import load_run
from rnnjax.runs.run_record import Run

KIND = "comparison"
PLACES = ("out", "started", "command")  # say where and when a run was, not what it was


def write_comparison(run_folders: tuple[Path, ...], out: Path) -> Path:
    """Write one HTML page about two or more runs; return its path. Each cell is called "run: cell".

    Args:
        run_folders: as runs wrote them, finished or not, of any experiments.
        out: the page's file; a comparison of an earlier time is written over, nothing else is.

    Raises:
        UserError: fewer than two runs, one named twice or not whole, or ``out`` is taken or cannot be written.
    """
    if len(run_folders) < 2:
        raise UserError(
            f"A comparison wants at least two run folders, got {len(run_folders)}: name them one after another."
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
    """What tells the folders apart: their names, with as many folders above as it takes, less a common beginning."""
    for depth in range(1, max(len(path.parts) for path in paths) + 1):
        names = ["/".join(path.parts[-depth:]) for path in paths]
        if len(set(names)) == len(names):
            break
    begin = 0
    while len({name[: begin + 1] for name in names}) == 1:
        begin += 1
    begin = max(names[0].rfind(mark, 0, begin) for mark in "-/") + 1  # whole words only
    return [name[begin:] for name in names] if all(len(name) > begin for name in names) else names


def _write(runs: dict[str, Run], out: Path) -> Path:
    mark = document.MARK.format(kind=KIND)
    if out.exists() and not (out.is_file() and mark in out.read_text(encoding="utf-8", errors="replace")):
        raise UserError(f"'{out}' exists and is not a comparison; name another file or remove it.")
    out.parent.mkdir(parents=True, exist_ok=True)
    members = [
        dataclasses.replace(member, label=f"{name}: {member.label}")
        for name, run in runs.items()
        for member in run.members
    ]
    not_started = tuple(f"{name}: {member}" for name, run in runs.items() for member in run.not_started)
    together = dataclasses.replace(next(iter(runs.values())), members=tuple(members), not_started=not_started)
    labels = seed_groups(together)
    scripts, live = embedded(labels)
    table = document.table(
        html_table(together), note(labels), "members/*/result.json, gradients.jsonl and diagnosis-*.json of each run"
    )
    text = document.document(
        kind=KIND,
        title=f"rnnjax: {len(runs)} runs side by side",
        headline=f"{len(runs)} runs side by side",
        top=_verdicts(runs)
        + differences(runs)
        + document.notes("Not complete", sentences.missing(together, labels))
        + (table if labels else ""),
        sections=drawn_sections((SCORES, *GRADIENTS, BELT_SHARE, learning(labels)), labels, live, None),
        end=_runs(runs),
        scripts=scripts,
    )
    write_bytes(out, text.encode())
    return out


def _verdicts(runs: dict[str, Run]) -> str:
    lines = (
        f"<dt>{escape(name)}</dt><dd>{escape(sentences.verdict(seed_groups(run)))}</dd>" for name, run in runs.items()
    )
    return f'<dl class="verdicts">{"".join(lines)}</dl>'


def differences(runs: dict[str, Run]) -> str:
    """As HTML, a table of the flags, and of what of the environment, the runs (by name) do not share."""
    flags = [{"experiment": run.experiment, **flat(run.flags)} for run in runs.values()]
    around = [flat(run.environment) for run in runs.values()]
    names = [name for name in dict.fromkeys(name for one in (*flags, *around) for name in one) if name not in PLACES]
    told = [known | one for known, one in zip(around, flags, strict=True)]
    rows = [(name, [document.fact(one[name]) if name in one else "–" for one in told]) for name in names]
    rows = [(name, values) for name, values in rows if len(set(values)) > 1]
    if not rows:
        return "<p>All flags and the environment are the same.</p>"
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in runs)
    body = "".join(
        f'<tr><th scope="row">{escape(name)}</th>{"".join(f"<td>{escape(value)}</td>" for value in values)}</tr>'
        for name, values in rows
    )
    html = f'<table><thead><tr><th scope="col">differs</th>{head}</tr></thead><tbody>{body}</tbody></table>'
    return document.table(
        html, "All other flags, and the rest of the environment, are the same.", "config.json and environment.json"
    )


def _runs(runs: dict[str, Run]) -> str:
    folders = {name: str(run.path) for name, run in runs.items()}
    return f'<section class="facts"><h2>The runs</h2>{document.facts("Folders", folders)}</section>'
