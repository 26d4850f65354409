"""Write images of synthetic numbers as training records: `python -m beam_pipelines.synthesize --help`."""

import argparse
from collections.abc import Callable, Sequence

from beam_pipelines.dataset import contact_sheet, writer
from beam_pipelines.dataset.write_records import MakeRecord
from beam_pipelines.inputs import identity, splits
from beam_pipelines.sharding import beam_options, listing, shards
from beam_pipelines.synthesis import crops, given_texts, mnist, texts, typefaces
from beam_pipelines.synthesis.crops import RecombinedDigits
from beam_pipelines.synthesis.fonts import HOUSE, Drawn, Fonts
from beam_pipelines.synthesis.given_texts import LONGEST
from beam_pipelines.synthesis.make_records import MakeDrawnRecord, MakeSceneRecord
from beam_pipelines.synthesis.mnist import Mnist
from beam_pipelines.synthesis.regions import NumberRegions
from beam_pipelines.synthesis.scenes import backdrop, cutouts
from beam_pipelines.synthesis.scenes.scene import Scenes
from beam_pipelines.synthesis.styles import looks
from trainer.cli import UserError
from trainer.data.formats import dataset_info
from trainer.data.images.image_kinds import IMAGE_ENDINGS
from trainer.vocab import DIGITS, Vocab

FIRST = 10  # regions that are cut out before any is written, to check that the records are usable


def source_of(args: argparse.Namespace) -> Callable[[int], Drawn]:
    """Return the source of the images that the command line asks for, after checking that all it needs exists.

    Raises:
      UserError: a flag or a file of the source is missing, or it cannot draw such numbers.
    """
    numbers = given_texts.of(args, lengths=args.lengths, digits=args.digits)
    if args.source == "fonts":
        typefaces.check(numbers.characters)
        _check_styles(args.style, numbers.characters)
        return Fonts(args.seed, numbers, tuple(args.style), args.beside)
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
    paths = _train_shards(args.records)
    stock = crops.load(paths, args.record_limit)
    lacking = sorted(numbers.characters - {char for char, _ in stock.digits})
    if lacking:
        raise UserError(f"--records has no usable {', '.join(lacking)}: give more records, or other --digits")
    return RecombinedDigits(args.seed, numbers, paths, args.record_limit)


def _check_styles(styles: Sequence[str], characters: frozenset[str]) -> None:
    for style in styles:
        if style in looks.LOOKS and looks.LOOKS[style].digits_only and characters - set(DIGITS):
            raise UserError(f"--style {style} draws digits only, but the texts have other characters: leave it out")


def regions_of(args: argparse.Namespace) -> NumberRegions:
    """Return the source of the regions that the command line asks for; their alphabet is that of the records.

    Raises:
      UserError: a flag or a dataset is missing, or its numbers are not usable.
    """
    if not args.records:
        raise UserError("--source regions needs --records DIR, datasets with boxes: write scenes first")
    if args.texts is not None or args.pattern is not None:
        raise UserError("--source regions cuts out the numbers of --records: leave out --texts and --pattern")
    infos = [writer.read_info(folder) for folder in args.records]
    characters = "".join(dict.fromkeys("".join(info.alphabet for info in infos)))
    args.alphabet, args.max_digits = args.alphabet or characters, args.max_digits or LONGEST
    if lacking := sorted(set(characters) - set(args.alphabet)):
        raise UserError(f"--alphabet {args.alphabet!r} lacks {', '.join(lacking)}, which --records has: leave it out")
    regions = NumberRegions(args.seed, _train_shards(args.records), args.record_limit, args.empty, args.stacked)
    for index in range(FIRST):
        regions(index)
    return regions


def scenes_of(args: argparse.Namespace) -> Scenes:
    """Return the source of the scenes that the command line asks for, after checking that all it needs exists.

    Raises:
      UserError: a folder has no images, or no usable numbers.
    """
    numbers = given_texts.of(args, lengths=args.lengths, digits=args.digits)
    typefaces.check(numbers.characters)
    backgrounds = _backgrounds(args.backgrounds) if args.backgrounds else ()
    photos, records = _train_shards(args.photos), _train_shards(args.records)
    for paths in (photos, records):
        cutouts.load(paths, args.record_limit)
    size, limit = args.scene_size, args.record_limit
    shown = backgrounds, photos, records
    return Scenes(args.seed, numbers, size, args.empty, *shown, limit, args.beside, args.stacked, args.turned)


def _backgrounds(folder: str) -> tuple[str, ...]:
    def fail(error: OSError) -> None:
        raise UserError(f"--backgrounds {folder} cannot be listed: {error.strerror}") from error

    paths = sorted(file.path for file in listing.below(folder, fail) if file.path.lower().endswith(IMAGE_ENDINGS))
    if not paths:
        raise UserError(f"--backgrounds {folder} has no images: give a folder of photos without numbers")
    try:
        backdrop.load(tuple(paths))
    except shards.Reject as reject:
        raise UserError(f"--backgrounds: {reject.detail}: remove this file from the folder") from reject
    return tuple(paths)


def _train_shards(folders: list[str]) -> tuple[str, ...]:
    """Return the shards of the train split only: otherwise validation numbers would leak into training."""
    infos = {folder: writer.read_info(folder) for folder in folders}
    return tuple(path for folder, info in infos.items() for path in writer.shard_paths(folder, info, "train"))


def run(args: argparse.Namespace, beam_args: Sequence[str], argv: list[str] | None) -> None:
    """Write the dataset or the preview that the command line asks for."""
    beam_options.parse(beam_args)
    if args.style != [HOUSE] and args.source != "fonts":
        raise UserError(f"--style is for --source fonts, not for --source {args.source}: leave it out")
    if len(splits.parse_split(args.split)) > 1:
        raise UserError(f"--split {args.split}: synthetic numbers all go to one split; run the command once per split")
    if args.count < 1:
        raise UserError(f"--count {args.count}: it must be at least 1")
    prefix = f"{args.split}/{args.seed}"
    make: MakeRecord
    if args.source == "scenes":
        make = MakeSceneRecord(scenes_of(args), prefix, args.image_format)
    else:
        draw = regions_of(args) if args.source == "regions" else source_of(args)
        make = MakeDrawnRecord(draw, f"synthetic-{args.source}", prefix, args.image_format)
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
    """Return checksums that identify the content of the files that the options name."""
    tables = [path for path in (args.lengths, args.digits, args.texts) if path and path not in texts.NAMED]
    fingerprints = {"tables": identity.of_paths(tables)} if tables else {}
    if args.source in ("fonts", "scenes"):
        fingerprints["typefaces"] = typefaces.fingerprint()
    if args.mnist:
        fingerprints["mnist"] = identity.of_files(listing.files(args.mnist).values())
    for name, folders in (("records", args.records), ("photos", args.photos)):
        if folders:
            fingerprints[name] = identity.of_datasets(folders, dataset_info.INFO_FILE)
    if args.backgrounds:
        fingerprints["backgrounds"] = identity.of_paths(list(_backgrounds(args.backgrounds)))
    return fingerprints
