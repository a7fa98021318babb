"""The figures of a report that need no diagnosis: accuracy against distance, gradients, learning curves."""

from dataclasses import replace

from rnnjax.report.figures.gradients import gradient_by_lag, gradient_over_training
from rnnjax.report.figures.score_by_start import score_by_start
from rnnjax.report.figures.scores import accuracy_against_distance, learning_curves
from rnnjax.report.sections.figure_section import FigureSection
from rnnjax.report.summary.seed_groups import SeedGroups
from rnnjax.report.summary.task import by_loss, curve_split, loss_alone
from rnnjax.report.text.gradients import by_lag_captions, over_training_captions
from rnnjax.report.text.headline import distance_captions, learning_captions, score_by_start_captions

SCORES = FigureSection(
    "accuracy_by_distance",
    "What is remembered",
    "Test accuracy against how many {steps} back the {step} is that decides the answer. Thin lines are single seeds, "
    "thick lines their mean.",
    accuracy_against_distance,
    distance_captions,
    "members/*/result.json",
)
GRADIENT_BY_LAG = FigureSection(
    "gradient_by_lag",
    "How far back the gradient reaches",
    "The norm of the gradient of the loss with respect to the state at each {step}: how much a small change of the "
    "state would change the loss. Where it is nearly zero, training cannot learn from the {step}. A straight line "
    "down is exponential decay. The norm at the last {step} (0 back) counts as 100%. Gradients shrink as the loss "
    "does, so a cell that is sure of its answers has small ones. Where the loss reads more than the last {step}, the "
    "gradient adds up over the losses of many, and is no decay. Each curve is measured on one training batch, that of "
    "its logged step.",
    gradient_by_lag,
    by_lag_captions,
    "members/*/gradients.jsonl",
)
GRADIENT_OVER_TRAINING = FigureSection(
    "gradient_over_training",
    "The gradient over the course of training",
    "The same gradient, at the memory of the cell, at every logged step of training from bottom to top, each on its "
    "own training batch. Bright is strong, dark is weak (see the scale); grey: too few {examples} are so long, or the "
    "norm is not a number.",
    gradient_over_training,
    over_training_captions,
    "members/*/gradients.jsonl",
)
SCORE_BY_START = FigureSection(
    "score_by_start",
    "What the start says about the end",
    "Each point is a cell, the mean of its seeds: across, the half-life of its gradient and the belt's share of it "
    "before training; upwards, its test score after training.",
    score_by_start,
    score_by_start_captions,
    "members/*/diagnosis-start.json, gradients.jsonl and result.json",
)
LEARNING_CURVES = FigureSection(
    "learning_curves",
    "Learning curves",
    "Accuracy and loss on held-out examples during training. Thin lines are single seeds, thick lines their mean; "
    "the dotted lines are the scores of guessing.",
    learning_curves,
    learning_captions,
    "members/*/metrics.jsonl",
)
LOSS_CURVES = replace(
    LEARNING_CURVES,
    reading="Loss on held-out examples during training. Thin lines are single seeds, thick lines their mean; a dashed "
    "line is the best prediction without memory.",
)


VALIDATION_LOSS_CURVES = replace(LOSS_CURVES, reading=LOSS_CURVES.reading.partition(";")[0] + ".")
TRAINING_LOSS_CURVES = replace(
    LEARNING_CURVES,
    reading="Loss of the training batches at the logged steps. Thin lines are single seeds, thick lines their mean.",
)
GRADIENT_OF_SCANS = replace(
    GRADIENT_OVER_TRAINING,
    reading=GRADIENT_OVER_TRAINING.reading.replace("the memory of the cell", "the first state of each scan"),
)


def learning(groups: SeedGroups) -> FigureSection:
    """The learning curves: accuracy and loss, or the loss alone where it is the main score."""
    if curve_split(groups) == "training":
        return TRAINING_LOSS_CURVES
    if loss_alone(groups):
        return VALIDATION_LOSS_CURVES
    return LOSS_CURVES if by_loss(groups) else LEARNING_CURVES


def over_training(groups: SeedGroups) -> FigureSection:
    """The gradient over the course of training: at the memory of cells, or at a state of other libraries' scans."""
    return GRADIENT_OF_SCANS if loss_alone(groups) else GRADIENT_OVER_TRAINING
