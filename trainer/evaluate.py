"""Measures a trained recogniser, reading freely: `python -m trainer.evaluate --help`."""

import sys

from trainer import cli
from trainer.cluster import environment


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    return cli.exit_status(_run, argv)


def _run(argv: list[str] | None) -> None:
    parser = cli.parser(
        description="Measure a trained recogniser by free-running beam search.",
        example="python -m trainer.evaluate --workdir runs/first --data data/val",
    )
    parser.add_argument("--workdir", required=True, metavar="DIR", help="what trainer.train made")
    parser.add_argument("--data", nargs="+", required=True, metavar="DIR", help="datasets")
    parser.add_argument("--split", default="validation", help="the split to read")
    parser.add_argument("--allow-seen", action="store_true", help="even if images in it were trained on")
    parser.add_argument(
        "--calibrate", action="store_true", help="store how probability becomes confidence, for trainer.export"
    )
    cli.add_settings(parser, what=cli.READ_OTHERWISE)
    args = parser.parse_args(argv)
    environment.configure()
    how = {"allow_seen": args.allow_seen, "calibrate": args.calibrate, "settings": args.set}
    from trainer.inference import evaluation

    print(evaluation.table(evaluation.evaluate(args.workdir, args.data, args.split, **how)))


if __name__ == "__main__":
    sys.exit(main())
