"""Read the few HDF5 structures that MATLAB v7.3 writes by the hundred thousand, directly from the file.

A general library creates several objects for every reference that it follows, and a `digitStruct.mat` has twenty
per image. An object reference is the address of an object header, so this reader follows it by reading the bytes
there. Whatever it does not recognise with certainty raises `UnknownLayout`; then the general library must read it.

Layouts follow the HDF5 File Format Specification 3.0: object headers of version 1, groups as symbol tables,
dataset contents in the header (compact) or in one block (contiguous); little-endian, as in all files from MATLAB.
"""

import struct
from collections.abc import Iterator
from functools import lru_cache
from struct import Struct
from typing import BinaryIO

from trainer.files import file_descriptor

_DATASPACE, _DATATYPE, _LAYOUT, _CONTINUATION, _SYMBOL_TABLE = 0x01, 0x03, 0x08, 0x10, 0x11
_IGNORED = {0x00, 0x04, 0x05, 0x0C, 0x12}  # padding, fill values, attributes, modification time
_COMPACT, _CONTIGUOUS = 0, 1
_NOWHERE = 2**64 - 1  # the address of data that was never written
_SHARED = 0x02  # the flag of a message that only points to the real one

_SUPERBLOCK = bytes.fromhex("894844460d0a1a0a 0000000000080800")  # version 0, addresses and lengths of 8 bytes
_HEADER = Struct("<BxHxxxxIxxxx")  # version, messages, bytes of the first block
_MESSAGE = Struct("<HHBxxx")  # type, bytes, flags
_TWO = Struct("<QQ")
_SPACE = Struct("<BBBxxxxx")  # version, rank, flags
_LAYOUT_START = Struct("<BB")  # version, class
_COMPACT_SIZE = Struct("<H")
_NODE = Struct("<4sBBHQQQQ")  # B-tree: signature, kind, level, entries, siblings, first key, first child
_TABLE = Struct("<4sBxH")  # symbol table: signature, version, entries
_HEAP = Struct("<4sBxxxQQQ")  # names: signature, version, bytes, first free, address
_SYMBOL = Struct("<QQ24x")  # offset of the name, address of the object

DOUBLES, CHARACTERS, REFERENCES = "d", "H", "Q"  # format characters of `struct`
# The datatypes of IEEE 754 doubles, of uint16 (MATLAB's characters) and of object references.
_TYPES = {
    bytes.fromhex("11203f0008000000 00004000340b0034ff030000 00000000"): DOUBLES,
    bytes.fromhex("1000000002000000 0000100000000000"): CHARACTERS,
    bytes.fromhex("1700000008000000"): REFERENCES,
}

# The exceptions that following an invalid address may raise.
_DAMAGE = (struct.error, IndexError, OverflowError, ValueError, OSError)

# The file is read in overlapping blocks, so that every structure is complete in the block in which it begins.
_BLOCK_BYTES, _BEGINNING_BYTES = 1 << 14, 1 << 10
_BLOCKS = 64  # kept in memory
MAX_VALUES = 100_000  # in one dataset; normally one per digit of a number


class UnknownLayout(Exception):
    """An object stored in a way that this reader does not support."""


