"""The part of a study that one machine trains, as --shard and config.json name it."""

import re
from typing import NamedTuple

from rnnjax.typing import JSONValue


class Shard(NamedTuple):
    """The i-th of n contiguous blocks of a study, counted from 1."""

    i: int
    n: int


def parse_shard(text: JSONValue) -> Shard | None:
    """The shard for "i/n", with or without leading zeros; None where ``text`` names none."""
    match = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text) if isinstance(text, str) else None
    if match is None:
        return None
    shard = Shard(int(match[1]), int(match[2]))
    return shard if 1 <= shard.i <= shard.n else None
