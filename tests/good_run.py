"""A run folder with every file that rnnjax reads, made by hand: two members, one finished, one that diverged."""

import flax.serialization
import jax
import numpy as np
from synthetic_diagnosis import layer_record, swap_record, text_record, update_records, write_diagnosis
from synthetic_run import write_member, write_run, write_task

import rnnjax
from rnnjax.data.dataset import Objective
from rnnjax.data.preprocessing import WordPreprocessing
from rnnjax.nn.description import describe_model
from rnnjax.runs.json_io import write_json
from rnnjax.runs.member_schema import Divergence, ModelRecord

WORDS = ("<pad>", "<unk>", "good", "dull", "film")
CURVE = 0.8 ** np.arange(9)


def write_good_run(path):
    """Write the folder; return its path."""
    run = write_run(path, "text", {"features": 2, "out": None, "training": {"clip": 1.0}, "cells": ["gru"]})
    published = [{"model": "LSTM", "cell": "gru", "score": "test accuracy", "value": 0.9, "setting": "", "source": "x"}]
    more = {"loss": "cross-entropy", "classes": ["bad", "good"], "chance": 0.5, "published": published}
    write_task(run, "binary", "word", "text", **more)
    write_json(run / "vocabulary.json", list(WORDS))
    for label, failure in (("GRU clip=1", None), ("GRU clip=2", "It diverged.")):
        folder = write_member(
            run, label, curves={"h": [CURVE] * 2}, by_distance={2: 0.5, 4: 1.0}, varied={"clip": float(label[-1])},
            baseline=0.7, losses=(0.3, 0.4), failure=failure,
        )  # fmt: skip
        update_records(folder, {"recurrent/w_h": [0.1, 0.01]}, [0, 100])
        text = text_record(["good", "film"], 1, [0.1, 0.9], [0.5, 0.2])
        layer = layer_record("GRU", CURVE / 2, CURVE / 3, keep=0.5, decay=CURVE, values={"u": 0.5})
        for when in ("start", "end"):
            write_diagnosis(folder, when, layer, texts=[text], swaps=swap_record([3], [0.5], [0.4]))
        if failure is not None:
            divergence = Divergence(phase="forward", layer="recurrent", gate="u", timestep=3, step=7)
            write_json(folder / "diverged.json", divergence)
        _write_model(folder)
    return run


def _write_model(folder):
    model = rnnjax.SequenceClassifier(len(WORDS), 2, rnnjax.RNN(rnnjax.GRU(2)))
    preprocessing = WordPreprocessing(max_length=5, keep="last")
    record = ModelRecord(
        model=describe_model(model), objective=Objective.BINARY, classes=("bad", "good"), preprocessing=preprocessing
    )
    write_json(folder / "model.json", record)
    shapes = jax.eval_shape(model.init, jax.random.key(0), np.zeros((1, 1), np.int32))["params"]
    zeros = jax.tree.map(lambda a: np.zeros(a.shape, a.dtype), shapes)
    (folder / "params.msgpack").write_bytes(flax.serialization.to_bytes(zeros))
