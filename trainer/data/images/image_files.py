"""Inspect PNG and JPEG files byte by byte: whether all decoders read the same pixels; repair harmless damage.

Pillow tolerates different damage than TensorFlow's libpng and libjpeg, and does not report what it tolerated.
"""

import io
import re
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from PIL import Image, ImageChops

PNG_SIGNATURE, JPEG_START, JPEG_END = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"\xff\xd9"
_CRITICAL = (b"IHDR", b"PLTE", b"IDAT", b"IEND")
_HARMLESS = frozenset(
    [
        b"bKGD",
        b"cHRM",
        b"gAMA",
        b"hIST",
        b"iCCP",
        b"iTXt",
        b"pHYs",
        b"sBIT",
        b"sRGB",
        b"tEXt",
        b"tIME",
        b"zTXt",
        b"eXIf",
    ]
)
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by the colour type of a PNG
_ADAM7 = ((8, 8, 0, 0), (8, 8, 4, 0), (4, 8, 0, 4), (4, 4, 2, 0), (2, 4, 0, 2), (2, 2, 1, 0), (1, 2, 0, 1))
_MOST_METADATA = 1 << 20  # bytes of a PNG chunk that libpng certainly accepts
_SCAN_HEADER, _PROGRESSIVE = 0xDA, 0xC2
_FRAMES = frozenset([0xC0, 0xC1, _PROGRESSIVE])  # baseline, extended, progressive: not every libjpeg reads the others
_ORDINARY = frozenset([*_FRAMES, _SCAN_HEADER, 0xC4, 0xDB, 0xDD, 0xFE, *range(0xE0, 0xF0)])
_SCAN = re.compile(rb"(?:[^\xff]|\xff\x00|\xff[\xd0-\xd7])*", re.DOTALL)
_RESTART = re.compile(rb"\xff([\xd0-\xd7])")
_MORE = b"\xaa" * 64  # decoded as pixels only if the file's own pixels ended too early


def plain_type(data: bytes) -> str | None:
    """Return `png` or `jpeg` if TensorFlow certainly decodes the file; if it is RGB, to the same pixels as Pillow."""
    if data.startswith(PNG_SIGNATURE):
        return "png" if _is_plain_png(data) else None
    return "jpeg" if data.startswith(JPEG_START) and _is_plain_jpeg(data) else None


def mended(data: bytes) -> bytes | None:
    """Return the file, repaired so that Pillow can read it; None if pixels are missing or nothing can be repaired."""
    if data.startswith(PNG_SIGNATURE):
        return _without_metadata(data)
    if data.startswith(JPEG_START) and not data.endswith(JPEG_END):
        data = data.rstrip(b"\xff")
        return data + JPEG_END if _is_whole(data) else None
    return None


class _Chunk(NamedTuple):
    kind: bytes
    start: int  # of its length field
    data: bytes
    sound: bool  # whether its checksum is correct


def _chunks(data: bytes) -> Iterator[_Chunk]:
    """Yield the chunks of a PNG file up to the first that is truncated."""
    start = len(PNG_SIGNATURE)
    while (end := start + 12 + int.from_bytes(data[start : start + 4], "big")) <= len(data):
        checksum = int.from_bytes(data[end - 4 : end], "big")
        yield _Chunk(
            data[start + 4 : start + 8],
            start,
            data[start + 8 : end - 4],
            zlib.crc32(data[start + 4 : end - 4]) == checksum,
        )
        start = end


def _without_metadata(data: bytes) -> bytes | None:
    """Return a PNG file without text, colour profiles etc., which may be damaged or huge; None if it has none."""
    needed = (*_CRITICAL, b"tRNS")
    chunks = list(_chunks(data))
    kept = [chunk for chunk in chunks if chunk.kind in needed or (chunk.kind == b"eXIf" and chunk.sound)]
    if len(kept) == len(chunks):
        return None
    return PNG_SIGNATURE + b"".join(data[chunk.start : chunk.start + 12 + len(chunk.data)] for chunk in kept)


def _is_plain_png(data: bytes) -> bool:
    chunks = list(_chunks(data))
    kinds = [chunk.kind for chunk in chunks]
    if not data.startswith(PNG_SIGNATURE) or kinds[:1] != [b"IHDR"] or kinds[-1:] != [b"IEND"]:
        return False
    first = kinds.index(b"IDAT") if b"IDAT" in kinds else 0
    count = kinds.count(b"IDAT")
    orderly = kinds[first : first + count] == [b"IDAT"] * count and kinds.count(b"IHDR") == kinds.count(b"IEND") == 1
    others = [chunk for chunk in chunks if chunk.kind not in (b"IHDR", b"IDAT", b"IEND")]
    harmless = all(chunk.kind in _HARMLESS and len(chunk.data) <= _MOST_METADATA for chunk in others)
    whole = chunks[-1].start + 12 == len(data)
    if not (count and orderly and harmless and whole and all(chunk.sound for chunk in chunks)):
        return False
    return _is_plain_stream(chunks[0].data, b"".join(chunk.data for chunk in chunks if chunk.kind == b"IDAT"))


