"""The list of the user's labelled images for fine-tuning a model: their splits, alphabet and longest label."""

import csv
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path

from trainer.cli import UserError
from trainer.data.labels import labelled_folder, number_cuts
from trainer.data.labels.labelled_folder import LABELS_FILE, LabelledFile
from trainer.files import local_file, whole_file
from trainer.vocab import DIGITS

TRAIN, VALIDATION = "train", "validation"
HELD_OUT = 5  # one in this many images is held out for validation, if the list has no splits
FEWEST = 10  # images


@dataclass(frozen=True)
class FinetuningList:
    """Images with one number each, in the splits `train` and `validation`, and how many others there are.

    If the list has boxes, `cut` makes each number with a box a separate image.
    """

    files: tuple[LabelledFile, ...]
    left_out: int

    @property
    def has_boxes(self) -> bool:
        """Whether the numbers are parts of their images."""
        return any(file.boxes for file in self.files)

    @property
    def alphabet(self) -> str:
        """Return all characters of the labels, and all digits, sorted."""
        return "".join(sorted({char for file in self.files for char in file.texts[0]} | set(DIGITS)))

    @property
    def max_length(self) -> int:
        return max(len(file.texts[0]) for file in self.files)

    def count(self, split: str) -> int:
        return sum(file.split == split for file in self.files)

    def cut(self, folder: str) -> "FinetuningList":
        """Cut the numbers out of their images, into PNG files in a folder, and return the list of these files.

        Raises:
          UserError: too few of the images can be read.
        """
        files = number_cuts.write(self.files, folder)
        _check_count(files, folder)
        return replace(self, files=tuple(files), left_out=self.left_out + len(self.files) - len(files))

    def write(self, folder: str) -> None:
        """Write `labels.csv` into a folder, completely or not at all, unless it exists already.

        Raises:
          UserError: another list exists there, or the path is not a folder.
        """
        out = io.StringIO(newline="")
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(["file", "label", "split"])
        writer.writerows([file.path, file.texts[0], file.split] for file in self.files)
        content, path = os.fsencode(out.getvalue()), os.path.join(folder, LABELS_FILE)
        if not os.path.lexists(path):
            try:
                os.makedirs(folder, exist_ok=True)
            except FileExistsError as error:
                raise UserError(f"--workdir {folder} is not a folder: choose another one") from error
            whole_file.write(path, content)
        elif not _holds(path, content):
            raise UserError(f"{path} lists other images or labels: give a new --workdir, or remove that folder")


def _holds(path: str, content: bytes) -> bool:
    """Return whether a path is a regular file with this content."""
    try:
        with local_file.open_regular(path) as file:
            return file.read(len(content) + 1) == content
    except OSError:
        return False


def read(folder: str, alphabet: str, images: str | None = None) -> FinetuningList:
    """Return the labelled images of a folder, see `labelled_folder.read`, each with its split.

    Splits are those of its list. If it has none, one in five images is held out: those whose names have the lowest
    hashes. If the list has boxes, there is an entry for each number that has one.

    Raises:
      UserError: as `labelled_folder.read`; there are fewer than ten images with one number; or the list has other
        splits, or lacks one.
    """
    found = labelled_folder.read(folder, alphabet, images=images)
    files = [replace(one, path=os.path.abspath(one.path)) for file in found for one in _single(file)]
    _check_count(files, folder)
    if not any(file.split for file in files):
        files = _split(files, Path(os.path.abspath(images or folder)))
    missing = {TRAIN, VALIDATION} - {file.split for file in files}
    other = sorted({file.split for file in files} - {TRAIN, VALIDATION})
    if missing or other:
        raise UserError(
            f"the column split of {folder}/{LABELS_FILE} must say {TRAIN} or {VALIDATION} in each row, and both must "
            "occur: correct it, or remove the column"
        )
    used = {file.path for file in files}
    return FinetuningList(tuple(files), len(found) - len(used))


def _single(file: LabelledFile) -> list[LabelledFile]:
    """Return an entry for each number that has a box; without boxes, the image itself if it shows one number."""
    if not any(file.boxes):
        return [replace(file, boxes=())] if len(file.texts) == 1 and not file.boxes else []
    numbers = zip(file.texts, file.boxes, strict=True)
    return [replace(file, texts=(text,), boxes=(box,)) for text, box in numbers if box is not None]


def _check_count(files: Sequence[LabelledFile], folder: str) -> None:
    if len(files) < FEWEST:
        raise UserError(f"{folder} has {len(files)} images with one number: give at least {FEWEST}")


def _split(files: Sequence[LabelledFile], top: Path) -> list[LabelledFile]:
    def rank(file: LabelledFile) -> bytes:
        return blake2b(Path(file.path).relative_to(top).as_posix().encode("utf-8", "surrogateescape")).digest()

    held_out = {file.path for file in sorted(files, key=rank)[: max(1, len(files) // HELD_OUT)]}
    return [replace(file, split=VALIDATION if file.path in held_out else TRAIN) for file in files]
