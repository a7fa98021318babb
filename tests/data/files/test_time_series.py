import gzip

import numpy as np
import pytest

from rnnjax.data.dataset import Objective, Sizes
from rnnjax.data.files.series_reader import read_series
from rnnjax.data.files.time_series import series_dataset_from_files
from rnnjax.errors import UserError

SETTINGS = {"test": None, "validation_fraction": 0.2, "test_fraction": 0.3, "seed": 0}
LENGTHS = np.random.default_rng(1).integers(1, 8, size=40)
SERIES = [np.random.default_rng(i).normal([5, -1, 100], [1, 3, 0.1], size=(n, 3)) for i, n in enumerate(LENGTHS)]
LABELS = np.arange(40) % 2


def padded(value=np.nan):
    x = np.full((40, 9, 3), value)
    for row, series in zip(x, SERIES, strict=True):
        row[: len(series)] = series
    return x


@pytest.fixture
def load(tmp_path):
    """Writes the arrays to a file and loads them; ``test`` are those of the test file."""

    def load(test=None, progress=None, **arrays):
        np.savez(tmp_path / "train.npz", **arrays)
        if test is not None:
            np.savez(tmp_path / "test.npz", **test)
        files = {"train": tmp_path / "train.npz", "test": tmp_path / "test.npz" if test is not None else None}
        return series_dataset_from_files(**{**SETTINGS, **files}, progress=progress)

    return load


def test_flat_and_padded_series_are_the_same_whatever_the_padding_holds(load):
    flat = load(x=np.concatenate(SERIES), lengths=LENGTHS, y=LABELS)
    for value in (np.nan, 0.0, 1e300):
        other = load(x=padded(value), lengths=LENGTHS, y=LABELS)
        for a, b in zip(flat[:3], other[:3], strict=True):
            assert all(np.array_equal(x, y) and x.dtype == y.dtype for x, y in zip(a[:3], b[:3], strict=True))


@pytest.mark.parametrize(
    ("names", "warned"),
    [(["0.5", "-2e-3"], True), (["0", ".25"], True), (["0", "1"], False), (["0.5", "up"], False), (["3a", "e"], False)],
)
def test_labels_that_are_numbers_written_as_text_are_told_of(names, warned, load):
    lines = []
    dataset = load(x=np.concatenate(SERIES), lengths=LENGTHS, y=np.resize(names, len(LENGTHS)), progress=lines.append)
    assert len(dataset.classes) == 2
    hint = "these labels are text that reads as numbers; to predict them as numbers, save y.astype(float)"
    assert (hint in lines) == warned


