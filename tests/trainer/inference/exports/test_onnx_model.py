"""A model's ONNX file gives the answers of its SavedModel, without TensorFlow."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from PIL import Image

from beam_pipelines import draw
from tests.conftest import ROOT, Run
from tests.trainer.inference.exports.test_signatures import make_reader
from trainer import Reader, predict, released
from trainer.cli import UserError
from trainer.data.pipeline import preprocess
from trainer.inference.exports import onnx_export
from trainer.inference.exports.exported_model import ONNX_FILE
from trainer.inference.predictor import Predictor

INFO = {"alphabet": "0123456789", "max_length": 5, "image_size": [32, 64], "fingerprint": "0", "beam_width": 3}
# As if it were not installed.
WITHOUT_TENSORFLOW = """
import sys
sys.modules["tensorflow"] = sys.modules["keras"] = sys.modules["onnx"] = None
from {module} import main
sys.exit(main({args}))
"""


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("drawn")
    assert draw.main(["--count", "12", "--seed", "3", "--output", str(folder)]) == 0
    return sorted(map(str, (folder / "images").iterdir()))


@pytest.mark.slow
def test_all_ways_of_looking_at_an_image_are_in_the_file() -> None:
    """Zoomed, tilted and closer views."""
    plain = make_reader(1)
    decode = replace(plain.config.decode, views=(0.8, 1.0), tilts=(8.0,), closer=True)
    config = replace(plain.config, decode=decode)
    predictor = Predictor(plain.recogniser, plain.params, plain.state, config)
    session = onnxruntime.InferenceSession(onnx_export.of_recogniser(predictor, INFO, half=False))
    height, width = plain.config.model.image_height, plain.config.model.image_width
    pixels = np.random.default_rng(2).integers(0, 256, (3, height, width, 3), np.uint8)
    names = [output.name for output in session.get_outputs()]
    out = dict(zip(names, session.run(names, {"images": pixels}), strict=True))
    expected = predictor.read(preprocess.normalise(pixels), 6, 3)
    np.testing.assert_array_equal(out["tokens"], expected["tokens"])
    for name in ("log_prob", "probability", "confidence", "characters"):
        np.testing.assert_allclose(out[name], expected[name], rtol=1e-4, atol=1e-4)  # of up to -460
    assert out["tokens"].shape[:2] == (3, 3)  # as many candidates as configured
    wider = session.run(["tokens"], {"images": pixels, "candidates": np.array(5, np.int32)})[0]
    assert wider.shape[:2] == (3, 5)


def test_its_metadata_say_what_the_tokens_are(tiny_model: Path) -> None:
    model = onnx.load(str(tiny_model / ONNX_FILE))
    described = {prop.key: json.loads(prop.value) for prop in model.metadata_props}
    assert described["alphabet"] == "0123456789"
    assert len(described["image_size"]) == 2
    onnx.checker.check_model(model, full_check=True)
    assert {opset.domain for opset in model.opset_import if opset.domain.startswith("svhn")} == set()


@pytest.mark.parametrize("name", released.FOLDERS)
def test_a_released_model_answers_alike_with_both(name: str, images: list[str]) -> None:
    found = {engine: list(Reader(name, engine=engine).read_all(images)) for engine in ("onnx", "tensorflow")}
    for light, full in zip(found["onnx"], found["tensorflow"], strict=True):
        assert light.candidates[0] == full.candidates[0]
        assert [number.text for number in light.numbers] == [number.text for number in full.numbers]
        assert light.confidence == pytest.approx(full.confidence, abs=1e-3)
        for one, other in zip(light.numbers, full.numbers, strict=True):
            assert one.confidence == pytest.approx(other.confidence, abs=1e-3)
            assert one.characters == pytest.approx(other.characters, abs=1e-3)
            assert one.box == pytest.approx(other.box, abs=0.5) if one.box else other.box is None


@pytest.mark.parametrize(("module", "flags"), [("trainer.predict", []), ("trainer.predict", ["--model", "free"])])
def test_numbers_are_read_where_tensorflow_is_not_installed(module: str, flags: list[str], images: list[str]) -> None:
    code = WITHOUT_TENSORFLOW.format(module=module, args=[images[0], "--format", "json", *flags])
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["candidates"][0]["text"].isdecimal()


def test_what_needs_tensorflow_says_so(images: list[str]) -> None:
    code = WITHOUT_TENSORFLOW.format(module="trainer.predict", args=[images[0], "--engine", "tensorflow"])
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 2
    assert "tensorflow is not installed: pip install 'svhn-sequences[cpu]'" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_model_without_the_file_is_read_by_tensorflow_or_says_what_to_do(
    tiny_model: Path, images: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = tmp_path / "old"
    shutil.copytree(tiny_model, old)
    os.remove(old / ONNX_FILE)
    os.remove(old / "assets.extra/checksums.json")
    assert predict.main([images[0], "--model", str(old)]) == 0
    assert predict.main([images[0], "--model", str(old), "--engine", "onnx"]) == 2
    assert f"{old} has no {ONNX_FILE}: export the model again with --onnx\n" in capsys.readouterr().err


def test_a_damaged_file_is_named(tiny_model: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged"
    shutil.copytree(tiny_model, damaged)
    content = bytearray((damaged / ONNX_FILE).read_bytes())
    content[len(content) // 2] ^= 1
    (damaged / ONNX_FILE).write_bytes(content)
    with pytest.raises(UserError, match=r"model.onnx is damaged"):
        Reader(damaged)
    os.remove(damaged / "assets.extra/checksums.json")
    (damaged / ONNX_FILE).write_bytes(b"no model")
    with pytest.raises(UserError, match=r"model.onnx cannot be loaded .*: export the model again with --onnx"):
        Reader(damaged)


def test_whole_photos_and_drawn_attention_come_from_the_saved_model(
    images: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict.main([images[0], "--regions", "whole"]) == 0
    assert predict.main([images[0], "--regions", "whole", "--engine", "onnx"]) == 2
    assert "cannot read whole photos: use --engine tensorflow" in capsys.readouterr().err
    for flags in ([], ["--engine", "onnx"]):
        drawing = tmp_path / f"read{len(flags)}.png"
        assert predict.main([images[0], "--model", "released-fast", "--draw", str(drawing), *flags]) == 0
        assert Image.open(drawing).size[0] > 0


def test_a_command_exports_it(forked: Run, tiny_model: Path, tmp_path: Path, images: list[str]) -> None:
    output = tmp_path / "export"
    done = forked("trainer.export", "--workdir", tiny_model.parent / "run", "--output", output, "--onnx", "--half")
    assert done.stdout.startswith("exported step 1 ")
    assert Reader(output, engine="onnx").read(images[0]) == Reader(output).read(images[0])
    again = forked("trainer.export", "--workdir", tiny_model.parent / "run", "--output", output)
    assert again.returncode == 0
    assert not (output / ONNX_FILE).exists()
