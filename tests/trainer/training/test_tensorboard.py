from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import metadata as hparams_metadata

from trainer.config import experiments, schema
from trainer.data.pipeline import input_pipeline
from trainer.inference.measuring.measured import Shown
from trainer.training import captions, settings
from trainer.training.hooks import ChiefHooks
from trainer.training.settings import hyper_parameters
from trainer.training.tensorboard import Board, sprite_sheet
from trainer.training.train_state import TrainState
from trainer.workdir.checkpoint import Checkpoints

FLAGS = ("scalars", "images", "hparams", "histograms", "graph", "projector")


def board(dataset: Path, folder: Path, flags: dict[str, bool]) -> Board:
    flagged = [f"tensorboard.{name}={str(flags.get(name, False)).lower()}" for name in FLAGS]
    wanted = schema.override(experiments.find("smoke"), ["model.dropout=0", "tensorboard.pictures=3", *flagged])
    training, validating = input_pipeline.hold_out(input_pipeline.load([str(dataset)], "train", wanted), wanted)
    train_state = TrainState(wanted)
    monitor = ChiefHooks(
        str(folder),
        wanted,
        Checkpoints(str(folder), train_state.checkpointed(), keep=1),
        figure="token_accuracy",
        first_step=0,
    )
    predictor = train_state.objective.predictor(train_state.reading_params, train_state.state)
    return Board(monitor, train_state, training, validating, predictor)


def written(folder: Path) -> EventAccumulator:
    events = EventAccumulator(str(folder / "tensorboard"), size_guidance={"tensors": 0})
    events.Reload()
    return events


@pytest.fixture(scope="module")
def shown(tiny_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Board, Path]:
    folder = tmp_path_factory.mktemp("all")
    made = board(tiny_dataset, folder, dict.fromkeys(FLAGS, True))
    before = {path: v.numpy() for path, v in made.train_state.params.items()}
    made.start()
    made.write(5, {})
    for path, value in before.items():
        np.testing.assert_array_equal(made.train_state.params[path], value)
    return made, folder


def test_images_are_there_before_and_after_distortion(shown: tuple[Board, Path]) -> None:
    made, folder = shown
    images = {}
    for name in ("before", "distorted"):
        (event,) = written(folder).Tensors(f"pictures/{name}")
        width, height, *encoded = tf.make_ndarray(event.tensor_proto)
        assert (event.step, int(width), int(height), len(encoded)) == (5, 8 * 32, 8 * 16 + captions.STRIP, 3)
        drawn = tf.stack([tf.io.decode_png(png) for png in encoded]).numpy()
        images[name] = drawn[:, : 8 * 16 : 8, ::8]  # each pixel is enlarged to a square
        below = drawn[:, 8 * 16 :]
        assert len({caption.tobytes() for caption in below}) == len(set(made.training.texts[:3]))
        assert all(caption.min() < 100 < caption.max() for caption in below)
    np.testing.assert_array_equal(images["before"], made.training.at(tf.range(3)))
    assert not np.array_equal(images["before"], images["distorted"])


def test_answers_have_the_label_and_what_was_read(shown: tuple[Board, Path]) -> None:
    made, folder = shown
    (event,) = written(folder).Tensors("pictures/answers")
    _, _, *encoded = tf.make_ndarray(event.tensor_proto)
    answers = made.predictor.shown(made.validating.select(np.arange(3)))
    assert [answer.caption.split(" ")[0].strip(",") for answer in answers] == made.validating.texts[:3]
    assert any(" read as " in answer.caption and not answer.right for answer in answers)  # it has not learnt anything
    for png, answer in zip(encoded, answers, strict=True):
        wrong = (tf.io.decode_png(png)[-captions.STRIP :] == np.array(captions.INK[False])).numpy().all(-1).any()
        assert wrong == (not answer.right)


def test_boxes_of_label_and_answer_are_drawn_in_their_colours() -> None:
    box = (2, 2, 12, 2, 12, 8, 2, 8)
    answer = Shown("1 numbers, 1 found", True, [box], [tuple(x + 15 for x in box)])
    drawn = captions.draw(np.zeros((1, 32, 300, 3), np.uint8), [answer])
    assert drawn.factor == 1
    np.testing.assert_array_equal(drawn.images[0, 2, 7], captions.FRAME[True])
    np.testing.assert_array_equal(drawn.images[0, 17, 22], captions.FRAME[False])


def described(folder: Path) -> Any:
    content = written(folder).summary_metadata["_hparams_/experiment"].plugin_data.content
    return hparams_metadata.parse_experiment_plugin_data(content)


def test_the_hparams_view_has_the_name_of_the_run_its_own_settings_and_the_metrics_that_matter(
    shown: tuple[Board, Path],
) -> None:
    _, folder = shown
    content = written(folder).summary_metadata["_hparams_/session_start_info"].plugin_data.content
    assert hparams_metadata.parse_session_start_info_plugin_data(content).group_name == folder.name
    experiment = described(folder)
    assert [metric.name.tag for metric in experiment.metric_infos] == [
        *("validation/sequence_accuracy", "validation/digit_accuracy", "training/loss")
    ]
    assert [info.name for info in experiment.hparam_infos] == [*settings.TUNED, "model.dropout"]


