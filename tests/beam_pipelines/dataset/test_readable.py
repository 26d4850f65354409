"""Datasets can be read without our code: with plain tf.data, and with TensorFlow Datasets."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from beam_pipelines import prepare, synthesize
from tests.beam_pipelines.dataset.test_datasets import write_csv
from trainer.data.formats import dataset_info, records, tfrecord


def ours(folder: Path, split: str) -> dict[str, records.Record]:
    info = dataset_info.read_info(str(folder))
    found = {}
    for path in dataset_info.shard_paths(str(folder), info, split):
        with open(path, "rb") as file:
            for record in map(records.from_example, tfrecord.read_framed(file)):
                found[record.key] = record
    return found


@pytest.fixture(scope="module")
def two_splits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write PNG and JPEG images: one split of two shards, one of one shard, one reject."""
    folder = tmp_path_factory.mktemp("readable")
    text = "file,label,split\na.png,12,train\ngrey.png,7,train\nb.jpg,00,validation\nnone.png,1,train\n"
    data = write_csv(folder / "mine", text)
    args = ["--format", "csv", "--input", str(data), "--output", str(folder / "out"), "--num-shards", "2"]
    assert prepare.main(args) == 0
    return folder / "out"


def assert_same_numbers(found: dict, record: records.Record) -> None:
    assert [text.decode() for text in found["numbers/text"]] == [number.text for number in record.numbers]
    np.testing.assert_array_equal(
        found["numbers/corners"], np.ravel([number.corners for number in record.numbers]).astype(np.float32)
    )


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve scenes with no number, one or several."""
    folder = tmp_path_factory.mktemp("scenes") / "out"
    args = ["--source", "scenes", "--scene-size", "192", "--count", "12", "--seed", "3", "--num-shards", "2"]
    assert synthesize.main([*args, "--output", str(folder)]) == 0
    counts = {len(record.numbers) for record in ours(folder, "train").values()}
    assert counts >= {0, 1, 2}
    return folder


@pytest.mark.parametrize(("name", "count"), [("tiny_dataset", 80), ("scenes", 12)])
def test_plain_tf_data_reads_all_features(name: str, count: int, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(name)
    spec = {
        "image/encoded": tf.io.FixedLenFeature([], tf.string),
        "image/format": tf.io.FixedLenFeature([], tf.string),
        "image/key": tf.io.FixedLenFeature([], tf.string),
        "label/text": tf.io.FixedLenFeature([], tf.string),
        "label/ids": tf.io.RaggedFeature(tf.int64),
        "box": tf.io.RaggedFeature(tf.float32),
        "char_boxes": tf.io.RaggedFeature(tf.float32),
        "source": tf.io.FixedLenFeature([], tf.string),
        "numbers/text": tf.io.RaggedFeature(tf.string),
        "numbers/corners": tf.io.RaggedFeature(tf.float32),
    }
    files = tf.data.Dataset.list_files(f"{folder}/train.tfrecord-*", shuffle=False)
    dataset = tf.data.TFRecordDataset(files).map(lambda data: tf.io.parse_single_example(data, spec))

    expected = ours(folder, "train")
    assert set(spec) == set(records.FEATURES)
    assert len(list(dataset)) == len(expected) == count
    for found in dataset.as_numpy_iterator():
        record = expected[found["image/key"].decode()]
        assert found["label/text"].decode() == record.text
        assert found["image/encoded"] == record.encoded
        np.testing.assert_array_equal(found["label/ids"], [int(digit) for digit in record.text])
        np.testing.assert_array_equal(found["box"], np.array(record.box or ()))
        np.testing.assert_array_equal(found["char_boxes"], np.ravel(record.char_boxes))
        assert_same_numbers(found, record)


def test_tensorflow_datasets_reads_all_features_and_sizes(two_splits: Path, tiny_dataset: Path, scenes: Path) -> None:
    import tensorflow_datasets as tfds

    for folder in (two_splits, tiny_dataset, scenes):
        builder = tfds.builder_from_directory(str(folder / "tfds"))
        info = dataset_info.read_info(str(folder))
        assert {name: split.num_examples for name, split in builder.info.splits.items()} == {
            name: split.records for name, split in info.splits.items()
        }
        for split in info.splits:
            expected = ours(folder, split)
            found = {data["image/key"].decode(): data for data in tfds.as_numpy(builder.as_dataset(split=split))}
            assert found.keys() == expected.keys()
            for key, record in expected.items():
                data = found[key]
                assert set(data) == set(records.FEATURES)
                np.testing.assert_array_equal(data["image/encoded"], tf.io.decode_image(record.encoded, channels=3))
                assert data["label/text"].decode() == record.text
                assert "".join(map(str, data["label/ids"])) == record.text
                assert data["source"].decode() == record.source
                np.testing.assert_array_equal(data["box"], np.array(record.box or ()))
                np.testing.assert_array_equal(data["char_boxes"], np.ravel(record.char_boxes))
                assert_same_numbers(data, record)


def test_a_part_of_a_split_is_read(tiny_dataset: Path) -> None:
    import tensorflow_datasets as tfds

    builder = tfds.builder_from_directory(str(tiny_dataset / "tfds"))
    keys = [data["image/key"] for data in tfds.as_numpy(builder.as_dataset(split="train[30:50]"))]
    assert len(set(keys)) == 20


def test_these_files_too_are_replaced_as_ours(tmp_path: Path) -> None:
    args = ["--count", "3", "--output", str(tmp_path / "one")]
    assert synthesize.main(args) == 0
    (tmp_path / "one" / dataset_info.COMPLETED_FILE).unlink()
    assert synthesize.main(args) == 0
    assert synthesize.main([*args[2:], "--count", "4", "--overwrite"]) == 0
    # Complete, but not telling what it is: refused, and replaced only when asked to.
    (tmp_path / "one" / dataset_info.INFO_FILE).unlink()
    assert synthesize.main(args) == 2
    assert synthesize.main([*args, "--overwrite"]) == 0
