"""The figures of the diagnoses, in reading order: belt and detour, gates, stability, updates, exchanged words."""

from dataclasses import replace

from rnnjax.report.figures.dynamics import lyapunov, swaps, updates
from rnnjax.report.figures.gates import gates, gates_of_the_detour, into_gates
from rnnjax.report.figures.gradient_paths import belt_and_detour, belt_share, loss_decay
from rnnjax.report.sections.figure_section import FigureSection
from rnnjax.report.summary.diagnosis import any_layer, diagnosed
from rnnjax.report.summary.seed_groups import SeedGroups
from rnnjax.report.text.diagnosis import (
    belt_and_detour_captions,
    belt_share_captions,
    detour_gate_captions,
    gate_captions,
    into_gates_captions,
)
from rnnjax.report.text.dynamics import lyapunov_captions, swap_captions, update_captions
from rnnjax.report.text.gradients import loss_decay_captions

SOURCE = "members/*/diagnosis-start.json and diagnosis-end.json"
WHEN = (
    "Measured on one batch of held-out {examples}, with the initial parameters (start) and with those that were best "
    "in validation (after training)."
)
OTHER_CELLS = (
    " In a cell that is not elementwise the belt is every path that meets no matrix product; where its state has "
    "several arrays, the figures that follow have a panel for each of them."
)
BELT_SHARE = FigureSection(
    "belt_share",
    "How much comes down the conveyor belt",
    "A gradient has two ways back through time. Down the belt it is only multiplied by how much of its memory "
    "each unit keeps (the LSTM's f, the GRU's u); on the detour it passes through the matrix W_h at least once. "
    "The two parts add up to the whole gradient; the belt's share is its norm divided by the sum of both norms. "
    "In brackets the 95% interval of the mean over the seeds (Student's t); a half-life is the median seed's, with the "
    "lowest and the highest. " + WHEN,
    belt_share,
    belt_share_captions,
    SOURCE,
)
LOSS_DECAY = FigureSection(
    "loss_decay",
    "How one {step}'s loss fades on its way back",
    "The loss reads more than the last {step}, so the gradient at a {step} adds up what the losses of all later ones "
    "send back; it stays large however fast each of them fades. Here single losses are followed: the gradient of what "
    "the loss reads at one {step} with respect to the memory so many {steps} earlier, relative to that at the {step} "
    "itself. The median over {examples} and over eight {steps} of each, chosen so that a {step} counts as much as the "
    "loss reads it. " + WHEN,
    loss_decay,
    loss_decay_captions,
    SOURCE,
)
FIGURES = (
    LOSS_DECAY,
    BELT_SHARE,
    FigureSection(
        "belt_and_detour",
        "Belt and detour, {step} by {step}",
        "The norms of the two parts beside that of the whole gradient at the memory. Where the solid line lies on the "
        "dotted one, the belt alone carries the gradient. Norms do not add up: where the two parts point against each "
        "other, the whole can be smaller than either.",
        belt_and_detour,
        belt_and_detour_captions,
        SOURCE,
    ),
    FigureSection(
        "gates_of_the_detour",
        "Through which gate the detour enters",
        "On the detour the gradient leaves a state through W_h and the gates of the next step. The areas are the "
        "shares of the norms of the parts that enter through each gate, averaged over the seeds.",
        gates_of_the_detour,
        detour_gate_captions,
        SOURCE,
    ),
    FigureSection(
        "into_gates",
        "The gradient that each gate receives",
        "The gradient at each gate's pre-activation z, which trains the gate's weights. A gate that is fully open or "
        "shut is saturated, and its gradient is small.",
        into_gates,
        into_gates_captions,
        SOURCE,
    ),
    FigureSection(
        "gates",
        "How far the gates are open",
        "The mean over all units: 0% is shut, 100% open. A unit that keeps the share f of its memory in a step forgets "
        "over 1/(1-f) steps, its horizon (Tallec & Ollivier 2018); given is the median unit's. A value is saturated "
        "where its slope is below 4% of the steepest.",
        gates,
        gate_captions,
        SOURCE,
    ),
    FigureSection(
        "lyapunov",
        "Does a small change grow or fade?",
        "A Lyapunov exponent is the mean rate, per step, at which a small change of the state grows (above 0) or fades "
        "(below 0) along real {examples}; there is one for each dimension of the state (Vogt et al. 2020). Right: the "
        "largest and the smallest singular value of products of the last step Jacobians of one {example}; values above "
        "1 make a gradient explode, values far below 1 make it vanish.",
        lyapunov,
        lyapunov_captions,
        SOURCE,
    ),
    FigureSection(
        "updates",
        "How much a step changes the weights",
        "The norm of an update divided by that of the block of weights that it changes. About one part in a thousand "
        "is healthy; far above, training is unstable; far below, the block hardly learns. The median seed; a block of "
        "zeros has no ratio.",
        updates,
        update_captions,
        "members/*/metrics.jsonl",
    ),
    FigureSection(
        "swaps",
        "What exchanging {a_step} changes",
        "A gradient predicts the effect of small changes only. Here one {step} of each {example} is exchanged, and the "
        "change of the logit is compared with the change that the gradient at this {step} predicts. Where both are "
        "small, the answer does not depend on the {step}; where only the prediction is small, it does, but the "
        "gradient does not show it.",
        swaps,
        swap_captions,
        SOURCE,
    ),
)


def diagnosis_figures(groups: SeedGroups) -> tuple[FigureSection, ...]:
    """The figures of the diagnoses of these cells; what is the belt of a cell that is not elementwise is said once."""
    if all(layer.gates for group, index, _ in diagnosed(groups) if (layer := any_layer(group, index)) is not None):
        return FIGURES
    return tuple(
        replace(figure, reading=figure.reading + OTHER_CELLS) if figure is BELT_SHARE else figure for figure in FIGURES
    )
