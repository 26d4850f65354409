"""End-to-end walkthrough of a finder: scenes, training, evaluation, export, and photos that are read."""

import io
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
import tensorflow as tf
from PIL import Image

from tests.conftest import Run, assert_no_chatter
from tests.forking import ForkedCluster
from trainer.inference.evaluating import notable_photos

pytestmark = pytest.mark.slow

SETTINGS = ["model.image_height=64", "model.image_width=64", "model.widths=[4,8,8,8,8]", "model.blocks=[0,0,0,0]"]
SETTINGS += ["model.neck_units=8", "data.batch_size=4", "data.eval_batch_size=4", "train.log_every=2"]
SETTINGS += ["train.checkpoint_every=4", "train.evaluate_every=4", "optimizer.schedule=constant"]
WITHOUT_IMAGES = "tensorboard.images=false"  # `trained` writes them


def experiment(steps: int, *settings: str) -> list[str]:
    settings = (*SETTINGS, f"train.steps={steps}", *settings)
    return ["--experiment", "finder", *(word for setting in settings for word in ("--set", setting))]


@pytest.fixture(scope="module")
def scenes(forked: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scenes")
    for split, seed in (("train", 1), ("validation", 2)):
        args = ["--source", "scenes", "--scene-size", 96, "--count", 24, "--num-shards", 1, "--max-digits", 3]
        forked("beam_pipelines.synthesize", *args, "--split", split, "--seed", seed, "--output", folder / split)
    return folder


@pytest.fixture(scope="module")
def trained(forked: Run, scenes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    workdir = tmp_path_factory.mktemp("trained") / "finder"
    data = ["--data", scenes / "train", "--validation-data", scenes / "validation"]
    forked("trainer.train", *experiment(8), *data, "--workdir", workdir)
    return workdir


@pytest.fixture(scope="module")
def model(forked: Run, trained: Path, scenes: Path, tiny_model: Path) -> Path:
    """A finder that was hardly trained, with a recogniser that was not trained at all."""
    data = ["--data", scenes / "validation", "--reader", tiny_model]
    out = forked("trainer.evaluate", "--workdir", trained, *data, "--calibrate").stdout
    assert "best number right" in out
    assert "empty photos answered" in out
    output = trained.parent / "model"
    forked("trainer.export", "--workdir", trained, "--reader", tiny_model, "--output", output)
    return output


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for i, size in enumerate([(90, 60), (64, 200), (700, 30)]):
        Image.fromarray(rng.integers(0, 256, (*size[::-1], 3), np.uint8)).save(folder / f"{i}.png")
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.new("RGB", (120, 80), (90, 120, 90)).save(folder / "turned.jpg", exif=turned)
    Image.new("RGB", (1, 1)).save(folder / "dot.png")
    return folder


def test_a_model_does_not_show_where_it_was_measured(model: Path) -> None:
    calibration = json.loads((model / "assets" / "model_info.json").read_text())["calibration"]
    assert "offsets" in calibration
    assert not {"made", "datasets"} & calibration.keys()


def test_training_goes_on_where_it_stopped(forked: Run, trained: Path, scenes: Path, tmp_path: Path) -> None:
    """Two runs of four steps give the same loss at the end as one of eight."""
    data = ["--data", scenes / "train", "--validation-data", scenes / "validation"]
    for steps in (4, 8):
        forked("trainer.train", *experiment(steps, WITHOUT_IMAGES), *data, "--workdir", tmp_path)
    last = [
        [row["loss"] for row in map(json.loads, (folder / "metrics.jsonl").open()) if row["kind"] == "training"][-1]
        for folder in (tmp_path, trained)
    ]
    assert last[0] == last[1]


def test_a_finder_has_a_report(forked: Run, trained: Path, model: Path, tmp_path: Path) -> None:
    assert model.exists()
    forked("trainer.report", "--workdir", trained, "--output", tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert "best number right" in page
    assert "Incorrect" not in page
    rows = [json.loads(line) for line in (trained / "answers.jsonl").open()]
    best = [number for row in rows for number in notable_photos.answers(row)[:1]]
    attended = [number for number in best if "attention" in number]
    assert attended
    for number in attended:
        assert len(number["attention"]) == len(number["text"])
        assert len(number["cut"]) == 8
        assert number["candidates"][0] == number["text"]
    assert 'class="looks"' in page


def test_photos_are_read_from_their_files_alone(model: Path, photos: Path) -> None:
    signatures = tf.saved_model.load(str(model)).signatures
    files = tf.constant([path.read_bytes() for path in sorted(photos.glob("*.png"))[:2]])
    alone = signatures["images"](files)
    sizes = {"beam_width": tf.constant(6), "candidates": tf.constant(3)}  # as configured, see `beam_width.width_for`
    given = signatures["serving_default"](images=files, **sizes)
    assert sorted(alone) == sorted(given)
    for name, value in given.items():
        np.testing.assert_array_equal(alone[name].numpy(), value.numpy(), err_msg=name)


def test_a_cluster_trains_a_finder(scenes: Path, tmp_path: Path) -> None:
    data = ["--data", str(scenes / "train"), "--validation-data", str(scenes / "validation")]
    for workers, servers in ((1, 1), (2, 0)):
        workdir, output = tmp_path / str(servers), io.StringIO()
        arguments, evaluators = [*experiment(4, WITHOUT_IMAGES), *data, "--workdir", str(workdir)], servers
        with ForkedCluster(
            arguments, workers=workers, servers=servers, evaluators=evaluators, output=output
        ) as cluster:
            assert cluster.run(timeout=600) == 0, output.getvalue()
        assert_no_chatter(output.getvalue())
        rows = [json.loads(line) for path in workdir.glob("*metrics*.jsonl") for line in path.open()]
        assert any(row["kind"] == "validation" and "f1" in row for row in rows)


def test_predict_names_each_number_and_frames_it(forked: Run, model: Path, photos: Path, tmp_path: Path) -> None:
    paths = sorted(photos.iterdir())
    out = forked(
        "trainer.predict", "--model", model, *paths, "--format", "json", "--draw", tmp_path / "drawn.png"
    ).stdout
    rows = [json.loads(line) for line in out.splitlines()]
    assert [row["key"] for row in rows] == [str(path) for path in paths]
    for row in rows:
        assert len(row["box"]) == 8
        assert row["numbers"] == sorted(row["numbers"], key=lambda number: -number["confidence"])
        assert all(number["text"] and number["confidence"] >= 0.2 for number in row["numbers"])
    turned = rows[-1]["box"]  # in pixels of the upright photo, 80 x 120
    assert min(turned) >= -40
    assert max(turned[::2]) <= 80 + 40
    assert max(turned[1::2]) <= 120 + 40
    with Image.open(tmp_path / "drawn.png") as sheet:
        assert sheet.height > 5 * 30


def test_scores_hold_the_numbers_and_whole_images_are_read_as_before(
    forked: Run, model: Path, tiny_model: Path, photos: Path, tmp_path: Path
) -> None:
    for name, options in {
        "found": ["--model", model],
        "parquet": ["--model", model, "--format", "parquet"],
        "whole": ["--model", model, "--regions", "whole"],
        "reader": ["--model", tiny_model],
    }.items():
        forked("beam_pipelines.score", *options, "--input", photos, "--num-shards", 1, "--output", tmp_path / name)
    rows = {
        name: [json.loads(line) for line in (tmp_path / name / "predictions-00000-of-00001.jsonl").open()]
        for name in ("found", "whole", "reader")
    }
    summary = json.loads((tmp_path / "found" / "_summary.json").read_text())
    assert sum(summary["numbers"].values()) == summary["rows"] == len(list(photos.iterdir()))
    table = pyarrow.parquet.read_table(tmp_path / "parquet" / "predictions-00000-of-00001.parquet").to_pylist()
    for one, other in zip(rows["found"], table, strict=True):
        assert {name: other[name] for name in one} == one
        assert one["text"] == one["candidates"][0]["text"]
    for one, other in zip(rows["whole"], rows["reader"], strict=True):
        assert "numbers" not in one
        assert one["text"] == other["text"]
        assert one["confidence"] == pytest.approx(other["confidence"], abs=1e-4)


def test_a_model_of_another_kind_is_named(
    forked: Run, trained: Path, tiny_model: Path, scenes: Path, tmp_path: Path
) -> None:
    data = ["--data", scenes / "validation"]
    missing = forked("trainer.evaluate", "--workdir", trained, *data, "--reader", tmp_path / "nothing", status=2)
    assert missing.stderr.count("\n") == 1
    other = forked("trainer.export", "--workdir", trained, "--output", tmp_path / "out", status=2).stderr
    assert "another --reader" in other  # the calibration was fitted with the tiny recogniser