def _is_plain_stream(header: bytes, compressed: bytes) -> bool:
    """Return whether the compressed pixels are undamaged, and neither too few nor too many."""
    width, height = int.from_bytes(header[:4], "big"), int.from_bytes(header[4:8], "big")
    if len(header) != 13:
        return False
    depth, colour, compression, filtering, interlaced = header[8:13]
    if colour not in _CHANNELS or compression or filtering or interlaced > 1:
        return False
    bits = depth * _CHANNELS[colour]
    passes = _ADAM7 if interlaced else ((1, 1, 0, 0),)
    sizes = [(-(-(width - left) // across), -(-(height - top) // down)) for across, down, left, top in passes]
    expected = sum(rows * (1 + (columns * bits + 7) // 8) for columns, rows in sizes if columns > 0 and rows > 0)
    stream = zlib.decompressobj(wbits=0)  # with the window size in the header, as libpng does
    try:
        pixels = stream.decompress(compressed, expected + 1)
    except zlib.error:
        return False
    return stream.eof and not stream.unused_data and len(pixels) == expected


class _Segment(NamedTuple):
    marker: int
    body: bytes
    scan: bytes  # the compressed pixels after a scan's header
    end: int


def _segments(data: bytes) -> Iterator[_Segment]:
    """Yield the segments of a JPEG file between its start and end markers, up to the first truncated or invalid one."""
    position = 2
    while data[position : position + 1] == b"\xff" and position + 4 <= len(data):
        marker, size = data[position + 1], int.from_bytes(data[position + 2 : position + 4], "big")
        body, position = data[position + 4 : position + 2 + size], position + 2 + size
        if size < 2 or position > len(data) or marker < 0xC0 or 0xD0 <= marker <= 0xD9:
            return
        scan = _SCAN.match(data, position) if marker == _SCAN_HEADER else None
        position = scan.end() if scan else position
        yield _Segment(marker, body, scan[0] if scan else b"", position)


def _is_plain_jpeg(data: bytes) -> bool:
    """Return whether the markers are in order, with none of them within the pixels."""
    segments = list(_segments(data))
    frames = [segment.marker for segment in segments if segment.marker in _FRAMES]
    ordinary = all(segment.marker in _ORDINARY for segment in segments)
    counted = all(
        int(restart[1][0]) == 0xD0 + i % 8
        for segment in segments
        for i, restart in enumerate(_RESTART.finditer(segment.scan))
    )
    return len(frames) == 1 and ordinary and counted and data[segments[-1].end :] == JPEG_END and _is_whole(data[:-2])


def _is_whole(data: bytes) -> bool:
    """Return whether a JPEG file without its end marker is otherwise complete."""
    try:
        # If pixels are missing, the bytes that follow change the result, directly or after a restart marker: vary both.
        *_, last = _segments(data)
        restart = bytes([0xFF, 0xD0 + len(_RESTART.findall(last.scan)) % 8])
        one, other = (
            Image.open(io.BytesIO(data + more + JPEG_END), formats=["JPEG"]) for more in (b"", _MORE + restart + _MORE)
        )
        return _has_all_scans(data) and ImageChops.difference(one, other).getbbox() is None
    except Exception:  # Pillow may raise any exception type
        return False


def _has_all_scans(data: bytes) -> bool:
    """Return whether the scans of a JPEG file hold every coefficient of every component to its last bit."""
    segments = list(_segments(data))
    (frame,) = (segment for segment in segments if segment.marker in _FRAMES)
    missing = {frame.body[i]: set(range(64)) for i in range(6, 6 + 3 * frame.body[5], 3)}
    for segment in segments:
        if segment.marker == _SCAN_HEADER:
            count = segment.body[0]
            first, last, bits = segment.body[1 + 2 * count : 4 + 2 * count]
            if frame.marker != _PROGRESSIVE:
                first, last, bits = 0, 63, 0
            if bits & 15 == 0:
                for component in segment.body[1 : 1 + 2 * count : 2]:
                    missing[component].difference_update(range(first, last + 1))
    return not any(missing.values())
