"""Which places Beam reads and writes, said before any work begins: stores that are not installed, and wrong buckets."""

import importlib.util

from apache_beam.io.filesystems import FileSystems

from beam_pipelines.sharding import listing
from trainer import troubles
from trainer.cli import UserError

# Beam's extra for each scheme, and a package that it brings: without it, some of them fail at their first use only.
EXTRAS = {"gs": ("gcp", "google.cloud.storage"), "s3": ("aws", "boto3"), "azfs": ("azure", "azure.storage.blob")}
EXTRAS["hdfs"] = ("hadoop", "hdfs")
_MEANT = {"az": "azfs", "abfs": "azfs", "abfss": "azfs", "wasb": "azfs", "s3a": "s3", "s3n": "s3", "gcs": "gs"}


def check(flag: str, path: str) -> None:
    """Check that a path is local, or that its store is installed and lists what is there.

    Raises:
      UserError: it is not, or does not.
    """
    scheme = FileSystems.get_scheme(path)
    if not scheme or not listing.is_remote(path):
        return
    if advice := _advice(scheme):
        raise UserError(f"{flag} {path}: {advice}")
    try:
        FileSystems.get_filesystem(path)
    except (ValueError, OSError) as error:
        raise UserError(f"{flag} {path}: {' '.join(str(error).split())}") from error
    try:
        listing.any_below(path)
    except Exception as error:  # each store has exceptions of its own
        said = troubles.describe(error)
        raise UserError(
            f"{flag} {path} cannot be listed: {said[0] if said else ' '.join(str(error).split())}"
        ) from error


def check_local(flag: str, path: str) -> None:
    """Raise UserError for a path in a store."""
    if listing.is_remote(path):
        raise UserError(f"{flag} {path}: this command works in local folders only")


def _advice(scheme: str) -> str:
    """Return what to do where a store cannot be used here, or nothing."""
    if scheme in _MEANT:
        return f"Beam calls this store {_MEANT[scheme]}:// ({_installing(_MEANT[scheme])})"
    if scheme not in EXTRAS:
        return f"{scheme}:// is not supported: give a local path, gs://, s3:// or azfs://"
    return "" if _is_installed(EXTRAS[scheme][1]) else f"{scheme}:// is not installed: {_installing(scheme)}"


def _installing(scheme: str) -> str:
    return f"pip install 'apache-beam[{EXTRAS[scheme][0]}]'"


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # of the package above it
        return False
