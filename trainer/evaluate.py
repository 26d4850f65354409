"""Evaluate a trained recogniser without teacher forcing: `python -m trainer.evaluate --help`."""

import sys

from trainer import cli
from trainer.cluster import environment


def main(argv: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    return cli.exit_status(_run, argv)


def _run(argv: list[str] | None) -> None:
    parser = cli.parser(
        description="Evaluate a trained recogniser by beam search, without teacher forcing.",
        example="python -m trainer.evaluate --workdir runs/first --data data/val",
    )
    parser.add_argument("--workdir", required=True, metavar="DIR", help="work folder written by trainer.train")
    parser.add_argument("--data", nargs="+", required=True, metavar="DIR", help="datasets")
    parser.add_argument("--split", default="validation", help="the split to evaluate")
    parser.add_argument("--allow-seen", action="store_true", help="evaluate even if some images were trained on")
    parser.add_argument(
        "--calibrate", action="store_true", help="store the mapping from probability to confidence, for trainer.export"
    )
    cli.add_settings(parser, what=cli.READ_OTHERWISE)
    args = parser.parse_args(argv)
    environment.configure()
    how = {"allow_seen": args.allow_seen, "calibrate": args.calibrate, "settings": args.set}
    from trainer.inference import evaluation

    print(evaluation.table(evaluation.evaluate(args.workdir, args.data, args.split, **how)))


if __name__ == "__main__":
    sys.exit(main())
