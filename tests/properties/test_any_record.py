"""What a run writes is read back unchanged: records, whole files, flags."""

import dataclasses
import json
import math

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from experiments.registry import config_differences, experiment_from_config, experiment_to_config
from experiments.tasks.adding import Adding
from experiments.tasks.copying import Copying
from experiments.tasks.flipflop import Flipflop
from experiments.tasks.imdb import Imdb
from experiments.tasks.recall import Recall
from experiments.tasks.temporal import Temporal
from rnnjax.config.model import Architecture
from rnnjax.config.training import TrainingSettings
from rnnjax.runs.codec import encode
from rnnjax.runs.json_io import RecordWriter, read_json, read_records, write_json
from rnnjax.runs.schema import Config

NUMBERS = st.floats(allow_nan=False) | st.integers(-(2**53), 2**53)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
RECORDS = st.lists(st.dictionaries(st.text(max_size=5), VALUES, max_size=4), min_size=1, max_size=4)
RATES = st.floats(0, 1, exclude_max=True)
SETTINGS = st.builds(
    TrainingSettings,
    epochs=st.integers(1, 9),
    batch_size=st.integers(1, 512),
    optimizer=st.sampled_from(("adam", "sgd")),
    learning_rate=st.floats(1e-9, 1.0),
    schedule=st.sampled_from(("constant", "cosine")),
    clip=st.floats(1e-30, 10) | st.sampled_from((0.0, math.inf)),
    seed=st.integers(0, 2**32 - 9),
    seeds=st.integers(1, 9),
    tensorboard=st.booleans(),
)
EXPERIMENTS = st.one_of(
    *[
        st.builds(
            kind,
            cells=st.lists(st.sampled_from(("lstm", "gru:chrono=9", "simple")), min_size=1, unique=True).map(tuple),
            features=st.integers(1, 99),
            sweep=st.lists(st.sampled_from(("clip=1,2", "cell.init=chrono")), unique=True).map(tuple),
            shard=st.none() | st.just("1/2"),
            out=st.none() | st.text(max_size=5),
            architecture=st.builds(Architecture, layers=st.integers(1, 3), layer_norm=st.booleans(), dropout=RATES),
            training=SETTINGS,
        )
        for kind in (Recall, Imdb, Adding, Copying, Temporal, Flipflop)
    ]
)


@given(records=RECORDS, kept=st.integers(0, 1000))
def test_records_are_read_back_and_a_truncated_file_loses_the_last_at_most(tmp_path, records, kept):
    path = tmp_path / "records.jsonl"
    path.unlink(missing_ok=True)
    writer = RecordWriter(path)
    for record in records:
        writer.append(record)
    writer.close()
    assert read_records(path) == records
    content = path.read_bytes()
    path.write_bytes(content[: len(content) - kept % len(content)])
    read = read_records(path)
    assert read == records[: len(read)]
    assert len(read) >= path.read_bytes().count(b"\n")


@given(record=st.dictionaries(st.text(max_size=5), VALUES, max_size=5))
def test_a_json_file_is_read_back(tmp_path, record):
    write_json(tmp_path / "result.json", record)
    assert read_json(tmp_path / "result.json") == record
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]


@given(experiment=EXPERIMENTS)
def test_flags_come_back_from_the_config_of_their_run(experiment):
    config = msgspec.convert(json.loads(json.dumps(encode(experiment_to_config(experiment)))), Config)
    assert experiment_from_config(config) == experiment
    assert config_differences(config, experiment_to_config(experiment)) == []
    other = dataclasses.replace(experiment, features=experiment.features + 1)
    expected = f"--features: {experiment.features} in the folder, {other.features} asked for"
    assert config_differences(config, experiment_to_config(other)) == [expected]
