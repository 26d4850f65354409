"""Let the threads of this process run while TensorFlow waits for the other workers."""

import contextlib
import ctypes
from collections.abc import Iterator
from typing import Any

import tensorflow as tf
from tensorflow.python import _pywrap_tensorflow_internal, pywrap_tfe

OK = 0  # of TF_Code


@contextlib.contextmanager
def threads_may_run() -> Iterator[None]:
    """Release the GIL while TensorFlow connects synchronous workers, which lasts until all of them have started.

    TensorFlow itself holds it, so that neither the watchdog nor the thread that waits for SIGTERM could act. Within the
    block, its Python binding is replaced by a call of the same function of TensorFlow's C API through ctypes, which
    releases the GIL.
    """
    binding = pywrap_tfe.TFE_EnableCollectiveOps
    pywrap_tfe.TFE_EnableCollectiveOps = _enable_collective_ops
    try:
        yield
    finally:
        pywrap_tfe.TFE_EnableCollectiveOps = binding


def _enable_collective_ops(context: Any, server_def: bytes) -> None:
    """Connect as `TFE_EnableCollectiveOps`: join the cluster that a serialised `ServerDef` describes.

    Raises:
      tf.errors.OpError: it failed.
    """
    library = ctypes.CDLL(_pywrap_tensorflow_internal.__file__)
    library.TF_NewStatus.restype = ctypes.c_void_p
    library.TF_Message.restype = ctypes.c_char_p
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    status = ctypes.c_void_p(library.TF_NewStatus())
    try:
        handle = ctypes.c_void_p(pointer(context, None))
        library.TFE_EnableCollectiveOps(handle, server_def, ctypes.c_size_t(len(server_def)), status)
        code, message = library.TF_GetCode(status), library.TF_Message(status).decode(errors="replace")
    finally:
        library.TF_DeleteStatus(status)
    if code != OK:
        raise tf.errors.exception_type_from_error_code(code)(None, None, message)
