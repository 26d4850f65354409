"""The names of the files besides the shards in a dataset and in a folder of predictions."""

from typing import NamedTuple

from trainer.data.formats.dataset_info import COMPLETED_FILE, INFO_FILE, REJECTS_FILE


class OutputNames(NamedTuple):
    """The description (what was requested, and the list of shards), the marker written last, and the rejects."""

    description: str
    completed: str
    rejects: str


DATASET = OutputNames(INFO_FILE, COMPLETED_FILE, REJECTS_FILE)
# Readers of whole folders (pandas, pyarrow, Spark) skip files whose names begin with an underscore or a dot.
PREDICTIONS = OutputNames("_summary.json", "_COMPLETED", "_rejects.jsonl")
FORMER_PREDICTIONS = OutputNames("summary.json", "COMPLETED", "rejects.jsonl")  # up to November 2026
