"""Wrong input for diagnostics, imported weights and batching; in the form of ``cases_library.py``."""

DIAGNOSTICS = [
    ("norms_by_lag(state, lengths, weights)", "tap_gradients must be an array (T, B, H), got LSTMState"),
    ("norms_by_lag(xs[0], lengths, weights)", "tap_gradients must be (T, B, H), got float32 of shape (4, 3)"),
    ("norms_by_lag(xs, lengths + 8, weights)", "lengths must be from 0 to 8, got 9"),
    ("norms_by_lag(xs, lengths, weights[:3])", "loss_weights must have shape (4,), got (3,)"),
    ("norms_by_lag(xs, lengths, -weights)", "loss_weights must be 0 or more, got -1.0"),
    ("lag_statistics(xs[..., 0], lengths)", "exists must have shape (8, 4), got (4,)"),
    (
        "half_life(xs[..., 0])",
        "norms must be (T,), one for each lag, got float32 of shape (8, 4); take the median over examples, as in "
        "jnp.median(norms, axis=1)",
    ),
    ("half_life('strong')", "norms must be numbers (T,), one for each lag, got 'strong'"),
    ("reach(xs[:, 0, 0], share=50)", "share must be above 0 and at most 1, as 0.01 for 1%, got 50"),
    ("linearise(cell, params, xs, lengths=lengths + 8)", "lengths must be from 0 to 8, got 9"),
    (
        "gate_values(cell, params, xs)",
        "steps must be the result of rnnjax.diagnostics.linearise, got float32 of shape (8, 4, 3)",
    ),
    (
        "gate_values(GRU(5), params, steps)",
        "steps are of a cell with 4 gates and 5 units, but GRU(5) has 3 and 5",
    ),
    ("horizon(None)", "steps must be the result of rnnjax.diagnostics.linearise, got None"),
    (
        "keep_at_bias(GRU(5), params)",
        "params.w_h must have shape (5, 15) for GRU(5), got float32 of shape (5, 20)",
    ),
    ("padding_read(xs, lengths, shortest=0)", "shortest must be a whole number of at least 1, got 0"),
    ("step_jacobians(cell, None, steps)", "params must be the result of LSTM(5).init, got None"),
    ("singular_values(xs)", "jacobians must be (..., S, S), got float32 of shape (8, 4, 3)"),
    ("product_singular_values(square, sweeps=0)", "sweeps must be a whole number of at least 1, got 0"),
    ("extreme_singular_values(square, (1, 9))", "each of counts must be a whole number from 1 to 8, got 9"),
    ("extreme_singular_values(square, ())", "counts must be a tuple of numbers of factors, got ()"),
    ("lyapunov_spectrum(cell, params, steps, count=11)", "count must be a whole number from 1 to 10, got 11"),
    ("paths(cell, params, steps, state)", "ct_states.h must have shape (8, 4, 5), got (4, 5)"),
    ("share(xs, xs[..., :2])", "part and rest must have the same shape, got (8, 4, 3) and (8, 4, 2)"),
    ("omega(cell, params, steps, xs)", "cotangents must be a LSTMState, got float32 of shape (8, 4, 3)"),
    ("flossing(cell, params, steps, count=0)", "count must be a whole number from 1 to 10, got 0"),
    (
        "update_ratios({'w': xs}, {'v': xs})",
        "updates must have the structure of params, PyTreeDef({'v': *}), got PyTreeDef({'w': *})",
    ),
    ("seed_interval(xs, confidence=95)", "confidence must be between 0 and 1, as 0.95 for 95%, got 95"),
    (
        "fixed_points('tanh', xs[0], xs[0, 0])",
        "step must be a function (state, x) -> state, got 'tanh'",
    ),
    ("fixed_points(lambda h, x: h, [], xs[0, 0])", "candidates must hold at least one array (N, ...), got list"),
    (
        "fixed_points(lambda h, x: h, lengths[:, None], xs[0, 0])",
        "candidates must hold numbers in float32 or float64, or complex ones, got int32 of shape (4, 1); convert them "
        "with .astype(jnp.float32)",
    ),
    (
        "fixed_points(lambda h, x: h, (xs[0], xs[0, :3]), xs[0, 0])",
        "candidates must have one leading axis N in all arrays, got shapes (4, 3), (3, 3)",
    ),
    ("fixed_points(lambda h, x: h, xs[0], 0.0)", "inputs must be an array (D,), got 0.0"),
    (
        "fixed_points(lambda h, x: h, xs[0], xs[0, :3])",
        "inputs must have a row for each of 4 candidates, got float32 of shape (3, 3)",
    ),
    (
        "fixed_points(lambda h, x: cell.step(params, h, x), state, xs[0, 0])",
        "step must return a state of the structure of the candidates, "
        "PyTreeDef(CustomNode(namedtuple[LSTMState], [*, *])), got "
        "PyTreeDef((CustomNode(namedtuple[LSTMState], [*, *]), *)); of a cell's step that is the first result: "
        "lambda state, x: cell.step(params, state, x)[0]",
    ),
    (
        "fixed_points(lambda h, x: h[None], xs[0], xs[0, 0])",
        "step must return a state of the shapes and dtypes that it was given, without a batch axis: for float32 of "
        "shape (3,) it returned float32 of shape (1, 3)",
    ),
    ("fixed_points(lambda h, x: h, xs[0], xs[0, 0], region=0)", "region must be a number above 0, got 0"),
    ("fixed_points(lambda h, x: h, xs[0], xs[0, 0], steps=-1)", "steps must be a whole number of at least 0, got -1"),
    ("check({'label': 'LSTM'})", "evidence must be a rnnjax.diagnostics.Evidence, got dict"),
]

