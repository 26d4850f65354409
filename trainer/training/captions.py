"""Draw what a model answered to labelled images, for TensorBoard."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from trainer.inference.measuring.measured import Shown

NARROWEST = 240  # pixels; narrower images are enlarged by a whole factor, so that a caption has room
STRIP, SIZE = 22, 14  # pixels of height of a caption, and of its letters
INK = {True: (0, 0, 0), False: (200, 0, 0)}
FRAME = {True: (0, 200, 80), False: (255, 120, 0)}  # of the label, and of the answer


@dataclass(frozen=True)
class Captioned:
    """Images with captions below them, uint8 [N, H, W, 3], each enlarged `factor` times."""

    images: np.ndarray
    factor: int


def draw(images: np.ndarray, shown: Sequence[Shown]) -> Captioned:
    """Draw the boxes and the caption of each image.

    Args:
      images: uint8 [N, H, W, 3].
      shown: the caption and the boxes of each.
    """
    factor = -(-NARROWEST // images.shape[2])
    drawn = [_draw(Image.fromarray(image), one, factor) for image, one in zip(images, shown, strict=True)]
    return Captioned(np.stack(drawn), factor)


def _draw(image: Image.Image, shown: Shown, factor: int) -> np.ndarray:
    image = image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)
    sheet = Image.new("RGB", (image.width, image.height + STRIP), "white")
    sheet.paste(image)
    pen = ImageDraw.Draw(sheet)
    for boxes, of_label in ((shown.label_boxes, True), (shown.boxes, False)):
        for box in boxes:
            corners = [(float(x) * factor, float(y) * factor) for x, y in zip(box[::2], box[1::2], strict=True)]
            pen.line([*corners, corners[0]], fill=FRAME[of_label], width=2)
    font = ImageFont.load_default(size=SIZE)
    pen.text((4, image.height + 2), shown.caption, fill=INK[shown.right], font=font)
    return np.asarray(sheet)
