import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from trainer.cli import UserError
from trainer.config import experiments, schema
from trainer.data.pipeline import input_pipeline

PLAIN = ["distortion.colour=false", "distortion.noise=0", "data.batch_size=9"]


def smoke(*settings: str) -> schema.Config:
    return schema.override(experiments.find("smoke"), list(settings))


def test_loading_keeps_images_and_labels_together(tiny_dataset: Path) -> None:
    images = input_pipeline.load([str(tiny_dataset)], "train", smoke())
    assert len(images) == 80
    assert len(set(images.keys)) == 80
    assert images.images.shape == (80, 16, 32, 3)
    for text, tokens in zip(images.texts, images.tokens, strict=True):
        assert "".join(str(t) for t in tokens if t < 10) == text
        assert set(tokens[len(text) :]) == {11}


def test_images_that_do_not_fit_decoded_are_decoded_when_read(tiny_dataset: Path) -> None:
    decoded = input_pipeline.load([str(tiny_dataset)], "train", smoke())
    encoded = input_pipeline.load([str(tiny_dataset)], "train", smoke("data.memory_gb=0.00001"))
    assert encoded.images.dtype == "string"
    indices = np.array([3, 70])
    np.testing.assert_array_equal(decoded.at(indices), encoded.at(indices))


def tokens_of(images: input_pipeline.LabelledImages, wanted: schema.Config, first_step: int, count: int) -> np.ndarray:
    batches = iter(input_pipeline.training_batches(images, wanted, first_step=first_step))
    return np.concatenate([next(batches)["tokens"].numpy() for _ in range(count)])


def test_each_epoch_shows_each_image_once_in_another_order(tiny_dataset: Path) -> None:
    wanted = smoke(*PLAIN)
    images = input_pipeline.load([str(tiny_dataset)], "train", wanted)
    images.tokens[:, 0] = np.arange(80)  # so that the tokens tell the image
    seen = tokens_of(images, wanted, 0, 18)[:160, 0]
    assert sorted(seen[:80]) == sorted(seen[80:]) == list(range(80))
    assert list(seen[:80]) != list(seen[80:])


def test_a_restart_sees_exactly_the_same_batches(tiny_dataset: Path) -> None:
    wanted = smoke()
    images = input_pipeline.load([str(tiny_dataset)], "train", wanted)
    through = iter(input_pipeline.training_batches(images, wanted, first_step=0))
    for _ in range(13):
        next(through)
    restarted = iter(input_pipeline.training_batches(images, wanted, first_step=13))
    for _ in range(3):
        one, other = next(through), next(restarted)
        np.testing.assert_array_equal(one["tokens"], other["tokens"])
        np.testing.assert_array_equal(one["image"], other["image"])


def test_holding_out_is_disjoint_and_stable(tiny_dataset: Path) -> None:
    wanted = smoke("data.holdout=0.25")
    images = input_pipeline.load([str(tiny_dataset)], "train", wanted)
    training, held = input_pipeline.hold_out(images, wanted)
    assert (len(training), len(held)) == (60, 20)
    assert not set(training.keys) & set(held.keys)
    again = input_pipeline.hold_out(images.select(np.arange(80)[::-1]), wanted)[1]
    assert set(again.keys) == set(held.keys)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["model.max_length=1"], "set model.max_length=2"),
        (["model.alphabet=0123456789x"], "has the alphabet '0123456789', but the model has '0123456789x'"),
    ],
)
def test_data_that_do_not_fit_the_model_are_refused(tiny_dataset: Path, settings: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        input_pipeline.load([str(tiny_dataset)], "train", smoke(*settings))


def test_a_dataset_named_twice_is_refused(tiny_dataset: Path) -> None:
    with pytest.raises(UserError, match="occurs twice"):
        input_pipeline.load([str(tiny_dataset)] * 2, "train", smoke())


def test_a_flipped_byte_is_found(tiny_dataset: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_dataset, tmp_path, dirs_exist_ok=True)
    shard = tmp_path / "train.tfrecord-00001-of-00002"
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)
    with pytest.raises(UserError, match="is damaged"):
        input_pipeline.load([str(tmp_path)], "train", smoke())


def test_reading_keeps_the_last_short_batch(tiny_dataset: Path) -> None:
    images = input_pipeline.load([str(tiny_dataset)], "train", smoke())
    sizes = [len(batch) for batch in input_pipeline.reading_batches(images, 32)]
    assert sizes == [32, 32, 16]


def test_no_iterator_has_a_tuning_thread_that_its_deletion_may_wait_for(
    tiny_dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waited up to a minute, at the end of training and after each validation."""
    tuned: list[bool | None] = []
    begin = tf.data.Dataset.__iter__

    def counted(dataset: tf.data.Dataset) -> Any:
        tuned.append(dataset.options().autotune.enabled)
        return begin(dataset)

    monkeypatch.setattr(tf.data.Dataset, "__iter__", counted)
    images = input_pipeline.load([str(tiny_dataset)], "train", smoke())
    next(iter(input_pipeline.training_batches(images, smoke(), first_step=0)))
    assert len(list(input_pipeline.reading_batches(images, 32))) == 3
    assert tuned == [False] * 3
