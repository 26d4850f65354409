"""Reads a few pictures: a table, JSON, or a drawing of what was read: `python -m trainer.predict --help`."""

import argparse
import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

from PIL import Image

from trainer import cli, released
from trainer.cluster import environment
from trainer.data import image_io, image_kinds
from trainer.files import image_output, local_file
from trainer.inference import attention_overlay, beam_width

DRAWN_SIDE = 1024  # pixels


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    return cli.exit_status(_run, argv)


def _run(argv: list[str] | None) -> None:
    args = _parser().parse_args(argv)
    if args.draw:
        image_output.check_replaceable(args.draw, "--draw")
    image_kinds.limit_megapixels(args.max_megapixels)
    environment.configure()
    model = _load(args.model)
    sizes = beam_width.sizes(args.beam_width, args.candidates, model.beam_width)
    looks, unread = [], []
    for path in args.pictures:
        try:
            with _opened(path) as source:
                file = image_io.encode(image_io.for_model(source, model.image_size), "bmp")
                answer = _answer(model, file, *sizes)
                if args.draw:
                    looks.append(_look(model, file, _drawn(source), answer))
        except image_kinds.UnreadableImage as error:
            unread.append(f"{path} cannot be read as a picture: {error.detail}")
            continue
        except cli.UserError as error:
            unread.append(str(error))
            continue
        if args.format == "json":
            print(json.dumps({"key": path, **answer}, ensure_ascii=False))
        else:
            texts = [candidate["text"] for candidate in answer["candidates"]]
            print(f"{path}\n{table(texts, answer['confidence'], calibrated=model.is_calibrated)}")
    if args.draw and looks:
        _draw(looks, args.draw)
    if unread:
        raise cli.UserError("\n".join(unread))


def _load(path: str) -> Any:
    """Return the SavedModel, with its `beam_width`, the `image_size` of its input, and whether it `is_calibrated`.

    Raises:
      UserError: there is none, or it is of an older version.
    """
    import tensorflow as tf

    path = released.folder_of(path)
    if not tf.io.gfile.exists(f"{path}/saved_model.pb"):
        raise cli.UserError(f"{path} is no SavedModel: make one with trainer.export")
    with environment.native_stderr(), released.loadable(path) as loadable:
        model = tf.saved_model.load(loadable)
    if "candidates" not in model.signatures["serving_default"].structured_input_signature[1]:
        raise cli.UserError(f"{path} was exported by an older version: export it again")
    with tf.io.gfile.GFile(f"{path}/assets/model_info.json", "r") as file:
        info = json.load(file)
    model.beam_width, model.image_size = info["beam_width"], info["image_size"]
    model.is_calibrated = bool(info["calibration"])
    return model


def _opened(path: str) -> BinaryIO:
    """Open an image file, local or remote.

    Raises:
      UserError: it does not exist or cannot be read.
    """
    import tensorflow as tf

    try:
        return io.BytesIO(tf.io.read_file(path).numpy()) if "://" in path else local_file.open_regular(path)
    except (FileNotFoundError, tf.errors.NotFoundError) as error:
        raise cli.UserError(f"there is no picture {path}") from error
    except (OSError, tf.errors.OpError) as error:
        raise cli.UserError(f"{path} cannot be read: {getattr(error, 'message', error)}") from error


def _answer(model: Any, file: bytes, width: int, candidates: int) -> dict[str, Any]:
    """`candidates` and `confidence` as in the rows of beam_pipelines.score."""
    import tensorflow as tf

    sizes = {"beam_width": tf.constant(width), "candidates": tf.constant(candidates)}
    out = model.signatures["serving_default"](images=tf.constant([file]), **sizes)
    columns = (out[name].numpy()[0].tolist() for name in ("text", "log_prob", "probability"))
    rows = [
        {"text": text.decode(), "log_prob": log_prob, "probability": probability}
        for text, log_prob, probability in zip(*columns, strict=True)
    ]
    return {"candidates": rows, "confidence": float(out["confidence"].numpy()[0])}


def _look(model: Any, file: bytes, image: Image.Image, answer: dict[str, Any]) -> attention_overlay.Look:
    """For `drawing`; a model without attention gives none."""
    import tensorflow as tf

    text, attention = answer["candidates"][0]["text"], None
    if "attention" in model.signatures:
        out = model.signatures["attention"](images=tf.constant([file]))
        if out["text"].numpy()[0].decode() == text:  # an export of version 0.1.0 attends to what a narrower beam found
            attention = out["attention"].numpy()[0]
    return attention_overlay.Look(image, text, answer["confidence"], attention)


def _drawn(source: BinaryIO) -> Image.Image:
    """An image as people see it, no larger than a drawing needs."""
    image = image_io.load_file(source).image
    image.thumbnail((DRAWN_SIDE, DRAWN_SIDE))
    return image


def _draw(looks: Sequence[attention_overlay.Look], path: str) -> None:
    """Writes the drawing.

    Raises:
      UserError: it cannot be written there.
    """
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        attention_overlay.draw(looks).save(path, "PNG")
    except OSError as error:
        raise cli.UserError(f"--draw {path} cannot be written: {error.strerror}; give the path of a new PNG") from error
    print(f"drawn: {path}", file=sys.stderr)


def table(candidates: Sequence[str], confidence: float, *, calibrated: bool = True) -> str:
    """Return the candidates, best first, with the confidence in the best: what calibration says nothing of has none."""
    rows = [f"{'No.':>4}  {'result':<10}{'confidence':>12}{'' if calibrated else '  (not calibrated)'}"]
    rows += [f"{i:>4}  {text}" for i, text in enumerate(candidates, start=1)]
    rows[1] = f"{rows[1]:<16}{confidence:>12.2%}"
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
    parser.add_argument("--beam-width", type=int, help="hypotheses followed; two for each candidate unless given")
    parser.add_argument("--candidates", type=int, help="as many as --beam-width, else the model's own number")
    image_kinds.add_argument(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
