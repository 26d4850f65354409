"""Write one self-contained HTML page about a run, predictions or a search: `python -m trainer.report --help`."""

import sys

from trainer import cli
from trainer.cluster import environment, place_checks


def main(argv: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    return cli.exit_status(_run, argv)


def _run(argv: list[str] | None) -> None:
    parser = cli.parser(
        description="Write one self-contained HTML page: figures with intervals, curves, mistakes, predictions, the "
        "data, and how everything was produced. Give a work folder, predictions, or runs to compare.",
        example="python -m trainer.report --workdir runs/first --predictions out/predictions --output out/report.html",
        check_reach=place_checks.check,
    )
    parser.add_argument("--workdir", metavar="DIR", help="work folder written by trainer.train or trainer.search")
    parser.add_argument("--predictions", metavar="DIR", help="folder written by beam_pipelines.score")
    parser.add_argument(
        "--compare",
        nargs="+",
        action="extend",
        default=[],
        metavar="DIR",
        help="further work folders of trainer.train, to compare with each other and with --workdir",
    )
    parser.add_argument("--output", required=True, metavar="FILE", help="the HTML file to write")
    args = parser.parse_args(argv)
    environment.configure()
    from trainer.reporting import page

    page.report(args.workdir, args.predictions, args.output, args.compare)
    print(f"wrote {args.output}")


if __name__ == "__main__":
    sys.exit(main())
