"""Reads a few pictures: a table, JSON, or a drawing of what was read: `python -m trainer.predict --help`."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from trainer import cli, cluster, drawing, pictures, released


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    return cli.exit_status(_run, argv)


def _run(argv: list[str] | None) -> None:
    args = _parser().parse_args(argv)
    cluster.configure()
    model = _load(args.model)
    width = model.beam_width if args.beam_width is None else args.beam_width
    if width < 1:
        raise cli.UserError(f"--beam-width {width}: it must be at least 1")
    looks, unread = [], []
    for path in args.pictures:
        try:
            file, image = _picture(path)
        except cli.UserError as error:
            unread.append(str(error))
            continue
        answer = _answer(model, file, width)
        if args.draw:
            looks.append(_look(model, file, image, answer))
        if args.format == "json":
            print(json.dumps({"key": path, **answer}, ensure_ascii=False))
        else:
            print(f"{path}\n{table([(c['text'], c['probability']) for c in answer['candidates']])}")
            print(f"confidence {answer['confidence']:.4%}")
    if args.draw and looks:
        _draw(looks, args.draw)
    if unread:
        raise cli.UserError("\n".join(unread))


def _load(path: str) -> Any:
    """The SavedModel, with the `beam_width` that it was configured with.

    Raises:
      UserError: there is none, or it is of an older version.
    """
    import tensorflow as tf

    path = released.folder_of(path)
    if not tf.io.gfile.exists(f"{path}/saved_model.pb"):
        raise cli.UserError(f"{path} is no SavedModel: make one with trainer.export")
    model = tf.saved_model.load(path)
    if "candidates" not in model.signatures["serving_default"].structured_input_signature[1]:
        raise cli.UserError(f"{path} was exported by an older version: export it again")
    with tf.io.gfile.GFile(f"{path}/assets/model_info.json", "r") as file:
        model.beam_width = json.load(file)["beam_width"]
    return model


def _picture(path: str) -> tuple[bytes, Image.Image]:
    """A file that the model decodes, and the picture in it, as `beam_pipelines.score` reads it.

    Raises:
      UserError: there is no such file, or it is no picture.
    """
    import tensorflow as tf

    try:
        data = tf.io.read_file(path).numpy()
    except tf.errors.NotFoundError as error:
        raise cli.UserError(f"there is no picture {path}") from error
    except tf.errors.OpError as error:
        raise cli.UserError(f"{path} cannot be read: {error.message}") from error
    try:
        picture = pictures.load(data)
    except pictures.Unreadable as error:
        raise cli.UserError(f"{path} cannot be read as a picture: {error.detail}") from error
    return data if picture.file_type else pictures.encode(picture.image, "png"), picture.image


def _answer(model: Any, file: bytes, width: int) -> dict[str, Any]:
    """`candidates` and `confidence` as in the rows of beam_pipelines.score."""
    import tensorflow as tf

    size = tf.constant(width)
    out = model.signatures["serving_default"](images=tf.constant([file]), beam_width=size, candidates=size)
    columns = (out[name].numpy()[0].tolist() for name in ("text", "log_prob", "probability"))
    candidates = [
        {"text": text.decode(), "log_prob": log_prob, "probability": probability}
        for text, log_prob, probability in zip(*columns, strict=True)
    ]
    return {"candidates": candidates, "confidence": float(out["confidence"].numpy()[0])}


def _look(model: Any, file: bytes, image: Image.Image, answer: dict[str, Any]) -> drawing.Look:
    """For `drawing`; a model without attention gives none."""
    import tensorflow as tf

    text, attention = answer["candidates"][0]["text"], None
    if "attention" in model.signatures:
        out = model.signatures["attention"](images=tf.constant([file]))
        text, attention = out["text"].numpy()[0].decode(), out["attention"].numpy()[0]
    return drawing.Look(image, text, answer["confidence"], attention)


def _draw(looks: Sequence[drawing.Look], path: str) -> None:
    """Writes the drawing.

    Raises:
      UserError: it cannot be written there.
    """
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        drawing.draw(looks).save(path, "PNG")
    except OSError as error:
        raise cli.UserError(f"--draw {path} cannot be written: {error.strerror}; give the path of a new PNG") from error
    print(f"drawn: {path}", file=sys.stderr)


def table(candidates: Sequence[tuple[str, float]]) -> str:
    """Candidates, best first, as the reference prints them."""
    rows = [f"{'No.':>4}  {'result':<10}{'probability':>12}"]
    rows += [f"{i:>4}  {text:<10}{probability:>12.4%}" for i, (text, probability) in enumerate(candidates, start=1)]
    return "\n".join(rows)


def _parser() -> argparse.ArgumentParser:
    parser = cli.parser(
        description="Read the number in each of a few pictures.",
        example="python -m trainer.predict picture.png --draw read.png",
    )
    parser.add_argument("--model", default=released.NAME, metavar="EXPORT", help=released.HELP)
    parser.add_argument("pictures", nargs="+", metavar="PICTURE", help="files of any kind that Pillow reads")
    parser.add_argument("--format", choices=["table", "json"], default="table", help="json: an object a line")
    parser.add_argument(
        "--draw",
        metavar="PNG",
        help="also draw each picture, its answer, and where the model looked for each character",
    )
    parser.add_argument(
        "--beam-width", type=int, help="hypotheses followed and candidates; the model's own unless given"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
