"""Decode a TIFF a few rows at a time; Pillow itself decodes it as a whole, from a file that libtiff maps into memory.

Strips, or rows of tiles, are compressed independently. So some of them, together with the tags of the file, form a TIFF
with fewer rows, which Pillow decodes to the same pixels.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, BinaryIO, cast

from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2, TiffImageFile

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _PLANAR = 256, 257, 258, 259, 262, 284
_STRIPS, _ROWS_PER_STRIP, _STRIP_BYTES = 273, 278, 279
_TILE_WIDTH, _ROWS_PER_TILE, _TILES, _TILE_BYTES = 322, 323, 324, 325
# Further tags that pixels depend on: colours and their order, predictor, extra samples, JPEG tables, YCbCr.
_OTHERS = (_PHOTOMETRIC, 266, 277, 317, 320, 332, 338, 339, 347, 529, 530, 531, 532)
_UNCOMPRESSED, _YCBCR = 1, 6
_COMPRESSIONS = (_UNCOMPRESSED, 5, 7, 8, 32773, 32946, 34925, 50000, 50001)  # LZW, JPEG, Deflate and the like
_AT_ONCE = 1 << 20  # pixels

_Places = list[list[tuple[int, int]]]  # start and length in the file of strips or tiles that are decoded at once


@dataclass
class TiffRows:
    """The rows of a TIFF file, of which `rows` are decoded at a time.

    Attributes:
      size: width and height as stored, whatever the orientation.
    """

    size: tuple[int, int]
    rows: int
    _file: BinaryIO
    _tags: dict[int, Any]  # without those of strips or tiles
    _prefix: bytes  # the byte order
    _tiled: bool
    _places: _Places
    _decoded: dict[int, Image.Image] = field(default_factory=dict)

    @property
    def working_bytes(self) -> int:
        """Return roughly how much memory it takes to decode some rows and to convert them to RGB."""
        compressed = max(sum(length for _, length in places) for places in self._places)
        return 16 * self.size[0] * self.rows + 2 * compressed

    def pieces(self, first: int, last: int) -> Iterator[tuple[int, Image.Image]]:
        """Yield the pixels of the rows from `first` to before `last` in pieces, each with the number of its first row.

        Request rows from top to bottom, since only a few decoded rows are kept.

        Raises:
          Exception: the file is damaged; it may be of any type, as with Pillow's plug-ins.
        """
        indices = range(first // self.rows, -(-last // self.rows))
        self._decoded = {index: image for index, image in self._decoded.items() if index in indices}
        for index in indices:
            if index not in self._decoded:
                self._decoded[index] = self._decode(index)
            image, top = self._decoded[index], index * self.rows
            begin, end = max(first, top), min(last, top + image.height)
            yield begin, image.crop((0, begin - top, image.width, end - top))

    def _decode(self, index: int) -> Image.Image:
        height = min(self.rows, self.size[1] - index * self.rows)
        parts = [self._read(*place) for place in self._places[index]]
        image = Image.open(io.BytesIO(self._tiff(height, parts)), formats=["TIFF"])
        image.load()
        if image.size != (self.size[0], height):
            raise ValueError(f"rows have the size {image.size}")
        return image

    def _read(self, start: int, length: int) -> bytes:
        self._file.seek(start)
        return self._file.read(length)

    def _tiff(self, height: int, parts: list[bytes]) -> bytes:
        """Return a TIFF file with this many rows, from these strips or tiles."""
        ifd = ImageFileDirectory_v2(prefix=self._prefix)
        for tag, value in {**self._tags, _HEIGHT: height}.items():
            ifd[tag] = value
        starts = [0]
        for part in parts:
            starts.append(starts[-1] + len(part))
        ifd[_TILE_BYTES if self._tiled else _STRIP_BYTES] = tuple(map(len, parts))
        ifd[_TILES if self._tiled else _STRIPS] = tuple(starts[:-1])
        if self._tiled:  # Pillow adds the size of the tags only to the offsets of strips
            end = ifd.save(io.BytesIO())
            ifd[_TILES] = tuple(end + start for start in starts[:-1])
        buffer = io.BytesIO()
        ifd.save(buffer)
        return b"".join([buffer.getvalue(), *parts])


def of(image: Image.Image, file: BinaryIO) -> TiffRows | None:
    """Return the rows of an opened file; None if it is not a TIFF, or not one that can be decoded in pieces."""
    if image.format != "TIFF" or image.mode.startswith(("F", "I", "1")):
        return None
    tags = cast(TiffImageFile, image).tag_v2
    if tags.get(_COMPRESSION, _UNCOMPRESSED) not in _COMPRESSIONS or tags.get(_PLANAR, 1) != 1:
        return None
    rows, places = _tiles(tags) if _TILES in tags else _strips(tags)
    if len(places) < 2:
        return None
    width = tags[_WIDTH]
    count = max(1, _AT_ONCE // (width * rows))
    joined = [list(chain(*places[i : i + count])) for i in range(0, len(places), count)]
    kept: tuple[int, ...] = (_WIDTH, _BITS, _COMPRESSION, _PLANAR, *_OTHERS)
    kept += (_TILE_WIDTH, _ROWS_PER_TILE) if _TILES in tags else ()
    known = {tag: tags[tag] for tag in kept if tag in tags}
    known |= {} if _TILES in tags else {_ROWS_PER_STRIP: rows}
    return TiffRows((width, tags[_HEIGHT]), count * rows, file, known, tags.prefix, _TILES in tags, joined)


def _tiles(tags: ImageFileDirectory_v2) -> tuple[int, _Places]:
    """Return how many rows a tile has, and where the tiles of each row of tiles are in the file."""
    across, rows = -(-tags[_WIDTH] // tags[_TILE_WIDTH]), tags[_ROWS_PER_TILE]
    places = list(zip(tags[_TILES], tags[_TILE_BYTES], strict=True))
    whole = len(places) == across * -(-tags[_HEIGHT] // rows)
    return rows, [places[i : i + across] for i in range(0, len(places), across)] if whole else []


def _strips(tags: ImageFileDirectory_v2) -> tuple[int, _Places]:
    """Return how many rows a strip has, and where each is in the file; split a single uncompressed strip."""
    width, height = tags[_WIDTH], tags[_HEIGHT]
    rows = min(height, tags.get(_ROWS_PER_STRIP, height))
    places = list(zip(tags[_STRIPS], tags[_STRIP_BYTES], strict=True))
    if len(places) == 1 and tags.get(_COMPRESSION, _UNCOMPRESSED) == _UNCOMPRESSED and tags.get(_PHOTOMETRIC) != _YCBCR:
        length = places[0][1] // height
        rows = max(1, _AT_ONCE // width)
        places = [(places[0][0] + top * length, min(rows, height - top) * length) for top in range(0, height, rows)]
    return rows, [[place] for place in places] if len(places) == -(-height // rows) else []
