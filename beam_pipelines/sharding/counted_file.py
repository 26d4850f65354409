"""Count the bytes of a file as they are read or written, for the size and checksum in the description of an output."""

from typing import Any, BinaryIO

import google_crc32c


class CountedFile:
    """Wraps a file; counts the bytes that are read from it or written to it, and computes their CRC-32C.

    Attributes:
      bytes: how many bytes have passed.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.bytes = file, 0
        self.closed = False  # pyarrow checks this
        self._checksum = google_crc32c.Checksum()

    @property
    def crc32c(self) -> str:
        """The CRC-32C of these bytes, in hexadecimal."""
        return self._checksum.hexdigest().decode()

    def read(self, size: int = -1) -> bytes:
        data = self.file.read(size)
        self._count(data)
        return data

    def write(self, data: Any) -> int:
        data = bytes(data)
        self.file.write(data)
        self._count(data)
        return len(data)

    def tell(self) -> int:
        return self.bytes

    def flush(self) -> None:
        """Do nothing: the file flushes itself."""

    def close(self) -> None:
        """Do nothing: whoever opened the file closes it."""

    def _count(self, data: bytes) -> None:
        self.bytes += len(data)
        self._checksum.update(data)
