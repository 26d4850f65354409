"""Review predictions in the browser, and export the answers as labels: `svhn review --help`."""

import argparse
import asyncio
import ipaddress
import logging
import sys
from typing import TYPE_CHECKING

from trainer import cli
from trainer.cli import UserError
from trainer.cluster import environment, place_checks
from trainer.config import typed
from trainer.config.typed import Range
from trainer.data.images import megapixels
from trainer.serving import listening

if TYPE_CHECKING:
    from trainer.reviewing.review import Review

log = logging.getLogger(__name__)

ANSWERS = ".answers"  # appended to the name of the predictions
GRACE = 5  # seconds to finish requests after SIGTERM
HEADER_SECONDS = 60.0  # until the headers of a request must have arrived
THRESHOLD = 0.9  # where the predictions were scored without one


def main(argv: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    return cli.exit_status(_run, argv)


def _run(argv: list[str] | None) -> None:
    args = _parser().parse_args(argv)
    token = listening.token(args.token_file)
    environment.configure(use_tensorflow=False)
    from trainer.data.images import image_kinds

    image_kinds.limit_megapixels(args.max_megapixels)
    if args.export or args.promise:
        review = _review(args)
        if args.export:
            _export(review, args.export)
        if args.promise:
            print(_promise(review))
        return
    with listening.listen(args.host, args.port) as socket_:
        review = _review(args)
        import uvicorn

        from trainer.reviewing import app
        from trainer.serving import prompt_headers

        for name in ("uvicorn", "asyncio", "svhn.access"):
            logging.getLogger(name).setLevel(logging.WARNING)
        made = app.create(review, token, _hosts(args.host))
        http = prompt_headers.protocol(HEADER_SECONDS)
        config = uvicorn.Config(made, http=http, log_config=None, access_log=False, timeout_graceful_shutdown=GRACE)
        total = len(review.queue.order)
        log.info("%s rows to review at %s (Ctrl-C ends it)", f"{total:,}", listening.address(socket_))
        asyncio.run(uvicorn.Server(config).serve([socket_]))
        print(_promise(review))


def _review(args: argparse.Namespace) -> "Review":
    """Return the review of the command line."""
    from trainer.reviewing import predictions, queue
    from trainer.reviewing.journal import Journal
    from trainer.reviewing.review import Review

    source = predictions.open_predictions(args.predictions)
    threshold = args.min_confidence
    if threshold is None:
        threshold = THRESHOLD if source.min_confidence is None else source.min_confidence
    options = queue.Options(threshold, args.order, args.rows, args.check, args.seed)
    folder = args.answers or _answers_of(args.predictions)
    journal = Journal(folder)
    rows = queue.plan(source, options, journal.keys())
    if rows.left_out:
        log.warning("%s rows are left out: images of archives and records are not shown", f"{rows.left_out:,}")
    if journal.damaged:
        log.warning("%s: %d lines are not answers and are skipped", journal.path, journal.damaged)
    log.info("answers: %s (%d so far)", journal.path, len(journal.keys()))
    return Review(rows, journal)


def _answers_of(path: str) -> str:
    """Return the folder of answers next to predictions, not inside, as `score --overwrite` replaces their folder."""
    if "://" in path:
        raise UserError(f"{path} is in a bucket: give a local folder for the answers as --answers")
    return f"{path.rstrip('/')}{ANSWERS}"


def _hosts(host: str) -> list[str] | None:
    """Return the host names by which a server may be addressed; None for any. Loopback allows only its usual names."""
    try:
        loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    return ["localhost", "127.0.0.1", "[::1]", "::1", host] if loopback else None


def _export(review: "Review", folder: str) -> None:
    from trainer.reviewing import export

    done = export.write(review, folder)
    print(f"{folder}/labels.csv: {done.numbers} images with a number, {done.none} without one")
    for reason, count in sorted(done.left_out.items()):
        print(f"left out, {reason}: {count}")


def _promise(review: "Review") -> str:
    from trainer.reviewing import promise

    done = review.progress()
    sample = f"of the sample {done.sample_answered:,} of {done.sample_total:,}"
    heading = f"{done.answered:,} of {done.total:,} rows answered, {sample}"
    return f"{heading}\n{promise.text(review.promises(), review.queue.min_confidence)}"


def _check_place(flag: str, path: str) -> None:
    if flag in ("--answers", "--export"):
        raise UserError(f"{flag} {path}: give a local folder")
    cli.local_or_gs(flag, path)


def _parser() -> argparse.ArgumentParser:
    parser = cli.parser(
        description="Review predictions in the browser: rows below a confidence, and a random sample that checks the "
        "accuracy of all rows. Every answer is stored at once; --export writes the answers as labelled images for "
        "prepare, finetune and evaluate. See docs/reviewing.md.",
        example="python -m trainer.review out/predictions\n"
        "  python -m trainer.review out/predictions --export reviewed --promise",
        check_place=_check_place,
        check_reach=place_checks.check,
    )
    parser.add_argument("predictions", metavar="PREDICTIONS", help="--output of a finished svhn score")
    parser.add_argument("--answers", metavar="DIR", help=f"folder for the answers (default: PREDICTIONS{ANSWERS})")
    parser.add_argument(
        "--min-confidence",
        type=typed.argument(float, Range(0, 1)),
        help=f"rows with a lower confidence are for review (default: that of the predictions, else {THRESHOLD})",
    )
    parser.add_argument(
        "--order",
        choices=("uncertain", "valuable"),
        default="uncertain",
        help="which rows come first: the least certain, or those where two candidates are closest",
    )
    parser.add_argument(
        "--rows", type=typed.integer(0, 1_000_000), default=1000, help="maximum number of rows below the threshold"
    )
    parser.add_argument(
        "--check",
        type=typed.integer(0, 1_000_000),
        default=200,
        help="random rows of all confidences to check, to estimate the accuracy of rows that nobody looks at",
    )
    parser.add_argument("--seed", type=typed.integer(0, 2**63), default=0, help="random seed of the sample")
    parser.add_argument("--export", metavar="DIR", help="write the answers as labelled images, and end")
    parser.add_argument("--promise", action="store_true", help="print the expected accuracy, and end")
    listening.add_arguments(parser)
    megapixels.add_argument(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
