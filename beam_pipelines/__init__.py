"""Apache Beam pipelines that write datasets and score images."""

import logging

# Beam without its extra `gcp` warns of that whenever it is imported, and sets up logging to do so.
_handlers, _disabled = logging.root.handlers[:], logging.root.manager.disable
logging.disable(logging.WARNING)
import apache_beam  # noqa: E402, F401

logging.disable(_disabled)
logging.root.handlers[:] = _handlers
