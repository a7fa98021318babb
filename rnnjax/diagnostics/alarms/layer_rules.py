"""Rules over gates, memory, data and training.

Rules about gates, memory, padding and clipping are silent about a network that has learnt its task: see
``Evidence.does_its_work``. Where the outcome is not known, as before training, they apply.
"""

import numpy as np

from rnnjax.diagnostics.alarms.evidence import Action, Alarm, Evidence
from rnnjax.formatting import distance, loss, number, percent, plural

STUCK = 0.9  # share of (step, unit) pairs; see saturated
PADDED = 0.01  # share of the steps read
KEPT = 0.6  # share of the memory kept at a step; see forget_bias
NEAR, FEWEST_NEAR = 10, 5  # lags over which the belt is judged, and how many of them must be measured
DEAD = 0.05  # share of the gradient; see dead_memory
MOST = 0.5  # share of the steps
FEWEST_STEPS = 20  # of training, from which on clipping is judged
LAST = 0.2  # part of the training in which a plateau is looked for
LONG_ENOUGH = 100  # steps of training, so that the last part is an average over 20
GAIN = 0.02  # share of the chance-level loss; see plateau
LONG_MEMORY = 200  # steps: the chrono initialisation that remedies propose where no length was measured
KEEP_GATE_OPEN = "rnnjax.LSTM(..., forget_bias=1) or rnnjax.GRU(..., forget_bias=1)"
OPEN_ANY = "Start with the gate that keeps the state open: a bias of 1, or more for longer memories."  # cells not ours
KEEP_GATE_ACTIONS: tuple[Action, ...] = (Action("forget_bias", 1.0), Action("chrono", LONG_MEMORY))


def not_finite(evidence: Evidence) -> Alarm | None:
    """A number that is not finite arose, and it is known where; a single one is enough."""
    origin = evidence.origin
    if origin is None:
        return None
    when = "" if origin.step is None else f" at training step {origin.step}"
    gate = "" if origin.gate is None else f"gate {origin.gate} of "
    where = "outside of the recurrent layers" if origin.layer is None else f"in {gate}{origin.layer}"
    at = "" if origin.timestep is None else f" at timestep {origin.timestep}"
    sentence = (
        f"{evidence.label}: the first number that is not finite arose in the {origin.phase} pass{when}, {where}{at}."
    )
    clip = "" if evidence.clip else "clip the gradient's global norm at 1 (optax.clip_by_global_norm), "
    example = ", as in rnnjax.SimpleRNN(..., recurrent_init=rnnjax.Orthogonal(0.9))" if evidence.ours else ""
    remedy = f"Use a smaller learning rate, {clip}or scale the recurrent weights down{example}."
    clipped = () if evidence.clip else (Action("clip", 1.0),)
    actions = (Action("learning_rate"), *clipped, Action("orthogonal_scale", 0.9)) if evidence.ours else ()
    known = {name: value for name, value in origin._asdict().items() if value is not None}
    return Alarm("not finite", evidence.label, sentence, remedy, known, actions)


def padding_read(evidence: Evidence) -> Alarm | None:
    """More than 1% of the steps read look like padding, and the network does not do its work.

    A layer that knows the lengths reads none. 1% leaves room for texts that end in a repeated word; where lengths
    differ at all, padding that is read exceeds it by far.
    """
    share = evidence.padding_read
    if share is None or not share > PADDED or evidence.does_its_work:
        return None
    sentence = (
        f"{evidence.label}: {percent(share)} of the steps that it reads look like padding, so its last state is that "
        f"after the padding, not that after the last {evidence.unit}."
    )
    remedy = "Pass every example's length: lengths= of rnnjax.unroll, rnnjax.RNN and rnnjax.SequenceClassifier."
    if not evidence.ours:
        remedy = "Read each example at its last valid step, as with seq_lengths of flax.linen.RNN."
    return Alarm("padding read", evidence.label, sentence, remedy, {"padding_read": float(share)})


