"""Cut numbers out of the images in a list, as a recogniser would get them from a finder."""

import logging
import os
from collections.abc import Sequence
from dataclasses import replace
from hashlib import blake2b
from itertools import groupby

from PIL import Image

from trainer.cli import UserError
from trainer.data.images import image_io, image_source
from trainer.data.images.image_kinds import UnreadableImage
from trainer.data.labels import upright_cut
from trainer.data.labels.labelled_folder import LabelledFile
from trainer.files import whole_file

log = logging.getLogger(__name__)

MARGIN = 0.3  # relative to the shorter side of a box; between the margins with which `regions` cuts
SIDE = 320  # pixels of the longer side, at most
LARGEST = 1e6  # the largest distance of a corner from the image, in pixels


def write(numbers: Sequence[LabelledFile], folder: str) -> list[LabelledFile]:
    """Cut numbers out, upright and with a margin, into PNG files in a folder; existing files are kept.

    Args:
      numbers: one text with its box each; numbers of the same image are consecutive.
      folder: created if needed.
    Returns:
      The list of the new files; numbers whose image cannot be read are left out and logged.
    Raises:
      UserError: the path is not a folder and none can be created there.
    """
    try:
        os.makedirs(folder, exist_ok=True)
    except FileExistsError as error:
        raise UserError(f"{folder} is not a folder: choose another --workdir") from error
    found: list[LabelledFile] = []
    for path, group in groupby(numbers, key=lambda number: number.path):
        try:
            found += _of_image(path, list(group), folder)
        except (UnreadableImage, OSError) as error:
            log.warning("%s is left out: %s", path, getattr(error, "detail", error))
    return found


def _of_image(path: str, numbers: Sequence[LabelledFile], folder: str) -> list[LabelledFile]:
    named = [replace(one, path=os.path.join(folder, _name(one)), boxes=()) for one in numbers]
    if all(os.path.exists(one.path) for one in named):
        return named
    with image_source.opened(path) as file:
        image = image_io.load_file(file).image
    kept = []
    for number, one in zip(numbers, named, strict=True):
        [box] = number.boxes
        if box is None or not all(abs(value) <= LARGEST for value in box) or not _overlaps(box, image):
            log.warning("%s: the box of %s is not in the image, so it is left out", path, number.texts[0])
            continue
        cut = upright_cut.cut(image, upright_cut.widened(box, MARGIN), most=SIDE)
        whole_file.write(one.path, image_io.encode(cut, "png"))
        kept.append(one)
    return kept


def _overlaps(box: Sequence[float], image: Image.Image) -> bool:
    xs, ys = box[::2], box[1::2]
    return max(xs) > 0 and max(ys) > 0 and min(xs) < image.width and min(ys) < image.height


def _name(number: LabelledFile) -> str:
    described = f"{number.path}\n{number.texts}\n{number.boxes}".encode("utf-8", "surrogateescape")
    return f"{blake2b(described, digest_size=10).hexdigest()}.png"
