"""Fetch the official SVHN files: `python -m beam_pipelines.download --help`."""

import argparse
import errno
import hashlib
import re
import shutil
import tarfile
import zlib
from dataclasses import dataclass
from pathlib import Path

from beam_pipelines.inputs import http_download
from trainer.cli import UserError

CHUNK_BYTES = 2**20
# Unpacked size relative to the archive: images hardly compress, and digitStruct.mat at most doubles the size.
UNPACKED_SHARE = 2


@dataclass(frozen=True)
class Official:
    """A file of the SVHN page: its size in bytes, and its SHA-256 if one is published."""

    size: int
    sha256: str | None = None


# The checksums are those of TensorFlow Datasets' svhn_cropped; none are published for the archives.
OFFICIAL = {
    "train.tar.gz": Official(404_141_560),
    "test.tar.gz": Official(276_555_967),
    "extra.tar.gz": Official(1_955_489_752),
    "train_32x32.mat": Official(182_040_794, "435e94d69a87fde4fd4d7f3dd208dfc32cb6ae8af2240d066de1df7508d083b8"),
    "test_32x32.mat": Official(64_275_384, "cdce80dfb2a2c4c6160906d0bd7c68ec5a99d7ca4831afa54f09182025b6a75b"),
    "extra_32x32.mat": Official(1_329_278_602, "a133a4beb38a00fcdda90c9489e0c04f900b660ce8a316a5e854838379a71eb3"),
}
NAMES = {"1": "{}.tar.gz", "2": "{}_32x32.mat"}


def download(name: str, folder: Path, *, url: str, sha256: str | None) -> None:
    """Download one official file to the folder, check it, and unpack it there if it is an archive.

    Args:
      name: a key of `OFFICIAL`.
      folder: an existing folder.
      url: the file's URL without its name.
      sha256: overrides the published checksum.
    Raises:
      UserError: it cannot be downloaded, or is not the expected file.
    """
    path = folder / name
    unpacked, recorded = _unpacked(path), path.with_name(f"{name}.sha256")
    _check_no_links(recorded, path.with_name(f"{name}.part"), path.with_name(f"{name}.part.validator"))
    was_unpacked, was_there = unpacked.exists(), path.exists()
    if was_unpacked and not path.exists():
        print(f"{unpacked} already exists: nothing to do")
        return
    expected = sha256 or OFFICIAL[name].sha256 or (recorded.read_text().split()[0] if recorded.exists() else None)
    if was_there:
        actual = _checked(path, expected, "delete it to download it again")
    else:
        actual = _fetch(f"{url.rstrip('/')}/{name}", path, expected)
    if not unpacked.exists():
        unpack(path, unpacked, keep=was_there)
    print(
        f"{unpacked} already exists, and {name} is intact: nothing to do" if was_unpacked else f"{unpacked} is complete"
    )
    if expected is None:
        recorded.write_text(f"{actual}  {name}\n")
        print(f"no SHA-256 of {name} is published: this one is recorded in {recorded} and checked from now on")


def _fetch(url: str, path: Path, expected: str | None) -> str:
    """Download a file, rename it to its final name once its SHA-256 is as expected, and return the SHA-256."""
    partial = path.with_name(f"{path.name}.part")
    http_download.fetch(url, partial, size=OFFICIAL[path.name].size)
    try:
        actual = _checked(partial, expected, "it was removed; give another --url, or the correct --sha256")
    except UserError:
        partial.unlink()
        raise
    partial.rename(path)
    return actual


def _unpacked(path: Path) -> Path:
    """Return the final path: the folder of an archive, else the file itself."""
    return path.with_name(path.name.removesuffix(".tar.gz"))


def _checked(path: Path, expected: str | None, advice: str) -> str:
    """Return the SHA-256 of a file.

    Raises:
      UserError: it is not the expected one.
    """
    sha256 = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            sha256.update(chunk)
    if expected and sha256.hexdigest() != expected:
        raise UserError(f"{path} has the SHA-256 {sha256.hexdigest()}, not {expected}: {advice}")
    return sha256.hexdigest()


def _check_no_links(*paths: Path) -> None:
    for path in paths:
        if path.is_symlink():
            raise UserError(f"{path} is a link, to which nothing is written: remove it, or choose another --output")


def unpack(path: Path, folder: Path, *, keep: bool = False) -> None:
    """Unpack an archive that contains one folder, which appears complete or not at all.

    Args:
      path: the archive, which is removed if it cannot be unpacked, unless `keep`.
      folder: the folder that it contains.
      keep: do not remove the archive, since it existed before.
    Raises:
      UserError: the archive is damaged, lacks that folder, or has a path outside it.
    """
    scratch = folder.with_name(f"{folder.name}.unpacking")
    shutil.rmtree(scratch, ignore_errors=True)  # left by a killed run
    progress = http_download.Progress(f"unpacking {path.name}", path.stat().st_size)
    try:
        with path.open("rb") as file, tarfile.open(fileobj=file, mode="r:gz") as archive:
            for member in archive:
                archive.extract(member, scratch, filter="data")
                progress.show(file.tell())
        (scratch / folder.name).rename(folder)
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        if isinstance(error, OSError) and error.errno not in (None, errno.ENOENT):
            raise  # the disk's fault, not the archive's
        if not keep:
            path.unlink()
        advice = "delete it to download it again" if keep else "it was removed; run again"
        raise UserError(f"{path} is not a valid archive of {folder.name}/ ({error}): {advice}") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def check_space(names: list[str], folder: Path) -> None:
    """Check that there is disk space for the files that are still to be downloaded and unpacked.

    Raises:
      UserError: there is not enough.
    """
    needed = 0
    for name in names:
        path, size = folder / name, OFFICIAL[name].size
        if path.exists() or not _unpacked(path).exists():
            needed += 0 if path.exists() else size - http_download.size_of(path.with_name(f"{name}.part"))
            needed += 0 if _unpacked(path).exists() or _unpacked(path) == path else UNPACKED_SHARE * size
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise UserError(
            f"{folder} has {free / 1e9:.1f} GB free, but {needed / 1e9:.1f} GB are needed for {', '.join(names)}: "
            "make room, or choose another --output or fewer parts"
        )


def run(args: argparse.Namespace) -> None:
    """Download the parts that the command line asks for."""
    names = [NAMES[args.format].format(part) for part in dict.fromkeys(args.part)]
    sums = dict(_parse_sum(text, names) for text in args.sha256)
    if not re.match(r"https?://", args.url):
        raise UserError(f"--url {args.url}: it must begin with http:// or https://")
    folder = Path(args.output)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        check_space(names, folder)
        for name in names:
            download(name, folder, url=args.url, sha256=sums.get(name))
    except OSError as error:
        raise UserError(f"{folder}: {error}; fix this, and run the same command again to resume") from error


def _parse_sum(text: str, names: list[str]) -> tuple[str, str]:
    name, _, sha256 = text.partition("=")
    if name not in names or not re.fullmatch(r"[0-9a-fA-F]{64}", sha256):
        raise UserError(
            f"--sha256 {text}: write NAME=SUM, with NAME one of {', '.join(names)} and SUM 64 hexadecimal digits"
        )
    return name, sha256.lower()
