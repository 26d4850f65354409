"""Serve models over HTTP: `svhn serve --help`."""

import argparse
import asyncio
import logging
import signal
import socket
import sys
from typing import TYPE_CHECKING

from trainer import cli, released
from trainer.cli import UserError
from trainer.cluster import environment, place_checks
from trainer.config import typed
from trainer.config.typed import Range
from trainer.data.images import megapixels
from trainer.serving import listening

if TYPE_CHECKING:
    import uvicorn

    from trainer.serving.models import ServedModel

log = logging.getLogger(__name__)


def main(argv: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    return cli.exit_status(_run, argv)


def _run(argv: list[str] | None) -> None:
    args = _parser().parse_args(argv)
    paths = _named(args.model)
    token = listening.token(args.token_file)
    from trainer.data.images import image_kinds

    image_kinds.limit_megapixels(args.max_megapixels)
    with listening.listen(args.host, args.port) as socket_:
        environment.configure(use_tensorflow=False)  # the models import it if needed
        import uvicorn

        from trainer.serving import app, models, prompt_headers
        from trainer.serving.limits import Limits
        from trainer.serving.metrics import Metrics

        for name in ("uvicorn", "asyncio"):
            logging.getLogger(name).setLevel(logging.WARNING)
        body_bytes = int(1e6 * args.max_body_mb)
        limits = Limits(
            args.batch_size, args.max_wait_ms / 1000, args.max_pending, body_bytes, args.max_images, args.body_timeout
        )
        metrics = Metrics()
        loaded = models.load(paths, limits, metrics)
        made = app.create(loaded, limits, metrics, token)
        http = prompt_headers.protocol(args.body_timeout)
        config = uvicorn.Config(
            made, http=http, log_config=None, access_log=False, timeout_graceful_shutdown=args.grace
        )
        log.info("%s at %s", ", ".join(loaded), listening.address(socket_))
        asyncio.run(_serve(uvicorn.Server(config), socket_, loaded))


async def _serve(server: "uvicorn.Server", socket_: socket.socket, loaded: "dict[str, ServedModel]") -> None:
    tasks: set[asyncio.Task[None]] = set()

    def reload() -> None:
        task = asyncio.get_running_loop().create_task(_reload(loaded))
        tasks.add(task)  # the loop itself does not keep it
        task.add_done_callback(tasks.discard)

    if hasattr(signal, "SIGHUP"):
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reload)
    await server.serve([socket_])


async def _reload(loaded: "dict[str, ServedModel]") -> None:
    for model in loaded.values():
        try:
            await model.reload()
            log.info("%s reloaded: %s", model.name, model.fingerprint)
        except UserError as error:
            log.error("%s not reloaded, the old model stays in use: %s", model.name, error)


def _named(models: list[str]) -> dict[str, str]:
    """Return the models by name: `NAME=FOLDER`, or a released model."""
    found: dict[str, str] = {}
    for model in models:
        name, equals, folder = model.partition("=")
        if not equals and name not in released.FOLDERS:
            raise UserError(f"--model {model}: give a name, e.g. --model meters={model}")
        if name in found or not name or "/" in name or ":" in name:
            raise UserError(f"--model {model}: the name {name!r} is empty, given twice, or contains / or :")
        if "://" in folder:
            place_checks.check("--model", folder)
        found[name] = folder or name
    return found


def _parser() -> argparse.ArgumentParser:
    parser = cli.parser(
        description="Serve models over HTTP: images in, numbers out; see docs/serving.md. The page at / reads images "
        "from the camera. SIGHUP reloads the models; SIGTERM ends the server once it has answered its requests.",
        example="python -m trainer.serve --model released-photos --port 8080",
    )
    parser.add_argument(
        "--model",
        nargs="+",
        default=[released.DEFAULT],
        metavar="NAME=EXPORT",
        help="models to serve, the default first: NAME=FOLDER, or the name of a released model",
    )
    listening.add_arguments(parser)
    batch = parser.add_argument(
        "--batch-size", type=typed.integer(1, 4096), default=16, help="maximum number of images read together"
    )
    cli.accept_former(parser, "--max-batch", of=batch)
    milliseconds = typed.argument(float, Range(0, 10_000))
    parser.add_argument(
        "--max-wait-ms",
        type=milliseconds,
        default=5.0,
        help="milliseconds to wait for more images after the first of a batch",
    )
    parser.add_argument(
        "--max-pending",
        type=typed.integer(1, 100_000),
        default=64,
        help="maximum number of waiting requests, or images of one model; further ones get status 429",
    )
    _add_limits(parser)
    megapixels.add_argument(parser)
    return parser


def _add_limits(parser: argparse.ArgumentParser) -> None:
    """Add the limits of each request."""
    megabytes = typed.argument(float, Range(0, 10_000, above=True))
    parser.add_argument(
        "--max-body-mb", type=megabytes, default=32.0, help="maximum megabytes of a request; larger ones get status 413"
    )
    parser.add_argument(
        "--max-images", type=typed.integer(1, 10_000), default=32, help="maximum number of images in a request"
    )
    seconds = typed.argument(float, Range(0, 86_400, above=True))
    parser.add_argument(
        "--body-timeout",
        type=seconds,
        default=60.0,
        help="seconds within which a whole request must arrive; later ones get status 408. A connection whose "
        "headers take longer is closed",
    )
    parser.add_argument(
        "--grace", type=typed.integer(0, 86_400), default=30, help="seconds to finish requests after SIGTERM"
    )


if __name__ == "__main__":
    sys.exit(main())
