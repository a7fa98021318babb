"""Wrong input for the library: calls, with the variables of ``given.py``, and their error messages.

Every call raises ValueError. ``page.py`` prints the cases in ``SHOWN`` for docs/wrong-input.md.
"""

CELLS = [
    ("LSTM(0)", "features must be a positive integer, got 0"),
    ("GRU('128')", "features must be a positive integer, got '128'"),
    ("LSTM(5, input_dropout=1.0)", "input_dropout must be at least 0 and below 1, got 1.0"),
    ("LSTM(5, zoneout='0.1')", "zoneout must be at least 0 and below 1, got '0.1'"),
    ("LSTM(5, forget_bias=float('nan'))", "forget_bias must be a finite number, got nan"),
    ("GRU(5, chrono='200')", "chrono must be at least 3 steps, got '200'"),
    ("GRU(5, dtype='float33')", "dtype must be a floating-point dtype such as jnp.float32, got 'float33'"),
    ("GRU(5, param_dtype='int32')", "param_dtype must be a floating-point dtype such as jnp.float32, got 'int32'"),
    (
        "LSTM(5, recurrent_init='orthogonal')",
        "recurrent_init must be an initializer such as rnnjax.Orthogonal(), got 'orthogonal'",
    ),
    (
        "LSTM(5, recurrent_init=rnnjax.Orthogonal)",
        "recurrent_init must be an initializer such as rnnjax.Orthogonal(), got the class Orthogonal",
    ),
    ("rnnjax.Identity(float('inf'))", "scale must be a finite number, got inf"),
    ("SimpleRNN(5, activation='gelu')", "activation must be one of tanh, relu, got 'gelu'"),
    ("rnnjax.JANET(5, beta=float('nan'))", "beta must be a finite number, got nan"),
    ("rnnjax.IndRNN(5, time_steps=0)", "time_steps must be a whole number of at least 1, got 0"),
    (
        "rnnjax.MinGRU(5, recurrent_dropout=0.1)",
        "MinGRU has no recurrent kernel, so recurrent_dropout must be 0",
    ),
    ("rnnjax.CTRNN(5, dt=200.0)", "dt must be above 0 and at most tau = 100.0, got 200.0"),
    ("rnnjax.SLSTM(5, heads=2)", "heads must divide features = 5, got 2"),
    ("rnnjax.ProjectedLSTM(5, projection=2.5)", "projection must be a whole number of at least 0, got 2.5"),
    (
        "rnnjax.LRU(5, r_min=0.9, r_max=0.9)",
        "r_min and r_max must be such that 0 <= r_min < r_max <= 1, got 0.9 and 0.9",
    ),
    ("rnnjax.CoRNN(5, dt=-0.1)", "dt must be above 0, got -0.1"),
    ("cell.init(0, 3)", "key must be one key from jax.random.key, got 0"),
    (
        "cell.init(old_key, 3)",
        "key must be a raw key of JAX's default generator, shape (2,), or a key from jax.random.key, got uint32 of "
        "shape (4,); make keys of another generator with jax.random.key(seed, impl=...)",
    ),
    ("cell.init(key, 3.0)", "in_features must be a whole number of at least 1, got 3.0"),
    ("cell.step(params, state, xs[0, :, :2])", "x_t has 2 features, but params.w_x expects 3"),
    ("cell.step(params, state, xs[0].tolist())", "x_t must be an array (..., D), got list"),
    ("cell.step(params, tuple(state), xs[0])", "state must be a LSTMState, got tuple"),
    ("cell.step(params, LSTM(5).initial_state((3,)), xs[0])", "state.h must have shape (4, 5), got (3, 5)"),
]

