"""Read the numbers in a few images; print or draw the answers."""

import argparse
import contextlib
import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from PIL import Image

from trainer import cli, logs
from trainer.cluster import environment
from trainer.data.images import image_io, image_kinds, image_source
from trainer.files import replaceable
from trainer.inference import attention_overlay, box_overlay
from trainer.inference.box_overlay import Photo
from trainer.inference.decoding import beam_width
from trainer.inference.exports import any_model, exported_model
from trainer.inference.exports.any_model import Model
from trainer.inference.exports.exported_model import Answer
from trainer.inference.photos.region_options import TENSORFLOW

DRAWN_SIDE = 1024  # pixels
FEW = 200  # images; up to this many, optimising a graph takes longer than it saves


def read(args: argparse.Namespace) -> None:
    """Read the images that the command line of `svhn predict` names.

    Raises:
      UserError: some could not be read; the answers of the others were printed.
    """
    model = any_model.load(args.model, args.engine)
    finds = "finder" in model.info
    only_there = (args.regions == "whole") if finds else args.draw  # whole photos, and where the model looked
    if only_there and args.engine is None:
        model = any_model.load(args.model, TENSORFLOW)
    # It takes four seconds for a finder with its recogniser, and a few tenths of one for a recogniser alone.
    slow = model.engine == TENSORFLOW and finds and len(args.images) <= FEW
    with environment.unoptimised_graphs() if slow else contextlib.nullcontext():
        _read_all(model, args)


def _read_all(model: Model, args: argparse.Namespace) -> None:
    width, candidates = beam_width.sizes(args.beam_width, args.candidates, model.info["beam_width"])
    most, whole = args.max_numbers, args.regions == "whole"
    calibrated = bool(exported_model.reading_info(model.info, whole=whole)["calibration"])
    looks: list[attention_overlay.Look] = []
    photos: list[Photo] = []
    unread = []
    for path in args.images:
        try:
            with _opened(path) as source:
                shrunk = image_io.for_model(source, exported_model.input_of(model.info))
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
            row = {"key": path, "text": answer.candidates[0]["text"], **dataclasses.asdict(answer)}
            print(json.dumps(row, ensure_ascii=False))
        elif answer.numbers is not None:
            print(f"{path}\n{numbers_table(answer, calibrated=calibrated)}")
        else:
            texts = [candidate["text"] for candidate in answer.candidates]
            print(f"{path}\n{table(texts, answer.confidence, calibrated=calibrated)}")
    if looks or photos:
        _draw(box_overlay.draw(photos) if photos else attention_overlay.draw(looks), args.draw)
    if unread:
        raise cli.UserError("\n".join(unread))


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


def _look(model: Model, file: bytes, image: Image.Image, answer: Answer) -> attention_overlay.Look:
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
        with replaceable.replacing(path) as file:
            sheet.save(file, "PNG")
    except OSError as error:
        raise cli.UserError(f"--draw {path} cannot be written: {error.strerror}; give the path of a new PNG") from error
    logs.say(f"drawn: {path}")


def table(candidates: Sequence[str], confidence: float, *, calibrated: bool = True) -> str:
    """Return a table of the candidates, best first; only the best one has a (calibrated) confidence."""
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
