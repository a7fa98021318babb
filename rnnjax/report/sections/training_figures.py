"""The figures of a report that need no diagnosis: what was remembered, how the gradient travels, how training went."""

from dataclasses import replace

from rnnjax.report.figures import gradients as gradient_figures
from rnnjax.report.figures import scores as score_figures
from rnnjax.report.sections.figure_section import FigureSection, SeedGroups
from rnnjax.report.summary.task import by_loss
from rnnjax.report.text import gradients as gradient_sentences
from rnnjax.report.text import headline as sentences

SCORES = FigureSection(
    "accuracy_by_distance",
    "What is remembered",
    "How often the answer is right when the one {step} that decides it lies so many {steps} back. "
    "Thin lines are single seeds, thick lines their mean.",
    score_figures.accuracy_against_distance,
    sentences.distances,
    "members/*/result.json",
)
GRADIENTS = (
    FigureSection(
        "gradient_by_lag",
        "How far back training can feel {a_step}",
        "If the state at {a_step} were nudged, how much would the loss change? That is the norm of the gradient at "
        "this {step}. Where it is nearly zero, training cannot learn from the {step}. A straight line down means that "
        "every further {step} weakens it by the same factor. Its strength at the last {step} (0 back) counts as 100%. "
        "A cell that has become sure of its answers has little left to feel: its gradients shrink as its loss does. "
        "Each curve is measured on one training batch, that of the logged step which it shows.",
        gradient_figures.gradient_by_lag,
        gradient_sentences.by_lag,
        "members/*/gradients.jsonl",
    ),
    FigureSection(
        "gradient_over_training",
        "When the gradient begins to reach back",
        "The same gradient, of what the cell remembers, at every logged step of training from bottom to top, each "
        "on its own training batch. Bright is strong, dark is weak (see the scale); grey: too few {examples} are so "
        "long, or there is no number.",
        gradient_figures.gradient_over_training,
        gradient_sentences.over_training,
        "members/*/gradients.jsonl",
    ),
)
LEARNING = FigureSection(
    "learning_curves",
    "How training went",
    "Accuracy and loss on held-out examples while training. Thin lines are single seeds, thick lines their mean; "
    "the dotted lines are what guessing scores.",
    score_figures.learning_curves,
    sentences.learning,
    "members/*/metrics.jsonl",
)
LOSS = replace(
    LEARNING,
    reading="Loss on held-out examples while training. Thin lines are single seeds, thick lines their mean; "
    "a dashed line is the best answer that remembers nothing.",
)


def learning(labels: SeedGroups) -> FigureSection:
    """How training went, by the loss alone where it is the main score."""
    return LOSS if by_loss(labels) else LEARNING