UNROLL = [
    ("unroll(LSTM, params, xs)", "cell must be a cell such as rnnjax.LSTM(128), got the class LSTM"),
    ("unroll('lstm', params, xs)", "cell must be a cell such as rnnjax.LSTM(128), got 'lstm'"),
    ("unroll(cell, params, xs.tolist())", "xs must be an array (T, ..., D), got list"),
    (
        "unroll(cell, params, xs.astype(int))",
        "xs must hold floating-point numbers, got int64 of shape (8, 4, 3); look word ids up in an embedding, or "
        "convert numbers with .astype(jnp.float32)",
    ),
    ("unroll(cell, params, xs.astype(str))", "xs must hold floating-point numbers, got <U32 of shape (8, 4, 3)"),
    (
        "unroll(cell, params, xs.astype('>f4'))",
        "xs must be in the byte order of this machine, got >f4 of shape (8, 4, 3); convert it with .astype('float32')",
    ),
    (
        "unroll(cell, params, xs, lengths=np.array([8, 1, 0, 3], '>i4'))",
        "lengths must be in the byte order of this machine, got >i4 of shape (4,); convert it with .astype('int32')",
    ),
    ("unroll(cell, params, xs[0, 0])", "xs must be (T, ..., D), got float32 of shape (3,)"),
    (
        "unroll(cell, params, xs[:0])",
        "xs must be (T, ..., D) without an axis of length 0, got float32 of shape (0, 4, 3)",
    ),
    (
        "unroll(cell, params, xs[:, :0])",
        "xs must be (T, ..., D) without an axis of length 0, got float32 of shape (8, 0, 3)",
    ),
    ("unroll(cell, params, xs[..., :2])", "xs has 2 features, but params.w_x expects 3"),
    (
        "unroll(cell, params, xs, backend='associative')",
        "backend='associative' needs a cell that is linear in its state, such as rnnjax.MinGRU(128), got LSTM; use "
        "backend='scan'",
    ),
    (
        "unroll(cell, params, xs, backend='parallel')",
        "backend must be one of scan, associative, pallas, got 'parallel'",
    ),
    (
        "unroll(cell, params, xs, backward='autodiff', backend='pallas')",
        "backend='pallas' has one backward pass, 'fused', got backward='autodiff'",
    ),
    (
        "unroll(LSTM(2048), params, xs, backend='pallas')",
        "backend='pallas' keeps W_h and a step of all examples in 16 MiB of a TPU's VMEM, but LSTM(2048) with 4 "
        "examples needs 69.3 MiB; use backend='scan', or fewer units or examples",
    ),
    ("unroll(GRU(5), params, xs)", "params.w_h must have shape (5, 15) for GRU(5), got float32 of shape (5, 20)"),
    ("unroll(LSTM(6), params, xs)", "params.w_h must have shape (6, 24) for LSTM(6), got float32 of shape (5, 20)"),
    (
        "unroll(cell, params._replace(b=params.b[:5]), xs)",
        "params.b must have shape (20,) for LSTM(5), got float32 of shape (5,)",
    ),
    (
        "unroll(cell, variables['params']['cell'], xs)",
        "params must be the result of LSTM(5).init, got dict; make Params of a dict that Flax holds under "
        "'cell' with rnnjax.cells.Params(**params)",
    ),
    ("unroll(cell, params, xs, tuple(state))", "state must be a LSTMState, got tuple"),
    ("unroll(cell, params, xs, cell.initial_state((3,)))", "state.h must have shape (4, 5), got (3, 5)"),
    ("unroll(cell, params, xs, state._replace(c=None))", "state.c must be an array of shape (4, 5), got None"),
    ("unroll(cell, params, xs, taps=state)", "taps.h must have shape (8, 4, 5), got (4, 5)"),
    (
        "unroll(cell, params, xs, taps=cell.State(*(np.zeros((8, 4, 5), int),) * 2))",
        "taps.h must hold floating-point numbers, got int64 of shape (8, 4, 5)",
    ),
    (
        "unroll(cell, params, xs, lengths=np.array([8, 2.5, 3, 1]))",
        "lengths must be an array of integers of shape (4,), got float64 of shape (4,)",
    ),
    ("unroll(cell, params, xs, lengths=[8, 2, 3, 1])", "lengths must be an array of integers of shape (4,), got list"),
    ("unroll(cell, params, xs, lengths=np.array([8, 2, 3]))", "lengths must have shape (4,), got (3,)"),
    ("unroll(cell, params, xs, lengths=np.array([8, 9, 3, 1]))", "lengths must be from 0 to 8, got 9"),
    ("unroll(cell, params, xs, lengths=jnp.array([8, 2, -1, 1]))", "lengths must be from 0 to 8, got -1"),
    (
        "unroll(cell, params, xs, lengths=np.arange(8)[None] < lengths[:, None])",
        "lengths must be the number of valid steps of each example, got a mask of shape (4, 8); give mask.sum(axis=1) "
        "if the mask is (B, T) and what it leaves out stands at the end",
    ),
    (
        "unroll(cell, params, xs, lengths=np.arange(8)[None] >= lengths[:, None])",
        "lengths must be the number of valid steps of each example, got a mask of shape (4, 8) in which a step that is "
        "left out comes before a valid one (row 0, step 0); every step up to the length is read here, so remove the "
        "steps between, or pad at the end (padding='post' in Keras), and give the number of those that remain",
    ),
    ("unroll(cell, params, xs, backward='numeric')", "backward must be one of fused, autodiff, got 'numeric'"),
    ("unroll(cell, params, xs, store_every=2.5)", "store_every must be a positive number of steps, got 2.5"),
    ("unroll(cell, params, xs, dropout=None)", "dropout must be what LSTM.dropout_masks gives, got None"),
    (
        "unroll(cell, params, xs, dropout=DropoutMasks(xs[0], xs[0]))",
        "dropout.h must have shape (4, 5), got (4, 3)",
    ),
]