WHOLE = [
    (
        "rnnjax.diagnose('lstm', params, xs, loss)",
        "model must be a Flax module or a cell such as rnnjax.LSTM(128), got 'lstm'",
    ),
    ("rnnjax.diagnose(cell, params, xs, 0.5)", "loss must be a function, got 0.5"),
    ("rnnjax.diagnose(cell, params, xs[0], loss)", "batch must be (T, B, D), got float32 of shape (4, 3)"),
    ("rnnjax.diagnose(cell, params, (xs, lengths + 8), loss)", "lengths must be from 0 to 8, got 9"),
    (
        "rnnjax.diagnose(layer, params, {'text': 'a film'}, loss)",
        "batch['text'] must be an array of numbers, got 'a film'",
    ),
    (
        "rnnjax.diagnose(cell, params, xs, lambda final, ys: ys.mean())",
        "the loss must be one number for each example, shape (4,), got (); return it before taking the mean",
    ),
    (
        "rnnjax.diagnose(cell, params, xs, lambda final, ys: (ys, ys))",
        "the loss must be one number for each example, shape (4,), got tuple; return it before taking the mean",
    ),
    (
        "rnnjax.diagnose(cell, params, xs, lambda final, ys: final.h[:, 0] > 0)",
        "the loss must hold floating-point numbers, got bool; return what is differentiated",
    ),
    (
        "rnnjax.diagnose(layer, variables, xs, lambda params, xs: xs.sum((1, 2)))",
        "there is no recurrence to measure in the loss: it runs no rnnjax.RNN and no jax.lax.scan whose carry holds "
        "floating-point numbers; apply the model in the loss, as in model.apply({'params': params}, batch)",
    ),
    (
        "rnnjax.diagnose(layer, variables, xs.tolist(), loss)",
        "batch must be an array of numbers, got list; make an array of it with jnp.asarray",
    ),
    ("word_connectivity(model, {}, tokens[0], lengths)", "tokens must be (B, T), got int32 of shape (8,)"),
    ("word_connectivity(model, {}, tokens, lengths + 8)", "lengths must be from 0 to 8, got 9"),
    ("swap_words(model, {}, tokens, lengths, lengths + 7, lengths)", "positions must be from 0 to 7, got 8"),
    ("swap_words(model, {}, tokens, lengths, lengths, lengths + 8)", "new_ids must be from 0 to 8, got 9"),
    (
        "explain_text(model, {}, tokens[0, :0], 1)",
        "tokens must be (T,) without an axis of length 0, got int32 of shape (0,)",
    ),
    ("explain_text(model, {}, tokens[0], 9)", "unknown must be a whole number from 0 to 8, got 9"),
    (
        "rnnjax.from_torch(model)",
        "state_dict must be the state_dict() of a layer or of a whole model, got SequenceClassifier.",
    ),
    (
        "rnnjax.from_keras(model)",
        "weights must be a layer of Keras or its get_weights(), a list of arrays, got SequenceClassifier.",
    ),
    (
        "rnnjax.from_keras([square[0], square[0]])",
        "The weights of a SimpleRNN do not say its activation; give the layer itself, or activation='tanh', which is "
        "Keras' default, or activation='relu'.",
    ),
    (
        "rnnjax.from_torch({'weight_ih': square[0], 'weight_hh': square[0]})",
        "The state dict of an nn.RNN does not say its nonlinearity; give nonlinearity='tanh', which is PyTorch's "
        "default, or nonlinearity='relu'.",
    ),
    (
        "rnnjax.from_torch({'epoch': 3, 'model': {'weight_hh_l0': square[0]}})",
        "state_dict is a checkpoint, which holds the weights under 'model'; give checkpoint['model'].",
    ),
    ("rnnjax.from_keras([tokens, xs[0]])", "weights[0] must hold floating-point numbers, got int32."),
    (
        "rnnjax.from_linen([xs])",
        "params must be the parameters of one cell, as in variables['params'], or nnx.state(cell, nnx.Param), got "
        "list.",
    ),
]

DATA = [
    (
        "epoch_chunks(lengths, batch_size=2, steps_per_chunk=1, sorted_batches=0, seed=0, epoch=0)",
        "batch_size, steps_per_chunk and sorted_batches must be at least 1, got 2, 1 and 0",
    ),
    (
        "ordered_chunks(lengths, batch_size=0, steps_per_chunk=1)",
        "batch_size and steps_per_chunk must be at least 1, got 0 and 1",
    ),
    (
        "stream_chunks(0, batch_size=2, steps_per_chunk=1)",
        "count, batch_size and steps_per_chunk must be at least 1, got 0, 2 and 1",
    ),
    ("build_vocabulary(['a film'], 1)", "size must be at least 2, for padding and the unknown word, got 1"),
    (
        "encode(['a film'], ('<pad>', '<unk>'), max_length=0, keep='last')",
        "max_length must be at least 1 and keep one of last, first, got 0 and 'last'",
    ),
]

SHOWN = {
    "`rnnjax.diagnostics`": DIAGNOSTICS,
    "`rnnjax.diagnose`, `rnnjax.analysis.word_attribution`, imported weights": WHOLE,
    "`rnnjax.data`": DATA,
}
