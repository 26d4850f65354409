"""Images that were trained on are recognised, whatever their name and compression."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from beam_pipelines import synthesize
from tests.conftest import Run
from trainer import evaluate, train
from trainer.cli import UserError
from trainer.config import experiments, schema
from trainer.data.formats import dataset_info, records, tfrecord
from trainer.data.formats.records import Record
from trainer.data.pipeline import input_pipeline, leakage
from trainer.training import run
from trainer.training.run import train_and_evaluate
from trainer.vocab import DIGITS, Vocab


def smoke(*settings: str) -> schema.Config:
    return schema.override(experiments.find("smoke"), list(settings))


def write_split(folder: Path, split: str, written: list[Record]) -> Path:
    """Write a dataset of one shard with these records."""
    folder.mkdir(parents=True)
    name = dataset_info.shard_name(split, 0, 1)
    with (folder / name).open("wb") as file:
        for record in written:
            tfrecord.write_framed(file, records.to_example(record, Vocab()))
    shard = dataset_info.Shard(name, len(written), (folder / name).stat().st_size, "")
    described = dataset_info.Split(len(written), {"csv": len(written)}, {"1": len(written)}, [shard])
    info = dataset_info.DatasetInfo(DIGITS, {split: described}, len(written), {}, [], {})
    (folder / dataset_info.INFO_FILE).write_text(info.to_json())
    (folder / dataset_info.COMPLETED_FILE).touch()
    return folder


def image(index: int, *, compress_level: int = 1) -> bytes:
    pixels = np.random.default_rng(index).integers(0, 255, (20, 30, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=compress_level)
    return buffer.getvalue()


def record(key: str, encoded: bytes) -> Record:
    return Record(encoded, "png", key, "7", "csv")


@pytest.fixture
def training(tmp_path: Path) -> Path:
    return write_split(tmp_path / "training", "train", [record(f"train/{i}", image(i)) for i in range(40)])


@pytest.mark.parametrize(
    ("leaked", "settings", "message"),
    [
        (record("train/3", image(99)), [], "'train/3' (1 have the same key, 0 are the same image)"),
        (record("other/3", image(3)), [], "'other/3' (0 have the same key, 1 are the same image)"),
        (
            record("compressed-again", image(3, compress_level=9)),
            [],
            "'compressed-again' (0 have the same key, 1 are the same image)",
        ),
        (record("large", image(3)), ["data.memory_gb=0.00001"], "1 are the same image"),
    ],
)
def test_validation_images_that_are_trained_on_are_refused(
    training: Path, tmp_path: Path, leaked: Record, settings: list[str], message: str
) -> None:
    assert image(3) != image(3, compress_level=9)
    fresh = [record(f"validation/{i}", image(100 + i)) for i in range(5)]
    validation = write_split(tmp_path / "validation", "validation", [*fresh, leaked])
    run = str(tmp_path / "run")
    with pytest.raises(UserError) as error:
        train_and_evaluate(smoke(*settings), train.Inputs([str(training)], [str(validation)]), workdir=run)
    assert "1 of the 6 images of the validation data were also trained on" in str(error.value)
    assert message in str(error.value)
    assert not (tmp_path / "run").exists()


def test_a_held_out_image_is_not_trained_on_under_another_key(tmp_path: Path) -> None:
    doubled = [record(f"{name}/{i}", image(i)) for i in range(40) for name in ("one", "two")]
    wanted = smoke("data.holdout=0.25")
    images = input_pipeline.load([str(write_split(tmp_path / "data", "train", doubled))], "train", wanted)
    training, held = input_pipeline.hold_out(images, wanted)
    assert len(held) == 20
    assert not leakage.seen(held.fingerprints, training.fingerprints).any()
    assert {key.split("/")[1] for key in training.keys} | {key.split("/")[1] for key in held.keys} == set(
        map(str, range(40))
    )


def test_the_work_folder_remembers_all_that_it_was_trained_on(tmp_path: Path) -> None:
    assert len(leakage.remembered(str(tmp_path))) == 0
    leakage.remember(str(tmp_path), np.array([[3, 1], [2, 2]]))
    leakage.remember(str(tmp_path), np.array([7, 1]))
    np.testing.assert_array_equal(leakage.remembered(str(tmp_path)), [1, 2, 3, 7])
    assert [path.name for path in tmp_path.iterdir()] == [leakage.TRAINED_ON_FILE]


def test_a_later_run_may_not_validate_on_what_an_earlier_one_was_trained_on(training: Path, tmp_path: Path) -> None:
    fresh = [record(f"validation/{i}", image(100 + i)) for i in range(5)]
    validation = str(write_split(tmp_path / "validation", "validation", fresh))
    before = input_pipeline.load([validation], "validation", smoke())
    leakage.remember(str(tmp_path), before.fingerprints)
    with pytest.raises(UserError, match=r"5 of the 5 images .* train in another --workdir"):
        run.train_and_evaluate(smoke(), train.Inputs([str(training)], [validation]), workdir=str(tmp_path))


@pytest.mark.slow
def test_evaluating_on_what_was_trained_on_is_refused_unless_asked_for(
    tiny_dataset: Path, forked: Run, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    workdir, fresh = tmp_path / "run", tmp_path / "fresh"
    args = ["--experiment", "smoke", "--data", tiny_dataset, "--workdir", workdir]
    forked("trainer.train", *args, "--set", "train.steps=2", "data.holdout=0.1")
    seen = ["--workdir", str(workdir), "--data", str(tiny_dataset), "--split", "train"]
    assert evaluate.main(seen) == 2
    assert f"72 of the 80 images of split train of {tiny_dataset} were also trained on" in capsys.readouterr().err
    assert evaluate.main([*seen, "--allow-seen"]) == 0
    assert "72 of them were trained on" in capsys.readouterr().out
    # The same images under other names: another seed would draw others.
    made = ["--count", "80", "--max-digits", "2", "--output", str(fresh), "--split", "validation", "--seed"]
    assert synthesize.main([*made, "5"]) == 0
    assert evaluate.main(["--workdir", str(workdir), "--data", str(fresh)]) == 2
    assert "(0 have the same key, 72 are the same image)" in capsys.readouterr().err
    assert synthesize.main([*made, "6", "--overwrite"]) == 0
    assert evaluate.main(["--workdir", str(workdir), "--data", str(fresh)]) == 0
    assert json.loads((workdir / "evaluation.json").read_text())["seen"] == 0
