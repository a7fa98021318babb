"""Shards of a study with synthetic members."""

from synthetic_run import write_member, write_run

FLAGS = {"hidden": 64, "training": {"clip": 1.0}, "sweep": ["clip=1,2"]}


def shard_of(path, shard, *labels, **flags):
    """A shard with a member of each label, with what a run leaves beside them."""
    run = write_run(path, flags=FLAGS | {"out": str(path), "shard": shard} | flags)
    (run / "vocabulary.json").write_text('["<pad>", "good"]')
    for label in labels:
        (write_member(run, label, varied={}) / "params.msgpack").write_bytes(label.encode())
    return run


def files(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
