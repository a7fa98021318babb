"""Downloads files with a hash check, and reads the archive of the Large Movie Review Dataset.

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
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

from rnnjax.errors import UserError
from rnnjax.regular_files import BoundedStream, open_regular, read_bounded

ARCHIVE_NAME = "aclImdb_v1.tar.gz"
CONNECT_SECONDS = 5.0
SPLITS = ("train", "test")
LABELS = ("neg", "pos")
MOST_ARCHIVE = 1 << 30  # bytes, packed or unpacked; the data set has 0.5 GB
MOST_REVIEW = 1 << 20  # bytes; the longest has 14,000

Response: TypeAlias = http.client.HTTPResponse
Reviews: TypeAlias = dict[str, tuple[bytes, str]]  # path inside the archive -> (text, "neg" or "pos")

_REVIEW_PATH = re.compile(r"aclImdb/(train|test)/(neg|pos)/[^/.][^/]*\.txt")
_BLOCK = 1 << 20  # bytes
_BLOCKS_PER_MESSAGE = 16


def download_file(
    url: str,
    sha256: str,
    target: Path,
    partial: Path,
    progress: Callable[[str], None],
    *,
    next_files: Sequence[str] = (),
) -> None:
    """Download ``url`` to ``partial``, check its hash, and rename it to ``target``.

    Without a network this fails after at most ``CONNECT_SECONDS``.

    Args:
        url: Address of the file.
        sha256: Expected SHA-256 digest of the file.
        target: Path of the complete file; missing parents are created.
        partial: Path of the file during the download, on the same file system.
        progress: Called with one line about every 16 MB.
        next_files: Names of the files that will be downloaded after this one, for the error message.

    Raises:
        UserError: If the file cannot be downloaded or has unexpected content; the message names the address, the
            folder and the flag.
    """
    try:
        progress(f"downloading {url}")
        received = _transfer(url, target.name, partial, progress)
        if received != sha256:
            raise OSError("the download is not the expected file")
    except (OSError, http.client.HTTPException) as error:
        files = f"that file and {', '.join(next_files)}" if next_files else "that file"
        raise UserError(
            f"{target.name} could not be downloaded from {url} ({error}): download {files} on a machine with a "
            f"network, put {'them' if next_files else 'it'} into {target.parent} and start again with "
            f"--data-dir {target.parents[2]}."
        ) from error
    target.parent.mkdir(parents=True, exist_ok=True)
    partial.replace(target)


def _transfer(url: str, name: str, partial: Path, progress: Callable[[str], None]) -> str:
    """Download ``url`` to ``partial``; returns the SHA-256 digest of the content."""
    digest = hashlib.sha256()
    with _open_url(url) as response, partial.open("wb") as file:
        total = int(response.headers.get("Content-Length", 0)) // _BLOCK
        blocks = 0
        while block := response.read(_BLOCK):
            digest.update(block)
            file.write(block)
            blocks += 1
            if blocks % _BLOCKS_PER_MESSAGE == 0:
                progress(f"downloading {name}: {blocks} of {total} MB")
    return digest.hexdigest()


def _open_url(url: str) -> Response:
    # The timeout of urlopen covers neither the name look-up nor several addresses tried in turn, so the wait is
    # limited here; a daemon thread does not keep the process alive.
    results: queue.Queue[Response | Exception] = queue.Queue()

    def connect() -> None:
        try:
            results.put(urllib.request.urlopen(url, timeout=CONNECT_SECONDS))
        except Exception as error:
            if isinstance(error, urllib.error.HTTPError):
                error.close()  # otherwise the connection stays open
            results.put(error)

    threading.Thread(target=connect, daemon=True).start()
    try:
        result = results.get(timeout=CONNECT_SECONDS)
    except queue.Empty:
        raise TimeoutError(f"no answer within {CONNECT_SECONDS:g} seconds") from None
    if isinstance(result, Exception):
        raise result
    return result


def read_review_archive(path: Path) -> dict[str, Reviews]:
    """The labelled reviews in a gzipped tar archive with the aclImdb layout, by split.

    Args:
        path: An archive with members ``aclImdb/{train,test}/{neg,pos}/*.txt``; other members are skipped.

    Returns:
        For "train" and "test", the path of each review inside the archive -> its text and label.

    Raises:
        UserError: If the archive cannot be read to its end, or a class of a split has no review.
    """
    reviews: dict[str, Reviews] = {split: {} for split in SPLITS}
    try:
        with open_regular(path, MOST_ARCHIVE, follow_links=True) as packed, gzip.open(packed) as unpacked:
            stream = BoundedStream(unpacked, MOST_ARCHIVE)
            with tarfile.open(fileobj=stream, mode="r|") as tar:  # type: ignore[call-overload]  # it needs read only
                for member in tar:
                    name = posixpath.normpath(member.name)
                    match = _REVIEW_PATH.fullmatch(name)
                    content = tar.extractfile(member) if match and not member.issparse() else None
                    if match and content:
                        reviews[match[1]][name] = (read_bounded(content, MOST_REVIEW).strip(), match[2])
            while stream.read(_BLOCK):  # read to the end, where gzip keeps its checksum
                pass
    except Exception as error:  # damaged headers raise errors of many types in tarfile
        raise UserError(
            f"{path} cannot be read to its end ({getattr(error, 'strerror', None) or error}), so it is not the "
            "expected archive, or truncated or damaged: delete it and start again to download it, or replace it by a "
            "complete copy."
        ) from error
    for split in SPLITS:
        for label in LABELS:
            if all(review_label != label for _, review_label in reviews[split].values()):
                raise UserError(
                    f"{path} has no review under aclImdb/{split}/{label}/*.txt, so it is not the expected "
                    f"archive: replace it by {ARCHIVE_NAME} of the Large Movie Review Dataset."
                )
    return reviews
