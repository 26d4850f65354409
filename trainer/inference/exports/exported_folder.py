"""The folder of an exported model: its valid contents, and replacing an old model without ever losing both."""

import contextlib
import ctypes
import os
import re
import shutil
import sys
import uuid
from collections.abc import Callable

import tensorflow as tf

from trainer.cli import UserError
from trainer.files import whole_file
from trainer.inference.exports import warm_up
from trainer.inference.exports.exported_model import CHECKSUMS, INFO_PATH, ONNX_FILE
from trainer.workdir import checkpoint

TFLITE_FILE = "assets.extra/model.tflite"
GRAPH_FILE = "saved_model.pb"  # marks a folder as a SavedModel: removed first and written last
FOLDERS = "assets/", "assets.extra/", "variables/"
FILES = re.compile(
    rf"saved_model\.pb|fingerprint\.pb|variables/variables\.(index|data-\d{{5}}-of-\d{{5}})"
    rf"|{INFO_PATH}|{TFLITE_FILE}|{ONNX_FILE}|{warm_up.FILE}|{CHECKSUMS}"
)
AT_FDCWD, RENAME_EXCHANGE = -100, 2  # of renameat2(2)


def replace(output: str, write: Callable[[str], None]) -> None:
    """Write an exported model next to the output, then move it into the output's place.

    If killed at any time, a complete model is in the output or next to it, and the output never mixes two models.

    Args:
      output: the folder; an existing exported model is replaced.
      write: writes the model into a folder that does not exist yet; it may put other files next to that folder.
    Raises:
      UserError: the output contains anything else, or cannot be written.
    """
    check(output)
    output = _plain(output)
    scratch, whole = f"{output}.tmp-{uuid.uuid4().hex[:8]}", True
    try:
        tf.io.gfile.makedirs(scratch)
        write(f"{scratch}/model")
        if "://" in output:
            whole = False
            _copy(f"{scratch}/model", output)
            whole = True
        else:
            _swap(f"{scratch}/model", output, aside=f"{scratch}/replaced")
    except (OSError, tf.errors.OpError) as error:
        kept = "" if whole else f"; the new model is in {scratch}/model"
        raise UserError(f"--output {output} cannot be written ({' '.join(str(error).split())}){kept}") from error
    finally:
        if whole:  # the output is complete or untouched
            _remove(scratch)


def check(output: str) -> None:
    """Check that an exported model may be written to a folder.

    Raises:
      UserError: it is a link, or contains anything but an exported model.
    """
    checkpoint.check_name(output, "--output")
    output = _plain(output)
    if "://" not in output and os.path.islink(output):
        raise UserError(f"--output {output} is a link: give the folder that it points to")
    if not tf.io.gfile.exists(output):
        return
    if not tf.io.gfile.isdir(output):
        raise UserError(f"--output {output} is a file: choose a folder")
    names = _names(output)
    strangers = [name for name in names if name not in FOLDERS and not FILES.fullmatch(name)]
    if strangers:
        raise UserError(f"--output {output} holds {strangers[0]}, which trainer.export does not write: choose another")
    if names and not ({GRAPH_FILE, INFO_PATH} <= set(names) and _is_info(f"{output}/{INFO_PATH}")):
        raise UserError(f"--output {output} is not a model that trainer.export wrote: choose another, or remove it")


def _plain(output: str) -> str:
    return output.rstrip("/") if "://" in output else os.path.abspath(output)


def _is_info(path: str) -> bool:
    try:
        info = whole_file.read_json(path, advice="")
    except UserError:
        return False
    return info is not None and {"alphabet", "fingerprint"} <= info.keys()


def _names(folder: str) -> list[str]:
    """Return all relative paths in a folder: folders end in a slash, links to folders in `/ (a link)`."""
    found = []
    for place, folders, files in tf.io.gfile.walk(folder):
        inside = place.removeprefix(folder).strip("/")
        inside = f"{inside}/" if inside else ""
        for name in (name.rstrip("/") for name in folders):
            is_link = "://" not in folder and os.path.islink(os.path.join(place, name))
            found.append(f"{inside}{name}/{' (a link)' if is_link else ''}")
        found += [f"{inside}{name}" for name in files if name]
    return sorted(found)


def _remove(folder: str) -> None:
    with contextlib.suppress(OSError, tf.errors.OpError):  # leftovers do no harm
        if "://" in folder:
            tf.io.gfile.rmtree(folder)
        else:
            shutil.rmtree(folder)


def _swap(new: str, output: str, *, aside: str) -> None:
    """Replace a folder by another on the same file system, atomically if the system supports it."""
    if not os.path.isdir(output):
        os.rename(new, output)
        return
    if _exchange(new, output):
        return
    try:
        os.rename(output, aside)
        os.rename(new, output)
    except BaseException:
        if os.path.isdir(aside) and not os.path.isdir(output):
            os.rename(aside, output)
        raise


def _exchange(one: str, other: str) -> bool:
    """Exchange two folders atomically; return False if the system or the file system cannot."""
    if sys.platform != "linux" or not hasattr(libc := ctypes.CDLL(None), "renameat2"):
        return False
    return libc.renameat2(AT_FDCWD, os.fsencode(one), AT_FDCWD, os.fsencode(other), RENAME_EXCHANGE) == 0


def _copy(new: str, output: str) -> None:
    """Copy a model over another in an object store, where a folder cannot be renamed as a whole.

    The graph is removed first and written last, so that no reader finds a mixture of two models; until then, the
    complete new model remains next to the output.
    """
    names = [name for name in _names(new) if not name.endswith("/")]
    before = _names(output) if tf.io.gfile.isdir(output) else []
    old = [name for name in before if name == GRAPH_FILE or not (name in names or name.endswith("/"))]
    for name in sorted(old, key=lambda name: name != GRAPH_FILE):
        tf.io.gfile.remove(f"{output}/{name}")
    for name in sorted(names, key=lambda name: name == GRAPH_FILE):
        tf.io.gfile.makedirs(f"{output}/{name}".rpartition("/")[0])
        tf.io.gfile.copy(f"{new}/{name}", f"{output}/{name}", overwrite=True)
