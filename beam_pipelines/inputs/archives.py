"""Locate the images in tar and zip archives, so that they can be read without unpacking the archive.

An archive is scanned once. Damage becomes a reject; images before it are kept.
"""

import posixpath
import struct
import tarfile
import zipfile
from collections import Counter
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from beam_pipelines.sharding.shards import Reject
from trainer.data.images.image_kinds import IMAGE_ENDINGS

TAR_ENDINGS, ZIP_ENDINGS = (".tar",), (".zip",)
# These can only be decompressed from the start, so their members cannot be read individually.
COMPRESSED = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"7z\xbc\xaf\x27\x1c": "7z",
    b"Rar!": "rar",
}
LARGEST_MEMBER = 256 << 20  # bytes, unpacked
_LARGEST_HEADER = 1 << 20
_LINKS_FOLLOWED = 40
_LONGEST_ENDING = 16
_PIECE_BYTES = 1 << 20


class Member(NamedTuple):
    """An image in an archive, or the reject in its place.

    Attributes:
      name: in the archive; empty if the archive itself is damaged.
      start: where its data begins in the file; if zipped, where its header begins.
      size: in bytes, unpacked.
      zipped: whether it must be read by `Zip.read`.
      reject: reason and detail, if it is already known that it cannot be read.
    """

    name: str
    start: int = 0
    size: int = 0
    zipped: bool = False
    reject: tuple[str, str] | None = None


def endings() -> tuple[str, ...]:
    """Return the extensions, in lower case, of files that are opened as archives."""
    packed = (".tgz", ".tbz", ".tbz2", ".txz", ".tzst", ".7z", ".rar")
    return (*TAR_ENDINGS, *ZIP_ENDINGS, *packed, *(f".tar.{kind}" for kind in ("gz", "bz2", "xz", "zst", "z", "lzma")))


def kind_of(beginning: bytes) -> str | None:
    """Return `tar`, `zip`, the name of a compression, or None, judged by the first kilobyte of a file."""
    if beginning[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        return "zip"
    for signature, name in COMPRESSED.items():
        if beginning.startswith(signature):
            return name
    try:
        tarfile.TarInfo.frombuf(beginning[: tarfile.BLOCKSIZE], "utf-8", "surrogateescape")
        return "tar"
    except tarfile.HeaderError:
        return None


def members(file: BinaryIO, size: int, others: Counter[str]) -> Iterator[Member]:
    """Yield the images in an archive of `size` bytes, and count all other files by extension.

    Raises:
      OSError: it cannot be read.
    """
    beginning = file.read(2 * tarfile.BLOCKSIZE)
    kind = kind_of(beginning)
    if not size:
        yield Member("", reject=("empty-archive", "it has 0 bytes"))
    elif kind in COMPRESSED.values():
        yield Member("", reject=("compressed-archive", f"it is compressed with {kind}: repack it as a plain .tar"))
    elif kind is None and beginning.strip(b"\0"):
        yield Member("", reject=("damaged-archive", "it does not begin like an archive: repack it as a plain .tar"))
    elif kind == "zip":
        yield from _zip_members(file, others)
    else:
        yield from _Tar(file, size, others).members()


def ending(name: str) -> str:
    """Return a file's extension in lower case, by which skipped files are counted; empty if it is long."""
    found = posixpath.splitext(name)[1].lower()
    return found if len(found) <= _LONGEST_ENDING else ""


class _Tar:
    """One pass through a tar archive, and through any archives appended to it."""

    def __init__(self, file: BinaryIO, size: int, others: Counter[str]) -> None:
        self._file, self._size, self._others = file, size, others
        self._files: dict[str, Member] = {}
        self._links: dict[str, str] = {}  # the target of each
        self._count = 0

    def members(self) -> Iterator[Member]:
        start: int | None = 0
        damage: list[Member] = []
        while start is not None:
            try:
                self._file.seek(start)
                bounded = _Bounded(self._file, self._size)
                with tarfile.open(fileobj=bounded, mode="r:") as archive:  # type: ignore[call-overload]
                    for member in _each(archive):
                        yield from self._found(member)
                    start = self._next(archive.offset)
            except OSError:
                raise
            except Exception as error:  # tarfile may raise any exception type on damaged headers
                damage, start = [_damaged(error)], None
        yield from self._linked()
        yield from damage
        if not self._count and not damage:
            yield Member("", reject=("empty-archive", "it has no members"))

    def _found(self, member: tarfile.TarInfo) -> Iterator[Member]:
        self._count += 1
        name, is_image = member.name, member.name.lower().endswith(IMAGE_ENDINGS)
        if member.isfile():
            sparse = ("undecodable", "it is a sparse file") if member.issparse() else None
            self._files[name] = Member(name, member.offset_data, member.size, reject=sparse)
        if member.isdir():
            return
        if not is_image:
            self._others[ending(name)] += 1
        elif member.isfile():
            yield self._files[name]
        elif member.islnk():
            self._links[name] = member.linkname
        elif member.issym():
            self._links[name] = posixpath.join(posixpath.dirname(name), member.linkname)
        else:
            yield Member(name, reject=("not-a-file", "it is a pipe or a device"))

    def _linked(self) -> Iterator[Member]:
        """Yield the links, each with the data of its target."""
        for name, target in self._links.items():
            at = target
            for _ in range(_LINKS_FOLLOWED):
                at = self._links.get(at) or self._links.get(posixpath.normpath(at)) or at
            file = self._files.get(at) or self._files.get(posixpath.normpath(at))
            broken = ("broken-link", f"it links to {target}, which is not a file in the archive")
            yield file._replace(name=name) if file else Member(name, reject=broken)

    def _next(self, end: int) -> int | None:
        """Return where another archive begins after the end of this one, None if there is none.

        Raises:
          ReadError: the archive does not end there.
        """
        self._file.seek(end)
        if self._file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):  # tarfile mistakes damage for the end
            raise tarfile.ReadError(f"no header and no end mark at byte {end:,}")
        end += tarfile.BLOCKSIZE
        while piece := self._file.read(_PIECE_BYTES):
            if rest := piece.lstrip(b"\0"):
                at = end + len(piece) - len(rest)
                return at - at % tarfile.BLOCKSIZE
            end += len(piece)
        return None


