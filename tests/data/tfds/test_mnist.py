import hashlib
import os

import numpy as np
import pytest
from digit_files import TEST, TRAIN, make_files

from rnnjax.data.dataset import Objective, Sizes
from rnnjax.data.tfds.builder import prepare_mnist
from rnnjax.data.tfds.mnist import PERMUTATION, mnist
from rnnjax.errors import UserError

REAL_DATA = os.environ.get("TFDS_DATA_DIR")
SETTINGS = {"by": "pixel", "permuted": False, "validation_examples": 5, "train_examples": None, "seed": 0}


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """A data folder with the data set prepared from ``make_files``, not to be changed, and its arrays."""
    data_dir = tmp_path_factory.mktemp("mnist")
    made = make_files(data_dir / "downloads" / "manual")
    prepare_mnist(data_dir, lambda message: None)
    return data_dir, made


@pytest.fixture
def load(digits, tmp_path):
    def load_with(**changes):
        return mnist(**{"data_dir": str(digits[0]), "cache_dir": tmp_path / "cache", **SETTINGS, **changes})

    return load_with


def numbers(examples):
    """Indices of the examples among the images of ``make_files``; not for permuted images."""
    return examples.inputs.reshape(-1, 784)[:, 0].tolist()


@pytest.mark.parametrize(("by", "shape"), [("pixel", (784, 1)), ("row", (28, 28))])
def test_every_split_holds_the_images_and_their_labels(load, digits, by, shape):
    _, made = digits
    dataset = load(by=by)
    for examples, split in zip(dataset[:3], ("train", "train", "test"), strict=True):
        images, labels = made[split]
        chosen = numbers(examples)
        assert np.array_equal(examples.inputs, images[chosen].reshape(-1, *shape))
        assert np.array_equal(examples.labels, labels[chosen])
        assert (examples.lengths == shape[0]).all()
        assert [array.dtype for array in examples[:3]] == [np.uint8, np.int32, np.int32]
        assert examples.distances is None
    assert sorted(numbers(dataset.train) + numbers(dataset.validation)) == list(range(TRAIN))
    assert sorted(numbers(dataset.test)) == list(range(TEST))
    assert len(dataset.validation.labels) == 5


def test_the_properties_of_the_data_set(load):
    dataset = load()
    assert dataset.objective is Objective.CLASSES
    assert dataset.classes == tuple("0123456789")
    assert dataset.baseline is None
    assert dataset.sizes == Sizes(vocabulary=0, features=1, outputs=10)
    assert load(by="row").sizes == Sizes(vocabulary=0, features=28, outputs=10)


@pytest.mark.parametrize("by", ["pixel", "row"])
def test_permuted_pixels_are_the_same_ones_in_one_order_for_all_splits_and_seeds(load, by):
    for seed in (0, 1):
        plain, permuted = load(by=by, seed=seed), load(by=by, permuted=True, seed=seed)
        for a, b in zip(plain[:3], permuted[:3], strict=True):
            assert np.array_equal(a.inputs.reshape(-1, 784)[:, PERMUTATION], b.inputs.reshape(-1, 784))
            assert np.array_equal(a.labels, b.labels)
            assert a.inputs.shape == b.inputs.shape


def test_the_permutation_is_the_same_for_good():
    """A golden value: another permutation makes new results incomparable with old ones."""
    assert sorted(PERMUTATION) == list(range(784))
    assert hashlib.sha256(PERMUTATION.astype("<i8").tobytes()).hexdigest()[:16] == "74a7f52bd9778019"


def test_the_seed_chooses_the_validation_part_and_fewer_are_some_of_more(load):
    first, again, other = load(), load(), load(seed=1)
    assert numbers(first.validation) == numbers(again.validation) != numbers(other.validation)
    assert numbers(first.test) == numbers(other.test)
    few, more = load(train_examples=4), load(train_examples=9)
    assert len(few.train.labels) == 4
    assert set(numbers(few.train)) < set(numbers(more.train)) < set(numbers(first.train))
    assert numbers(few.validation) == numbers(first.validation)


def test_one_cache_serves_all_settings(load, tmp_path):
    messages = []
    load(progress=messages.append)
    assert messages == ["reading 20 images of the train split", "reading 6 images of the test split"]
    load(by="row", permuted=True, validation_examples=3, train_examples=2, seed=4, progress=pytest.fail)
    assert len(list((tmp_path / "cache").glob("mnist-*.npz"))) == 1


@pytest.mark.parametrize("kept", [0, 0.5])
def test_a_damaged_cache_is_rebuilt(load, tmp_path, kept):
    fresh = load()
    (path,) = (tmp_path / "cache").iterdir()
    path.write_bytes(path.read_bytes()[: int(kept * path.stat().st_size)])
    messages = []
    assert np.array_equal(load(progress=messages.append).train.inputs, fresh.train.inputs)
    assert messages[0].startswith("reading")
    load(progress=pytest.fail)


def test_a_cache_that_cannot_be_written_is_no_failure(load, tmp_path):
    (tmp_path / "file").touch()
    messages = []
    assert numbers(load(cache_dir=tmp_path / "file" / "cache", progress=messages.append).test) == numbers(load().test)
    assert "could not be cached" in messages[-1]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"by": "column"}, 'by is "column"; give one of pixel, row'),
        ({"validation_examples": 0}, "validation_examples is 0"),
        ({"validation_examples": 20}, "20 of 20 images used for validation, 0 are left"),
        ({"validation_examples": 21}, "0 are left"),
        ({"train_examples": 0}, "train_examples is 0"),
        ({"train_examples": 16}, "15 are left for training; give at most as many with --train-examples"),
        ({"seed": -1}, "seed is -1"),
        ({"data_dir": "/no/such/folder"}, "/no/such/folder does not exist.*--data-dir"),
    ],
)
def test_wrong_arguments_are_reported(load, wrong, message):
    with pytest.raises(UserError, match=message):
        load(**wrong)


def test_the_default_data_folder_is_that_of_tfds(load, digits, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(digits[0]))
    assert np.array_equal(load(data_dir=None).train.inputs, load().train.inputs)


@pytest.mark.slow
@pytest.mark.skipif(
    not (REAL_DATA and os.path.isdir(os.path.join(REAL_DATA, "mnist"))),
    reason="needs the real mnist: set TFDS_DATA_DIR to a folder that holds it",
)
def test_the_real_digits(tmp_path):
    dataset = mnist(data_dir=REAL_DATA, cache_dir=tmp_path, **{**SETTINGS, "validation_examples": 5000})
    assert [split.inputs.shape for split in dataset[:3]] == [(55_000, 784, 1), (5_000, 784, 1), (10_000, 784, 1)]
    counts = [np.bincount(split.labels, minlength=10) for split in dataset[:3]]
    assert (counts[0] + counts[1]).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert counts[2].tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    everything = np.concatenate([dataset.train.inputs, dataset.validation.inputs])
    assert everything.mean() / 255 == pytest.approx(0.1307, abs=1e-4)
    assert everything.std() / 255 == pytest.approx(0.3081, abs=1e-4)
