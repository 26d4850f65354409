"""Scoring in buckets, on engines and on Dataflow, with failing storage and killed runs."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam.io.gcp.gcsio_retry import DEFAULT_RETRY_WITH_THROTTLING_COUNTER
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.portability.api import beam_runner_api_pb2 as proto
from google.cloud import storage
from google.cloud.storage.retry import DEFAULT_RETRY

from beam_pipelines import score
from beam_pipelines.scoring import model_store
from tests.beam_pipelines import dataflow_service, flaky_store
from tests.beam_pipelines.conftest import BUCKET
from tests.beam_pipelines.scoring import drawn_photos
from tests.beam_pipelines.test_dataflow import DATAFLOW, do_fns, run_as_main
from tests.beam_pipelines.test_object_store import stored
from tests.conftest import ROOT, Run
from trainer.data.formats.output_names import PREDICTIONS
from trainer.files.lock import Ticket
from trainer.inference.exports.exported_model import ExportedModel

TOP = f"gs://{BUCKET}"
INPUT = ("--input", f"{TOP}/photos", "--num-shards", "3", "--batch-size", "16")
COUNT = 40


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return drawn_photos.write(tmp_path_factory.mktemp("photos"), COUNT, "none.png")


@pytest.fixture(scope="module")
def scored(photos: Path, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Return the predictions and rejects of a local run."""
    out = tmp_path_factory.mktemp("scored") / "out"
    args = ["--model", str(tiny_model), "--input", str(photos), "--output", str(out), *INPUT[2:]]
    assert score.main(args) == 0
    return data_files({path.name: path.read_bytes() for path in out.iterdir()})


def data_files(files: dict[str, bytes]) -> dict[str, bytes]:
    return {
        name: data for name, data in files.items() if name.startswith("predictions-") or name == PREDICTIONS.rejects
    }


def in_bucket(files: dict[str, bytes], photos: Path) -> dict[str, bytes]:
    """As they are when the photos are in the bucket."""
    return {name: data.replace(str(photos).encode(), f"{TOP}/photos".encode()) for name, data in files.items()}


def upload(bucket: storage.Bucket, photos: Path, model: Path) -> None:
    for path in photos.iterdir():
        bucket.blob(f"photos/{path.name}").upload_from_filename(path)
    for path in (path for path in model.rglob("*") if path.is_file()):
        bucket.blob(f"model/{path.relative_to(model)}").upload_from_filename(path)


@pytest.fixture
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the storage library and Beam retry as often as ever, but sooner: on average they pause for over a second."""
    for retry in (DEFAULT_RETRY, DEFAULT_RETRY_WITH_THROTTLING_COUNTER):
        monkeypatch.setattr(retry, "_initial", 0.01)


@pytest.mark.usefixtures("short_pauses")
def test_model_images_and_output_in_a_bucket_that_fails_now_and_then(
    bucket: storage.Bucket, monkeypatch: pytest.MonkeyPatch, photos: Path, tiny_model: Path, scored: dict[str, bytes]
) -> None:
    upload(bucket, photos, tiny_model)
    with flaky_store.serve(os.environ["STORAGE_EMULATOR_HOST"]) as (url, failures):
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", url)
        assert score.main(["--model", f"{TOP}/model", *INPUT, "--output", f"{TOP}/data/out"]) == 0
    for kind in ("503", "hang-up", "reset"):
        assert failures[kind] > COUNT / 2
    for method in ("GET", "POST", "PUT"):
        assert failures[method] > 2
    assert data_files(stored(bucket)) == in_bucket(scored, photos)


def test_shares_make_what_one_process_makes(
    photos: Path, tiny_model: Path, scored: dict[str, bytes], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    out = tmp_path / "out"
    args = ["--model", str(tiny_model), "--input", str(photos), "--output", str(out), *INPUT[2:]]
    for index in (1, 2, 0):
        assert not (out / PREDICTIONS.completed).exists()
        assert score.main([*args, "--share", f"{index}/3"]) == 0
    assert data_files({path.name: path.read_bytes() for path in out.iterdir()}) == scored
    assert f"rows{COUNT:>30}  in 3 shards" in capsys.readouterr().out


@pytest.mark.slow
def test_a_dataflow_job_carries_all_that_its_workers_need(
    bucket: storage.Bucket, monkeypatch: pytest.MonkeyPatch, photos: Path, tiny_model: Path, scored: dict[str, bytes]
) -> None:
    upload(bucket, photos, tiny_model)
    with dataflow_service.serve() as service:
        args = ["--model", f"{TOP}/model", *INPUT, "--output", f"{TOP}/data/out", *DATAFLOW]
        with pytest.raises(RuntimeError, match="is not complete"):
            run_as_main("beam_pipelines.score", [*args, f"--dataflow_endpoint={service.endpoint}"], monkeypatch)
    staged = {name.rsplit("/", 1)[1]: data for name, data in stored(bucket, "staging/").items()}
    pipeline = proto.Pipeline.FromString(staged["pipeline.pb"])
    functions = do_fns(pipeline)
    assert any(b"beam_pipelines.scoring.model_handler" in pickled for pickled in functions.values())
    assert not [name for name, pickled in functions.items() if b"__main__" in pickled]
    loads, load = [], model_store.load

    def counting(path: str, precision: str) -> ExportedModel:
        loads.append(path)
        return load(path, precision)

    monkeypatch.setattr(model_store, "load", counting)
    # The stand-in service says that the job is done before it runs, so the command has released its lock.
    monkeypatch.setattr(Ticket, "check", lambda _: None)
    beam.Pipeline.from_runner_api(pipeline, "FnApiRunner", PipelineOptions([])).run().wait_until_finish()
    assert loads == [f"{TOP}/model"]
    assert data_files(stored(bucket)) == in_bucket(scored, photos)


@pytest.mark.slow
def test_nothing_is_lost_or_doubled_when_a_run_is_killed(
    photos: Path, tiny_model: Path, scored: dict[str, bytes], forked: Run, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    # Small batches, so that there is time to kill it between two shards.
    args = ["--model", tiny_model, "--input", photos, "--output", out, "--num-shards", 3]
    command = [sys.executable, "-m", "beam_pipelines.score", *map(str, args)]
    workers = ["--direct_num_workers=2", "--direct_running_mode=multi_processing"]
    process = subprocess.Popen([*command, "--batch-size", "1", *workers], cwd=ROOT, start_new_session=True)
    deadline = time.monotonic() + 120
    while not list(out.glob("predictions-*")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (out / PREDICTIONS.completed).exists()
    forked("beam_pipelines.score", *args, "--batch-size", 16, *workers)
    assert data_files({path.name: path.read_bytes() for path in out.iterdir()}) == scored
