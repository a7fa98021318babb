"""Files fetched whole or not at all, and the archive of the Large Movie Review Dataset, checked while it is read.

Maas et al. 2011, "Learning Word Vectors for Sentiment Analysis".
"""

import gzip
import hashlib
import http.client
import posixpath
import queue
import re
import tarfile
import threading
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rnnjax.errors import UserError

ARCHIVE_NAME = "aclImdb_v1.tar.gz"
CONNECT_SECONDS = 5.0
SPLITS = ("train", "test")
LABELS = ("neg", "pos")

Reviews = dict[str, tuple[bytes, str]]  # path inside the archive -> (text, "neg" or "pos")

_MEMBER = re.compile(r"aclImdb/(train|test)/(neg|pos)/[^/.][^/]*\.txt")
_PIECE = 1 << 20  # bytes
_PIECES_PER_MESSAGE = 16


def download_file(
    url: str,
    sha256: str,
    target: Path,
    partial: Path,
    progress: Callable[[str], None],
    *,
    others: Sequence[str] = (),
) -> None:
    """Fetch ``url`` into ``partial``, check it, and rename it to ``target``.

    With no network this fails after at most ``CONNECT_SECONDS``.

    Args:
        url: Where the archive lies.
        sha256: What its content must hash to.
        target: Where the whole archive is put; missing parents are made.
        partial: A path on the same file system, for the time of the transfer.
        progress: Called with one line about every 16 MB.
        others: Names of the files that are to be fetched after this one, for the message.

    Raises:
        UserError: If the archive cannot be fetched or its content is not the expected one; the message names
            the address, the folder and the flag.
    """
    try:
        progress(f"downloading {url}")
        received = _transfer(url, target.name, partial, progress)
        if received != sha256:
            raise OSError("what arrived is not the expected file")
    except (OSError, http.client.HTTPException) as error:
        wanted = f"that file and {', '.join(others)}" if others else "that file"
        raise UserError(
            f"{target.name} could not be downloaded from {url} ({error}): fetch {wanted} where there is a "
            f"network, put {'them' if others else 'it'} into {target.parent} and start again with "
            f"--data-dir {target.parents[2]}."
        ) from error
    target.parent.mkdir(parents=True, exist_ok=True)
    partial.replace(target)


def _transfer(url: str, name: str, partial: Path, progress: Callable[[str], None]) -> str:
    digest = hashlib.sha256()
    with _open_url(url) as response, partial.open("wb") as file:
        total = int(response.headers.get("Content-Length", 0)) // _PIECE
        pieces = 0
        while piece := response.read(_PIECE):
            digest.update(piece)
            file.write(piece)
            pieces += 1
            if pieces % _PIECES_PER_MESSAGE == 0:
                progress(f"downloading {name}: {pieces} of {total} MB")
    return digest.hexdigest()


def _open_url(url: str) -> Any:
    # urlopen's own timeout covers neither the name look-up nor several addresses tried in turn, so the wait
    # is bounded from outside; a daemon thread does not keep the process alive.
    answers: queue.Queue[Any] = queue.Queue()

    def ask() -> None:
        try:
            answers.put(urllib.request.urlopen(url, timeout=CONNECT_SECONDS))
        except Exception as error:
            if isinstance(error, urllib.error.HTTPError):
                error.close()  # it holds the connection open
            answers.put(error)

    threading.Thread(target=ask, daemon=True).start()
    try:
        answer = answers.get(timeout=CONNECT_SECONDS)
    except queue.Empty:
        raise TimeoutError(f"no answer within {CONNECT_SECONDS:g} seconds") from None
    if isinstance(answer, Exception):
        raise answer
    return answer


def read_review_archive(path: Path) -> dict[str, Reviews]:
    """The labelled reviews of a gzipped tar in the aclImdb layout, by split.

    Args:
        path: An archive with members ``aclImdb/{train,test}/{neg,pos}/*.txt``; others are passed over.

    Returns:
        For "train" and "test", the reviews by their path inside the archive.

    Raises:
        UserError: If the archive cannot be read to its end, or a class of a split has no review.
    """
    found: dict[str, Reviews] = {split: {} for split in SPLITS}
    try:
        with gzip.open(path) as stream:
            with tarfile.open(fileobj=stream, mode="r|") as tar:
                for member in tar:
                    name = posixpath.normpath(member.name)
                    match = _MEMBER.fullmatch(name)
                    content = tar.extractfile(member) if match else None
                    if match and content:
                        found[match[1]][name] = (content.read().strip(), match[2])
            while stream.read(_PIECE):  # to the end, where gzip keeps its checksum
                pass
    except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
        raise UserError(
            f"{path} cannot be read to its end ({error}), so it is truncated or damaged: delete it and start "
            "again to download it, or put a whole copy in its place."
        ) from error
    for split in SPLITS:
        for label in LABELS:
            if all(review_label != label for _, review_label in found[split].values()):
                raise UserError(
                    f"{path} has no review under aclImdb/{split}/{label}/*.txt, so it is not the expected "
                    f"archive: put {ARCHIVE_NAME} of the Large Movie Review Dataset in its place."
                )
    return found
