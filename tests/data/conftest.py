"""A small archive in the aclImdb layout, the data set prepared from it, and a home that is not the user's."""

import io
import tarfile

import pytest

from rnnjax.data.prepare import prepare_imdb

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


@pytest.fixture(autouse=True)
def no_home(tmp_path_factory, monkeypatch):
    """Keeps every test away from the user's home and cache."""
    home = tmp_path_factory.mktemp("home")
    for name in ("HOME", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.setenv(name, str(home))
    return home
