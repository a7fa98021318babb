"""One run folder in, its report out: figures as PNG, the table, and report.html that needs nothing else."""

from pathlib import Path

from rnnjax.errors import UserError
from rnnjax.report import document
from rnnjax.report.figures import style
from rnnjax.report.figures.sweep import sweeps
from rnnjax.report.interactive.embed import embedded
from rnnjax.report.sections import alarms as alarm_section
from rnnjax.report.sections import per_run as every_run
from rnnjax.report.sections import solved, texts
from rnnjax.report.sections import trainability as trainability_section
from rnnjax.report.sections.diagnosis_figures import PICTURES as DIAGNOSES
from rnnjax.report.sections.figure_section import SeedGroups
from rnnjax.report.sections.rendering import Section, drawn_sections
from rnnjax.report.sections.training_figures import GRADIENTS, SCORES, learning
from rnnjax.report.summary.seed_groups import seed_groups
from rnnjax.report.tables import published
from rnnjax.report.tables.export import csv_text, parquet_bytes
from rnnjax.report.tables.summary_table import html_table, note
from rnnjax.report.text import headline as sentences
from rnnjax.runs.json_io import write_bytes
from rnnjax.runs.reader import load_run
from rnnjax.runs.run_record import Run

TABLE_SOURCE = "table.csv, from members/*/result.json, gradients.jsonl and, where there are, diagnosis-*.json"


def write_report(run_folder: Path) -> Path:
    """Draw ``figures/*.png``, ``table.csv``, ``table.parquet`` and ``report.html`` into the run folder.

    Returns:
        The page's path.

    Raises:
        UserError: the folder is not a run, is damaged, or cannot be written to.
    """
    run = load_run(run_folder)
    try:
        return _write(run)
    except OSError as error:
        raise UserError(
            f"The report cannot be written into '{run_folder}' ({error.strerror}); make the folder writable."
        ) from error


def _write(run: Run) -> Path:
    labels = seed_groups(run)
    shown, swept = labels[: style.MOST], sweeps(run)
    scripts, live = embedded(shown, swept)
    figures = run.path / "figures"
    sections = [
        *trainability_section.sections(run),
        *published.section(run),
        *solved.section(run),
        *(section for sweep in swept for section in drawn_sections((sweep.picture,), sweep.series, live, figures)),
        *drawn_sections((SCORES, *GRADIENTS), shown, live, figures),
        *_texts(run, shown),
        *drawn_sections((*DIAGNOSES, learning(shown)), shown, live, figures),
    ]
    write_bytes(run.path / "table.csv", csv_text(run).encode())
    write_bytes(run.path / "table.parquet", parquet_bytes(run))
    page = run.path / "report.html"
    write_bytes(page, _page(run, labels, sections, scripts).encode())
    return page


def _texts(run: Run, labels: SeedGroups) -> list[Section]:
    html = texts.html(run, labels)
    return [Section(texts.NAME, texts.TITLE, html)] if html else []


def _page(run: Run, labels: SeedGroups, sections: list[Section], scripts: str) -> str:
    missing = document.notes("Not complete", sentences.missing(run, labels))
    table = document.table(html_table(run), note(labels), TABLE_SOURCE) if labels else ""
    return document.document(
        kind="report",
        title=f"rnnjax: {run.experiment}",
        headline=sentences.verdict(labels),
        top=missing + alarm_section.html(run, labels) + table + every_run.html(run, labels) + _limit(labels),
        sections=sections,
        end=_how_it_was_run(run),
        scripts=scripts,
        css=alarm_section.CSS + every_run.CSS + texts.CSS,
    )


def _limit(labels: SeedGroups) -> str:
    if len(labels) <= style.MOST:
        return ""
    first = f"The first {style.MOST} of the {len(labels)} rows of the table"
    return f'<p class="note">{first} have figures and texts below; a sweep over a number shows all of its runs.</p>'


def _how_it_was_run(run: Run) -> str:
    return f"""<section class="facts">
<h2>How it was run</h2>
{document.facts("Flags", run.flags)}
{document.facts("Environment", run.environment)}
<p class="source">From <code>config.json</code> and <code>environment.json</code>.</p>
</section>"""
