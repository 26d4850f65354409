"""One HTML page on a work folder and predictions, images inside: `python -m trainer.report --help`."""

import sys

from trainer import cli
from trainer.cluster import environment


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    return cli.exit_status(_run, argv)


def _run(argv: list[str] | None) -> None:
    parser = cli.parser(
        description="Write one HTML page: curves, figures, images read rightly and wrongly, predictions.",
        example="python -m trainer.report --workdir runs/first --predictions out/predictions --output out/report.html",
    )
    parser.add_argument("--workdir", required=True, metavar="DIR", help="what trainer.train made")
    parser.add_argument("--predictions", metavar="DIR", help="what beam_pipelines.score made")
    parser.add_argument("--output", required=True, metavar="FILE", help="the page")
    args = parser.parse_args(argv)
    environment.configure()
    from trainer.reporting import page

    page.report(args.workdir, args.predictions, args.output)
    print(f"wrote {args.output}")


if __name__ == "__main__":
    sys.exit(main())
