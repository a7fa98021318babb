"""The figures of the diagnoses in reading order: two ways through time, the gates, the flow, the updates, the swaps."""

from rnnjax.report.figures import dynamics as dynamics_figures
from rnnjax.report.figures import gates as gate_figures
from rnnjax.report.figures import gradient_paths as belt_figures
from rnnjax.report.sections.figure_section import FigureSection
from rnnjax.report.text import diagnosis as diagnosis_sentences
from rnnjax.report.text import dynamics as dynamics_sentences

SOURCE = "members/*/diagnosis-start.json and diagnosis-end.json"
WHEN = (
    "Measured on one batch of held-out {examples}, with the initial parameters (start) and with those that were best "
    "in validation (after training)."
)
BELT_SHARE = FigureSection(
    "belt_share",
    "How much comes down the conveyor belt",
    "A gradient has two ways back through time. Down the belt it is only multiplied by how much of its memory "
    "each unit keeps (the LSTM's f, the GRU's u); on the detour it passes through the matrix W_h at least once. "
    "The two parts add up to the whole gradient; the belt's share is its length divided by the sum of both "
    "lengths. In brackets the 95% interval of the mean over the seeds (Student's t); a half-life is the median "
    "seed's. " + WHEN,
    belt_figures.belt_share,
    diagnosis_sentences.belt_shares,
    SOURCE,
)
PICTURES = (
    BELT_SHARE,
    FigureSection(
        "belt_and_detour",
        "Belt and detour, {step} by {step}",
        "The lengths of the two parts beside that of the whole gradient of what the cell remembers. Where the solid "
        "line lies on the dotted one, the belt alone carries the gradient. Lengths do not add up: where the two parts "
        "point against each other, the whole can be shorter than either.",
        belt_figures.belt_and_detour,
        diagnosis_sentences.belt_against_detour,
        SOURCE,
    ),
    FigureSection(
        "gates_of_the_detour",
        "Through which gate the detour enters",
        "On the detour the gradient leaves a state through W_h and the gates of the next step. The areas divide the "
        "lengths of the parts that enter through each gate, on average over the seeds.",
        gate_figures.gates_of_the_detour,
        diagnosis_sentences.through_gates,
        SOURCE,
    ),
    FigureSection(
        "into_gates",
        "The gradient that each gate receives",
        "What reaches the sum z that a gate squashes: how hard {a_step} pulls at each gate's weights. A gate that is "
        "wide open or shut hardly listens, and its gradient is small.",
        gate_figures.into_gates,
        diagnosis_sentences.into_gates,
        SOURCE,
    ),
    FigureSection(
        "gates",
        "How far the gates stand open",
        "The mean over all units, 0% shut, 100% open. A unit that keeps the share f of its memory in a step forgets "
        "over 1/(1-f) steps, its horizon (Tallec & Ollivier 2018); given is the median unit's. A value is stuck where "
        "its slope is below 4% of the steepest.",
        gate_figures.gates,
        diagnosis_sentences.gates,
        SOURCE,
    ),
    FigureSection(
        "lyapunov",
        "Does a small change grow or fade?",
        "A Lyapunov exponent is the mean rate, per step, at which a small change of the state grows (above 0) or fades "
        "(below 0) along real {examples}; there are as many as the state has directions (Vogt et al. 2020). Right: the "
        "largest and the smallest singular value of products of the last step Jacobians of one {example}; what is "
        "above 1 blows a gradient up, what is far below 1 lets it vanish.",
        dynamics_figures.lyapunov,
        dynamics_sentences.lyapunov,
        SOURCE,
    ),
    FigureSection(
        "updates",
        "How much a step changes the weights",
        "The length of an update divided by that of the block of weights that it changes. About one part in a "
        "thousand is healthy; far above, training throws the block about, far below, the block stands still. The "
        "median seed; a block of zeros has no ratio.",
        dynamics_figures.updates,
        dynamics_sentences.updates,
        "members/*/metrics.jsonl",
    ),
    FigureSection(
        "swaps",
        "The test of it: exchanging {a_step}",
        "A gradient is a promise for small changes. Here one {step} of each {example} is exchanged, and the change of "
        "the logit that the exchange causes stands beside the change that the gradient at this {step} predicts. Where "
        "both are small, the answer does not depend on the {step}; where only the prediction is small, the gradient "
        "is blind to what the cell knows.",
        dynamics_figures.swaps,
        dynamics_sentences.swaps,
        SOURCE,
    ),
)
