"""What Dataflow would receive, offline: the job, the files staged for its workers, and a staged pipeline that works."""

import base64
import bz2
import io
import runpy
import sys
import tarfile
from collections.abc import Sequence
from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.portability.api import beam_runner_api_pb2 as proto
from apache_beam.runners.dataflow.dataflow_runner import DataflowRunner
from google.cloud import storage

from beam_pipelines import synthesize
from tests.beam_pipelines import dataflow_service
from tests.beam_pipelines.conftest import BUCKET
from tests.beam_pipelines.dataset.test_datasets import files
from tests.beam_pipelines.test_object_store import OUTPUT, SYNTHESIZE, shards_of, stored
from tests.conftest import ROOT
from trainer.data.formats.dataset_info import COMPLETED_FILE
from trainer.files.lock import Ticket

pytestmark = pytest.mark.slow

DATAFLOW = [
    "--runner=DataflowRunner",
    "--project=my-project",
    "--region=us-central1",
    f"--staging_location=gs://{BUCKET}/staging",
    f"--temp_location=gs://{BUCKET}/temp",
    "--no_auth",
    "--num_workers=5",
    "--max_num_workers=50",
    "--machine_type=n2-standard-4",
    "--sdk_container_image=example.org/digits/beam:1",
    "--setup_file=./setup.py",
]


def do_fns(pipeline: proto.Pipeline) -> dict[str, bytes]:
    """Return the pickled function of each step."""
    return {
        step.unique_name: bz2.decompress(
            base64.b64decode(proto.ParDoPayload.FromString(step.spec.payload).do_fn.payload)
        )
        for step in pipeline.components.transforms.values()
        if step.spec.urn == "beam:transform:pardo:v1"
    }


def test_a_dry_run_puts_the_job_together_and_writes_nothing(
    bucket: storage.Bucket, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    made: list[DataflowRunner] = []
    run_pipeline = DataflowRunner.run_pipeline

    def remember(self: DataflowRunner, *args: object) -> object:
        made.append(self)
        return run_pipeline(self, *args)

    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(DataflowRunner, "run_pipeline", remember)
    with pytest.raises(SystemExit) as end:
        synthesize.main([*SYNTHESIZE, "--output", OUTPUT, *DATAFLOW, "--dry_run=True"])
    assert end.value.code == 0
    assert "dry run" in capsys.readouterr().out
    steps = {step.unique_name.split("/")[0] for step in made[0].proto_pipeline.components.transforms.values()}
    assert {"Shards", "Spread", "Work", "Finish"} <= steps
    assert not stored(bucket)
    assert synthesize.main([*SYNTHESIZE, "--output", OUTPUT]) == 0
    before = stored(bucket)
    with pytest.raises(SystemExit):
        synthesize.main([*SYNTHESIZE, "--seed", "4", "--output", OUTPUT, *DATAFLOW, "--dry_run=True", "--overwrite"])
    assert stored(bucket) == before


def test_the_values_of_options_are_checked_before_anything_is_replaced(
    bucket: storage.Bucket, capsys: pytest.CaptureFixture
) -> None:
    assert synthesize.main([*SYNTHESIZE, "--output", OUTPUT]) == 0
    args = [*SYNTHESIZE, "--output", OUTPUT, "--overwrite", *DATAFLOW, "--dataflow_endpoint=nonsense"]
    assert synthesize.main(args) == 2
    assert "nonsense" in capsys.readouterr().err
    assert COMPLETED_FILE in stored(bucket)


def run_as_main(module: str, args: Sequence[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Run `python -m module args` in this process."""
    monkeypatch.setattr(sys, "argv", [module, *args])
    monkeypatch.chdir(ROOT)
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def test_a_submitted_job_carries_all_that_its_workers_need(
    bucket: storage.Bucket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with dataflow_service.serve() as service:
        args = [*SYNTHESIZE, "--output", OUTPUT, *DATAFLOW, f"--dataflow_endpoint={service.endpoint}"]
        with pytest.raises(RuntimeError, match="is not complete"):
            run_as_main("beam_pipelines.synthesize", args, monkeypatch)
    workers = service.jobs[0]["environment"]["workerPools"][0]
    assert workers["numWorkers"] == 5
    assert workers["autoscalingSettings"]["maxNumWorkers"] == 50
    assert workers["machineType"] == "n2-standard-4"
    assert workers["workerHarnessContainerImage"] == "example.org/digits/beam:1"

    staged = {name.rsplit("/", 1)[1]: data for name, data in stored(bucket, "staging/").items()}
    with tarfile.open(fileobj=io.BytesIO(staged["workflow.tar.gz"])) as package:
        shipped = {name.split("/", 1)[1] for name in package.getnames() if "/" in name}
    ours = {
        str(path.relative_to(ROOT)) for path in ROOT.glob("*/*.py") if path.parent.name in ("trainer", "beam_pipelines")
    }
    assert shipped >= ours | {"setup.py", "pyproject.toml", "README.md"}

    pipeline = proto.Pipeline.FromString(staged["pipeline.pb"])
    functions = do_fns(pipeline)
    assert b"beam_pipelines.synthesis.make_records" in functions["Work/ParDo(_WriteShard)"]
    assert not [name for name, pickled in functions.items() if b"__main__" in pickled]
    # The stand-in service says that the job is done before it runs, so the command has released its lock.
    monkeypatch.setattr(Ticket, "check", lambda _: None)
    beam.Pipeline.from_runner_api(pipeline, "FnApiRunner", PipelineOptions([])).run().wait_until_finish()
    assert COMPLETED_FILE in stored(bucket)
    assert synthesize.main([*SYNTHESIZE, "--output", str(tmp_path / "local")]) == 0
    assert shards_of(stored(bucket)) == files(tmp_path / "local")
