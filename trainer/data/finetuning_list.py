"""The list of a person's labelled images by which a model is fine-tuned: their splits, alphabet and longest label."""

import csv
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path

from trainer.cli import UserError
from trainer.data import labelled_folder
from trainer.data.labelled_folder import LABELS_FILE, LabelledFile
from trainer.files import local_file, whole_file
from trainer.vocab import DIGITS

TRAIN, VALIDATION = "train", "validation"
HELD_OUT = 5  # one in so many images is kept for validation, where the list does not say which
FEWEST = 10  # images


@dataclass(frozen=True)
class FinetuningList:
    """Images with one number each, in the splits `train` and `validation`, and how many others there are."""

    files: tuple[LabelledFile, ...]
    left_out: int

    @property
    def alphabet(self) -> str:
        """Return all characters of the labels, and all digits, sorted."""
        return "".join(sorted({char for file in self.files for char in file.texts[0]} | set(DIGITS)))

    @property
    def max_length(self) -> int:
        return max(len(file.texts[0]) for file in self.files)

    def count(self, split: str) -> int:
        return sum(file.split == split for file in self.files)

    def write(self, folder: str) -> None:
        """Write `labels.csv` into a folder, whole or not at all, unless it is there.

        Raises:
          UserError: there is another list, or the folder is not one.
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

    Splits are those of its list; without, one in five images is held out, whichever have the lowest hash of their name.

    Raises:
      UserError: as there; there are fewer than ten images with one number; or the list has other splits, or lacks one.
    """
    found = labelled_folder.read(folder, alphabet, images=images)
    files = [replace(file, path=os.path.abspath(file.path)) for file in found if len(file.texts) == 1]
    if len(files) < FEWEST:
        raise UserError(f"{folder} has {len(files)} images with one number: give at least {FEWEST}")
    if not any(file.split for file in files):
        files = _split(files, Path(os.path.abspath(images or folder)))
    missing = {TRAIN, VALIDATION} - {file.split for file in files}
    other = sorted({file.split for file in files} - {TRAIN, VALIDATION})
    if missing or other:
        raise UserError(
            f"the column split of {folder}/{LABELS_FILE} must say {TRAIN} or {VALIDATION} in each row, and both must "
            "occur: correct it, or remove the column"
        )
    return FinetuningList(tuple(files), len(found) - len(files))


def _split(files: Sequence[LabelledFile], top: Path) -> list[LabelledFile]:
    def rank(file: LabelledFile) -> bytes:
        return blake2b(Path(file.path).relative_to(top).as_posix().encode("utf-8", "surrogateescape")).digest()

    held_out = {file.path for file in sorted(files, key=rank)[: max(1, len(files) // HELD_OUT)]}
    return [replace(file, split=VALIDATION if file.path in held_out else TRAIN) for file in files]
