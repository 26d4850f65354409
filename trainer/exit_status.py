"""The exit statuses of all commands, and how a process of a cluster exits."""

import contextlib
import logging
import os
import sys
from typing import NoReturn

BAD_RESULT_STATUS = 1  # the command worked, but what it ran or examined did not: a failed run, an unsound dataset
USER_ERROR_STATUS = 2  # no retry can help
HUNG_STATUS = 41
FAILED_STATUS = LOCKED_STATUS = 42  # worth a retry, unlike user errors
STOPPED_STATUS = 143  # on SIGTERM; not 0, which would tell Kubernetes that the job is done


class Failed(RuntimeError):
    """Training cannot continue; the message says what the user can do about it."""


class Interrupted(Exception):
    """Part of the cluster was lost, and with it the steps since the last checkpoint."""


def leave(status: int) -> NoReturn:
    """Exit without shutting down TensorFlow's cluster, which can hang if part of it is gone."""
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):  # full or closed: `cli.exit_status` has said so
            stream.flush()
    os._exit(status)
