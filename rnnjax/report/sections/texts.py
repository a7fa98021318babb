"""Texts with every word shaded by how much the answer depends on it, the cells side by side."""

from typing import NamedTuple

import numpy as np

from rnnjax.analysis.diagnosis import TextAttribution
from rnnjax.formatting import percent
from rnnjax.report.figures import style
from rnnjax.report.html import render
from rnnjax.report.sections.rendering import Section, section
from rnnjax.report.summary.seed_groups import SeedGroup, SeedGroups
from rnnjax.runs.run_record import Run
from rnnjax.runs.schema import STAGES, Stage
from rnnjax.typing import Floats

NAME, TITLE = "texts", "Which words the answer depends on"
READING = (
    "{Examples} that were not trained on. The darker a word's shade, the more a small change of its vector would "
    "change the answer: its connectivity ‖∂logit/∂x‖, as a share of the largest in the {example} (Madsen, Distill "
    "2019). A decisive word can be pale: once the cell is sure of its answer, a small change no longer matters, though "
    "another word in its place would. Point at a word for its numbers. The line is the logit if the {example} ended "
    "after each word: above the middle {second}, below it {first}, on one scale for all cells on the {example}."
)
SOURCE = "members/*/diagnosis-end.json"
HEIGHT = 40  # of the chart of the logit, in its own units; it is 100 wide


class CellText(NamedTuple):
    """A text as one cell read it, at the start or after training."""

    group: SeedGroup
    when: Stage
    text: TextAttribution


class Word(NamedTuple):
    """A word of a text with its shade, from 0.00 to 1.00, and its numbers."""

    text: str
    shade: str
    numbers: str


class TextPanel(NamedTuple):
    """What the page shows of a ``CellText``."""

    colour: str
    title: str
    answer: str
    description: str
    path: str
    words: list[Word]


def sections(run: Run, groups: SeedGroups) -> list[Section]:
    """The section of the texts of one seed; none where no text was written."""
    texts = _texts(groups)
    if not texts:
        return []
    colours = style.colours([group.label for group in groups])
    sides, nouns = run.task.sides, run.task.nouns
    reading = READING.format(
        Examples=nouns.examples.capitalize(), example=nouns.example, first=sides[0], second=sides[1]
    )
    entries = []
    for index, cell_texts in enumerate(texts, 1):
        text = cell_texts[0].text
        logits = np.concatenate([cell_text.text.logits for cell_text in cell_texts])
        largest = float(np.abs(logits[np.isfinite(logits)]).max(initial=0.0)) or 1.0
        title = f"{nouns.example.capitalize()} {index}, {len(text.words)} words, labelled {sides[text.label]}"
        cells = [_panel(cell_text, largest, colours[cell_text.group.label], sides) for cell_text in cell_texts]
        entries.append({"title": title, "cells": cells})
    return [section(NAME, TITLE, render("texts", texts=entries, height=HEIGHT, source=SOURCE), reading)]


def _texts(groups: SeedGroups) -> list[list[CellText]]:
    """The texts of the seed that most cells have (of several the first), each with the cells that read it."""
    seeds = sorted({member.seed for group in groups for member in group.reported})
    by_seed = [[cell_text for group in groups for cell_text in _seed_texts(group, seed)] for seed in seeds]
    most_cells = max(by_seed, key=lambda texts: len({cell_text.group.label for cell_text in texts}), default=[])
    by_words: dict[tuple[tuple[str, ...], int], list[CellText]] = {}
    for cell_text in most_cells:
        by_words.setdefault((cell_text.text.words, cell_text.text.label), []).append(cell_text)
    return [cell_texts for (words, _), cell_texts in by_words.items() if words]


def _seed_texts(group: SeedGroup, seed: int) -> list[CellText]:
    """The texts of the group's member of this seed, after training or else at the start."""
    for when in reversed(STAGES):
        members = [member for member in group.reported if member.seed == seed and when in member.diagnoses]
        if members and members[0].diagnoses[when].texts:
            return [CellText(group, when, text) for text in members[0].diagnoses[when].texts]
    return []


def _panel(cell_text: CellText, largest: float, colour: str, sides: tuple[str, str]) -> TextPanel:
    group, when, text = cell_text
    last = f"{text.logits[-1]:+.1f}".replace("-", "−")
    return TextPanel(
        colour=colour,
        title=group.label + (", before training" if when == "start" else ""),
        answer=_answer(text, sides),
        description=f"The logit along the text; the ends of the scale are ±{largest:.1f}, the last value is {last}.",
        path=_path(text.logits, largest),
        words=[
            Word(word, f"{share:.2f}", _word_numbers(index, text))
            for index, (word, share) in enumerate(zip(text.words, shares(text.connectivity), strict=True))
        ],
    )


def shares(connectivity: Floats) -> Floats:
    """Connectivity (T,) as a share of its largest finite value; 0 where it is not finite or all are 0."""
    norms = np.where(np.isfinite(connectivity), connectivity, 0.0)
    largest = norms.max(initial=0.0)
    return norms / largest if largest > 0 else np.zeros_like(norms)


def _word_numbers(index: int, text: TextAttribution) -> str:
    norm, logit = text.connectivity[index], text.logits[index]
    share = f"{percent(float(shares(text.connectivity)[index]))} of the largest" if np.isfinite(norm) else "not finite"
    return f"word {index + 1}: connectivity {norm:.2g}, {share}; logit so far {logit:+.2f}"


def _answer(text: TextAttribution, sides: tuple[str, str]) -> str:
    logit = float(text.logits[-1])
    if np.isnan(logit):
        return "no answer: its logit is not a number"
    positive = float(1 / (1 + np.exp(-np.clip(logit, -700.0, 700.0))))
    side = int(logit > 0)
    verdict = "right" if side == text.label else "wrong"
    return f"{sides[side]} (probability {percent(positive if side else 1 - positive)}), which is {verdict}"


def _path(logits: Floats, largest: float) -> str:
    """The SVG path of the logit along the text, 0 at half height, with gaps where it is not finite."""
    xs = np.linspace(0, 100, len(logits)) if len(logits) > 1 else np.array([50.0])
    path, command = "", "M"
    for x, logit in zip(xs, logits, strict=True):
        if not np.isfinite(logit):
            command = "M"
            continue
        y = HEIGHT / 2 * (1 - 0.92 * logit / largest)
        path += f"{command}{x:.1f} {y:.1f}" + ("h0" if command == "M" else "")
        command = "L"
    return path
