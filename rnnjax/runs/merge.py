"""Shards of one study, trained on machines that share no disk, put together into one run folder."""

import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from rnnjax.config.shard import Shard, parse_shard
from rnnjax.errors import UserError
from rnnjax.regular_files import open_regular, read_regular
from rnnjax.runs import schema
from rnnjax.runs.codec import encode
from rnnjax.runs.json_io import MOST_BYTES, MOST_RECORD_BYTES, flat, reading, write_bytes, write_json
from rnnjax.runs.reader import (
    PARTIAL,
    is_run_folder,
    member_folders,
    read_config,
    read_environment,
    read_outcome,
    read_vocabulary,
)
from rnnjax.runs.schema import Config
from rnnjax.runs.writer import write_config, write_environment
from rnnjax.typing import JSONObject, JSONValue

# in what shards of one study may differ; a file of the user counts by its content
DIFFERENT_BY_SHARD = (
    "format_version", "flags.out", "flags.shard", "flags.data_dir", "flags.train", "flags.test", "flags.file",
    "flags.training.tensorboard",
)  # fmt: skip
NOT_SET = "not set"


class Merged(NamedTuple):
    """What a merge has made.

    Attributes:
        folder: a complete run folder.
        missing: shards that are in none of the merged folders, as "3/4".
        unfinished: names of the members that have neither a result nor a failure.
    """

    folder: Path
    missing: tuple[str, ...]
    unfinished: tuple[str, ...]


def shards_of_one_study(runs: Sequence[Path]) -> bool:
    """Whether these are at least two folders whose configs differ only in where they ran and in the shard.

    Raises:
        UserError: a config.json that is damaged.
    """
    if len(runs) < 2 or not all(map(is_run_folder, runs)):
        return False
    configs = [read_config(run) for run in runs]
    return all(_shard(config) and _common_values(config) == _common_values(configs[0]) for config in configs)


def merged_folder(runs: Sequence[Path]) -> Path:
    """The default folder of a merge, beside the first run: ``big-1`` and ``big-2`` become ``big-merged``.

    The name is what all names begin with, or else end with, or else the first name; a number is not cut in two.
    """
    paths = [run.resolve() for run in runs]
    names = [path.name for path in paths]
    prefix, reversed_suffix = _common_prefix(names), _common_prefix([name[::-1] for name in names])
    return paths[0].parent / f"{prefix or reversed_suffix[::-1] or names[0]}-merged"


def _common_prefix(names: Sequence[str]) -> str:
    length = next((i for i, letters in enumerate(zip(*names, strict=False)) if len({*letters}) > 1), len(names[0]))
    return re.sub(r"[-_. ]+$", "", re.sub(r"\d+$", "", names[0][:length]))


def merge_runs(runs: Sequence[Path], out: Path) -> Merged:
    """Make ``out`` a run folder of all members of ``runs``, or bring it up to date, also after a merge that was killed.

    Of each member the files that a run writes are copied, without TensorBoard's; checkpoints and other files are not.

    Args:
        runs: folders of shards of one study, finished or not; none is changed.
        out: a folder that does not exist, is empty, or is an earlier merge of this study.

    Raises:
        UserError: a folder that is no run or no shard of the first's study, a member that is in two folders, a file
            that is a symbolic link or no regular file, or an ``out`` that holds something else or cannot be written.
    """
    configs, shards = _read_shard_configs(runs)
    members = _members(runs)
    for folder in members.values():
        _check_files(folder)
    try:
        _check_out(out, runs[0], configs[0], members)
        out.mkdir(parents=True, exist_ok=True)
        names = tuple(run.resolve().name for run in runs)
        write_environment(out, msgspec.structs.replace(read_environment(runs[0]), merged=names))
        (out / schema.MEMBERS).mkdir(exist_ok=True)
        vocabularies = {run: read_vocabulary(run) for run in runs}
        common = next((words for words in vocabularies.values() if words is not None), None)
        for name, folder in members.items():
            words = vocabularies[folder.parent.parent]
            _copy(folder, schema.member_folder(out, name), None if words == common else words)
        for name in (schema.VOCABULARY, schema.TASK):
            for file in [run / name for run in runs if os.path.lexists(run / name)][:1]:
                with reading(file):
                    content = read_regular(file, MOST_BYTES, follow_links=False)
                write_bytes(out / name, content)
        flags = configs[0].flags | {"out": None, "shard": None}
        version = max(config.format_version for config in configs)
        write_config(out, msgspec.structs.replace(configs[0], flags=flags, format_version=version))
    except OSError as error:
        raise UserError(
            f"The shards cannot be merged into '{out}' ({error.strerror or error}); name another folder with --out."
        ) from error
    unfinished = tuple(name for name in members if read_outcome(schema.member_folder(out, name)) is None)
    return Merged(out, _missing(shards), unfinished)