def test_a_run_of_a_search_leaves_the_hparams_view_to_the_search(tiny_dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{}")
    board(tiny_dataset, tmp_path, {"hparams": True}).start()
    assert "_hparams_/session_start_info" in written(tmp_path).summary_metadata
    assert "_hparams_/experiment" not in written(tmp_path).summary_metadata


def test_a_page_of_text_has_all_settings_and_marks_those_that_are_not_of_the_experiment(
    shown: tuple[Board, Path],
) -> None:
    made, folder = shown
    (event,) = written(folder).Tensors("settings")
    text = tf.make_ndarray(event.tensor_proto).item().decode()
    assert written(folder).summary_metadata["settings"].plugin_data.plugin_name == "text"
    assert "| optimizer.learning_rate | `" in text
    assert "| **tensorboard.pictures** | `3` |" in text
    assert len(text.splitlines()) == 2 + len(schema.keys(made.config))
    bold = ["**" in line for line in text.splitlines()[2:]]
    assert 1 < sum(bold) < len(bold)
    assert all(bold[: sum(bold)])  # the page shows a dozen lines before one scrolls


def test_each_weight_has_a_histogram_and_its_gradient_too(shown: tuple[Board, Path]) -> None:
    made, folder = shown
    events = written(folder)
    for path, variable in made.train_state.params.items():
        for kind in ("weights", "gradients"):
            (event,) = events.Tensors(f"{kind}/{path}")
            buckets = tf.make_ndarray(event.tensor_proto)  # [left, right, count]
            assert buckets[:, 2].sum() == tf.size(variable)
    assert any(np.abs(g).max() > 0 for g in made.gradients(batch(made)).values())


def batch(made: Board) -> dict[str, tf.Tensor]:
    return next(iter(input_pipeline.training_batches(made.training, made.config, first_step=5)))


def test_gradients_are_those_that_training_follows(shown: tuple[Board, Path]) -> None:
    made, _ = shown
    # Dense: of an embedding's sparse gradient, which repeats a token's row, the norm would be another one.
    norm = float(tf.linalg.global_norm([tf.convert_to_tensor(g) for g in made.gradients(batch(made)).values()]))
    figures = TrainState(made.config).train_step(batch(made))
    assert norm == pytest.approx(float(figures["gradient_norm"]), rel=1e-5)


def test_graph_and_hyper_parameters_are_there(shown: tuple[Board, Path]) -> None:
    made, folder = shown
    events = written(folder)
    assert b"ResourceApplyAdam" in events.Graph().SerializeToString()
    assert "_hparams_/session_start_info" in events.summary_metadata
    values = hyper_parameters(made.config)
    assert values["optimizer.learning_rate"] == made.config.optimizer.learning_rate
    assert values["model.widths"] == "[4, 8]"


def test_the_projector_has_a_row_a_label_and_a_thumbnail_for_each_image(shown: tuple[Board, Path]) -> None:
    made, folder = shown
    count = len(made.validating)
    rows = (folder / "tensorboard" / "embedding.tsv").read_text().splitlines()
    assert len(rows) == count
    assert len({tuple(row.split("\t")) for row in rows}) > 1
    heading, *labels = (folder / "tensorboard" / "labels.tsv").read_text().splitlines()
    assert heading.split("\t") == ["label", "length", "source", "key"]
    assert [label.split("\t")[0] for label in labels] == made.validating.texts
    side = int(np.ceil(np.sqrt(count)))
    sprite = tf.io.decode_png((folder / "tensorboard" / "sprite.png").read_bytes())
    assert sprite.shape == (16 * side, 32 * side, 3)
    np.testing.assert_array_equal(sprite[:16, 32:64], made.validating.at(tf.constant([1]))[0])
    assert "embedding.tsv" in (folder / "tensorboard" / "projector_config.pbtxt").read_text()


def test_what_is_off_is_not_written(tiny_dataset: Path, tmp_path: Path) -> None:
    made = board(tiny_dataset, tmp_path, {})
    made.start()
    made.write(5, {})
    made.monitor.log_training(5, {"loss": 1.0, "token_accuracy": 0.5})
    events = written(tmp_path)
    assert events.Tags()["tensors"] == []
    assert events.Tags()["graph"] is False
    assert [path.name.split(".")[0] for path in (tmp_path / "tensorboard").iterdir()] == ["events"]


def test_a_sprite_sheet_goes_row_by_row() -> None:
    images = np.arange(5, dtype=np.uint8).reshape(5, 1, 1, 1) * np.ones((1, 2, 3, 3), np.uint8)
    sheet = sprite_sheet(images)
    assert sheet.shape == (6, 9, 3)
    assert sheet[::2, ::3, 0].tolist() == [[0, 1, 2], [3, 4, 0], [0, 0, 0]]
