"""The report of one run folder: figures as PNG, the table, and report.html, which needs no other file."""

from pathlib import Path

from markupsafe import Markup

from rnnjax.errors import UserError
from rnnjax.report import document
from rnnjax.report.figures import style
from rnnjax.report.figures.sweep import sweeps
from rnnjax.report.html import render
from rnnjax.report.interactive.embed import embed_figures
from rnnjax.report.sections import alarms, fixed_points, per_run, solved, texts, trainability
from rnnjax.report.sections.diagnosis_figures import diagnosis_figures
from rnnjax.report.sections.rendering import Section, drawn_sections
from rnnjax.report.sections.training_figures import GRADIENT_BY_LAG, SCORE_BY_START, SCORES, learning, over_training
from rnnjax.report.summary.seed_groups import SeedGroups, seed_groups
from rnnjax.report.tables import published
from rnnjax.report.tables.export import csv_text, parquet_bytes
from rnnjax.report.tables.summary_table import html_table
from rnnjax.report.text.headline import headline, missing_parts
from rnnjax.runs.json_io import write_bytes
from rnnjax.runs.reader import load_run
from rnnjax.runs.run_record import Run

TABLE_SOURCE = "table.csv, from members/*/result.json, gradients.jsonl and, if present, diagnosis-*.json"
FLAGS_SOURCE = Markup("<code>config.json</code> and <code>environment.json</code>")


def write_report(run_folder: Path) -> Path:
    """Draw ``figures/*.png``, ``table.csv``, ``table.parquet`` and ``report.html`` into the run folder.

    Returns:
        The page's path.

    Raises:
        UserError: the folder is not a run, is damaged, or cannot be written to.
    """
    return write_report_of(load_run(run_folder))


def write_report_of(run: Run) -> Path:
    """``write_report`` of a run that was read already."""
    try:
        return _write(run)
    except OSError as error:
        raise UserError(
            f"The report cannot be written into '{run.path}' ({error.strerror}); make the folder writable."
        ) from error


def _write(run: Run) -> Path:
    groups = seed_groups(run)
    shown, swept = groups[: style.MAX_LABELS], sweeps(run)
    scripts, interactive = embed_figures(shown, swept)
    folder = run.path / "figures"
    lead = drawn_sections((GRADIENT_BY_LAG,), shown, interactive, folder)
    sections = [
        *trainability.sections(run),
        *published.sections(run),
        *solved.sections(run),
        *(section for sweep in swept for section in drawn_sections((sweep.figure,), sweep.series, interactive, folder)),
        *drawn_sections((SCORES, over_training(shown)), shown, interactive, folder),
        *drawn_sections((SCORE_BY_START,), groups, interactive, folder),
        *texts.sections(run, shown),
        *fixed_points.sections(shown, folder),
        *drawn_sections((*diagnosis_figures(shown), learning(shown)), shown, interactive, folder),
    ]
    write_bytes(run.path / "table.csv", csv_text(run).encode())
    write_bytes(run.path / "table.parquet", parquet_bytes(run))
    page = run.path / "report.html"
    write_bytes(page, _page(run, groups, lead, sections, scripts).encode(errors="backslashreplace"))
    return page


def _page(run: Run, groups: SeedGroups, lead: list[Section], sections: list[Section], scripts: Markup) -> str:
    missing = document.notes("Not complete", missing_parts(run, groups))
    top = (missing, html_table(run, TABLE_SOURCE), per_run.html(run, groups), _limit(groups))
    return document.document(
        kind="report",
        title=f"rnnjax: {run.experiment}",
        headline=headline(groups),
        top=Markup("\n").join(top),
        lead=lead,
        alarms=alarms.alarm_box(alarms.alarm_texts(run, groups)),
        sections=sections,
        end=_settings(run),
        scripts=scripts,
    )


def _limit(groups: SeedGroups) -> Markup:
    """A note where the table has more rows than the figures show."""
    if len(groups) <= style.MAX_LABELS:
        return Markup()
    note = f"The first {style.MAX_LABELS} of the {len(groups)} rows of the table have figures and texts below; "
    return Markup('<p class="note">{}</p>').format(f"{note}a sweep over a number shows all of its runs.")


def _settings(run: Run) -> Markup:
    facts = document.facts("Flags", run.flags) + document.facts("Environment", run.environment)
    return render("run_facts", title="How it was run", facts=facts, source=FLAGS_SOURCE)
