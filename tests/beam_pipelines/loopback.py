"""Run one of Beam's servers, MODULE ARGS, on 127.0.0.1 only: by default they listen on every interface."""

import runpy
import signal
import sys
from typing import Any

import grpc

_server = grpc.server


def server(*args: Any, **kwargs: Any) -> grpc.Server:
    """A gRPC server that listens only on 127.0.0.1."""
    made = _server(*args, **kwargs)
    add = made.add_insecure_port
    made.add_insecure_port = lambda address: add(f"127.0.0.1:{address.rsplit(':', 1)[1]}")
    return made


if __name__ == "__main__":
    grpc.server = server
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # so that the worker pool stops its workers
    sys.argv = sys.argv[1:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
