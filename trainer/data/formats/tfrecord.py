"""The framing of TFRecord files: length, masked CRC-32C of the length, data, masked CRC-32C of the data."""

import itertools
import os
import struct
from collections.abc import Iterator
from typing import Protocol

import google_crc32c

from trainer.files import file_descriptor, local_file

HEADER_BYTES, FRAME_BYTES = 12, 16  # before the data of a record, and in total
LARGEST_RECORD = 2**31 - 1  # bytes that a tf.train.Example may have
_PIECE_BYTES = 16 << 20
_COMPRESSED = {b"\x1f\x8b": "gzip", b"\x78\x01": "zlib", b"\x78\x9c": "zlib", b"\x78\xda": "zlib"}


class Damaged(ValueError):
    """Bytes that are not a record, or not a complete one."""


class Readable(Protocol):
    """A file from which records can be read."""

    def read(self, size: int, /) -> bytes: ...


class Writable(Protocol):
    """A file to which records can be written."""

    def write(self, data: bytes, /) -> object: ...


def write_framed(file: Writable, data: bytes) -> bytes:
    """Append one record.

    Returns:
      The bytes written, for the checksum of the shard. TensorFlow's own writer would write the same.
    """
    length = struct.pack("<Q", len(data))
    framed = b"".join((length, masked_crc(length), data, masked_crc(data)))
    file.write(framed)
    return framed


def read_framed(file: Readable) -> Iterator[bytes]:
    """Yield each record of a TFRecord file.

    Raises:
      Damaged: a checksum does not match, or the file ends within a record; the message says where.
    """
    position = 0
    for number in itertools.count():
        header = file.read(HEADER_BYTES)
        if not header:
            return
        where = f"record {number} at byte {position:,}"
        length = _length(header, where, first=number == 0)
        data, crc = _read(file, length), file.read(4)
        if len(data) < length or len(crc) < 4:
            raise Damaged(f"{where}: the file ends within it")
        if masked_crc(data) != crc:
            raise Damaged(f"{where}: its data does not match its checksum")
        yield data
        position += FRAME_BYTES + length


def count_records(path: str) -> int:
    """Count the records of a local file by their length fields; raise if TensorFlow must not read the file.

    TensorFlow's reader allocates as much memory as a length field claims, and aborts the process if that fails.

    Raises:
      Damaged: a length is wrong, or the file ends within a record; the message says where.
      OSError: the file cannot be read.
    """
    position = 0
    number = 0
    with local_file.open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        while position < size:
            where = f"record {number} at byte {position:,}"
            header = file_descriptor.read_at(file.fileno(), HEADER_BYTES, position)
            position += FRAME_BYTES + _length(header, where, first=number == 0)
            if position > size:
                raise Damaged(f"{where}: the file ends within it")
            number += 1
    return number


def _length(header: bytes, where: str, *, first: bool) -> int:
    """Return the length of the data after a header."""
    if len(header) == HEADER_BYTES and masked_crc(header[:8]) == header[8:]:
        length = struct.unpack("<Q", header[:8])[0]
        if length > LARGEST_RECORD:
            raise Damaged(f"{where}: it claims {length:,} bytes, more than a record may have")
        return length
    if first and header[:2] in _COMPRESSED:
        raise Damaged(f"{where}: the file is compressed with {_COMPRESSED[header[:2]]}: write it uncompressed")
    if len(header) < HEADER_BYTES:
        raise Damaged(f"{where}: the file ends within it")
    raise Damaged(f"{where}: its length does not match its checksum")


def _read(file: Readable, size: int) -> bytes:
    """Read `size` bytes, or fewer if the file ends; never allocate much more memory than the file fills."""
    if size <= _PIECE_BYTES:
        return file.read(size)
    pieces = []
    while size and (piece := file.read(min(size, _PIECE_BYTES))):
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)


def masked_crc(data: bytes) -> bytes:
    """Return the masked CRC-32C of some bytes, as it is stored."""
    crc = google_crc32c.value(data)
    return struct.pack("<I", (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF)
