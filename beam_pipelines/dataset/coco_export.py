"""Export records as a COCO file: images by key, and a box, corners and text for each number."""

import io
import json
from dataclasses import dataclass, field
from typing import Any

from PIL import Image

from trainer.cli import UserError
from trainer.data.formats.records import Number, Record
from trainer.data.labels import box_corners
from trainer.files.replaceable import FileKind

BEGINNING = {"contributor": "svhn-sequences inspect"}
COCO = FileKind(
    "a COCO file written by this program",
    "a new JSON file",
    (json.dumps({"info": BEGINNING}).removesuffix("}}").encode(),),
)
CATEGORY = {"id": 1, "name": "number", "supercategory": "text"}


@dataclass
class CocoExport:
    """Collects images and annotations.

    Attributes:
      unplaced: the number of images whose number has no box, and so no annotation.
    """

    images: list[dict[str, Any]] = field(default_factory=list)
    annotations: list[dict[str, Any]] = field(default_factory=list)
    unplaced: int = 0

    def add(self, split: str, record: Record) -> None:
        """Add a record; a box without corners becomes an upright one.

        Raises:
          UserError: its image has no readable header, so its size is unknown.
        """
        try:
            size = Image.open(io.BytesIO(record.encoded)).size
        except OSError as error:
            raise UserError(
                f"{record.key!r} is not a readable image: run prepare or synthesize again with --overwrite"
            ) from error
        image = {"id": len(self.images) + 1, "file_name": record.key, "width": size[0], "height": size[1]}
        self.images.append({**image, "split": split})
        numbers = list(record.numbers)
        if not numbers and record.box:
            numbers = [Number(record.text, box_corners.of_box(record.box))]
        self.unplaced += bool(record.text) and not numbers
        for number in numbers:
            self.annotations.append(self._annotation(number, size))

    def _annotation(self, number: Number, size: tuple[int, int]) -> dict[str, Any]:
        corners = [size[i % 2] * value for i, value in enumerate(number.corners)]
        left, top, right, bottom = (size[i % 2] * edge for i, edge in enumerate(number.upright_box))
        x0, y0, x1, y1, x2, y2, x3, y3 = corners
        return {
            "id": len(self.annotations) + 1,
            "image_id": len(self.images),
            "category_id": CATEGORY["id"],
            "text": number.text,
            "bbox": [left, top, right - left, bottom - top],
            "segmentation": [corners],
            "area": abs(box_corners.area((x0, y0, x1, y1, x2, y2, x3, y3))),
            "iscrowd": 0,
        }

    def to_json(self) -> str:
        """Return the content of the file; `COCO` is the signature with which it begins."""
        info = {**BEGINNING, "description": "corners in pixels of the stored images"}
        content = {
            "info": info,
            "licenses": [],
            "categories": [CATEGORY],
            "images": self.images,
            "annotations": self.annotations,
        }
        return json.dumps(content) + "\n"
