"""Work folders and exported models of earlier versions still work.

The archive was written at commit c1d6cc2 (version 0.1): `synthesize --count 64 --seed 3 --split train` and `--count 16
--seed 4 --split validation`, `train --experiment smoke`, `evaluate --calibrate`, `export`, `evaluate --set
decode.beam_width=6` (evaluation now searches six wide by itself).
"""

import json
import shutil
import tarfile
from pathlib import Path

import google_crc32c
import pytest

from beam_pipelines import draw, inspect, synthesize
from tests.conftest import Run
from tests.trainer.data.formats.test_records import without_numbers
from trainer.config import experiments
from trainer.data.formats import dataset_info, tfrecord
from trainer.data.pipeline import input_pipeline

ARCHIVE = Path(__file__).parent / "written_by_c1d6cc2.tar.gz"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("former")
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    for seed, count, split in (("3", "64", "train"), ("4", "16", "validation")):
        args = ["--count", count, "--seed", seed, "--split", split, "--output", f"{folder}/{split}"]
        assert synthesize.main(args) == 0
    assert draw.main(["--count", "3", "--output", f"{folder}/images"]) == 0
    return folder


@pytest.mark.slow
def test_a_work_folder_is_evaluated_and_trained_on(forked: Run, written: Path) -> None:
    work = written / "run"
    before = json.loads((work / "evaluation.json").read_text())
    forked("trainer.evaluate", "--workdir", work, "--data", written / "validation")
    after = json.loads((work / "evaluation.json").read_text())
    for name in ("examples", "sequence_accuracy", "digit_accuracy"):
        assert after[name] == pytest.approx(before[name]), name
    inputs = ["--data", written / "train", "--validation-data", written / "validation"]
    done = forked("trainer.train", "--experiment", "smoke", *inputs, "--workdir", work, "--set", "train.steps=30")
    assert "ckpt-20" in done.stderr
    assert json.loads((work / "FINISHED").read_text())


@pytest.mark.slow
def test_an_exported_model_scores_and_predicts(forked: Run, written: Path) -> None:
    model = written / "export"
    forked("beam_pipelines.score", "--model", model, "--input", written / "images", "--output", written / "predictions")
    assert json.loads((written / "predictions/_summary.json").read_text())["rows"] == 3
    images = sorted((written / "images/images").iterdir())
    assert forked("trainer.predict", "--model", model, *images).stdout.count("confidence") == 3


def test_a_dataset_of_schema_version_1_is_read(
    tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """The same dataset as version 1 wrote it: its records have no `numbers`."""
    folder = Path(shutil.copytree(tiny_dataset, tmp_path / "former"))
    info = json.loads((folder / dataset_info.INFO_FILE).read_text()) | {"schema_version": 1}
    for shard in info["splits"]["train"]["shards"]:
        with (tiny_dataset / shard["name"]).open("rb") as file:
            payloads = list(map(without_numbers, tfrecord.read_framed(file)))
        with (folder / shard["name"]).open("wb") as file:
            shard["bytes"] = sum(len(tfrecord.write_framed(file, payload)) for payload in payloads)
        content = (folder / shard["name"]).read_bytes()
        shard["crc32c"] = google_crc32c.Checksum(content).hexdigest().decode()
    (folder / dataset_info.INFO_FILE).write_text(json.dumps(info))
    assert inspect.main([str(folder), "--verify", "--sheet", str(tmp_path / "sheet.png")]) == 0
    assert "is intact" in capsys.readouterr().out
    smoke = experiments.find("smoke")
    before, after = (input_pipeline.load([str(name)], "train", smoke) for name in (tiny_dataset, folder))
    assert (before.keys, before.texts) == (after.keys, after.texts)


def test_an_experiment_is_found_by_its_former_name() -> None:
    assert experiments.find("tilted") == experiments.find("released_stage2")
