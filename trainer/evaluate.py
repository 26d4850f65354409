"""Evaluate a model on labelled images: `python -m trainer.evaluate --help`."""

import argparse
import json
import sys

from trainer import cli, released
from trainer.cluster import environment, place_checks


def main(argv: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    return cli.exit_status(_run, argv)


def _run(argv: list[str] | None) -> None:
    args = _parser().parse_args(argv)
    environment.configure(use_tensorflow=not args.folder)  # for a folder, the model imports it if needed
    if args.folder:
        _evaluate_folder(args)
    else:
        _evaluate_workdir(args)


def _parser() -> argparse.ArgumentParser:
    parser = cli.parser(
        description="Evaluate a model on a folder of labelled images, or the model of a work folder on datasets. The "
        "folder of images has a labels.csv with the columns file and label, or sub-folders or file names that are "
        "labels (123/a.jpg, 123_a.jpg). Numbers are decoded by beam search, without teacher forcing.",
        example="python -m trainer.evaluate photos --model released-fast\n"
        "  python -m trainer.evaluate --workdir runs/first --data data/val",
        check_reach=place_checks.check,
    )
    parser.add_argument("folder", nargs="?", metavar="FOLDER", help="labelled images")
    parser.add_argument(
        "--model", metavar="EXPORT", help=f"for a folder of images: {released.HELP} (default: {released.DEFAULT})"
    )
    parser.add_argument(
        "--format", choices=["table", "json"], help="output for a folder; json also prints every answer"
    )
    parser.add_argument("--images", metavar="DIR", help="folder of the images that labels.csv lists (default: FOLDER)")
    parser.add_argument("--workdir", metavar="DIR", help="work folder written by trainer.train")
    parser.add_argument("--data", nargs="+", metavar="DIR", help="datasets to evaluate the work folder on")
    parser.add_argument("--split", help="split to evaluate (default: validation; for a folder of images: all)")
    parser.add_argument("--allow-seen", action="store_true", help="evaluate even if some images were trained on")
    parser.add_argument(
        "--calibrate",
        action="store_true",
        help="fit the confidence and store it in the work folder, for trainer.export",
    )
    parser.add_argument(
        "--reader", metavar="EXPORT", help=f"for a finder, the recogniser: {released.HELP} (default: {released.FAST})"
    )
    cli.add_settings(parser, what=cli.READ_OTHERWISE)
    return parser


def _evaluate_folder(args: argparse.Namespace) -> None:
    _refuse(args, ("workdir", "data", "allow_seen", "calibrate", "reader", "set"), "a folder of images")
    from trainer.inference.reader import Reader

    found = Reader(args.model or released.DEFAULT).evaluate(args.folder, split=args.split, images=args.images)
    print(json.dumps(found.to_dict(), ensure_ascii=False) if args.format == "json" else found)


def _evaluate_workdir(args: argparse.Namespace) -> None:
    _refuse(args, ("model", "format", "images"), "a work folder")
    if not (args.workdir and args.data):
        raise cli.UserError("give a folder of labelled images, or --workdir and --data (see --help)")
    from trainer.inference.evaluating import evaluation, photo_evaluation
    from trainer.inference.exports import exported_model
    from trainer.workdir import files

    options = {"allow_seen": args.allow_seen, "calibrate": args.calibrate, "settings": args.set}
    split = args.split or "validation"
    if files.read_config(args.workdir).model.finds:
        reader = exported_model.load(released.folder_of(args.reader or released.FAST))
        print(photo_evaluation.table(photo_evaluation.evaluate(args.workdir, args.data, split, reader, **options)))
    else:
        print(evaluation.table(evaluation.evaluate(args.workdir, args.data, split, **options)))


def _refuse(args: argparse.Namespace, names: tuple[str, ...], what: str) -> None:
    """Raise UserError if a flag was given that does not apply."""
    for name in names:
        if getattr(args, name):
            raise cli.UserError(f"--{name.replace('_', '-')} does not apply to {what}: leave it out (see --help)")


if __name__ == "__main__":
    sys.exit(main())
