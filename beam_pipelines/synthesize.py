"""Write images of synthetic numbers as training records: `python -m beam_pipelines.synthesize --help`."""

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass

from beam_pipelines.dataset import contact_sheet, writer
from beam_pipelines.inputs import identity, images, splits
from beam_pipelines.sharding import beam_options, listing, places, shards
from beam_pipelines.synthesis import crops, mnist, texts, typefaces
from beam_pipelines.synthesis.crops import RecombinedDigits
from beam_pipelines.synthesis.fonts import Drawn, Fonts
from beam_pipelines.synthesis.mnist import Mnist
from trainer import cli
from trainer.cli import UserError
from trainer.config import typed
from trainer.data import dataset_info, image_io
from trainer.data.records import Box, Record
from trainer.vocab import DIGITS, Vocab


@dataclass(frozen=True)
class MakeDrawnRecord:
    """Draws and encodes the image with a given index."""

    draw: Callable[[int], Drawn]
    source: str
    key_prefix: str
    file_type: str

    def key(self, item: int) -> str:
        return f"{self.source}/{self.key_prefix}/{item}"

    def __call__(self, item: int) -> Record:
        drawn = self.draw(item)
        whole: Box = (0.0, 0.0, float(drawn.image.width), float(drawn.image.height))
        return Record(
            image_io.encode(drawn.image, self.file_type),
            self.file_type,
            self.key(item),
            drawn.text,
            self.source,
            images.relative(images.union(drawn.char_boxes), whole),
            [images.relative(box, whole) for box in drawn.char_boxes],
        )


def source_of(args: argparse.Namespace) -> Callable[[int], Drawn]:
    """Return what draws the images that the command line asks for, after checking that all it needs exists.

    Raises:
      UserError: a flag or a file of the source is missing, or it cannot draw such numbers.
    """
    numbers = texts.from_options(args.lengths, args.digits, max_digits=args.max_digits, alphabet=args.alphabet)
    if args.source == "fonts":
        typefaces.installed()
        return Fonts(args.seed, numbers)
    if set(args.alphabet) - set(DIGITS):
        raise UserError(f"--source {args.source} draws digits only, but --alphabet is {args.alphabet!r}")
    if args.source == "mnist":
        if not args.mnist or args.max_digits > mnist.MOST:
            raise UserError(f"--source mnist needs --mnist DIR with the idx files, and --max-digits up to {mnist.MOST}")
        part = "train" if args.split == "train" else "t10k"
        mnist.read(args.mnist, part)
        return Mnist(args.seed, numbers, args.mnist, part)
    if not args.records:
        raise UserError("--source crops needs --records DIR, datasets with character boxes: write one with prepare")
    # Only the train split: otherwise validation digits would leak into training.
    infos = {folder: writer.read_info(folder) for folder in args.records}
    paths = tuple(path for folder, info in infos.items() for path in writer.shard_paths(folder, info, "train"))
    stock = crops.load(paths, args.record_limit)
    lacking = sorted({c for c, _ in (*numbers.first, *numbers.rest)} - {char for char, _ in stock.digits})
    if lacking:
        raise UserError(f"--records has no usable {', '.join(lacking)}: give more records, or other --digits")
    return RecombinedDigits(args.seed, numbers, paths, args.record_limit)


def main(argv: list[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    return cli.exit_status(_run, argv)


def _run(argv: list[str] | None) -> None:
    args, beam_args = _parser().parse_known_args(argv)
    beam_options.parse(beam_args)
    if len(splits.parse_split(args.split)) > 1:
        raise UserError(f"--split {args.split}: synthetic numbers all go to one split; run the command once per split")
    if args.count < 1:
        raise UserError(f"--count {args.count}: it must be at least 1")
    draw = source_of(args)
    make = MakeDrawnRecord(draw, f"synthetic-{args.source}", f"{args.split}/{args.seed}", args.image_format)
    if args.preview:
        contact_sheet.check_replaceable(args.preview, "--preview")
        with shards.whole_file(args.preview) as file:
            contact_sheet.draw([(args.split, make(index)) for index in range(args.count)]).save(file, "PNG")
        print(f"wrote the first {args.count} images to {args.preview}; no dataset was written")
        return
    if not args.output:
        raise UserError("--output is missing: give the dataset's folder, or --preview FILE.png")
    writer.write(
        {args.split: range(args.count)},
        make,
        Vocab(args.alphabet),
        args=args,
        argv=argv,
        module="beam_pipelines.synthesize",
        beam_args=beam_args,
        inputs=_inputs(args),
    )


def _inputs(args: argparse.Namespace) -> dict[str, str]:
    """Return what identifies the content of the files that the options name."""
    tables = [path for path in (args.lengths, args.digits) if path not in texts.NAMED]
    fingerprints = {"tables": identity.of_paths(tables)} if tables else {}
    if args.source == "fonts":
        fingerprints["typefaces"] = typefaces.fingerprint()
    if args.mnist:
        fingerprints["mnist"] = identity.of_files(listing.files(args.mnist).values())
    if args.records:
        fingerprints["records"] = identity.of_datasets(args.records, dataset_info.INFO_FILE)
    return fingerprints


def _parser() -> argparse.ArgumentParser:
    parser = cli.parser(
        description="Write images of synthetic numbers. Beam's own options (--runner, ...) are passed on.",
        example="python -m beam_pipelines.synthesize --source fonts --count 20000 --seed 7 --output data/synthetic",
        check_place=places.check,
    )
    parser.add_argument(
        "--source",
        choices=["fonts", "mnist", "crops"],
        default="fonts",
        help="fonts: drawn in many typefaces; mnist: MNIST digits side by side, 28x140; crops: real digits recombined",
    )
    parser.add_argument("--count", type=typed.integer(1, 10**10), required=True, help="number of images")
    parser.add_argument("--split", default="train", help="split that all images go to")
    parser.add_argument("--lengths", default="uniform", help="uniform, house, or a CSV file: length,weight or label")
    parser.add_argument("--digits", default="uniform", help="uniform, benford, or a CSV file: digit,weight or label")
    parser.add_argument("--mnist", metavar="DIR", help="mnist: folder with the idx files")
    parser.add_argument("--records", nargs="+", default=[], metavar="DIR", help="crops: datasets with character boxes")
    parser.add_argument(
        "--record-limit",
        type=typed.integer(1, 10**9),
        default=20_000,
        help="crops: records held in memory per worker",
    )
    parser.add_argument("--preview", metavar="FILE", help="write a PNG showing the images instead of a dataset")
    writer.add_arguments(parser, output_required=False)
    return parser


if __name__ == "__main__":
    from beam_pipelines import synthesize  # workers find pickled classes by this name, not by __main__

    sys.exit(synthesize.main())