MODULES = [
    ("rnnjax.RNN('lstm')", "cell must be a cell such as rnnjax.LSTM(128), got 'lstm'"),
    ("layer.apply(variables, xs[0])", "xs must be (B, ..., T, D), got float32 of shape (4, 3)"),
    ("layer.apply(variables, xs[..., :2])", "xs has 2 features, but params.w_x expects 3"),
    (
        "rnnjax.RNN(GRU(5)).apply(variables, xs)",
        "the parameters of GRU under 'cell' must be w_x, w_h, b, b_h, got w_x, w_h, b",
    ),
    (
        "layer.apply({'params': {'cell': {'kernel': xs}}}, xs)",
        "the parameters of LSTM under 'cell' must be w_x, w_h, b, got kernel",
    ),
    ("layer.apply(variables, xs, lengths=np.full(8, 5))", "lengths must be from 0 to 4, got 5"),
    ("rnnjax.Bidirectional(cell, cell)", "forward_rnn must be a rnnjax.RNN, got LSTM"),
    (
        "rnnjax.Bidirectional(layer, layer)",
        "Bidirectional needs forward_rnn with reverse=False and backward_rnn with reverse=True",
    ),
    (
        "rnnjax.Bidirectional(layer, rnnjax.RNN(cell, reverse=True, time_major=True))",
        "Bidirectional needs time_major=True of both layers or of neither",
    ),
    (
        "both.apply(both_variables, xs, state=state)",
        "state must be a BidirectionalState, one entry for each direction, got LSTMState",
    ),
    ("rnnjax.Stack(())", "layers must be a tuple of modules such as rnnjax.RNN(cell), got ()"),
    ("rnnjax.Stack((layer,), dropout=1)", "dropout must be at least 0 and below 1, got 1"),
    (
        "rnnjax.Stack((layer, rnnjax.RNN(cell, time_major=True)))",
        "Stack needs time_major=True of all layers or of none",
    ),
    (
        "rnnjax.Stack((layer, layer)).apply({}, xs, state=(state,))",
        "state must be a tuple with one entry for each of 2 layers, got a tuple of 1",
    ),
    (
        "rnnjax.Stack((layer, layer)).apply({}, xs, taps=state)",
        "taps must be a tuple with one entry for each of 2 layers, got LSTMState",
    ),
    (
        "rnnjax.LinenCell(cell).apply(variables, (state.c, state.h), xs[0, :, :2])",
        "xs has 2 features, but params.w_x expects 3",
    ),
    (
        "rnnjax.LinenCell(cell).apply(variables, state, xs[0])",
        "the carry must be the pair (c, h), in the order of Flax's cells, got LSTMState; give (state.c, state.h)",
    ),
    (
        "rnnjax.SequenceClassifier(9, 4, cell)",
        "recurrent must be a module such as rnnjax.RNN(cell), got LSTM",
    ),
    ("rnnjax.SequenceClassifier(9, 4, layer, classes=0)", "classes must be a whole number of at least 1, got 0"),
    ("rnnjax.SequenceClassifier(9, -4, layer)", "embedding must be a whole number of at least 0, got -4"),
    (
        "rnnjax.SequenceClassifier(9, 4, layer, pooling='sum')",
        "pooling must be one of last, mean, max, attention or every, got 'sum'",
    ),
    ("rnnjax.SequenceClassifier(9, 4, layer, dropout=1.5)", "dropout must be at least 0 and below 1, got 1.5"),
    ("classify(xs[..., 0])", "inputs must be an array of integers of shape (8, 4), got float32 of shape (8, 4)"),
    ("classify(tokens[0])", "inputs must be (B, T), got int32 of shape (8,)"),
    ("classify(tokens + 9)", "inputs must be from 0 to 8, got 9"),
    ("classify(tokens[:0])", "inputs must be (B, T) without an axis of length 0, got int32 of shape (0, 8)"),
    (
        "classify(tokens, lengths=np.arange(8)[None] != 3 * lengths[:, None])",
        "lengths must be the number of valid steps of each example, got a mask of shape (4, 8) in which a step that is "
        "left out comes before a valid one (row 0, step 3); every step up to the length is read here, so remove the "
        "steps between, or pad at the end (padding='post' in Keras), and give the number of those that remain",
    ),
    ("classify(tokens, lengths=np.array([8, 8, 9, 8]))", "lengths must be from 0 to 8, got 9"),
]

SHOWN = {"Cells": CELLS, "`rnnjax.unroll`": UNROLL, "Flax modules": MODULES}
