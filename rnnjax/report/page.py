"""One run folder in, its report out: figures as PNG, table.csv, and report.html that needs nothing else."""

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from rnnjax.errors import UserError
from rnnjax.report import gradient_figures, gradient_sentences, score_figures, sentences, style
from rnnjax.report.page_style import CSS
from rnnjax.report.run import Run, load_run
from rnnjax.report.summary import Group, groups
from rnnjax.report.table import NOTE, csv_text, html_table
from rnnjax.training.records import write_bytes

Labels = tuple[Group, ...]


@dataclass(frozen=True)
class Picture:
    """A figure of the report: how it is drawn, how it is read, and what it shows of this run."""

    name: str
    title: str
    reading: str
    draw: Callable[[Labels, int], Figure | None]
    says: Callable[[Labels], list[sentences.Said]]


PICTURES = (
    Picture(
        "accuracy_by_distance",
        "What is remembered",
        "How often the answer is right when the one word that decides it lies so many words back. "
        "Thin lines are single seeds, thick lines their mean.",
        score_figures.accuracy_against_distance,
        sentences.distances,
    ),
    Picture(
        "gradient_by_lag",
        "How far back training can feel a word",
        "If the state at a word were nudged, how much would the loss change? That is the norm of the gradient at "
        "this word. Where it is nearly zero, training cannot learn from the word. A straight line down means that "
        "every further word weakens it by the same factor. Its strength at the last word (0 back) counts as 100%. A "
        "cell that has become sure of its answers has little left to feel: its gradients shrink as its loss does. "
        "Each curve is measured on one training batch, that of the first or of the last logged step.",
        gradient_figures.gradient_by_lag,
        gradient_sentences.by_lag,
    ),
    Picture(
        "gradient_over_training",
        "When the gradient begins to reach back",
        "The same gradient, of what the cell remembers, at every logged step of training from bottom to top, each "
        "on its own training batch. Bright is strong, dark is weak (see the scale); grey: too few reviews are so long, "
        "or there is no number.",
        gradient_figures.gradient_over_training,
        gradient_sentences.over_training,
    ),
    Picture(
        "learning_curves",
        "How training went",
        "Accuracy and loss on held-out examples while training. Thin lines are single seeds, thick lines their mean; "
        "the dotted lines are what guessing scores.",
        score_figures.learning_curves,
        sentences.learning,
    ),
)


def write_report(run_folder: Path) -> Path:
    """Draw ``figures/*.png``, ``table.csv`` and ``report.html`` into the run folder; return the page's path.

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
    labels = groups(run)
    (run.path / "figures").mkdir(exist_ok=True)
    sections = []
    for picture in PICTURES:
        file = run.path / "figures" / f"{picture.name}.png"
        wide, narrow = (_drawn(picture, labels, columns) for columns in (style.WIDE, style.NARROW))
        if wide is None or narrow is None:
            file.unlink(missing_ok=True)  # of an earlier report
            continue
        write_bytes(file, wide)
        sections.append(_section(picture, labels, wide, narrow))
    write_bytes(run.path / "table.csv", csv_text(run).encode())
    page = run.path / "report.html"
    write_bytes(page, _page(run, labels, sections).encode())
    return page


def _drawn(picture: Picture, labels: Labels, columns: int) -> bytes | None:
    figure = picture.draw(labels, columns)
    return None if figure is None else style.png(figure)


def _section(picture: Picture, labels: Labels, wide: bytes, narrow: bytes) -> str:
    colour = style.colours([group.label for group in labels])
    said = picture.says(labels)
    lines = "".join(
        f'<li style="--mark:{colour[label]}"><b>{escape(label)}</b> {escape(text)}</li>' for label, text in said
    )
    return f"""<section>
<h2>{escape(picture.title)}</h2>
<p class="reading">{escape(picture.reading)}</p>
<figure><picture><source media="(max-width: 700px)" srcset="{_data_uri(narrow)}"
><img src="{_data_uri(wide)}" alt="{escape(" ".join(f"{label}: {text}" for label, text in said))}"></picture>
<figcaption><ul>{lines}</ul></figcaption></figure>
</section>"""


def _data_uri(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def _page(run: Run, labels: Labels, sections: list[str]) -> str:
    title = f"rnnjax: {run.experiment}"
    missing = sentences.missing(run, labels)
    notes = "".join(f"<li>{escape(note)}</li>" for note in missing)
    warning = f"<aside><h2>Not complete</h2><ul>{notes}</ul></aside>" if missing else ""
    table = f'<div class="scroll">{html_table(run)}</div><p class="note">{escape(NOTE)}</p>' if labels else ""
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{escape(title)}</title>
<style>{CSS}</style>
</head>
<body>
<main>
<header><p class="kicker">{escape(title)}</p><h1>{escape(sentences.verdict(labels))}</h1></header>
{warning}
{table}
{"".join(sections)}
<section class="facts">
<h2>How it was run</h2>
{_facts("Flags", run.flags)}
{_facts("Environment", run.environment)}
</section>
</main>
</body>
</html>
"""


def _facts(title: str, facts: dict[str, Any]) -> str:
    rows = "".join(f"<dt>{escape(str(name))}</dt><dd>{escape(_fact(value))}</dd>" for name, value in facts.items())
    return f"<h3>{escape(title)}</h3><dl>{rows}</dl>" if rows else ""


def _fact(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
