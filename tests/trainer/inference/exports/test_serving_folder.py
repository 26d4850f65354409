"""`export --serving`: versions of a model for TensorFlow Serving, which Keras and plain TensorFlow read, too."""

import re
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorflow.core.framework.tensor_pb2 import TensorProto

from tests.conftest import ROOT
from trainer import export
from trainer.inference.exports import exported_model, warm_up


@pytest.fixture(scope="module")
def models(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `models/meters/1`, and the image `photo.png`."""
    folder = tmp_path_factory.mktemp("serving")
    args = ["--workdir", str(tiny_model.parent / "run"), "--serving", str(folder / "models" / "meters")]
    assert export.main(args) == 0
    noise = np.random.default_rng(3).integers(0, 256, (20, 40, 3), np.uint8)
    Image.fromarray(noise).save(folder / "photo.png")
    return folder


def test_versions_are_numbered_and_nothing_is_overwritten(tmp_path: Path) -> None:
    assert warm_up.next_version(str(tmp_path / "new")) == f"{tmp_path}/new/1"
    for name in ("2", "10", "11.tmp-ab", "notes", "batching.config"):
        (tmp_path / name).mkdir()
    assert warm_up.next_version(f"{tmp_path}/") == f"{tmp_path}/11"
    (tmp_path / "batching.config").rmdir()
    assert warm_up.write_batching(str(tmp_path)) == f"{tmp_path}/batching.config"
    (tmp_path / "batching.config").write_text("mine")
    assert warm_up.write_batching(str(tmp_path)) is None
    assert (tmp_path / "batching.config").read_text() == "mine"


def test_a_version_is_a_complete_model_beside_the_batching_configuration(models: Path) -> None:
    folder = models / "models" / "meters"
    assert sorted(path.name for path in folder.iterdir()) == ["1", "batching.config"]
    exported_model.load(str(folder / "1"))  # checks the checksums of all files, the requests included
    batching = (folder / "batching.config").read_text()
    sizes = re.findall(r"^allowed_batch_sizes: (\d+)$", batching, re.MULTILINE)
    assert f"max_batch_size {{ value: {sizes[-1]} }}" in batching  # or the server refuses it


def test_warm_up_requests_are_answered_by_the_signature_that_they_name(models: Path) -> None:
    """The fields are parsed by their numbers in `prediction_log.proto`, `predict.proto` and `model.proto`."""
    folder = str(models / "models" / "meters" / "1")
    signatures = tf.saved_model.load(folder).signatures
    counts = []
    for raw in tf.data.TFRecordDataset(f"{folder}/assets.extra/tf_serving_warmup_requests"):
        (predict_log,) = fields(raw.numpy())[6]
        (request,) = fields(predict_log)[1]
        (spec,) = fields(request)[1]
        (name,) = fields(spec)[3]
        (entry,) = fields(request)[2]
        assert fields(entry)[1] == [b"images"]
        tensor = TensorProto.FromString(fields(entry)[2][0])
        out = signatures[name.decode()](tf.constant(tf.make_ndarray(tensor)))
        counts.append(out["text"].shape[0])
    assert counts == [1, 8, 32]


def fields(message: bytes) -> dict[int, list[bytes]]:
    """Return the length-delimited fields of a protobuf message, by number."""
    found: dict[int, list[bytes]] = {}
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(message):
        tag, length = varint(), varint()
        assert tag & 7 == 2
        found.setdefault(tag >> 3, []).append(message[at : at + length])
        at += length
    return found


def test_keras_reads_it_as_a_layer(models: Path) -> None:
    folder = str(models / "models" / "meters" / "1")
    files = tf.constant([(models / "photo.png").read_bytes()] * 2)
    out = keras.layers.TFSMLayer(folder, call_endpoint="images")(files)
    model = exported_model.load(folder)
    answer = model.read([(models / "photo.png").read_bytes()], beam_width=6, candidates=3)[0]
    assert [text.decode() for text in out["text"].numpy()[1]] == [one["text"] for one in answer.candidates]
    np.testing.assert_allclose(out["confidence"].numpy(), [answer.confidence] * 2, rtol=1e-5)


def test_the_lines_of_the_docs_read_a_photo(
    models: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (ROOT / "docs" / "serving.md").read_text(encoding="utf-8")
    (block,) = [block for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "saved_model" in block]
    assert len([line for line in block.splitlines() if line]) == 5
    monkeypatch.chdir(models)
    exec(compile(block, "serving.md", "exec"), {})
    assert re.fullmatch(r"\d+ [01]\.\d+(e-\d+)?\n", capsys.readouterr().out)


def test_saved_model_cli_lists_inputs_and_outputs_with_their_shapes(models: Path) -> None:
    command = [str(Path(sys.executable).parent / "saved_model_cli"), "show", "--all", "--dir"]
    shown = subprocess.run(
        [*command, str(models / "models" / "meters" / "1")], capture_output=True, text=True, check=True
    )
    described = shown.stdout.partition("signature_def['images']:")[2].partition("signature_def[")[0]
    inputs, outputs = described.split("contains the following output(s)")
    assert re.findall(r"inputs\['(\w+)'\]", inputs) == ["images"]
    shapes = dict(re.findall(r"outputs\['(\w+)'\] tensor_info:\s+dtype: \w+\s+shape: (\(.*?\))", outputs))
    assert shapes["text"] == shapes["probability"] == "(-1, 3)"
    assert shapes["confidence"] == "(-1)"


def test_one_place_is_needed_and_not_two(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert export.main(["--workdir", str(models)]) == 2
    assert "one of the arguments --output --serving is required" in capsys.readouterr().err
    assert export.main(["--workdir", str(models), "--output", "a", "--serving", "b"]) == 2
    assert "not allowed with argument" in capsys.readouterr().err