def _each(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    offset = -1
    while (member := archive.next()) is not None:
        archive.members.clear()  # type: ignore[attr-defined] # it would keep a kilobyte per member
        if archive.offset <= offset or member.size < 0:
            raise tarfile.ReadError(f"the header of {member.name!r} claims {member.size:,} bytes")
        offset = archive.offset
        yield member


def _damaged(error: Exception) -> Member:
    return Member("", reject=("damaged-archive", f"members after this point are lost: {error}"))


class _Bounded:
    """A file with bounded reads for tarfile, which would otherwise read as many bytes as a header claims."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self._size, self.tell = file, size, file.tell

    def seek(self, position: int) -> int:
        if position > self._size:
            raise tarfile.ReadError("the archive ends within a member")
        return self._file.seek(position)

    def read(self, size: int) -> bytes:
        if not 0 <= size <= _LARGEST_HEADER:
            raise tarfile.ReadError(f"a header claims {size:,} bytes")
        return self._file.read(size)


def _zip_members(file: BinaryIO, others: Counter[str]) -> Iterator[Member]:
    try:
        with zipfile.ZipFile(file) as archive:
            infos = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OverflowError, struct.error) as error:
        yield _damaged(error)
        return
    for info in infos:
        if info.filename.endswith("/"):  # a folder; `is_dir` fails for an empty name before Python 3.12
            continue
        if info.filename.lower().endswith(IMAGE_ENDINGS):
            reject = None
            if info.flag_bits & 1:
                reject = ("encrypted", "it is encrypted: unpack it with its password")
            elif info.file_size > LARGEST_MEMBER:
                reject = ("too-large", f"it claims {info.file_size:,} bytes; at most {LARGEST_MEMBER:,} are read")
            yield Member(info.filename, info.header_offset, info.file_size, True, reject)
        else:
            others[ending(info.filename)] += 1
    if not infos:
        yield Member("", reject=("empty-archive", "it has no members"))


class Zip:
    """An open zip archive."""

    def __init__(self, file: BinaryIO) -> None:
        self._archive = zipfile.ZipFile(file)
        self._infos = {info.header_offset: info for info in self._archive.infolist()}

    def read(self, start: int) -> bytes:
        """Return a member, decompressed.

        Raises:
          Reject: `damaged-archive`.
        """
        try:
            with self._archive.open(self._infos[start]) as member:
                return member.read(LARGEST_MEMBER)
        except Exception as error:  # each decompressor has its own exceptions
            raise Reject("damaged-archive", f"it cannot be unpacked: {error}") from error