def test_features_have_mean_0_and_deviation_1_over_the_valid_steps_of_training(load):
    dataset = load(x=padded(), lengths=LENGTHS, y=LABELS)
    train = dataset.train
    valid = np.arange(LENGTHS.max()) < train.lengths[:, None]
    steps = train.inputs[valid].astype(np.float64)
    np.testing.assert_allclose(steps.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(steps.std(axis=0), 1, atol=1e-6)
    assert not train.inputs[~valid].any()
    assert {part.inputs.shape[1:] for part in dataset[:3]} == {(LENGTHS.max(), 3)}
    assert (train.inputs.dtype, train.lengths.dtype, train.labels.dtype) == (np.float32, np.int32, np.int32)
    assert dataset.sizes == Sizes(0, 3, 1)


def test_every_series_is_in_one_part_with_its_own_label_and_scaled_by_the_training_part(load):
    numbered = [np.insert(series, 0, i, axis=1) for i, series in enumerate(SERIES)]
    dataset = load(x=np.concatenate(numbered), lengths=LENGTHS, y=LABELS)
    numbers = np.concatenate([part.inputs[:, 0, 0] for part in dataset[:3]])  # scaled, but in their order
    train, validation, test = np.split(np.argsort(np.argsort(numbers)), [20, 28])
    assert len(np.unique(numbers)) == 40
    steps = np.concatenate([numbered[i] for i in train])
    for part, members in zip(dataset[:3], (train, validation, test), strict=True):
        assert part.labels.tolist() == LABELS[members].tolist()
        assert part.lengths.tolist() == LENGTHS[members].tolist()
        for inputs, member in zip(part.inputs, members, strict=True):
            expected = (numbered[member] - steps.mean(axis=0)) / steps.std(axis=0)
            np.testing.assert_allclose(inputs[: LENGTHS[member]], expected, rtol=1e-5, atol=1e-6)


def test_constant_features_become_0(load):
    x = padded()
    x[:, :, 1] = 0.1
    dataset = load(x=x, lengths=LENGTHS, y=LABELS, test={"x": np.full((2, 12, 3), 7.0), "y": [0, 1]})
    assert all(not part.inputs[:, :, 1].any() for part in dataset[:3])
    assert dataset.test.inputs[:, :, 0].all()
    assert dataset.train.inputs.shape[1:] == dataset.test.inputs.shape[1:] == (12, 3)


def test_one_feature_and_large_values_keep_their_precision(load):
    times = 1.7e9 + np.arange(200.0).reshape(20, 10)
    dataset = load(x=times, y=np.arange(20) % 2)
    assert dataset.sizes.features == 1
    steps = np.diff(dataset.test.inputs[:, :, 0], axis=1)
    np.testing.assert_allclose(steps, steps[0, 0], rtol=1e-4)
    assert (dataset.test.lengths == 10).all()


@pytest.mark.parametrize(
    ("y", "classes"),
    [
        ([10, 9, -3], ("-3", "9", "10")),
        ([True, False, True], ("False", "True")),
        (["walk", "run", "sit"], ("run", "sit", "walk")),
        (np.array([1, 0, 1], np.uint8), ("0", "1")),
    ],
)
def test_integers_truth_values_and_strings_are_classes(y, classes, load):
    dataset = load(x=np.arange(90.0).reshape(30, 3), y=np.tile(y, 10), test={"x": np.zeros((3, 3)), "y": y})
    assert dataset.classes == classes
    assert dataset.objective is (Objective.BINARY if len(classes) == 2 else Objective.CLASSES)
    assert [classes[label] for label in dataset.test.labels] == [str(label) for label in np.array(y).tolist()]
    shares = np.bincount(dataset.train.labels) / len(dataset.train.labels)
    assert dataset.chance == shares.max()
    assert dataset.baseline == pytest.approx(-np.sum(shares * np.log(shares)))


def test_floating_labels_are_numbers(load):
    y = np.random.default_rng(0).normal(3, 2, size=40)
    dataset = load(x=padded(), lengths=LENGTHS, y=y)
    assert dataset.objective is Objective.NUMBER
    assert dataset.classes == ()
    assert dataset.sizes.outputs == 1
    assert dataset.train.labels.dtype == np.float32
    assert dataset.train.labels.mean() == pytest.approx(0, abs=1e-6)
    assert dataset.train.labels.std() == pytest.approx(1, rel=1e-6)
    learnt = np.sort(np.concatenate([part.labels for part in dataset[:3]]))
    scale = np.diff(learnt) / np.diff(np.sort(y))
    np.testing.assert_allclose(scale, scale[0], rtol=1e-3)  # one shift and one scale for all
    assert dataset.baseline == pytest.approx(np.mean(dataset.train.labels**2), rel=1e-6)
    assert dataset.chance is None


def test_ragged_objects_are_not_unpickled(load):
    class Trap:
        def __reduce__(self):
            return (pytest.fail, ("it was unpickled",))

    x = np.empty(4, object)
    x[:] = [np.zeros((2, 1)), np.zeros((3, 1)), Trap(), Trap()]
    with pytest.raises(UserError, match="can run code") as error:
        load(x=x, y=[0, 1, 0, 1])
    assert "lengths = np.array([len(x) for x in series])\n" in str(error.value)
    assert "np.savez(" in str(error.value)


X = np.zeros((6, 4, 2))
Y = np.arange(6) % 2
FLOATS = Y.astype(float)


def changed(array, index, value):
    array = array.astype(float)
    array[index] = value
    return array


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": X}, "must hold arrays x and y, but holds x"),
        ({"X": X, "y": Y}, "must hold arrays x and y, but holds X, y"),
        ({}, "must hold arrays x and y, but holds none"),
        ({"x": X, "y": Y[:5]}, r"\(6, 4, 2\), which does not fit 5 labels"),
        ({"x": X, "y": Y[:, None]}, r"y .* \(6, 1\)"),
        ({"x": X[:0], "y": Y[:0]}, "at least one example"),
        ({"x": X[:, :0], "y": Y}, "does not fit"),
        ({"x": X[:, :, :0], "y": Y}, "does not fit"),
        ({"x": X[:, 0, 0], "y": Y}, "does not fit"),
        ({"x": X[:, :, :, None], "y": Y}, "does not fit"),
        ({"x": X, "y": Y, "lengths": [4, 4, 4, 0, 4, 4]}, "Example 3 .* length 0"),
        ({"x": X, "y": Y, "lengths": [4, 4, 4, 5, 4, 4]}, "does not fit"),
        ({"x": X, "y": Y, "lengths": [4, 4]}, r"lengths .* \(2,\)"),
        ({"x": X, "y": Y, "lengths": [4.0] * 6}, "lengths .* float64"),
        ({"x": X.reshape(-1, 2), "y": Y, "lengths": [4] * 5 + [5]}, "lengths that sum to 25"),
        ({"x": X.astype(str), "y": Y}, "x .* save numbers"),
        ({"x": X, "y": Y * 1j}, "y .* complex128"),
        ({"x": changed(X, (2, 1, 0), np.nan), "y": Y}, "x .* example 2,"),
        ({"x": changed(X, (4, 3, 1), -np.inf), "y": Y}, "x .* example 4,"),
        ({"x": changed(X, (1, 0, 0), 1e39), "y": Y}, "x .* too large .* example 1,"),
        ({"x": X, "y": changed(Y, 5, np.nan)}, "y .* example 5,"),
        ({"x": X, "y": Y * 0}, 'labels .* "0"; give'),
        ({"x": X, "y": FLOATS * 0}, "labels .* 0.0; give"),
        ({"x": X[:2], "y": Y[:2]}, "too few"),
        ({"x": X, "y": Y, "test": {"x": X[:, :, :1], "y": Y}}, "1 features .* 2;"),
        ({"x": X, "y": Y, "test": {"x": X, "y": FLOATS}}, "float64, .* int64"),
        ({"x": X, "y": Y, "test": {"x": X, "y": Y + 1}}, r'^Example 1 of .*test.npz.* "2", .* "0", "1"'),
    ],
)
def test_what_is_wrong_is_reported(arrays, message, load):
    with pytest.raises(UserError, match=message):
        load(**arrays)


