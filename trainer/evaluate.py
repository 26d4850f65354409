"""Evaluate a trained recogniser or finder: `python -m trainer.evaluate --help`."""

import sys

from trainer import cli, released
from trainer.cluster import environment


def main(argv: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    return cli.exit_status(_run, argv)


def _run(argv: list[str] | None) -> None:
    parser = cli.parser(
        description="Evaluate a trained recogniser by beam search, without teacher forcing; or a finder together with "
        "the recogniser that reads what it finds.",
        example="python -m trainer.evaluate --workdir runs/first --data data/val",
    )
    parser.add_argument("--workdir", required=True, metavar="DIR", help="work folder written by trainer.train")
    parser.add_argument("--data", nargs="+", required=True, metavar="DIR", help="datasets")
    parser.add_argument("--split", default="validation", help="the split to evaluate")
    parser.add_argument("--allow-seen", action="store_true", help="evaluate even if some images were trained on")
    parser.add_argument(
        "--calibrate", action="store_true", help="store the mapping from probability to confidence, for trainer.export"
    )
    parser.add_argument(
        "--reader", default=released.FAST, metavar="EXPORT", help=f"for a finder, the recogniser: {released.HELP}"
    )
    cli.add_settings(parser, what=cli.READ_OTHERWISE)
    args = parser.parse_args(argv)
    environment.configure()
    from trainer.inference import evaluation, exported_model, photo_evaluation
    from trainer.workdir import files

    how = {"allow_seen": args.allow_seen, "calibrate": args.calibrate, "settings": args.set}
    if files.read_config(args.workdir).model.finds:
        reader = exported_model.load(released.folder_of(args.reader))
        print(photo_evaluation.table(photo_evaluation.evaluate(args.workdir, args.data, args.split, reader, **how)))
    else:
        print(evaluation.table(evaluation.evaluate(args.workdir, args.data, args.split, **how)))


if __name__ == "__main__":
    sys.exit(main())
