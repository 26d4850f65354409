"""A Flex Template, offline: parameters that `score` takes, and a job that completes the output without its command."""

import argparse
import json
import re
import runpy
import time
from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.portability.api import beam_runner_api_pb2 as proto
from google.cloud import storage

from beam_pipelines import options, score, synthesize
from beam_pipelines.sharding import beam_options
from beam_pipelines.sharding.outputs import LOCK_FILE
from tests.beam_pipelines.conftest import BUCKET
from tests.beam_pipelines.dataset.test_datasets import files
from tests.beam_pipelines.test_dataflow import DATAFLOW
from tests.beam_pipelines.test_object_store import OUTPUT, SYNTHESIZE, shards_of, stored
from tests.conftest import ROOT
from trainer.data.formats.dataset_info import COMPLETED_FILE
from trainer.files import lock_file
from trainer.files.claims import STALE_SECONDS
from trainer.files.lock import Lost

TEMPLATE = f"--template_location=gs://{BUCKET}/staging/template_launches/1/job_object"
LAUNCH = runpy.run_path(str(ROOT / "dataflow" / "launch.py"))
PARAMETERS = {parameter["name"]: parameter for parameter in json.loads(LAUNCH["METADATA"].read_text())["parameters"]}


def launched_elsewhere(bucket: storage.Bucket, *, seconds_ago: float) -> None:
    """Let the claim be that of the launcher's machine, which no longer exists."""
    claim = json.loads(stored(bucket)[LOCK_FILE]) | {"host": "launcher", "boot": "1", "time": time.time() - seconds_ago}
    bucket.blob(f"data/out/{LOCK_FILE}").upload_from_string(json.dumps(claim))


def test_the_parameters_are_options_of_score() -> None:
    actions = {action.option_strings[-1]: action for action in score._parser()._actions if action.option_strings}
    for name, parameter in PARAMETERS.items():
        action = actions[f"--{name.replace('_', '-')}"]
        assert action.nargs != 0, f"{name} takes no value, but the launcher gives one to each parameter"
        assert action.required == (not parameter.get("isOptional")), name
        assert not re.search("[A-Z]", name)
    required = {name for name, action in actions.items() if action.required}
    assert required <= {f"--{name}" for name in PARAMETERS}
    (formats,) = PARAMETERS["format"]["regexes"]
    assert all(re.fullmatch(formats, name) for name in options.PREDICTION_FORMATS)


def test_what_the_launcher_gives_is_understood(bucket: storage.Bucket) -> None:
    paths = [f"--input=gs://{BUCKET}/photos", f"--output=gs://{BUCKET}/a=b_c"]
    words = [*paths, "--num_shards=40", "--min_confidence=0.9"]
    given = LAUNCH["arguments"]([*words, *DATAFLOW, TEMPLATE, "--job_name=one"])
    assert given[:4] == [*paths, "--num-shards=40", "--min-confidence=0.9"]
    args, beam_args = score._parser().parse_known_args(given)
    assert (args.input, args.num_shards, args.min_confidence) == ([f"gs://{BUCKET}/photos"], 40, 0.9)
    assert beam_args == [*DATAFLOW, TEMPLATE, "--job_name=one"]
    beam_options.parse(beam_args)


def test_the_image_has_the_version_of_beam_that_is_installed() -> None:
    text = (ROOT / "dataflow" / "Dockerfile").read_text()
    assert f"FROM apache/beam_python3.11_sdk:{beam.__version__}\n" in text
    [launched] = re.findall(r"PY_FILE=/src/(\S+)", text)
    assert (ROOT / launched).exists()


@pytest.mark.slow
def test_a_template_completes_the_output_after_its_command_has_ended(
    bucket: storage.Bucket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    args = [*SYNTHESIZE, "--output", OUTPUT]
    with pytest.raises(SystemExit) as end:
        synthesize.main([*args, *DATAFLOW, TEMPLATE])
    assert end.value.code == 0
    assert "is described; Dataflow runs it" in capsys.readouterr().out
    assert COMPLETED_FILE not in stored(bucket)
    launched = stored(bucket, "staging/template_launches/1/")
    assert json.loads(launched["job_object"])["environment"]["workerPools"][0]["numWorkers"] == 5
    launched_elsewhere(bucket, seconds_ago=0)
    assert synthesize.main(args) == 42  # the job may begin at any moment
    assert "is in use" in capsys.readouterr().err

    (name,) = (name for name in stored(bucket, "staging/") if name.endswith("/pipeline.pb"))
    pipeline = proto.Pipeline.FromString(stored(bucket, "staging/")[name])
    beam.Pipeline.from_runner_api(pipeline, "FnApiRunner", PipelineOptions([])).run().wait_until_finish()
    assert COMPLETED_FILE in stored(bucket)
    assert synthesize.main([*SYNTHESIZE, "--output", str(tmp_path / "local")]) == 0
    assert shards_of(stored(bucket)) == files(tmp_path / "local")
    assert synthesize.main(args) == 0
    assert "nothing to do" in capsys.readouterr().out


@pytest.mark.slow
def test_a_job_stops_once_another_run_has_taken_over_its_output(
    bucket: storage.Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    with pytest.raises(SystemExit):
        synthesize.main([*SYNTHESIZE, "--output", OUTPUT, *DATAFLOW, TEMPLATE])
    assert LOCK_FILE in stored(bucket)
    launched_elsewhere(bucket, seconds_ago=2 * STALE_SECONDS)
    monkeypatch.setattr(lock_file, "WATCH_SECONDS", 0.2)
    assert synthesize.main([*SYNTHESIZE, "--seed", "9", "--output", OUTPUT]) == 0
    after = stored(bucket)
    assert LOCK_FILE not in after
    (name,) = (name for name in stored(bucket, "staging/") if name.endswith("/pipeline.pb"))
    pipeline = proto.Pipeline.FromString(stored(bucket, "staging/")[name])
    with pytest.raises(Lost, match="another process has taken over"):
        beam.Pipeline.from_runner_api(pipeline, "FnApiRunner", PipelineOptions([])).run().wait_until_finish()
    assert shards_of(stored(bucket)) == shards_of(after)


@pytest.mark.parametrize(
    ("module", "more"),
    [
        (synthesize, ["--output", OUTPUT, *SYNTHESIZE, "--partition", "0/2"]),
        (score, ["--output", f"gs://{BUCKET}/out.csv", "--input", str(ROOT / "docs"), "--model", "released"]),
    ],
    ids=["partition", "one file"],
)
def test_what_needs_the_command_after_the_job_is_refused(
    module: argparse.Namespace, more: list[str], bucket: storage.Bucket, capsys: pytest.CaptureFixture[str]
) -> None:
    assert module.main([*more, *DATAFLOW, TEMPLATE]) == 2
    assert "cannot be combined with --template_location" in capsys.readouterr().err
    assert not stored(bucket)


def test_the_docs_give_parameters_of_the_template() -> None:
    text = (ROOT / "docs" / "dataflow.md").read_text()
    names = [pair.split("=")[0] for given in re.findall(r"--parameters=(\S+)", text) for pair in given.split(",")]
    assert {"input", "output", "num_shards"} <= set(names)
    beam_args = [f"--{name}=1" for name in names if name not in PARAMETERS]
    beam_options.parse(beam_args)
