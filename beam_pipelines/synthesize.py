"""Writes pictures of made-up numbers as training records: `python -m beam_pipelines.synthesize --help`."""

import argparse
import sys
from dataclasses import dataclass

from beam_pipelines import dataset, images, shards, synthesis, typefaces
from trainer import cli
from trainer.cli import UserError
from trainer.records import Box, Record
from trainer.vocab import Vocab


@dataclass(frozen=True)
class MakeRecord:
    """Draws and encodes the picture of an index."""

    seed: int
    split: str
    max_digits: int
    alphabet: str
    file_type: str

    def key(self, item: int) -> str:
        return f"synthetic-fonts/{self.split}/{self.seed}/{item}"

    def __call__(self, item: int) -> Record:
        drawn = synthesis.draw(self.seed, item, max_digits=self.max_digits, alphabet=self.alphabet)
        whole: Box = (0.0, 0.0, float(drawn.image.width), float(drawn.image.height))
        return Record(
            images.encode(drawn.image, self.file_type),
            self.file_type,
            self.key(item),
            drawn.text,
            "synthetic-fonts",
            images.relative(images.union(drawn.char_boxes), whole),
            [images.relative(box, whole) for box in drawn.char_boxes],
        )


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    return cli.exit_status(_run, argv)


def _run(argv: list[str] | None) -> None:
    args, beam_args = _parser().parse_known_args(argv)
    shards.options_from(beam_args)
    if len(dataset.parse_split(args.split)) > 1:
        raise UserError(f"--split {args.split}: made-up numbers all go to one split; run it once for each")
    if args.count < 1 or args.max_digits < 1:
        raise UserError(f"--count {args.count} --max-digits {args.max_digits}: both must be at least 1")
    typefaces.installed()
    if dataset.is_done(args):
        return
    vocab = Vocab(args.alphabet)
    make = MakeRecord(args.seed, args.split, args.max_digits, args.alphabet, args.image_format)
    splits = {args.split: range(args.count)}
    dataset.write(splits, make, vocab, args=args, argv=argv, module="beam_pipelines.synthesize", beam_args=beam_args)


def _parser() -> argparse.ArgumentParser:
    parser = cli.parser(
        description="Write pictures of made-up numbers. Beam's own options (--runner, ...) pass through.",
        example="python -m beam_pipelines.synthesize --source fonts --count 20000 --seed 7 --output data/synthetic",
    )
    parser.add_argument("--source", choices=["fonts"], default="fonts", help="fonts: drawn in many typefaces")
    parser.add_argument("--count", type=int, required=True, help="how many pictures; all lengths are as frequent")
    parser.add_argument("--split", default="train", help="the split of all pictures")
    dataset.add_arguments(parser)
    return parser


if __name__ == "__main__":
    from beam_pipelines import synthesize  # workers find pickled classes by this name, not by __main__

    sys.exit(synthesize.main())
