"""Reads a few pictures and prints the candidates: `python -m trainer.predict --help`."""

import logging
import sys
from collections.abc import Sequence

from trainer import cli, cluster

log = logging.getLogger(__name__)


def table(candidates: Sequence[tuple[str, float]]) -> str:
    """Candidates, best first, as the reference prints them."""
    rows = [f"{'No.':>4}  {'result':<10}{'probability':>12}"]
    rows += [f"{i:>4}  {text:<10}{probability:>12.4%}" for i, (text, probability) in enumerate(candidates, start=1)]
    return "\n".join(rows)


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    return cli.exit_status(_run, argv)


def _run(argv: list[str] | None) -> None:
    parser = cli.parser(
        description="Read the number in each of a few pictures.",
        example="python -m trainer.predict --model runs/first/export picture.png",
    )
    parser.add_argument("--model", required=True, metavar="EXPORT", help="what trainer.export made")
    parser.add_argument("pictures", nargs="+", metavar="PICTURE", help="PNG, JPEG, BMP or GIF files")
    args = parser.parse_args(argv)
    cluster.configure()
    import tensorflow as tf

    if not tf.io.gfile.exists(f"{args.model}/saved_model.pb"):
        raise cli.UserError(f"{args.model} is no SavedModel: make one with trainer.export")
    model = tf.saved_model.load(args.model)
    read = model.signatures["serving_default"]
    if "confidence" not in read.structured_outputs:
        raise cli.UserError(f"{args.model} was exported by an older version, without confidence: export it again")
    for path in args.pictures:
        try:
            data = tf.io.read_file(path)
            out = read(images=tf.reshape(data, [1]))
        except tf.errors.NotFoundError as error:
            raise cli.UserError(f"there is no picture {path}") from error
        except (tf.errors.OpError, ValueError) as error:
            raise cli.UserError(f"{path} cannot be read as a picture: give a PNG, JPEG, BMP or GIF file") from error
        texts = [text.decode() for text in out["text"].numpy()[0]]
        probabilities = [float(p) for p in out["probability"].numpy()[0]]
        print(f"{path}\n{table(list(zip(texts, probabilities, strict=True)))}")
        print(f"confidence {float(out['confidence'].numpy()[0]):.4%}")


if __name__ == "__main__":
    sys.exit(main())
