"""The recipes of docs/how-to/own-data.md make the series that the files hold."""

import numpy as np
import pytest
from pages import DOCS, blocks
from scipy.io import wavfile

from rnnjax.data.files.series_reader import read_series


@pytest.fixture(scope="module")
def recipes(tmp_path_factory):
    """The functions of docs/how-to/own-data.md."""
    namespace = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("page"))
        for block in blocks(DOCS / "how-to" / "own-data.md", "python"):
            exec(block.code, namespace)
    return namespace


def test_the_recipe_for_ts_files(recipes, tmp_path):
    lines = ["# archive", "@problemName Two", "@classLabel true up down", "@data", "1,2,3:4,5,6:up", "-1,0.5:7,8:down"]
    (path := tmp_path / "a.ts").write_text("\n".join(lines))
    recipes["save"](tmp_path / "a.npz", *recipes["read_ts"](path))
    series = read_series(tmp_path / "a.npz")
    assert series.labels.tolist() == ["up", "down"]
    assert series.lengths.tolist() == [3, 2]
    assert series.values.tolist() == [[[1, 4], [2, 5], [3, 6]], [[-1, 7], [0.5, 8], [0, 0]]]


def test_the_recipe_for_sound_finds_the_pitch(recipes, tmp_path):
    for name, hertz, channels in (("low", 400, 1), ("high", 2000, 2)):
        (tmp_path / name).mkdir()
        wave = 10_000 * np.sin(2 * np.pi * hertz * np.arange(8000) / 8000)
        wavfile.write(tmp_path / name / "1.wav", 8000, np.tile(wave[:, None], channels).astype(np.int16))
    recipes["save"](tmp_path / "a.npz", *recipes["read_wavs"](tmp_path))
    series = read_series(tmp_path / "a.npz")
    assert series.labels.tolist() == ["high", "low"]
    assert series.values.shape[2] == 101  # frequencies from 0 to 4,000 Hz
    assert 39 < series.lengths.min() < 47  # frames of 25 ms, which overlap by an eighth, in a second
    assert series.values.mean(axis=1).argmax(axis=1).tolist() == [50, 10]


def test_the_recipe_for_tables(recipes, tmp_path):
    (path := tmp_path / "a.csv").write_text("class,t0,t1\n3,0.5,1.5\n7,2,4\n")
    recipes["save"](tmp_path / "a.npz", *recipes["read_table"](path))
    series = read_series(tmp_path / "a.npz")
    assert (series.labels.tolist(), series.values.tolist()) == ([3, 7], [[[0.5], [1.5]], [[2], [4]]])