def _read_shard_configs(runs: Sequence[Path]) -> tuple[list[Config], list[Shard]]:
    """The config of every run, and the shard that it is of the first's study."""
    configs: list[Config] = []
    shards: list[Shard] = []
    for run in runs:
        config = read_config(run)
        configs.append(config)
        if differing := _difference(configs[0], config):
            raise UserError(
                f"'{runs[0]}' and '{run}' are not of one study ({differing}); name shards of one study, or compare "
                "runs with launch.py compare."
            )
        shard = parse_shard(_shard(config))
        if shard is None:
            raise UserError(
                f"'{run}' is no shard of a study (its --shard is {_shard(config)}); name runs that had a --shard."
            )
        shards.append(shard)
        if shard.n != shards[0].n:
            raise UserError(
                f"'{runs[0]}' is shard {_shard(configs[0])} but '{run}' is {_shard(config)}; "
                "name shards of a study that was cut in one way."
            )
    return configs, shards


def _shard(config: Config) -> JSONValue:
    return config.flags.get("shard")


def _common_values(config: Config) -> JSONObject:
    """All that is equal in shards of one study, nested names joined by dots."""
    return {name: value for name, value in flat(encode(config)).items() if name not in DIFFERENT_BY_SHARD}


def _difference(config: Config, other: Config) -> str:
    """The first flag that differs, with its values: "--clip is 1.0 in the first, 2.0 in the second"; or ""."""
    first, second = _common_values(config), _common_values(other)
    for name in dict.fromkeys((*first, *second)):
        value, other_value = first.get(name, NOT_SET), second.get(name, NOT_SET)
        if value != other_value:
            flag = name.rpartition(".")[2].replace("_", "-")
            shown = f"--{flag}" if name.startswith("flags.") else flag
            return f"{shown} is {value} in the first, {other_value} in the second"
    return ""


def _members(runs: Sequence[Path]) -> dict[str, Path]:
    """Name -> folder of every member."""
    members: dict[str, Path] = {}
    for run in runs:
        for folder in member_folders(run):
            if folder.name in members:
                raise UserError(
                    f"The member {folder.name} is both in '{members[folder.name].parent.parent}' and in '{run}'; "
                    "name folders without a member in common."
                )
            members[folder.name] = folder
    return members


def _check_out(out: Path, first: Path, config: Config, members: dict[str, Path]) -> None:
    """UserError where ``out`` holds anything but an earlier merge of these members, complete or not."""
    if out.is_file() or (out.is_dir() and not _is_merge(out) and any(e.suffix != PARTIAL for e in out.iterdir())):
        raise UserError(f"'{out}' exists and is not a merge of shards; name another folder with --out or remove it.")
    if is_run_folder(out) and (differing := _difference(read_config(out), config)):
        raise UserError(
            f"'{out}' is a merge of another study than '{first}' ({differing}); name another folder with --out."
        )
    if extra := [folder.name for folder in member_folders(out) if folder.name not in members]:
        raise UserError(
            f"'{out}' holds {extra[0]}, which none of the folders has; name all shards that were merged into it, or "
            "another folder with --out."
        )


def _is_merge(out: Path) -> bool:
    return read_environment(out).merged is not msgspec.UNSET


def _check_files(folder: Path) -> None:
    """UserError where a file of the member is a symbolic link, no regular file, or larger than a run writes it."""
    for path in (folder / name for name in schema.MEMBER_FILES):
        if os.path.lexists(path):
            with reading(path):
                open_regular(path, MOST_RECORD_BYTES, follow_links=False).close()


def _copy(folder: Path, to: Path, vocabulary: tuple[str, ...] | None) -> None:
    """A complete copy in place of an older one; ``vocabulary`` is its run's, where it is not that of the merge."""
    partial = to.with_name(to.name + PARTIAL)
    if partial.exists():
        shutil.rmtree(partial)
    partial.mkdir()
    for path in (folder / name for name in schema.MEMBER_FILES):
        if os.path.lexists(path):
            _copy_file(path, partial / path.name)
    if vocabulary is not None and not (partial / schema.VOCABULARY).exists():
        write_json(partial / schema.VOCABULARY, vocabulary)
    if to.exists():
        shutil.rmtree(to)
    partial.rename(to)


def _copy_file(path: Path, to: Path) -> None:
    with open_regular(path, MOST_RECORD_BYTES, follow_links=False) as source, to.open("xb") as copy:
        shutil.copyfileobj(source, copy)


def _missing(shards: Sequence[Shard]) -> tuple[str, ...]:
    """Of the shards of a study those that are not given, as "i/n"."""
    parts, given = shards[0].n, {shard.i for shard in shards}
    return tuple(f"{i}/{parts}" for i in range(1, parts + 1) if i not in given)
