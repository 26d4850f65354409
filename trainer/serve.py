"""Serve models over HTTP: `svhn serve --help`."""

import argparse
import asyncio
import logging
import os
import signal
import socket
import sys
from typing import TYPE_CHECKING

from trainer import cli, released
from trainer.cli import UserError
from trainer.cluster import environment
from trainer.config import typed
from trainer.config.typed import Range
from trainer.data import megapixels
from trainer.files import local_file

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
    token = _token(args.token_file)
    from trainer.data import image_kinds

    image_kinds.limit_megapixels(args.max_megapixels)
    with _listening(args.host, args.port) as listening:
        environment.configure()
        import uvicorn

        from trainer.serving import app, models
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
        config = uvicorn.Config(made, log_config=None, access_log=False, timeout_graceful_shutdown=args.grace)
        host, port = listening.getsockname()[:2]
        log.info("%s at http://%s:%d/", ", ".join(loaded), f"[{host}]" if ":" in host else host, port)
        asyncio.run(_serve(uvicorn.Server(config), listening, loaded))


async def _serve(server: "uvicorn.Server", listening: socket.socket, loaded: "dict[str, ServedModel]") -> None:
    tasks: set[asyncio.Task[None]] = set()

    def reload() -> None:
        task = asyncio.get_running_loop().create_task(_reload(loaded))
        tasks.add(task)  # the loop itself does not keep it
        task.add_done_callback(tasks.discard)

    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reload)
    await server.serve([listening])


async def _reload(loaded: "dict[str, ServedModel]") -> None:
    for model in loaded.values():
        try:
            await model.reload()
            log.info("%s loaded again: %s", model.name, model.fingerprint)
        except UserError as error:
            log.error("%s stays as it was: %s", model.name, error)


def _listening(host: str, port: int) -> socket.socket:
    """Return a socket that listens, before models are loaded, which takes a while.

    Raises:
      UserError: the address is not of this machine, or the port is taken.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listening = socket.create_server((host, port), family=family)
        # For connections, too, which asyncio leaves out: otherwise each answer waits 40 ms for an acknowledgement.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listening
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
        raise UserError(f"--host {host} --port {port}: {reason}; give another port, or 0 for a free one") from error


def _named(models: list[str]) -> dict[str, str]:
    """Return the models by name: `NAME=FOLDER`, or a model of the package."""
    found: dict[str, str] = {}
    for model in models:
        name, equals, folder = model.partition("=")
        if not equals and name not in released.FOLDERS:
            raise UserError(f"--model {model}: give a name, e.g. --model meters={model}")
        if name in found or not name or "/" in name or ":" in name:
            raise UserError(f"--model {model}: the name {name!r} is empty, given twice, or contains / or :")
        found[name] = folder or name
    return found


def _token(path: str | None) -> str | None:
    if path is None:
        return None
    named, advice = f"--token-file {path}", "write a long random text to it"
    token = local_file.read_text(path, named=named, advice=advice).strip()
    if not token or not token.isascii():
        raise UserError(f"{named} is {'not ASCII text' if token else 'empty'}: {advice}")
    return token


def _parser() -> argparse.ArgumentParser:
    parser = cli.parser(
        description="Serve models over HTTP: images in, numbers out; see docs/serving.md. The page at / reads images "
        "from the camera. SIGHUP reloads the models; SIGTERM ends the server once it has answered what it accepted.",
        example="python -m trainer.serve --model released-photos --port 8080",
    )
    parser.add_argument(
        "--model",
        nargs="+",
        default=[released.DEFAULT],
        metavar="NAME=EXPORT",
        help="models to serve, the default first: NAME=FOLDER, or just the name of a model of the package",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on; 0.0.0.0 is open to the network")
    parser.add_argument(
        "--port", type=typed.integer(0, 65535), default=8080, help="port to listen on; 0 picks a free one"
    )
    parser.add_argument("--token-file", metavar="FILE", help="requests must carry the token in this file")
    batch = parser.add_argument(
        "--batch-size", type=typed.integer(1, 4096), default=16, help="maximum number of images read together"
    )
    cli.accept_former(parser, "--max-batch", of=batch)
    milliseconds = typed.argument(float, Range(0, 10_000))
    parser.add_argument(
        "--max-wait-ms", type=milliseconds, default=5.0, help="milliseconds to wait for more images of a batch"
    )
    parser.add_argument(
        "--max-pending",
        type=typed.integer(1, 100_000),
        default=64,
        help="requests, or images of one model, that may wait; more get status 429",
    )
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
        help="seconds until a request must have arrived as a whole; later ones get status 408",
    )
    parser.add_argument(
        "--grace", type=typed.integer(0, 86_400), default=30, help="seconds to finish requests after SIGTERM"
    )
    megapixels.add_argument(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
