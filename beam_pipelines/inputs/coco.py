"""Read images listed in a COCO file, with the numbers in them as annotations."""

import os
import posixpath
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from apache_beam.io.filesystems import FileSystems

from beam_pipelines.inputs import image_folder, labelled
from beam_pipelines.inputs.image_folder import ImageFolder
from beam_pipelines.inputs.labelled import Labelled
from beam_pipelines.sharding import listing
from beam_pipelines.sharding.shards import Reject
from trainer.cli import UserError
from trainer.data.formats.records import Corners, Number
from trainer.data.labels import box_corners
from trainer.files import json_content

ADVICE = "give a COCO file, a JSON object with the lists images and annotations"
LABELS = "annotations.json"  # in a folder


@dataclass(frozen=True)
class CocoImages:
    """The images of a COCO file. A place is an index into its list `images`; each process holds the whole file.

    A number's corners are those of its `segmentation`, if that is one polygon of four points, else those of its `bbox`.
    Its text is `text`, `attributes.text` or, if it consists of digits, the name of its category.
    """

    path: str
    written: float
    list_folder: ImageFolder
    name: str = "coco"
    has_boxes: bool = True
    has_several: bool = False

    @property
    def images(self) -> tuple[str, str]:
        return self.list_folder.folder, self.list_folder.prefix

    def entries(self) -> Iterator[tuple[int, str, str | None]]:
        """Yield the images, each with its split, if it has the key `split`, as files of `inspect --coco` do."""
        for place, image in enumerate(_contents(self.path, self.written).images):
            yield place, self.list_folder.key(str(image["file_name"])), str(image.get("split") or "") or None

    def key(self, place: int) -> str:
        return self.list_folder.key(str(_contents(self.path, self.written).images[place]["file_name"]))

    def read(self, place: int) -> Labelled:
        """Read an image's annotations.

        Raises:
          Reject: `outside-folder`; `label`, `no-box` or `box-value` for an annotation without them; `duplicate-box`.
        """
        contents = _contents(self.path, self.written)
        image = contents.images[place]
        name = str(image["file_name"])
        annotations = contents.annotations.get(str(image["id"]), [])
        numbers = [_number(annotation, contents.categories) for annotation in annotations]
        return labelled.with_numbers(self.list_folder.key(name), self.list_folder.path(name), numbers, _size(image))


def path_of(given: str) -> str:
    """Return the COCO file that --input names: the path itself, or annotations.json in a folder."""
    is_file = not os.path.isdir(given) and (given.lower().endswith(".json") or os.path.isfile(given))
    return given if is_file else posixpath.join(given, LABELS)


def open_coco(given: str, images_folder: str | None) -> CocoImages:
    """Open a COCO file.

    Raises:
      UserError: the file does not exist, is not JSON, or lacks a list or a key.
    """
    path = path_of(given)
    if not listing.exists(path):
        raise UserError(f"{path} does not exist: give --input a COCO file, or a folder with {LABELS}")
    source = CocoImages(path, FileSystems.last_updated(path), image_folder.of_list(path, images_folder))
    _contents(path, source.written)
    return source


@dataclass(frozen=True)
class _Contents:
    """The contents of a COCO file: its images, their annotations by image id, category names by id."""

    images: list[dict[str, Any]]
    annotations: dict[str, list[dict[str, Any]]]
    categories: dict[str, str]


# Each process keeps its last file, since all shards of a run read the same one.
@lru_cache(maxsize=1)
def _contents(path: str, written: float) -> _Contents:
    with labelled.private_copy(path, written) as file:
        file.seek(0)
        raw = json_content.parse(file.read(), path, advice=ADVICE, keys=("images", "annotations"))
    listed = _entries(raw, "images", ("id", "file_name"), path)
    ids = {str(image["id"]) for image in listed}
    if len(ids) < len(listed):
        raise UserError(f"{path}: two of its images have the same id: give each its own")
    annotations: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for i, annotation in enumerate(_entries(raw, "annotations", ("image_id",), path)):
        if str(annotation["image_id"]) not in ids:
            raise UserError(
                f"{path}, annotations[{i}] belongs to the image {annotation['image_id']!r}, which is not among images: "
                "add it, or remove the annotation"
            )
        annotations[str(annotation["image_id"])].append(annotation)
    categories = _entries(raw, "categories", ("id", "name"), path)
    return _Contents(listed, dict(annotations), {str(kind["id"]): str(kind["name"]) for kind in categories})


def _entries(raw: dict[str, Any], name: str, keys: tuple[str, ...], path: str) -> list[dict[str, Any]]:
    """Return a list of objects.

    Raises:
      UserError: it is not a list, or an object lacks a key.
    """
    try:
        entries = list(raw.get(name, []))
    except TypeError as error:
        raise UserError(f"{path}: {name} is {raw[name]!r}, not a list: {ADVICE}") from error
    for i, entry in enumerate(entries):
        for key in keys:
            try:
                entry[key]
            except (KeyError, TypeError) as error:
                raise UserError(f"{path}, {name}[{i}] has no {key}: add it") from error
    return entries


def _number(annotation: dict[str, Any], categories: dict[str, str]) -> Number:
    named = f"annotation {annotation.get('id', '')}".strip()
    try:
        texts = (annotation.get("text"), (annotation.get("attributes") or {}).get("text"))
    except AttributeError as error:
        raise Reject("label", f"{named} has attributes that are not an object: {annotation['attributes']!r}") from error
    category = categories.get(str(annotation.get("category_id")), "")
    written = [str(text).strip() for text in texts if text is not None]
    written += [category] if category.isascii() and category.isdigit() else []
    if not any(written):
        raise Reject("label", f"{named} has no text: add its number as text, attributes.text or category name")
    return Number(next(filter(None, written)), _corners(annotation, named))


def _corners(annotation: dict[str, Any], named: str) -> Corners:
    try:
        ((x0, y0, x1, y1, x2, y2, x3, y3),) = (map(float, polygon) for polygon in annotation["segmentation"])
    except (KeyError, TypeError, ValueError):  # no segmentation, a mask, or another polygon
        pass
    else:
        return x0, y0, x1, y1, x2, y2, x3, y3
    if "bbox" not in annotation:
        raise Reject("no-box", f"{named} has neither a bbox nor a segmentation of four points")
    try:
        left, top, width, height = map(float, annotation["bbox"])
    except (TypeError, ValueError) as error:
        raise Reject("box-value", f"{named} has the bbox {annotation['bbox']!r}, not four numbers") from error
    return box_corners.of_box((left, top, left + width, top + height))


def _size(image: dict[str, Any]) -> tuple[int, int] | None:
    """Return the width and height to which the boxes refer, if the file says so."""
    try:
        return int(image["width"]), int(image["height"])
    except (KeyError, TypeError, ValueError):
        return None
