"""Real reviews with every word shaded by how much the answer depends on it, the cells side by side."""

from html import escape

import numpy as np

from rnnjax.analysis.diagnosis import TextAttribution
from rnnjax.formatting import percent
from rnnjax.report.figures import style
from rnnjax.report.summary.seed_groups import SeedGroup
from rnnjax.runs.run_record import Run
from rnnjax.runs.schema import STAGES, Stage
from rnnjax.typing import Floats

NAME, TITLE = "texts", "Which words the gradient sees"
READING = (
    "{Examples} that were not trained on. The stronger a word's shade, the more a nudge of its vector would change the "
    "answer: its connectivity ‖∂logit/∂x‖, as a share of the largest in the {example}. So shades tell where a cell "
    "listens, not how hard (Madsen, Distill 2019), and a word that decided long ago and for good can be pale: no nudge "
    "moves it any more, though another word in its place would. Point at a word to see its numbers. The line is the "
    "answer as it would be if the {example} ended after each word: above the middle {second}, below it {first}, on one "
    "scale for all cells that read the {example}."
)
CSS = """
:root { --shade: 255 150 40; }
@media screen and (prefers-color-scheme: dark) { :root { --shade: 150 85 0; } }
.cells { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 15rem), 1fr)); gap: 1rem; }
.cells > div { border: 1px solid var(--line); border-top: 4px solid var(--mark); border-radius: 6px;
  padding: .6rem .8rem; background: var(--card); min-width: 0; }
.cells h4 { margin: 0; font-size: .95rem; }
.cells h4 small { display: block; font-weight: 400; color: var(--quiet); }
.cells svg { display: block; width: 100%; height: 3rem; margin: .3rem 0; }
.cells path { fill: none; stroke: var(--mark); stroke-width: 1.8; stroke-linecap: round; stroke-linejoin: round;
  vector-effect: non-scaling-stroke; }
.cells line { stroke: var(--quiet); stroke-width: 1; stroke-dasharray: 3 3; vector-effect: non-scaling-stroke; }
.shaded { font-size: .85rem; line-height: 1.75; overflow-wrap: anywhere; margin: 0; }
.shaded span { background: rgb(var(--shade) / var(--s)); border-radius: 3px; padding: .1em .15em;
  print-color-adjust: exact; -webkit-print-color-adjust: exact; }
"""
HEIGHT = 40  # of a line's drawing, in its own units; it is 100 wide

Shown = tuple[SeedGroup, Stage, TextAttribution]


def html(run: Run, labels: tuple[SeedGroup, ...]) -> str:
    """The section of one seed's reviews, everything in it escaped; empty where none was written."""
    reviews = _reviews(labels)
    if not reviews:
        return ""
    colour = style.colours([group.label for group in labels])
    sides, nouns = run.task.sides, run.task.nouns
    reading = READING.format(
        Examples=nouns.examples.capitalize(), example=nouns.example, first=sides[0], second=sides[1]
    )
    parts = []
    for place, shown in enumerate(reviews, 1):
        text = shown[0][2]
        logits = np.concatenate([one.logits for *_, one in shown])
        largest = float(np.abs(logits[np.isfinite(logits)]).max(initial=0.0)) or 1.0
        cells = "".join(_cell(one, largest, colour[one[0].label], sides) for one in shown)
        title = f"{nouns.example.capitalize()} {place}, {len(text.words)} words, in truth {sides[text.label]}"
        parts.append(f'<h3>{escape(title)}</h3><div class="cells">{cells}</div>')
    return f"""<section id="{NAME}">
<h2>{escape(TITLE)}</h2>
<p class="reading">{escape(reading)}</p>
{"".join(parts)}
<p class="source">Numbers: <code>members/*/diagnosis-end.json</code> of one seed.</p>
</section>"""


def _reviews(labels: tuple[SeedGroup, ...]) -> list[list[Shown]]:
    """The reviews of the seed that most cells have (of several the first), each with the cells that read it."""
    seeds = sorted({member.seed for group in labels for member in group.counted})
    found = [[shown for group in labels for shown in _of_seed(group, seed)] for seed in seeds]
    best = max(found, key=lambda shown: len({group.label for group, *_ in shown}), default=[])
    by_words: dict[tuple[tuple[str, ...], int], list[Shown]] = {}
    for one in best:
        by_words.setdefault((one[2].words, one[2].label), []).append(one)
    return [shown for (words, _), shown in by_words.items() if words]


def _of_seed(group: SeedGroup, seed: int) -> list[Shown]:
    """The reviews of the group's member of this seed, after training or else at the start."""
    for when in reversed(STAGES):
        known = [member.diagnoses[when] for member in group.counted if member.seed == seed and when in member.diagnoses]
        if known and known[0].texts:
            return [(group, when, text) for text in known[0].texts]
    return []


def _cell(shown: Shown, largest: float, colour: str, sides: tuple[str, str]) -> str:
    group, when, text = shown
    early = ", before training" if when == "start" else ""
    words = " ".join(
        f'<span style="--s:{share:.2f}" title="{escape(_told(t, text))}">{escape(word)}</span>'
        for t, (word, share) in enumerate(zip(text.words, shares(text.connectivity), strict=True))
    )
    answer = escape(_answer(text, sides))
    return (
        f'<div style="--mark:{colour}"><h4>{escape(group.label)}{early} <small>{answer}</small></h4>'
        f'{_line(text.logits, largest)}<p class="shaded">{words}</p></div>'
    )


def shares(connectivity: Floats) -> Floats:
    """Connectivity (T,) as a share of its largest finite number; 0 where it is no number or all are 0."""
    norms = np.where(np.isfinite(connectivity), connectivity, 0.0)
    largest = norms.max(initial=0.0)
    return norms / largest if largest > 0 else np.zeros_like(norms)


def _told(place: int, text: TextAttribution) -> str:
    norm, logit = text.connectivity[place], text.logits[place]
    of_largest = percent(float(shares(text.connectivity)[place])) if np.isfinite(norm) else "no number"
    return f"word {place + 1}: connectivity {norm:.2g}, {of_largest} of the largest; logit so far {logit:+.2f}"


def _answer(text: TextAttribution, sides: tuple[str, str]) -> str:
    logit = float(text.logits[-1])
    if np.isnan(logit):
        return "no answer: its logit is not a number"
    positive = float(1 / (1 + np.exp(-np.clip(logit, -700.0, 700.0))))
    side = int(logit > 0)
    verdict = "right" if side == text.label else "wrong"
    return f"says {sides[side]} (probability {percent(positive if side else 1 - positive)}), which is {verdict}"


def _line(logits: Floats, largest: float) -> str:
    """The logit along the text, 0 at half height, gaps where it is no number."""
    across = np.linspace(0, 100, len(logits)) if len(logits) > 1 else np.array([50.0])
    path, pen = "", "M"
    for x, logit in zip(across, logits, strict=True):
        if not np.isfinite(logit):
            pen = "M"
            continue
        y = HEIGHT / 2 * (1 - 0.92 * logit / largest)
        path += f"{pen}{x:.1f} {y:.1f}" + ("h0" if pen == "M" else "")
        pen = "L"
    last = f"{logits[-1]:+.1f}".replace("-", "−")
    told = f"The logit along the text; the ends of the scale are ±{largest:.1f}, the last value is {last}."
    return (
        f'<svg viewBox="0 0 100 {HEIGHT}" preserveAspectRatio="none" role="img" aria-label="{told}"><title>{told}'
        f'</title><line x1="0" x2="100" y1="{HEIGHT / 2:g}" y2="{HEIGHT / 2:g}"/><path d="{path}"/></svg>'
    )