@pytest.mark.parametrize("content", [b"", b"x,y\n1,2\n", b"PK\x03\x04 cut"])
def test_a_file_that_is_no_archive_is_reported(content, tmp_path):
    path = tmp_path / "a.npz"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"(cannot be read as|is not) an \.npz file") as error:
        series_dataset_from_files(**SETTINGS, train=path)
    assert "unsafely" not in str(error.value)


def test_a_damaged_file_a_single_array_a_missing_file_and_a_folder_are_reported(tmp_path):
    path = tmp_path / "a.npz"
    np.savez_compressed(path, x=np.random.default_rng(0).normal(size=(9, 9)), y=np.arange(9))
    content = bytearray(path.read_bytes())
    content[200] ^= 255
    path.write_bytes(content)
    np.save(tmp_path / "b.npy", X)
    for name, message in (
        ("a.npz", "cannot be"),
        ("b.npy", r"b.npy is not an .npz file, .*numpy.savez. docs/how-to/own-data.md makes one of .ts, .wav"),
        ("c.npz", "There is no file"),
        (".", "a folder"),
    ):
        with pytest.raises(UserError, match=message):
            series_dataset_from_files(**SETTINGS, train=tmp_path / name)


def test_a_compressed_file_is_read(load, tmp_path):
    plain = load(x=padded(0.0), lengths=LENGTHS, y=LABELS)
    (tmp_path / "a.npz.gz").write_bytes(gzip.compress((tmp_path / "train.npz").read_bytes()))
    packed = series_dataset_from_files(**{**SETTINGS, "train": tmp_path / "a.npz.gz"})
    assert np.array_equal(plain.train.inputs, packed.train.inputs)


def test_the_scaling_is_kept(load):
    y = np.random.default_rng(0).normal(3, 2, size=40)
    dataset = load(x=padded(), lengths=LENGTHS, y=y)
    kept = dataset.preprocessing
    np.testing.assert_allclose(
        np.sort(kept.unscale_labels(np.concatenate([part.labels for part in dataset[:3]]))), np.sort(y), rtol=1e-5
    )
    steps = kept.scale_steps(np.concatenate(SERIES))
    assert np.isin(dataset.test.inputs[0, 0], steps.astype(np.float32)).all()


def test_half_a_character_in_a_label_is_refused(load):
    with pytest.raises(
        UserError, match=r"^Example 1 of .*train.npz, counted from 0, has a label with .ud83d, which is"
    ):
        load(x=X, y=["a", "b\ud83d"] * 3)


def test_series_without_labels(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.concatenate(SERIES), lengths=LENGTHS)
    np.savez(tmp_path / "b.npz", x=X)
    assert read_series(tmp_path / "a.npz", labelled=False).lengths.tolist() == LENGTHS.tolist()
    assert read_series(tmp_path / "b.npz", labelled=False).values.shape == X.shape
