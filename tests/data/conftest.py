"""A small archive in the aclImdb layout, the data set prepared from it, and a temporary home."""

import http.server
import io
import tarfile
import threading

import numpy as np
import pytest

from rnnjax.data.tfds.builder import prepare_imdb
from rnnjax.data.tfds.imdb import imdb

OPINIONS = {"pos": "Wonderful", "neg": "Horrifying"}


def small_reviews(per_class=6):
    """Reviews by their path in the archive; each holds a word that no other review has."""
    return {
        f"aclImdb/{split}/{label}/{i}_7.txt": f"{word}!<br /><br />The film {'so ' * i}{split}{label}{i}"
        for split in ("train", "test")
        for label, word in OPINIONS.items()
        for i in range(per_class)
    }


@pytest.fixture(scope="session")
def make_archive():
    def make(data_dir, reviews):
        path = data_dir / "downloads" / "manual" / "aclImdb_v1.tar.gz"
        path.parent.mkdir(parents=True)
        with tarfile.open(path, "w:gz") as tar:
            for name, text in reviews.items():
                member = tarfile.TarInfo(name)
                member.size = len(text.encode())
                tar.addfile(member, io.BytesIO(text.encode()))
        return path

    return make


@pytest.fixture(scope="session")
def reviews():
    return small_reviews()


@pytest.fixture(scope="session")
def prepared(make_archive, reviews, tmp_path_factory):
    """A data folder with the data set prepared from ``reviews``; not to be changed."""
    data_dir = tmp_path_factory.mktemp("prepared")
    make_archive(data_dir, reviews)
    prepare_imdb(data_dir, progress=lambda message: None)
    return data_dir


@pytest.fixture(scope="session")
def settings():
    """Arguments for ``imdb`` that fit the small data set."""
    return {
        "vocabulary_size": 40,
        "max_length": 6,
        "keep": "last",
        "validation_fraction": 0.25,
        "seed": 0,
    }


@pytest.fixture
def load(prepared, settings, tmp_path):
    def load_with(**changes):
        return imdb(**{"data_dir": str(prepared), "cache_dir": tmp_path / "cache", **settings, **changes})

    return load_with


@pytest.fixture(scope="session")
def same():
    """Whether two data sets are equal in every array, its type, and the vocabulary."""

    def same(a, b):
        pairs = [(x, y) for p, q in zip(a[:3], b[:3], strict=True) for x, y in zip(p[:3], q[:3], strict=True)]
        return a.vocabulary == b.vocabulary and all(np.array_equal(x, y) and x.dtype == y.dtype for x, y in pairs)

    return same


@pytest.fixture
def serve(tmp_path_factory):
    """A folder and the local address at which its files are served."""
    folder = tmp_path_factory.mktemp("served")

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(folder))

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def no_home(tmp_path_factory, monkeypatch):
    """A temporary home and cache folder for every test."""
    home = tmp_path_factory.mktemp("home")
    for name in ("HOME", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.setenv(name, str(home))
    return home
