"""The few HDF5 structures that MATLAB v7.3 writes by the hundred thousand, read straight from the file.

A general library makes several objects for every reference that it follows, and a `digitStruct.mat` has twenty
for a picture. An object reference is the address of an object header, so here one is followed by reading the
bytes there. What is not recognised with certainty raises `UnknownLayout`: then the general library must read it.

Layouts are those of the HDF5 File Format Specification 3.0: object headers of version 1, groups as symbol tables,
dataset contents in the header (compact) or in one piece (contiguous); little-endian, as all of MATLAB's are.
"""

import mmap
import struct
from collections.abc import Iterator
from functools import lru_cache
from struct import Struct
from typing import BinaryIO

_DATASPACE, _DATATYPE, _LAYOUT, _CONTINUATION, _SYMBOL_TABLE = 0x01, 0x03, 0x08, 0x10, 0x11
_IGNORED = {0x00, 0x04, 0x05, 0x0C, 0x12}  # padding, fill values, attributes, time of modification
_COMPACT, _CONTIGUOUS = 0, 1
_SHARED = 0x02  # the flag of a message that only says where the real one is

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
_SYMBOL = Struct("<QQ24x")  # place of the name, address of the object

DOUBLES, CHARACTERS, REFERENCES = "d", "H", "Q"  # as struct names them
# The datatypes of IEEE 754 doubles, of uint16 (MATLAB's characters) and of object references.
_TYPES = {
    bytes.fromhex("11203f0008000000 00004000340b0034ff030000 00000000"): DOUBLES,
    bytes.fromhex("1000000002000000 0000100000000000"): CHARACTERS,
    bytes.fromhex("1700000008000000"): REFERENCES,
}

# What following an address that leads nowhere ends in.
_DAMAGE = (struct.error, IndexError, OverflowError, UnicodeDecodeError)


class UnknownLayout(Exception):
    """An object that is stored in a way that this reader does not know."""


class Hdf5:
    """A file's objects by their addresses, read on demand through a memory map.

    Raises:
      UnknownLayout: the file is of a kind that MATLAB does not write.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        # MATLAB puts 512 bytes of its own before the file, from which addresses do not count.
        starts = [start for start in (0, 512) if self._map[start : start + 16] == _SUPERBLOCK]
        if not starts:
            raise UnknownLayout("the superblock is of another version")
        self._base = starts[0]

    def forget(self) -> None:
        """Gives the pages that were read back to the system, so that memory does not grow with them."""
        self._map.madvise(mmap.MADV_DONTNEED)

    def values(self, address: int) -> tuple[str, tuple]:
        """The values of a two-dimensional dataset, flat, and what they are.

        Returns:
          `DOUBLES`, `CHARACTERS` (their codes) or `REFERENCES` (the addresses of objects), and the values.
        Raises:
          UnknownLayout: it is stored in another way, or is no dataset.
        """
        try:
            return self._values(address)
        except _DAMAGE as error:
            raise UnknownLayout(f"the object at {address} is damaged: {error}") from error

    def members(self, address: int) -> dict[str, int]:
        """The addresses of a group's members.

        Raises:
          UnknownLayout: it is stored in another way, or is no group.
        """
        try:
            return self._members(address)
        except _DAMAGE as error:
            raise UnknownLayout(f"the object at {address} is damaged: {error}") from error

    def _messages(self, address: int) -> Iterator[tuple[int, int, int]]:
        """The type, place and bytes of each message of an object header."""
        data, position = self._map, self._base + address
        version, left, size = _HEADER.unpack_from(data, position)
        if version != 1:
            raise UnknownLayout(f"the object at {address} has a header of version {version}")
        blocks = [(position + _HEADER.size, size)]
        for start, size in blocks:
            end = start + size
            while start < end and left:
                kind, length, flags = _MESSAGE.unpack_from(data, start)
                start += _MESSAGE.size
                if flags & _SHARED:
                    raise UnknownLayout(f"the object at {address} shares a message of type {kind}")
                if kind == _CONTINUATION:
                    further, size = _TWO.unpack_from(data, start)
                    blocks.append((self._base + further, size))
                else:
                    yield kind, start, length
                start += length
                left -= 1

    def _values(self, address: int) -> tuple[str, tuple]:
        count = kind = content = None
        for message, start, length in self._messages(address):
            if message == _DATASPACE:
                count = self._count(start)
            elif message == _DATATYPE:
                kind = _TYPES.get(self._map[start : start + length])
            elif message == _LAYOUT:
                content = self._content(start)
            elif message not in _IGNORED:
                raise UnknownLayout(f"the object at {address} has a message of type {message}")
        if count is None or kind is None or content is None:
            raise UnknownLayout(f"the object at {address} is no dataset of a known type")
        array = _array(count, kind)
        if array.size != content[1]:
            raise UnknownLayout(f"the dataset at {address} has {content[1]} bytes in place of {array.size}")
        return kind, array.unpack_from(self._map, content[0])

    def _count(self, start: int) -> int:
        """How many values a dataspace has."""
        version, rank, _ = _SPACE.unpack_from(self._map, start)
        if version != 1 or rank != 2:
            raise UnknownLayout(f"a dataspace has version {version} and {rank} dimensions")
        rows, columns = _TWO.unpack_from(self._map, start + _SPACE.size)
        return rows * columns

    def _content(self, start: int) -> tuple[int, int]:
        """Where the values of a dataset are, and how many bytes."""
        version, layout = _LAYOUT_START.unpack_from(self._map, start)
        start += _LAYOUT_START.size
        if version == 3 and layout == _COMPACT:
            return start + _COMPACT_SIZE.size, _COMPACT_SIZE.unpack_from(self._map, start)[0]
        if version == 3 and layout == _CONTIGUOUS:
            address, size = _TWO.unpack_from(self._map, start)
            if address < len(self._map):  # else nothing was ever written
                return self._base + address, size
        raise UnknownLayout(f"a dataset has the layout {layout} of version {version}")

    def _members(self, address: int) -> dict[str, int]:
        tables = [start for kind, start, _ in self._messages(address) if kind == _SYMBOL_TABLE]
        if not tables:
            raise UnknownLayout(f"the object at {address} is no group with a symbol table")
        tree, heap = _TWO.unpack_from(self._map, tables[0])
        signature, kind, level, nodes, *_, table = _NODE.unpack_from(self._map, self._base + tree)
        if (signature, kind, level, nodes) != (b"TREE", 0, 0, 1):
            raise UnknownLayout(f"the group at {address} is larger than one node")
        signature, version, _, _, names = _HEAP.unpack_from(self._map, self._base + heap)
        if (signature, version) != (b"HEAP", 0):
            raise UnknownLayout(f"the group at {address} has no heap for its names")
        signature, version, count = _TABLE.unpack_from(self._map, self._base + table)
        if (signature, version) != (b"SNOD", 1):
            raise UnknownLayout(f"the group at {address} has no symbol table node")
        found = {}
        for i in range(count):
            place, member = _SYMBOL.unpack_from(self._map, self._base + table + _TABLE.size + i * _SYMBOL.size)
            begin = self._base + names + place
            found[self._map[begin : self._map.find(b"\0", begin)].decode()] = member
        return found


@lru_cache(maxsize=256)
def _array(count: int, kind: str) -> Struct:
    return Struct(f"<{count}{kind}")
