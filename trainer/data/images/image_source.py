"""Open images by path, local or in a bucket."""

import io
from typing import BinaryIO

from trainer.files import first_contact, local_file


def opened(path: str) -> BinaryIO:
    """Open an image file, local or remote.

    Raises:
      FileNotFoundError: it does not exist.
      OSError: it cannot be read, or is not a regular file.
      UserError: the path is of a store that is not supported, or its bucket does not answer.
    """
    if "://" not in path:
        return local_file.open_regular(path)
    import tensorflow as tf

    first_contact.check_bucket("the image", path)
    try:
        return io.BytesIO(tf.io.read_file(path).numpy())
    except tf.errors.NotFoundError as error:
        raise FileNotFoundError(error.message) from error
    except tf.errors.OpError as error:
        raise OSError(error.message) from error
