"""Identify inputs by checksums of the paths, sizes and times of their files, to compare them with earlier runs."""

import posixpath
from collections import defaultdict
from collections.abc import Iterable, Iterator
from hashlib import blake2b

import google_crc32c
from apache_beam.io.filesystems import FileSystems

from beam_pipelines.inputs.labelled import Source
from beam_pipelines.sharding import listing
from beam_pipelines.sharding.listing import File

BITS = 128
FEW = 20  # up to this many files in a folder of an object store are looked up one by one, instead of listing the folder


def of_files(files: Iterable[File]) -> str:
    """Return a checksum, in hexadecimal, of the path, size and time of each file, whatever their order."""
    return f"{sum(map(_digest, files)) % 2**BITS:0{BITS // 4}x}"


def of_paths(paths: Iterable[str]) -> str:
    """Return `of_files` of the files at these paths, local or remote; missing ones count as empty."""
    return of_files(looked_up(paths))


def of_source(source: Source, described_in: str) -> dict[str, str]:
    """Return what identifies labelled images: the file that describes them, and all image files that it names."""
    fingerprints = {"labels": of_paths([described_in])}
    if source.images is not None:
        fingerprints["images"] = of_paths(_image_paths(source, *source.images))
    return fingerprints


def of_datasets(folders: Iterable[str], description: str) -> str:
    """Return a CRC-32C of the descriptions of datasets, which contain the checksums of all their shards."""
    checksum = google_crc32c.Checksum()
    for folder in folders:
        with FileSystems.open(FileSystems.join(folder, description)) as file:
            checksum.update(file.read())
    return checksum.hexdigest().decode()


def _digest(file: File) -> int:
    text = f"{file.path}\0{file.size}\0{file.updated}"
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogateescape"), digest_size=BITS // 8).digest(), "big")


def _image_paths(source: Source, folder: str, prefix: str) -> Iterator[str]:
    for _, key, _ in source.entries():
        yield posixpath.join(folder, key[len(prefix) :].lstrip("/"))


def looked_up(paths: Iterable[str]) -> Iterator[File]:
    """Yield the file at each path; a missing one counts as empty.

    If there are many in a folder of an object store, that folder is listed once.
    """
    remote: defaultdict[str, list[str]] = defaultdict(list)
    for path in paths:
        if listing.is_remote(path):
            remote[path.rpartition("/")[0]].append(path)
        else:
            yield listing.file(path) or File(path, 0, 0.0)
    for folder, named in remote.items():
        files = listing.files(folder).values() if len(named) > FEW else map(listing.remote_file, named)
        listed = {file.path: file for file in files if file}
        yield from (listed.get(path) or File(path, 0, 0.0) for path in named)
