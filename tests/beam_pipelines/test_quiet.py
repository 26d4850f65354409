"""Importing Beam prints nothing, whichever of its extras are installed."""

import subprocess
import sys

from tests.conftest import ROOT


def test_beam_without_its_extra_for_google_cloud_is_silent() -> None:
    script = (
        "import logging, sys; sys.modules['apitools'] = None\n"
        "from beam_pipelines import beam_import; beam_import.import_beam()\n"
        "import beam_pipelines.runs.score\n"
        "assert not logging.root.handlers and not logging.root.manager.disable\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
