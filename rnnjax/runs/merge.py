"""Shards of one study, trained on machines that share nothing, put together into one run folder."""

import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rnnjax.errors import UserError
from rnnjax.runs.json_io import flat, read_json, write_bytes, write_json
from rnnjax.runs.reader import PARTIAL

# what shards of one study may differ in; a file of the user counts by its content
OWN = ("flags.out", "flags.shard", "flags.data_dir", "flags.train", "flags.test", "flags.file")
NOTHING = "not set"


class Merged(NamedTuple):
    """What came of a merge.

    Attributes:
        folder: a run folder by itself.
        missing: shards that no folder has, as "3/4".
        unfinished: members without an outcome, by the name of their folder.
    """

    folder: Path
    missing: tuple[str, ...]
    unfinished: tuple[str, ...]


def shards_of_one_study(runs: Sequence[Path]) -> bool:
    """Whether these are at least two folders whose configs differ in nothing but where they ran and what shard.

    Raises:
        UserError: a config.json that is damaged.
    """
    if len(runs) < 2 or not all((run / "config.json").is_file() for run in runs):
        return False
    configs = [read_json(run / "config.json") for run in runs]
    return all(_shard_of(one) and _study(one) == _study(configs[0]) for one in configs)


def merged_folder(runs: Sequence[Path]) -> Path:
    """Where a merge goes if nobody says: beside the first, ``big-1`` and ``big-2`` to ``big-merged``.

    The name is what all names begin with, or else end with, or else the first's, less a number that is cut in two.
    """
    paths = [run.resolve() for run in runs]
    names = [path.name for path in paths]
    begin, end = (_beginning(some) for some in (names, [name[::-1] for name in names]))
    return paths[0].parent / f"{begin or end[::-1] or names[0]}-merged"


def _beginning(names: Sequence[str]) -> str:
    length = next((i for i, letters in enumerate(zip(*names, strict=False)) if len({*letters}) > 1), len(names[0]))
    return re.sub(r"[-_. ]+$", "", re.sub(r"\d+$", "", names[0][:length]))


def merge_runs(runs: Sequence[Path], out: Path) -> Merged:
    """Make ``out`` a run folder of all members of ``runs``, or bring it up to date; a merge that was killed goes on.

    Members are copied without TensorBoard's files, checkpoints are not.

    Args:
        runs: folders of shards of one study, finished or not; none is changed.
        out: a folder that does not exist, is empty, or is an earlier merge of this study.

    Raises:
        UserError: a folder that is no run or no shard of the first's study, a member that two folders have, or
            ``out`` is taken or cannot be written.
    """
    configs = _configs(runs)
    members = _members(runs)
    try:
        _check_out(out, runs[0], members)
        out.mkdir(parents=True, exist_ok=True)
        first = runs[0] / "environment.json"
        around = read_json(first) if first.exists() else {}
        write_json(out / "environment.json", around | {"merged": [run.resolve().name for run in runs]})
        (out / "members").mkdir(exist_ok=True)
        for name, folder in members.items():
            _copy(folder, out / "members" / name)
        for shared in ("vocabulary.json", "task.json"):
            for file in [run / shared for run in runs if (run / shared).exists()][:1]:
                write_bytes(out / shared, file.read_bytes())
        flags = configs[0]["flags"] | {"out": None, "shard": None}
        write_json(out / "config.json", configs[0] | {"flags": flags})
    except OSError as error:
        raise UserError(
            f"The shards cannot be merged into '{out}' ({error.strerror or error}); name another folder with --out."
        ) from error
    ended = ("result.json", "failure.json")
    unfinished = [name for name in members if not any((out / "members" / name / file).exists() for file in ended)]
    return Merged(out, _missing([str(_shard_of(config)) for config in configs]), tuple(unfinished))


