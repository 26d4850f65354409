"""Read the numbers in a few images; print or draw the answers: `python -m trainer.predict --help`."""

import argparse
import dataclasses
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from PIL import Image

from trainer import cli, released
from trainer.cluster import environment
from trainer.data import image_io, image_kinds, image_source
from trainer.files import replaceable
from trainer.inference import any_model, attention_overlay, beam_width, box_overlay, exported_model, region_options
from trainer.inference.box_overlay import Photo
from trainer.inference.exported_model import Answer, ExportedModel

DRAWN_SIDE = 1024  # pixels


def main(argv: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    return cli.exit_status(_run, argv)


def _run(argv: list[str] | None) -> None:
    args = _parser().parse_args(argv)
    if args.draw:
        replaceable.check_replaceable(args.draw, "--draw")
        _check_not_read(args.draw, args.images)
    image_kinds.limit_megapixels(args.max_megapixels)
    environment.configure()
    model = any_model.load(args.model)
    width, candidates = beam_width.sizes(args.beam_width, args.candidates, model.info["beam_width"])
    most, whole = args.max_numbers, args.regions == "whole"
    calibrated = bool(exported_model.reading_info(model.info, whole=whole)["calibration"])
    looks: list[attention_overlay.Look] = []
    photos: list[Photo] = []
    unread = []
    for path in args.images:
        try:
            with _opened(path) as source:
                shrunk = image_io.for_model(source, model.image_size)
                file = image_io.encode(shrunk.image, "bmp")
                [answer] = model.read([file], beam_width=width, candidates=candidates, most=most, whole=whole)
                answer = answer.scaled(shrunk.factors)
                if args.draw and answer.numbers is not None:
                    photos.append(Photo(_drawn(source), shrunk.original, answer.numbers))
                elif args.draw:
                    looks.append(_look(model, file, _drawn(source), answer))
        except image_kinds.UnreadableImage as error:
            unread.append(f"{path} cannot be read as an image: {error.detail}")
            continue
        except cli.UserError as error:
            unread.append(str(error))
            continue
        if args.format == "json":
            print(json.dumps({"key": path, **dataclasses.asdict(answer)}, ensure_ascii=False))
        elif answer.numbers is not None:
            print(f"{path}\n{numbers_table(answer, calibrated=calibrated)}")
        else:
            texts = [candidate["text"] for candidate in answer.candidates]
            print(f"{path}\n{table(texts, answer.confidence, calibrated=calibrated)}")
    if looks or photos:
        _draw(box_overlay.draw(photos) if photos else attention_overlay.draw(looks), args.draw)
    if unread:
        raise cli.UserError("\n".join(unread))


def _check_not_read(drawing: str, images: Sequence[str]) -> None:
    """Check that the drawing does not replace one of the images.

    Raises:
      UserError: it would.
    """
    for path in images:
        if os.path.exists(drawing) and os.path.exists(path) and os.path.samefile(drawing, path):
            raise cli.UserError(f"--draw {drawing} would replace the image itself: give the path of a new PNG")


def _opened(path: str) -> BinaryIO:
    """Open an image file, local or remote.

    Raises:
      UserError: it does not exist or cannot be read.
    """
    try:
        return image_source.opened(path)
    except FileNotFoundError as error:
        raise cli.UserError(f"the image {path} does not exist: check its path") from error
    except OSError as error:
        raise cli.UserError(f"{path} cannot be read: {error}") from error


def _look(model: ExportedModel, file: bytes, image: Image.Image, answer: Answer) -> attention_overlay.Look:
    """Return what to draw for an answer; include the attention only if it was computed for the same text."""
    text, found = answer.candidates[0]["text"], model.attention(file)
    # An export of version 0.1.0 computes the attention for the result of a narrower beam.
    attention = found[1] if found and found[0] == text else None
    return attention_overlay.Look(image, text, answer.confidence, attention)


def _drawn(source: BinaryIO) -> Image.Image:
    """Return an image as viewers display it, no larger than a drawing needs."""
    image = image_io.load_file(source).image
    image.thumbnail((DRAWN_SIDE, DRAWN_SIDE))
    return image


def _draw(sheet: Image.Image, path: str) -> None:
    """Write the drawing.

    Raises:
      UserError: it cannot be written there.
    """
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        sheet.save(path, "PNG")
    except OSError as error:
        raise cli.UserError(f"--draw {path} cannot be written: {error.strerror}; give the path of a new PNG") from error
    print(f"drawn: {path}", file=sys.stderr)


def _check_place(flag: str, path: str) -> None:
    """Check the places of all arguments but the images: one that cannot be read must not stop the others."""
    if flag != "images":
        cli.local_or_gs(flag, path)


def table(candidates: Sequence[str], confidence: float, *, calibrated: bool = True) -> str:
    """Return a table of the candidates, best first; only the best has a confidence, as only that is calibrated."""
    rows = [f"{'No.':>4}  {'result':<10}{'confidence':>12}{'' if calibrated else '  (not calibrated)'}"]
    rows += [f"{i:>4}  {text or 'no number'}" for i, text in enumerate(candidates, start=1)]
    rows[1] = f"{rows[1]:<16}{confidence:>12.2%}"
    return "\n".join(rows)


def numbers_table(answer: Answer, *, calibrated: bool = True) -> str:
    """Return a table of the numbers found in a photo, most confident first; if there is none, the best guess."""
    note = "" if calibrated else "  (not calibrated)"
    if not answer.numbers:
        guess = answer.candidates[0]["text"]
        return (
            f"      no number; the best guess is {guess}, {answer.confidence:.2%}{note}" if guess else "      no number"
        )
    rows = [f"{'No.':>4}  {'number':<10}{'confidence':>12}  left, top, right, bottom in pixels{note}"]
    for i, number in enumerate(answer.numbers, start=1):
        xs, ys = number["box"][::2], number["box"][1::2]
        edges = ", ".join(f"{edge:.0f}" for edge in (min(xs), min(ys), max(xs), max(ys)))
        rows.append(f"{i:>4}  {number['text']:<10}{number['confidence']:>12.2%}  {edges}")
    if answer.numbers_cut_off:
        rows.append(f"      cut off at {len(answer.numbers)} numbers: there may be more, see --max-numbers")
    return "\n".join(rows)


def _parser() -> argparse.ArgumentParser:
    parser = cli.parser(
        description="Read the numbers in a few images.",
        example="python -m trainer.predict image.png --draw read.png",
        check_place=_check_place,
    )
    parser.add_argument("--model", default=released.DEFAULT, metavar="EXPORT", help=released.HELP)
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="image files of any format that Pillow reads")
    parser.add_argument("--format", choices=["table", "json"], default="table", help="json: one object per line")
    parser.add_argument(
        "--draw",
        metavar="PNG",
        help="also draw each photo with its numbers framed; for a model that reads whole images, each image, its "
        "answer, and where the model looked for each character",
    )
    parser.add_argument(
        "--beam-width", type=int, help="hypotheses that beam search follows; by default two for each candidate"
    )
    parser.add_argument(
        "--candidates",
        type=int,
        help="candidates to print; by default as many as --beam-width, else the model's own number",
    )
    region_options.add_arguments(parser)
    image_kinds.add_argument(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