class Hdf5:
    """A file's objects by their addresses, read on demand.

    The file is not memory-mapped, since truncating it while it is read would kill the process.

    Raises:
      UnknownLayout: MATLAB does not write files of this kind.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file  # its descriptor must stay open
        self._block = lru_cache(maxsize=_BLOCKS)(self._read_block)
        # MATLAB puts a header of 512 bytes before the file; addresses count from after it.
        self._base, first = 0, self._block(0)
        starts = [start for start in (0, 512) if first[start : start + 16] == _SUPERBLOCK]
        if not starts:
            raise UnknownLayout("the superblock has another version")
        self._base = starts[0]

    def _read_block(self, number: int) -> bytes:
        return file_descriptor.read_at(self._file.fileno(), _BLOCK_BYTES + _BEGINNING_BYTES, number * _BLOCK_BYTES)

    def _at(self, address: int) -> tuple[bytes, int]:
        """Return the block that contains an address, and the position in it."""
        number, start = divmod(self._base + address, _BLOCK_BYTES)
        return self._block(number), start

    def values(self, address: int) -> tuple[str, tuple]:
        """Return the values of a two-dimensional dataset, flattened, and their type.

        Returns:
          `DOUBLES`, `CHARACTERS` (their codes) or `REFERENCES` (the addresses of objects), and the values.
        Raises:
          UnknownLayout: it is stored in another way, or is not a dataset.
        """
        try:
            return self._values(address)
        except _DAMAGE as error:
            raise UnknownLayout(f"the object at {address} is damaged: {error}") from error

    def members(self, address: int) -> dict[str, int]:
        """Return the addresses of a group's members.

        Raises:
          UnknownLayout: it is stored in another way, or is not a group.
        """
        try:
            return self._members(address)
        except _DAMAGE as error:
            raise UnknownLayout(f"the object at {address} is damaged: {error}") from error

    def _messages(self, address: int) -> Iterator[tuple[int, bytes, int, int]]:
        """Yield the type of each message of an object header, its block, its position there, and its length."""
        data, position = self._at(address)
        version, left, size = _HEADER.unpack_from(data, position)
        if version != 1:
            raise UnknownLayout(f"the object at {address} has a header of version {version}")
        pieces = [(data, position + _HEADER.size, size)]
        for data, start, size in pieces:
            end = start + size
            while start < end and left:
                kind, length, flags = _MESSAGE.unpack_from(data, start)
                start += _MESSAGE.size
                if flags & _SHARED:
                    raise UnknownLayout(f"the object at {address} shares a message of type {kind}")
                if kind == _CONTINUATION:
                    further, size = _TWO.unpack_from(data, start)
                    pieces.append((*self._at(further), size))
                else:
                    yield kind, data, start, length
                start += length
                left -= 1

    def _values(self, address: int) -> tuple[str, tuple]:
        count = kind = content = None
        for message, data, start, length in self._messages(address):
            if message == _DATASPACE:
                count = _count(data, start)
            elif message == _DATATYPE:
                kind = _TYPES.get(data[start : start + length])
            elif message == _LAYOUT:
                content = self._content(data, start)
            elif message not in _IGNORED:
                raise UnknownLayout(f"the object at {address} has a message of type {message}")
        if count is None or kind is None or content is None:
            raise UnknownLayout(f"the object at {address} is not a dataset of a known type")
        if count > MAX_VALUES:
            raise UnknownLayout(f"the dataset at {address} has {count:,} values")
        array = _array(count, kind)
        data, start, size = content
        if array.size != size:
            raise UnknownLayout(f"the dataset at {address} has {size} bytes instead of {array.size}")
        return kind, array.unpack_from(data, start)

    def _content(self, data: bytes, start: int) -> tuple[bytes, int, int]:
        """Return the block with the values of a dataset, their position there, and their size in bytes."""
        version, layout = _LAYOUT_START.unpack_from(data, start)
        start += _LAYOUT_START.size
        if version == 3 and layout == _COMPACT:
            return data, start + _COMPACT_SIZE.size, _COMPACT_SIZE.unpack_from(data, start)[0]
        if version == 3 and layout == _CONTIGUOUS:
            address, size = _TWO.unpack_from(data, start)
            if address != _NOWHERE:
                return *self._at(address), size
        raise UnknownLayout(f"a dataset has the layout {layout} of version {version}")

    def _members(self, address: int) -> dict[str, int]:
        tables = [(data, start) for kind, data, start, _ in self._messages(address) if kind == _SYMBOL_TABLE]
        if not tables:
            raise UnknownLayout(f"the object at {address} is not a group with a symbol table")
        tree, heap = _TWO.unpack_from(*tables[0])
        signature, kind, level, nodes, *_, table = _NODE.unpack_from(*self._at(tree))
        if (signature, kind, level, nodes) != (b"TREE", 0, 0, 1):
            raise UnknownLayout(f"the group at {address} is larger than one node")
        signature, version, _, _, names = _HEAP.unpack_from(*self._at(heap))
        if (signature, version) != (b"HEAP", 0):
            raise UnknownLayout(f"the group at {address} has no heap for its names")
        data, start = self._at(table)
        signature, version, count = _TABLE.unpack_from(data, start)
        if (signature, version) != (b"SNOD", 1):
            raise UnknownLayout(f"the group at {address} has no symbol table node")
        members = {}
        for i in range(count):
            place, member = _SYMBOL.unpack_from(data, start + _TABLE.size + i * _SYMBOL.size)
            block, begin = self._at(names + place)
            members[block[begin : block.index(b"\0", begin)].decode()] = member
        return members


def _count(data: bytes, start: int) -> int:
    """Return the number of values in a dataspace."""
    version, rank, _ = _SPACE.unpack_from(data, start)
    if version != 1 or rank != 2:
        raise UnknownLayout(f"a dataspace has version {version} and {rank} dimensions")
    rows, columns = _TWO.unpack_from(data, start + _SPACE.size)
    return rows * columns


@lru_cache(maxsize=256)
def _array(count: int, kind: str) -> Struct:
    return Struct(f"<{count}{kind}")
