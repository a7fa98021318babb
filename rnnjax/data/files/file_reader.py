"""Reads whole files, plain or compressed with gzip, as bytes or as text of a given encoding."""

import codecs
import gzip
import re
import zlib
from pathlib import Path

from rnnjax.errors import UserError
from rnnjax.regular_files import open_regular, read_regular

MOST_BYTES = 2**33  # of a file
LARGEST_UNPACKED = 2**30  # bytes of a .gz file without its compression; everything is held in memory
UTF8 = "utf-8"

_LINE_END = re.compile(r"\r\n|\r|\n")


def suffix_of(path: Path) -> str:
    """The suffix in lower case, without a final ".gz": ".csv" for ``reviews.CSV.gz``."""
    name = path.with_suffix("") if path.suffix.lower() == ".gz" else path
    return name.suffix.lower()


def read_bytes(path: Path) -> bytes:
    """The content of a file; where its name ends in .gz, without the compression.

    Raises:
        UserError: If there is no such file, it is a folder, a pipe or a device, cannot be read, is no valid gzip file,
            or unpacks to more than ``LARGEST_UNPACKED`` bytes.
    """
    if path.is_dir():
        raise UserError(f"{path} is a folder; give a file in it.")
    try:
        if path.suffix.lower() != ".gz":
            return read_regular(path, MOST_BYTES, follow_links=True)
        with open_regular(path, MOST_BYTES, follow_links=True) as packed, gzip.GzipFile(fileobj=packed) as file:
            content = file.read(LARGEST_UNPACKED + 1)
    except FileNotFoundError as error:
        raise UserError(f"There is no file {path}; give one that exists.") from error
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise UserError(f"{path} is no whole gzip file ({error}); compress it again.") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{path} cannot be read ({reason}); give a readable file.") from error
    if len(content) > LARGEST_UNPACKED:
        raise UserError(
            f"{path} holds more than {LARGEST_UNPACKED // 2**20:,} MiB without its compression; give a smaller file."
        )
    return content


def read_text(path: Path, encoding: str = UTF8) -> str:
    """The text of a file, without its byte order mark; line ends are not changed.

    Args:
        path: A file, see ``read_bytes``.
        encoding: Its encoding, as Python names it: "utf-8", "latin-1", "cp1252", "shift_jis", "utf-16".

    Raises:
        UserError: As ``read_bytes``; or if there is no such encoding, the file is not in it, or holds a NUL byte.
    """
    codec = _codec(encoding)
    content = read_bytes(path)
    try:
        text = codec.decode(content)[0].removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = line_number(codec.decode(content[: error.start], "replace")[0])
        byte = content[error.start]
        name, advice = ("UTF-8", "save the file as UTF-8, or name its encoding, as in --encoding latin-1")
        if codec.name != UTF8:
            name, advice = (encoding, "name its encoding with --encoding, or save the file as UTF-8")
        raise UserError(f"Line {line} of {path} is not {name} (byte 0x{byte:02x}); {advice}.") from error
    if "\0" in text:
        line = line_number(text[: text.index("\0")])
        raise UserError(
            f"Line {line} of {path} contains a NUL byte, so the file is not plain text; save the file as UTF-8, or "
            "name its encoding, as in --encoding utf-16."
        )
    return text


def _codec(encoding: str) -> codecs.CodecInfo:
    try:
        codec = codecs.lookup(encoding)
        "".encode(codec.name)  # fails for a codec of Python that is no encoding of text, such as base64
    except (LookupError, ValueError):
        raise UserError(
            f"There is no text encoding '{encoding}'; give one that Python knows, such as utf-8, latin-1, cp1252 or "
            "shift_jis."
        ) from None
    return codec


def line_number(before: str) -> int:
    """The number, counted from 1, of the line that follows the text ``before``."""
    return len(_LINE_END.findall(before)) + 1
