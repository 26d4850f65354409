"""The pages about other tools: pandas, BigQuery and TensorFlow Serving. Their commands are checked by test_docs."""

import base64
import json
import re
from pathlib import Path

import pytest

from beam_pipelines import draw, score
from beam_pipelines.scoring.predictions import SCHEMA
from tests.conftest import ROOT
from trainer import Reader, released
from trainer.inference.exports.exported_model import ONNX_FILE

pytestmark = pytest.mark.slow


def python_of(page: str) -> str:
    """Return the Python code of a page of docs/."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    return "\n".join(re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL))


def test_the_code_of_the_page_about_pandas_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("pandas", reason="pandas is not installed: Beam would import it in every other test")
    monkeypatch.chdir(tmp_path)
    assert draw.main(["--count", "12", "--seed", "8", "--output", "numbers"]) == 0
    damaged = tmp_path / "numbers" / "images" / "damaged.png"
    damaged.write_bytes(b"no image")
    args = ["--input", "numbers/images", "--output", "out/predictions", "--format", "parquet"]
    assert score.main([*args, "--model", "released-photos"]) == 0
    damaged.unlink()
    capsys.readouterr()
    exec(python_of("pandas.md"), {})
    shown = capsys.readouterr().out
    assert "from 0%: 100% accepted" in shown
    assert "numbers/images/damaged.png" in shown
    assert "box" in shown


def test_the_columns_of_the_page_about_bigquery_are_those_of_the_files() -> None:
    page = (ROOT / "docs" / "bigquery.md").read_text(encoding="utf-8")
    rows = [re.findall(r"`([^`]+)`", line)[:4] for line in page.splitlines() if re.match(r"\| `", line)]
    columns = dict(row[:2] for row in rows if len(row) < 4) | dict.fromkeys(["found_as", "label", "model"], "STRING")
    columns = {name: kind for name, kind in columns.items() if name in SCHEMA.names}
    assert columns == {field.name: bigquery_type(str(field.type)) for field in SCHEMA}


def bigquery_type(arrow: str) -> str:
    """Return the BigQuery type of a type of Arrow, both written out."""
    words = {"list<element: ": "ARRAY<", "list<item: ": "ARRAY<", "struct<": "STRUCT<", ": ": " "}
    words |= {"string": "STRING", "double": "FLOAT64", "bool": "BOOL"}
    for arrows, bigquerys in words.items():
        arrow = arrow.replace(arrows, bigquerys)
    return arrow


def test_the_code_of_the_page_about_onnx_prints_the_numbers_of_a_photo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert draw.main(["--count", "1", "--scene-size", "640", "--seed", "5", "--output", "scene"]) == 0
    [photo] = (tmp_path / "scene" / "images").iterdir()
    photo.rename("photo.png")
    (tmp_path / "model.onnx").symlink_to(released.FOLDERS[released.PHOTOS] / ONNX_FILE)
    expected = Reader(released.PHOTOS).read("photo.png").numbers
    capsys.readouterr()
    exec(python_of("onnx.md"), {})
    printed = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert printed == [number.text for number in expected if number.text]
    assert printed


@pytest.mark.parametrize("model", [released.NAME, released.PHOTOS])
def test_the_request_of_the_page_about_tensorflow_serving_gives_the_answer_of_a_reader(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tf = pytest.importorskip("tensorflow")
    monkeypatch.chdir(tmp_path)
    assert draw.main(["--count", "1", "--seed", "8", "--output", "numbers"]) == 0
    (tmp_path / "numbers" / "images" / "8-000000.png").rename(tmp_path / "meter.png")
    exec(python_of("tensorflow-serving.md"), {})
    inputs = json.loads((tmp_path / "request.json").read_text())["inputs"]
    inputs["images"] = [base64.b64decode(image["b64"]) for image in inputs["images"]]
    read = tf.saved_model.load(released.folder_of(model)).signatures["serving_default"]
    assert set(inputs) == set(read.structured_input_signature[1])
    answer = read(**{name: tf.constant(value) for name, value in inputs.items()})
    expected = Reader(model).read("meter.png")
    assert [text.decode() for text in answer["text"][0].numpy()] == list(expected.candidates)
    assert answer["confidence"][0].numpy() == pytest.approx(expected.confidence, abs=1e-3)
    inputs["images"] = [*inputs["images"], b"no image"]
    with pytest.raises(tf.errors.InvalidArgumentError):
        read(**{name: tf.constant(value) for name, value in inputs.items()})
