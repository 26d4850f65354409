"""Turns labelled pictures into training records: `python -m beam_pipelines.prepare --help`."""

import argparse
import csv
import io
import posixpath
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from apache_beam.io.filesystems import FileSystems

from beam_pipelines import dataset, digit_struct, images, shards
from beam_pipelines.shards import Reject
from trainer import cli
from trainer.cli import UserError
from trainer.records import Box, Record
from trainer.vocab import Vocab


@dataclass(frozen=True)
class Labelled:
    """A picture before it is read: where it is, what it says, and where its characters are, in pixels."""

    key: str
    path: str
    text: str
    split: str | None = None  # what the input says; else shares decide
    char_boxes: tuple[Box, ...] = ()


@dataclass(frozen=True)
class MakeRecord:
    """Reads, crops and encodes one labelled picture."""

    vocab: Vocab
    max_digits: int
    size: int
    file_type: str
    source: str

    def key(self, item: Labelled) -> str:
        return item.key

    def __call__(self, item: Labelled) -> Record:
        """Makes the record.

        Raises:
          Reject: `label`, `too-long`, `missing-picture`, `undecodable`, `too-large`, `box-size`, `box-outside`.
        """
        try:
            self.vocab.encode(item.text)
        except ValueError as error:
            raise Reject("label", str(error)) from error
        if len(item.text) > self.max_digits:
            raise Reject("too-long", f"the label {item.text!r} has more than {self.max_digits} characters")
        data = images.read(item.path)
        picture = images.load(data)
        if item.char_boxes:
            return self._cropped(item, picture.image)
        if picture.file_type:
            return Record(data, picture.file_type, item.key, item.text, self.source)
        return Record(images.encode(picture.image, self.file_type), self.file_type, item.key, item.text, self.source)

    def _cropped(self, item: Labelled, image) -> Record:
        for left, top, right, bottom in item.char_boxes:
            if right <= left or bottom <= top:
                raise Reject("box-size", f"a box has the size {right - left:g}x{bottom - top:g}")
        box = images.union(item.char_boxes)
        crop = images.square_around(box, image.size)
        # Bilinear over the area that shrinks into a pixel, in one step from the original.
        resized = image.resize((self.size, self.size), images.Image.Resampling.BILINEAR, box=crop)
        return Record(
            images.encode(resized, self.file_type),
            self.file_type,
            item.key,
            item.text,
            self.source,
            images.relative(box, crop),
            [images.relative(b, crop) for b in item.char_boxes],
        )


def read_digit_struct(folder: str) -> Iterator[Labelled]:
    """The pictures of a folder with `digitStruct.mat`, in the order of the file.

    Raises:
      UserError: there is no such file.
    """
    mat = posixpath.join(folder, "digitStruct.mat")
    if not FileSystems.exists(mat):
        raise UserError(f"{folder} has no digitStruct.mat: give --input the folder that holds it and the pictures")
    name = posixpath.basename(folder.rstrip("/"))
    for entry in digit_struct.read(mat):
        yield Labelled(
            key=f"{name}/{entry.name}",
            path=posixpath.join(folder, entry.name),
            text="".join(str(d.label) for d in entry.digits),
            char_boxes=tuple((d.left, d.top, d.left + d.width, d.top + d.height) for d in entry.digits),
        )


def read_csv(path: str, images_folder: str | None) -> Iterator[Labelled]:
    """The rows of a CSV file with the columns `file`, `label` and, if it likes, `split`.

    Raises:
      UserError: there is no such file, or a column is missing.
    """
    if not path.endswith(".csv"):
        path = posixpath.join(path, "labels.csv")
    if not FileSystems.exists(path):
        raise UserError(f"there is no {path}: give --input a CSV file, or a folder with labels.csv")
    folder = posixpath.dirname(path)
    if images_folder is None:
        beside = posixpath.join(folder, "images")
        images_folder = beside if shards.holds_files(beside) else folder
    with FileSystems.open(path, compression_type="uncompressed") as file:
        rows = csv.DictReader(io.TextIOWrapper(file, encoding="utf-8-sig", newline=""))
        missing = {"file", "label"} - set(rows.fieldnames or ())
        if missing:
            raise UserError(f"{path} has no column {', '.join(sorted(missing))}: its first line must be file,label")
        name = posixpath.basename(folder)
        for row in rows:
            yield Labelled(
                key=posixpath.join(name, row["file"]),
                path=posixpath.join(images_folder, row["file"]),
                text=(row["label"] or "").strip(),
                split=row.get("split") or None,
            )


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    return cli.exit_status(_run, argv)


def _run(argv: list[str] | None) -> None:
    args, beam_args = _parser().parse_known_args(argv)
    shards.options_from(beam_args)
    shares = dataset.parse_split(args.split)
    if args.format == "digitstruct":
        items, source = list(read_digit_struct(args.input)), "svhn"
    else:
        items, source = list(read_csv(args.input, args.images)), "csv"
    if not items:
        raise UserError(f"{args.input} names no pictures")
    if dataset.is_done(args):
        return
    splits: dict[str, list[Labelled]] = defaultdict(list)
    for index in np.random.default_rng(args.seed).permutation(len(items)):
        item = items[index]
        splits[item.split or dataset.split_of(item.key, shares)].append(item)
    vocab = Vocab(args.alphabet)
    make = MakeRecord(vocab, args.max_digits, args.size, args.image_format, source)
    dataset.write(splits, make, vocab, args=args, argv=argv, module="beam_pipelines.prepare", beam_args=beam_args)


def _parser() -> argparse.ArgumentParser:
    parser = cli.parser(
        description="Turn labelled pictures into sharded TFRecords. Beam's own options (--runner, ...) pass through.",
        example="python -m beam_pipelines.prepare --format digitstruct --input svhn/train --output data/svhn",
    )
    parser.add_argument(
        "--format",
        required=True,
        choices=["digitstruct", "csv"],
        help="digitstruct: SVHN format 1, cropped around the number; csv: file,label[,split] rows, whole pictures",
    )
    parser.add_argument("--input", required=True, help="the folder with digitStruct.mat, or the CSV file")
    parser.add_argument("--images", help="csv: the folder of the pictures; images/ beside the CSV file, or its folder")
    parser.add_argument(
        "--split", default="train", help="where the input names none; or shares: train:0.9,validation:0.1"
    )
    parser.add_argument("--size", type=int, default=64, help="digitstruct: side of the square crop, in pixels")
    dataset.add_arguments(parser)
    return parser


if __name__ == "__main__":
    from beam_pipelines import prepare  # workers find pickled classes by this name, not by __main__

    sys.exit(prepare.main())