def crosses_reset(evidence: Evidence) -> Alarm | None:
    """A gradient crosses the beginning of an episode; it must be exactly 0, so any that is not is a fault."""
    share = evidence.crossing
    if share is None or share == 0:
        return None
    amount = "a gradient that is not finite" if not np.isfinite(share) else f"{percent(share)} of the largest gradient"
    sentence = f"{evidence.label}: {amount} crosses the beginning of an episode, where the state must be reset."
    remedy = (
        "Replace the state that comes in before it is read, as in jnp.where(reset, initial_state, state): a state "
        "that is multiplied by 0 afterwards, or reset a step early or late, still depends on the previous episode; "
        "layers of rnnjax take resets as an argument."
    )
    return Alarm("crosses a reset", evidence.label, sentence, remedy, {"share": float(np.nan_to_num(share))})


def forget_bias(evidence: Evidence) -> Alarm | None:
    """The biases alone keep less than 60% of the memory at a step, and a network with a belt does not do its work.

    σ(0) = 50% is what a bias of 0 keeps, σ(1) = 73% what the usual bias of 1 keeps: 60% lies between, and below it the
    memory halves within 1.4 steps before anything is learnt (Jozefowicz et al. 2015). A GRU starts at 50%, and learns
    many tasks from there: what its gates keep of real inputs is measured as well, and must be below 60% too.
    """
    kept, measured = evidence.keep_at_bias, evidence.keep
    if kept is None or not evidence.has_belt or not kept < KEPT:
        return None
    if evidence.does_its_work or (measured is not None and measured >= KEPT):
        return None
    halves = (
        "vanishes at once"
        if kept <= 0
        else f"halves every {distance(float(np.log(0.5) / np.log(kept)), evidence.unit)}"
    )
    sentence = (
        f"{evidence.label}: the biases alone keep {percent(kept)} of the memory from {evidence.unit} to "
        f"{evidence.unit}, so what it has read {halves}."
    )
    remedy = (
        f"Start with the keep gate open: {KEEP_GATE_OPEN}, or chrono={LONG_MEMORY} instead of forget_bias, for "
        f"memories of up to {LONG_MEMORY} {plural(evidence.unit)}."
    )
    actions = KEEP_GATE_ACTIONS
    if not evidence.ours:
        remedy, actions = OPEN_ANY, ()
    return Alarm("forget bias", evidence.label, sentence, remedy, {"keep_at_bias": float(kept)}, actions)


def dead_memory(evidence: Evidence) -> Alarm | None:
    """There is a belt, but over 10 lags its share of the gradient is below 5%, and the network does not do its work.

    Only near lags are judged: from far back even a sound LSTM of forget bias 1 receives next to nothing along its belt
    before it is trained (under 0.1% at lag 50), but over the nearest ten lags 40% comes that way, and 30% with a bias
    of 0. Where the keep gate is shut (a bias of -3 or less) it is under 3%.
    """
    shares = evidence.belt_share
    if shares is None or not evidence.has_belt or evidence.does_its_work:
        return None
    near = shares[1 : NEAR + 1]
    near = near[np.isfinite(near)]
    if len(near) < FEWEST_NEAR or near.mean() >= DEAD:
        return None
    share = float(near.mean())
    sentence = (
        f"{evidence.label}: the memory is dead: only {percent(share)} of the gradient from the nearest {NEAR} "
        f"{plural(evidence.unit)} comes along its belt, the rest through the recurrent weights, as in a SimpleRNN."
    )
    remedy = f"Start with the keep gate open: {KEEP_GATE_OPEN}, or chrono={LONG_MEMORY} instead of forget_bias."
    actions = KEEP_GATE_ACTIONS
    if not evidence.ours:
        remedy, actions = OPEN_ANY, ()
    return Alarm("dead memory", evidence.label, sentence, remedy, {"belt_share": share}, actions)


