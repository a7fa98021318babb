import json

import numpy as np

import rnnjax
from rnnjax.diagnostics import LagStatistics
from rnnjax.runs.codec import encode
from rnnjax.runs.writer import gradient_records


def statistics(seed, count):
    """Lags that no example reaches are NaN, as they come from a step."""
    rng = np.random.default_rng(seed)
    reached = np.array(count) > 0
    mean, quantiles = rng.random(len(count)), np.sort(rng.random((3, len(count))), axis=0)
    return LagStatistics(
        np.array(count, np.int32),
        np.where(reached, mean, np.nan).astype(np.float32),
        np.where(reached, quantiles, np.nan).astype(np.float32),
    )


def test_a_record_holds_the_curves_up_to_the_last_lag_that_is_reached():
    logged = statistics(0, [5, 5, 2, 0, 0])
    (record,) = gradient_records(40, rnnjax.GRU(1).State(logged))
    assert json.loads(json.dumps(encode(record))) == {
        "step": 40,
        "layer": 0,
        "state": "h",
        "count": [5, 5, 2],
        "mean": [float(value) for value in logged.mean[:3]],
        "q10": [float(value) for value in logged.quantiles[0, :3]],
        "q50": [float(value) for value in logged.quantiles[1, :3]],
        "q90": [float(value) for value in logged.quantiles[2, :3]],
    }


def test_a_step_in_which_no_example_counts_has_empty_curves():
    (record,) = gradient_records(0, rnnjax.GRU(1).State(statistics(0, [0, 0])))
    assert len(record.count) == len(record.mean) == len(record.q50) == 0


def test_layers_are_numbered_from_the_bottom_and_states_named():
    layers = [rnnjax.RNN(rnnjax.GRU(1)) for _ in range(10)]
    layers += [rnnjax.RNN(rnnjax.LSTM(1)), rnnjax.RNN(rnnjax.SimpleRNN(1))]
    taps = rnnjax.Stack(layers).zero_taps(1, 2)
    states, number = [], 0
    for state in taps:
        named = {}
        for name in state._fields:
            named[name] = statistics(number, [3, 1])
            number += 1
        states.append(type(state)(**named))
    records = gradient_records(0, tuple(states))
    expected = [(i, "h") for i in range(11)] + [(10, "c"), (11, "h")]
    assert [(record.layer, record.state) for record in records] == expected
    means = [getattr(states[layer], state).mean.tolist() for layer, state in expected]
    assert [record.mean.tolist() for record in records] == means
