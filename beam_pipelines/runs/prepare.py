"""Turn labelled images into training records: `python -m beam_pipelines.prepare --help`."""

import argparse
import posixpath
from collections.abc import Sequence
from dataclasses import dataclass

from beam_pipelines.dataset import writer
from beam_pipelines.inputs import coco, csv_file, identity, images, labelled, splits, svhn
from beam_pipelines.inputs.crops import CropPolicy, check_corners, check_size
from beam_pipelines.inputs.labelled import Labelled, Source
from beam_pipelines.inputs.repeats import NO_REPEATS, Repeats
from beam_pipelines.sharding import beam_options
from beam_pipelines.sharding.shards import Reject
from trainer.cli import UserError
from trainer.data.formats.records import Number, Record
from trainer.data.images import image_io, image_kinds, memory_budget
from trainer.data.labels import box_corners
from trainer.vocab import Vocab

UNLABELLED = "images without an entry"
FURTHER = "further rows of an image"


@dataclass(frozen=True)
class MakeLabelledRecord:
    """Reads, crops and encodes the labelled image at a place of a source."""

    source: Source
    duplicates: frozenset[int]
    crop: CropPolicy
    vocab: Vocab
    max_digits: int
    file_type: str
    max_megapixels: float
    repeats: Repeats = NO_REPEATS

    def key(self, item: int) -> str:
        return self.source.key(item)

    def __call__(self, item: int) -> Record:
        """Build the record.

        Raises:
          Reject: `duplicate-name`, `damaged-entry`, `box-value`, `label`, `too-long`, `missing-picture`,
            `undecodable`, `too-large`, `no-box`, `box-size`, `box-outside`, `box-order`, `duplicate-box`,
            `several-numbers`, `image-size`.
        """
        if item in self.duplicates:
            raise Reject(
                "duplicate-name", "an earlier entry has the same name; several numbers of an image need --crop whole"
            )
        image = labelled.together(list(map(self.source.read, [item, *self.repeats.of(item)])))
        if image.shows_none and self.crop.policy != "whole":
            raise Reject("label", "the label is empty: an image without a number needs --crop whole")
        if len(image.numbers) > 1 and self.crop.policy != "whole":
            raise Reject(
                "several-numbers",
                f"--crop {self.crop.policy} stores one number, but this image has {len(image.numbers)}; use whole",
            )
        if not image.shows_none:
            for text in [number.text for number in image.numbers] or [image.text]:
                self._check_label(text)
        for box in image.char_boxes:
            check_size(box)
        if isinstance(image.image, str):
            image_kinds.limit_megapixels(self.max_megapixels)
            with images.opened(image.image) as file:
                return self._cut(images.load_file(file), image)
        return self._cut(image_io.DecodedImage(image.image), image)

    def _check_label(self, text: str) -> None:
        try:
            self.vocab.encode(text)
        except ValueError as error:
            raise Reject("label", str(error)) from error
        if len(text) > self.max_digits:
            raise Reject("too-long", f"the label {text!r} has more than {self.max_digits} characters")

    def _cut(self, decoded: image_io.DecodedImage, labelled: Labelled) -> Record:
        """Return the record of an image; its file is stored unchanged if possible."""
        if labelled.size not in (None, decoded.image.size):
            sizes = ["x".join(map(str, size)) for size in (decoded.image.size, labelled.size or ())]
            raise Reject("image-size", f"the image is {sizes[0]}, but its boxes are listed for {sizes[1]}")
        for number in labelled.numbers:
            check_corners(number.corners, decoded.image.size)
        cut, area = self.crop(decoded.image, labelled.box, labelled.key)
        kept = decoded.file_type if cut is decoded.image else None
        return Record(
            decoded.data() if kept else image_io.encode(cut, self.file_type),
            kept or self.file_type,
            labelled.key,
            labelled.text,
            self.source.name,
            labelled.box and images.relative(labelled.box, area),
            [images.relative(box, area) for box in labelled.char_boxes],
            [Number(number.text, box_corners.relative(number.corners, area)) for number in labelled.numbers],
        )


def run(args: argparse.Namespace, beam_args: Sequence[str], argv: list[str] | None) -> None:
    """Write the dataset that the command line asks for."""
    beam_options.parse(beam_args)
    memory_budget.return_large_blocks()  # the light pass frees arrays of all rows
    shares = splits.parse_split(args.split)
    source = _open(args)
    args.crop = args.crop or ("tight" if source.has_boxes and args.format != "coco" else "whole")
    if args.crop != "whole" and not source.has_boxes:
        raise UserError(f"--crop {args.crop} needs boxes, but {args.input} has none: choose --crop whole")
    smallest, largest = args.context
    if not 0 <= smallest <= largest < 100:
        raise UserError(f"--context {smallest:g} {largest:g}: give the smallest and the largest margin, e.g. 0 0.4")
    if args.size < 1 or args.max_side < 1:
        raise UserError(f"--size {args.size} --max-side {args.max_side}: both must be at least 1")
    contents = labelled.survey(source, shares, args.seed, grouped=source.has_several and args.crop == "whole")
    crop = CropPolicy(args.crop, args.size, args.max_side, (smallest, largest), args.seed)
    vocab = Vocab(args.alphabet)
    make = MakeLabelledRecord(
        source,
        contents.duplicates,
        crop,
        vocab,
        args.max_digits,
        args.image_format,
        args.max_megapixels,
        contents.repeats,
    )
    counted = {UNLABELLED: contents.unlabelled, FURTHER: len(contents.repeats.places)}
    writer.write(
        contents.splits,
        make,
        vocab,
        args=args,
        argv=argv,
        module="beam_pipelines.prepare",
        beam_args=beam_args,
        inputs={**identity.of_source(source, _described_in(args)), UNLABELLED: contents.unlabelled},
        notes={note: count for note, count in counted.items() if count},
    )


def _open(args: argparse.Namespace) -> Source:
    if args.format == "digitstruct":
        return svhn.open_photos(args.input)
    if args.format == "cropped32":
        return svhn.open_crops(args.input)
    if args.format == "coco":
        return coco.open_coco(args.input, args.images)
    return csv_file.open_csv(args.input, args.images)


def _described_in(args: argparse.Namespace) -> str:
    """Return the file that lists the images."""
    if args.format == "digitstruct":
        return posixpath.join(args.input, svhn.LABELS_FILE)
    if args.format == "coco":
        return coco.path_of(args.input)
    return args.input if args.format == "cropped32" else csv_file.path_of(args.input)
