"""Check the paths and URLs that Beam will read or write before work begins: missing store packages, wrong buckets."""

import importlib.util

from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions

from beam_pipelines.sharding import first_request, listing
from trainer import troubles
from trainer.cli import UserError
from trainer.cluster import environment
from trainer.files import first_contact

# Beam's extra for each scheme, and a package that the extra installs: without that, some stores fail only on first use.
EXTRAS = {"gs": ("gcp", "google.cloud.storage"), "s3": ("aws", "boto3"), "azfs": ("azure", "azure.storage.blob")}
EXTRAS["hdfs"] = ("hadoop", "hdfs")
_MEANT = {"az": "azfs", "abfs": "azfs", "abfss": "azfs", "wasb": "azfs", "s3a": "s3", "s3n": "s3", "gcs": "gs"}


def check(flag: str, path: str) -> None:
    """Check that a path is local, or that its store is installed, answers and can list it.

    Raises:
      UserError: its store is not installed, does not answer, or cannot list it.
    """
    scheme = FileSystems.get_scheme(path)
    if not scheme or not listing.is_remote(path):
        return
    if advice := _advice(scheme):
        raise UserError(f"{flag} {path}: {advice}")
    FileSystems.set_options(PipelineOptions([]))  # some stores work only with options, which Beam sets in a pipeline
    try:
        FileSystems.get_filesystem(path)
    except (ValueError, OSError) as error:
        raise UserError(f"{flag} {path}: {' '.join(str(error).split())}") from error
    if not path.partition("://")[2].partition("/")[0]:
        raise UserError(f"{flag} {path} names no bucket: give {scheme}://BUCKET/FOLDER")
    try:
        first_request.send(scheme, path)
    except (ConnectionError, TimeoutError) as error:
        raise first_contact.unreachable(flag, path, error, environment.outage_status()) from error
    except Exception as error:  # each store has its own exceptions
        said = troubles.describe(error)
        raise UserError(f"{flag} {path} cannot be listed: {said[0] if said else _reason(error)}") from error


def _reason(error: BaseException) -> str:
    """Return the message of a store: Beam's errors contain the store's, by path; the first line is meant for people."""
    details = getattr(error, "exception_details", None)
    while details:
        error = next(iter(details.values()))
        details = getattr(error, "exception_details", None)
    return str(error).partition("\n")[0].strip()


def check_local(flag: str, path: str) -> None:
    """Raise UserError if a path is in an object store."""
    if listing.is_remote(path):
        raise UserError(f"{flag} {path}: this command works only in local folders")


def _advice(scheme: str) -> str:
    """Return what to do about a store that cannot be used here, or an empty string."""
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
    except ModuleNotFoundError:  # the parent package is missing
        return False
