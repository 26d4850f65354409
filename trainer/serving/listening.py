"""Open the socket and read the token of a server, as its command line says."""

import argparse
import os
import socket

from trainer.cli import UserError
from trainer.config import typed
from trainer.files import local_file


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add `--host`, `--port` and `--token-file`."""
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on; 0.0.0.0 is open to the network")
    parser.add_argument(
        "--port", type=typed.integer(0, 65535), default=8080, help="port to listen on; 0 picks a free one"
    )
    parser.add_argument("--token-file", metavar="FILE", help="requests must carry the token in this file")


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket. Call this before loading models, which takes a while.

    Raises:
      UserError: the address is not of this machine, or the port is taken.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listening = socket.create_server((host, port), family=family)
        # Connections inherit this; asyncio does not set it. Without it, each answer waits 40 ms for an acknowledgement.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listening
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
        raise UserError(f"--host {host} --port {port}: {reason}; give another port, or 0 for a free one") from error


def address(listening: socket.socket) -> str:
    """Return the address of a listening socket, e.g. `http://127.0.0.1:8080/`."""
    host, port = listening.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/"


def token(path: str | None) -> str | None:
    """Return the token in a file, None if no file is given.

    Raises:
      UserError: the file cannot be read, is empty or is not ASCII text.
    """
    if path is None:
        return None
    named, advice = f"--token-file {path}", "write a long random text to it"
    content = local_file.read_text(path, named=named, advice=advice).strip()
    if not content or not content.isascii():
        raise UserError(f"{named} is {'not ASCII text' if content else 'empty'}: {advice}")
    return content
