"""Print a digest of the tensors in the newest checkpoint of a work folder."""

import hashlib
import sys

from trainer import cli


def main(argv: list[str] | None = None) -> int:
    """Print the digest; return the exit status."""
    return cli.exit_status(_run, argv)


def _run(argv: list[str] | None) -> None:
    import tensorflow as tf

    (folder,) = sys.argv[1:] if argv is None else argv
    newest = tf.train.latest_checkpoint(f"{folder}/checkpoints")
    reader, digest = tf.train.load_checkpoint(newest), hashlib.sha256()
    for name in sorted(reader.get_variable_to_shape_map()):
        if "save_counter" in name or "_CHECKPOINTABLE_OBJECT_GRAPH" in name:
            continue  # how often it was saved is another matter
        digest.update(name.encode() + reader.get_tensor(name).tobytes())
    print(newest.rpartition("/")[2], digest.hexdigest())
