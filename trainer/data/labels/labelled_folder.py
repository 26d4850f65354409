"""Read a folder of labelled images: with a list, with labels as file names, or with a sub-folder for each label."""

import csv
import io
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from trainer.cli import UserError
from trainer.data.images.image_kinds import IMAGE_ENDINGS
from trainer.data.labels import box_columns, listed_names
from trainer.data.labels.box_corners import Corners
from trainer.files import local_file

LABELS_FILE = "labels.csv"


@dataclass(frozen=True)
class LabelledFile:
    """An image file, the texts of its numbers (none if it shows no number), and its split ("" if none is given).

    `boxes` has the corners of each number in pixels, None for one without a box; it is empty if the list has no boxes.
    """

    path: str
    texts: tuple[str, ...]
    split: str = ""
    boxes: tuple[Corners | None, ...] = ()


def read(folder: str, alphabet: str, split: str | None = None, images: str | None = None) -> list[LabelledFile]:
    """Return the labelled images of a folder, sorted by path.

    Labels are taken from `labels.csv` with the columns `file`, `label` and, optionally, `split` and the columns of a
    box. Several rows of one file are several numbers; an empty label means that the image shows none. Without the list,
    an image in a sub-folder whose name consists of characters of the alphabet has that name as its label; the label of
    any other image is its file name up to the first underscore. With `split`, only rows with this value in the column
    `split` are used.

    Listed names are relative to `images`, by default the folder or its sub-folder `images`, and must stay inside it. If
    `images` is given, they may also be absolute, or relative to the folder, as long as they are inside `images`.

    Raises:
      UserError: the folder does not exist, has no images, an image has no label, or a name is outside the folder.
    """
    top = Path(folder)
    if not top.is_dir():
        raise UserError(
            f"{folder} is not a local folder: give one with images and {LABELS_FILE}, or with labels as file names"
        )
    if images or split or (top / LABELS_FILE).exists():
        found = _listed(top, split, images)
    else:
        found = [LabelledFile(path, (_label(top, path, alphabet),)) for path in _images(top)]
    if not found:
        what = f"rows of the split {split}" if split else "images: their names end in .jpg, .png etc."
        raise UserError(f"{folder} has no {what}")
    return sorted(found, key=lambda file: file.path)


def _images(top: Path) -> Iterator[str]:
    for parent, folders, names in os.walk(top):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (os.path.join(parent, name) for name in names if name.lower().endswith(IMAGE_ENDINGS))


def _label(top: Path, path: str, alphabet: str) -> str:
    inside = Path(path).relative_to(top)
    for name in (inside.parent.name, inside.stem.partition("_")[0]):
        if name and set(name) <= set(alphabet):
            return name
    raise UserError(
        f"{path} has no label: name it like 123_front.jpg, put it into a folder 123, or list all images in "
        f"{top / LABELS_FILE}"
    )


def _listed(top: Path, split: str | None, images: str | None) -> list[LabelledFile]:
    """Return the images that `labels.csv` lists, of one split or of all."""
    path = top / LABELS_FILE
    found: dict[str, LabelledFile] = {}
    for line, row in _rows(path, ("file", "label", *(["split"] if split else []))):
        place, label = _place(top, images, row["file"]), row["label"]
        if place is None:
            raise UserError(
                f"{path}, line {line}: {row['file']} leads out of {images or top}: give a folder that contains it "
                "as --images"
            )
        if split in (None, row.get("split")) and not label:
            found.setdefault(place, LabelledFile(place, (), row.get("split", "")))
        elif split in (None, row.get("split")):
            before = found.get(place, LabelledFile(place, (), row.get("split", "")))
            found[place] = replace(before, texts=(*before.texts, label), boxes=(*before.boxes, *_box(row, path, line)))
    return list(found.values())


def _box(row: dict[str, str], path: Path, line: int) -> tuple[Corners | None, ...]:
    """Return the box of a row as the only item; empty if the list has no columns for it."""
    columns = box_columns.columns_of(tuple(row), str(path))
    try:
        return (box_columns.corners_in(row, columns),) if columns else ()
    except ValueError as error:
        raise UserError(f"{path}, line {line}: {error}") from error


def _rows(path: Path, needed: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the line number and the values by column of each row of a CSV file, without spaces around the values.

    Raises:
      UserError: the file is missing, or not CSV in UTF-8 with these columns and a file in each row.
    """
    if not path.exists():
        raise UserError(f"{path} does not exist: a split, or a folder of images, needs a list")
    text = local_file.read_text(str(path), named=str(path), advice="save it as CSV in UTF-8")
    header = text.partition("\n")[0]
    delimiter = max(",;\t", key=header.count)
    rows = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True)
    rows.fieldnames = [name.strip().lower() for name in rows.fieldnames or []]
    if not set(needed) <= set(rows.fieldnames):
        raise UserError(f"{path} must have the columns {', '.join(needed)}; its first line is {header.strip()!r}")
    try:
        for row in rows:
            values = {name: (row[name] or "").strip() for name in rows.fieldnames}
            if not values["file"] or "\0" in values["file"]:
                raise UserError(f"{path}, line {rows.line_num}: no file is named")
            yield rows.line_num, values
    except csv.Error as error:
        raise UserError(f"{path}, after line {rows.line_num}: {error}") from error


def _place(top: Path, images: str | None, name: str) -> str | None:
    """Return the path of a listed file; None if it is outside the folder of the images."""
    inside = listed_names.inside(name)
    if images is None:
        choices = [os.path.join(top, part, inside) for part in ("", "images")] if inside else []
    else:
        names = (inside, listed_names.below(images, os.path.join(top, name)))
        choices = [os.path.join(images, one) for one in names if one]
    return next(filter(os.path.exists, choices), next(iter(choices), None))
