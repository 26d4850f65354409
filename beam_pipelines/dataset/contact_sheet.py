"""Draw contact sheets: many labelled images in one, each with the data of its record."""

import math
from collections.abc import Sequence

from apache_beam.io.filesystems import FileSystems
from PIL import Image, ImageDraw, ImageFont

from beam_pipelines.inputs import images
from beam_pipelines.sharding import listing
from beam_pipelines.sharding.shards import Reject
from trainer.data.formats.records import Box, Record
from trainer.files import replaceable
from trainer.files.replaceable import FileKind

CELL = 150  # pixels; also the longest side of an image
CAPTION = 46  # pixels below each image
KEY_END = 28  # characters shown of a key: the last ones, which are the most specific
MARGIN = 6
COLUMNS = 10
PAPER, INK, FAINT = "white", "black", "#666666"
NUMBER_BOX, CHARACTER_BOX = "#ff2d2d", "#00c853"


def check_replaceable(path: str, flag: str, kind: FileKind = replaceable.IMAGE) -> None:
    """Check that writing a file, by default a sheet, would replace at most a file of the same kind.

    Raises:
      UserError: it would replace something else.
    """
    if not listing.is_remote(path):
        replaceable.check_replaceable(path, flag, kind)
    elif listing.exists(path):
        with FileSystems.open(path) as file:
            replaceable.check_header(file.read(replaceable.HEADER_BYTES), path, flag, kind)


def draw(sampled: Sequence[tuple[str, Record]]) -> Image.Image:
    """Draw (split, record) pairs in rows: the image, its boxes, the label, and where it comes from."""
    columns = max(1, min(COLUMNS, len(sampled)))
    rows = max(1, math.ceil(len(sampled) / columns))
    width, height = CELL + 2 * MARGIN, CELL + CAPTION + 2 * MARGIN
    paper = Image.new("RGB", (columns * width, rows * height), PAPER)
    for place, (split, record) in enumerate(sampled):
        row, column = divmod(place, columns)
        paper.paste(_cell(split, record), (column * width + MARGIN, row * height + MARGIN))
    return paper


def _cell(split: str, record: Record) -> Image.Image:
    cell = Image.new("RGB", (CELL, CELL + CAPTION), PAPER)
    canvas = ImageDraw.Draw(cell)
    try:
        image = images.load(record.encoded).image
    except Reject as reject:
        canvas.text((0, CELL / 2), reject.reason, fill=NUMBER_BOX, font=ImageFont.load_default(14))
        size = f"{record.format}?"
    else:
        size = f"{image.width}x{image.height}"
        scale = CELL / max(image.size)
        shown = image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale))))
        left, top = (CELL - shown.width) // 2, CELL - shown.height
        cell.paste(shown, (left, top))
        for box, colour in [*((box, CHARACTER_BOX) for box in record.char_boxes), (record.box, NUMBER_BOX)]:
            if box and not record.numbers:
                canvas.rectangle(_placed(box, shown.size, (left, top)), outline=colour)
        for number in record.numbers:
            points = [(left + x * shown.width, top + y * shown.height) for x, y in number.points]
            canvas.polygon(points, outline=NUMBER_BOX)
            canvas.line(points[:2], fill=CHARACTER_BOX, width=2)  # the top edge, to show how the number is rotated
    canvas.text(
        (0, CELL),
        " ".join(number.text for number in record.numbers) or record.text,
        fill=INK,
        font=ImageFont.load_default(18),
    )
    for line, text in enumerate((f"{split} {record.source} {size}", record.key[-KEY_END:])):
        canvas.text((0, CELL + 21 + 12 * line), text, fill=FAINT, font=ImageFont.load_default(10))
    return cell


def _placed(box: Box, size: tuple[int, int], corner: tuple[int, int]) -> list[float]:
    """Return a box, relative to the image (0-1), in pixels of the cell, with its outline inside the image."""
    width, height = size[0] - 1, size[1] - 1
    left, top = corner
    return [left + box[0] * width, top + box[1] * height, left + box[2] * width, top + box[3] * height]
