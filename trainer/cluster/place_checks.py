"""Check a path or URL on the command line for programs that read it with TensorFlow."""

from trainer import cli
from trainer.cluster import environment
from trainer.files import first_contact


def check(flag: str, path: str) -> None:
    """Raise UserError for a URL that TensorFlow does not support, or whose bucket does not answer."""
    cli.local_or_gs(flag, path)
    environment.import_tensorflow()
    first_contact.check_bucket(flag, path, environment.outage_status())