def _configs(runs: Sequence[Path]) -> list[dict[str, Any]]:
    """The config of every run, each a shard of the first's study."""
    configs: list[dict[str, Any]] = []
    for run in runs:
        if not (run / "config.json").is_file():
            raise UserError(f"'{run}' is not a run folder (it holds no config.json); name folders that runs wrote.")
        config = read_json(run / "config.json")
        configs.append(config)
        if differing := _difference(configs[0], config):
            raise UserError(
                f"'{runs[0]}' and '{run}' are not of one study ({differing}); name shards of one study, or compare "
                "runs with launch.py compare."
            )
        if not re.fullmatch(r"[1-9]\d*/[1-9]\d*", shard := str(_shard_of(config))):
            raise UserError(f"'{run}' is no shard of a study (its --shard is {shard}); name runs that had a --shard.")
        if shard.partition("/")[2] != str(_shard_of(configs[0])).partition("/")[2]:
            raise UserError(
                f"'{runs[0]}' is shard {_shard_of(configs[0])} but '{run}' is {shard}; "
                "name shards of a study that was cut in one way."
            )
    return configs


def _shard_of(config: dict[str, Any]) -> Any:
    flags = config.get("flags")
    return flags.get("shard") if isinstance(flags, dict) else None


def _study(config: dict[str, Any]) -> dict[str, Any]:
    """All that shards of one study share, nested names joined by dots."""
    return {name: value for name, value in flat(config).items() if name not in OWN}


def _difference(config: dict[str, Any], other: dict[str, Any]) -> str:
    """The first flag that differs, with its values: "--clip is 1.0 in the first, 2.0 in the second"; or nothing."""
    first, second = _study(config), _study(other)
    for name in dict.fromkeys((*first, *second)):
        one, two = first.get(name, NOTHING), second.get(name, NOTHING)
        if one != two:
            flag = name.rpartition(".")[2].replace("_", "-")
            shown = f"--{flag}" if name.startswith("flags.") else flag
            return f"{shown} is {one} in the first, {two} in the second"
    return ""


def _members(runs: Sequence[Path]) -> dict[str, Path]:
    """Name -> folder of every member."""
    found: dict[str, Path] = {}
    for run in runs:
        for folder in _folders(run):
            if folder.name in found:
                raise UserError(
                    f"The member {folder.name} is both in '{found[folder.name].parent.parent}' and in '{run}'; "
                    "name folders that share none."
                )
            found[folder.name] = folder
    return found


def _folders(run: Path) -> Iterator[Path]:
    for folder in sorted((run / "members").glob("*")):
        if folder.is_dir() and folder.suffix != PARTIAL:
            yield folder


def _check_out(out: Path, first: Path, members: dict[str, Path]) -> None:
    """Refuse what is there unless it is nothing, or an earlier merge of these members, whole or not."""
    if out.is_file() or (out.is_dir() and not _is_merge(out) and any(e.suffix != PARTIAL for e in out.iterdir())):
        raise UserError(f"'{out}' exists and is not a merge of shards; name another folder with --out or remove it.")
    config, wanted = out / "config.json", read_json(first / "config.json")
    if config.exists() and (differing := _difference(read_json(config), wanted)):
        raise UserError(
            f"'{out}' is a merge of another study than '{first}' ({differing}); name another folder with --out."
        )
    if extra := [folder.name for folder in _folders(out) if folder.name not in members]:
        raise UserError(
            f"'{out}' holds {extra[0]}, which none of the folders has; name all shards that were merged into it, or "
            "another folder with --out."
        )


def _is_merge(out: Path) -> bool:
    return (out / "environment.json").is_file() and "merged" in read_json(out / "environment.json")


def _copy(folder: Path, to: Path) -> None:
    """A whole copy in the place of an older one."""
    partial = to.with_name(to.name + PARTIAL)
    if partial.exists():
        shutil.rmtree(partial)
    shutil.copytree(folder, partial, ignore=shutil.ignore_patterns("tensorboard", f"*{PARTIAL}"))
    if to.exists():
        shutil.rmtree(to)
    partial.rename(to)


def _missing(shards: Sequence[str]) -> tuple[str, ...]:
    """Of "i/n" those i that are not there."""
    parts = int(shards[0].partition("/")[2])
    there = {int(shard.partition("/")[0]) for shard in shards}
    return tuple(f"{i}/{parts}" for i in range(1, parts + 1) if i not in there)