def saturated(evidence: Evidence) -> Alarm | None:
    """A gate's slope is nearly 0 for over 90% of the (step, unit) pairs, and the network does not do its work.

    Not half of them, because that happens in sound networks: an LSTM that has learnt to recall has up to 60% of g
    there, a GRU with chrono initialisation 75% of n, and chrono initialisation for 500 steps starts with 80% of the
    keep gate.
    """
    stuck = {gate: float(share) for gate, share in (evidence.saturation or {}).items() if share > STUCK}
    if not stuck or evidence.does_its_work:
        return None
    gates = ", ".join(f"{gate} ({percent(share)})" for gate, share in stuck.items())
    sentence = (
        f"{evidence.label}: the slope is nearly 0 for almost all (step, unit) pairs of gate {gates}: there it hardly "
        "depends on its inputs, and hardly any gradient passes through."
    )
    remedy = (
        "Give the cell smaller inputs, such as initial word vectors from a smaller embedding_scale of "
        "rnnjax.SequenceClassifier, or use a smaller learning rate"
    )
    actions: tuple[Action, ...] = (Action("embedding_scale"), Action("learning_rate"))
    if evidence.has_belt:
        remedy += ", or start the gates nearer to the middle of their range, as in rnnjax.LSTM(..., forget_bias=1)"
        actions += (Action("forget_bias", 1.0),)
    if not evidence.ours:
        remedy, actions = "Give the cell smaller inputs, use a smaller learning rate, or start with smaller biases", ()
    return Alarm("saturated gates", evidence.label, sentence, f"{remedy}.", stuck, actions)


def clipping(evidence: Evidence) -> Alarm | None:
    """Over half of the training steps were clipped, and the network does not do its work.

    Clipping is meant for rare steep places; where it acts on most steps, it sets the length of the step in place of
    the learning rate. Many trainings succeed so all the same, because Adam does not depend on the gradient's scale.
    """
    norms, clip = evidence.gradient_norms, evidence.clip
    if norms is None or not clip > 0 or evidence.does_its_work:
        return None
    finite = norms[np.isfinite(norms)]
    if len(finite) < FEWEST_STEPS or np.mean(finite > clip) <= MOST:
        return None
    share, median = float(np.mean(finite > clip)), float(np.median(finite))
    sentence = (
        f"{evidence.label}: {percent(share)} of the training steps were clipped: the median of the gradient's norm is "
        f"{number(median)}, and it is clipped at {clip:g}."
    )
    remedy = f"Use a smaller learning rate, or, if the loss falls steadily, clip at a norm above {number(median)}."
    numbers = {"clipped": share, "usual_norm": median, "clip": clip}
    return Alarm("clipping", evidence.label, sentence, remedy, numbers, (Action("learning_rate"), Action("clip")))


def plateau(evidence: Evidence) -> Alarm | None:
    """Over the last fifth of training the mean loss is not 2% below that of the best answer that remembers nothing.

    2% is about ten times the uncertainty of that mean over 80 batches of 64; networks that learn nothing in the recall
    task end 0.1 to 0.7% above chance level, those that learn it over 98% below.
    """
    losses, chance = evidence.losses, evidence.chance_loss
    if losses is None or chance is None or len(losses) < LONG_ENOUGH:
        return None
    last = losses[-int(LAST * len(losses)) :]
    if not np.isfinite(last).all() or last.mean() < (1 - GAIN) * chance:
        return None
    sentence = (
        f"{evidence.label}: nothing is learnt: the loss of the last {len(last)} training steps is "
        f"{loss(float(last.mean()))}, and {evidence.chance_answer} costs {loss(chance)}."
    )
    remedy = (
        "If another alarm is raised, begin with that one; otherwise try another learning rate, another seed or "
        "longer training."
    )
    actions = (Action("learning_rate"), Action("seed"), Action("epochs"))
    numbers = {"loss": float(last.mean()), "chance_loss": float(chance), "steps": len(last)}
    return Alarm("plateau", evidence.label, sentence, remedy, numbers, actions)
