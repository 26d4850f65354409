"""Describe a scoring job for Dataflow: the launcher of Flex Templates runs this file in the image of the workers.

The parameters of a template are named with underscores (`score.json`), which our options are not; Beam's are.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from beam_pipelines import score

METADATA = Path(__file__).with_name("score.json")


def arguments(words: Sequence[str]) -> list[str]:
    """Return the launcher's words, `--name=value`, with the names of our parameters as `score` takes them."""
    ours = {f"--{parameter['name']}" for parameter in json.loads(METADATA.read_text(encoding="utf-8"))["parameters"]}
    split = [word.partition("=") for word in words]
    return ["".join((name.replace("_", "-") if name in ours else name, *value)) for name, *value in split]


if __name__ == "__main__":
    sys.exit(score.main(arguments(sys.argv[1:])))
