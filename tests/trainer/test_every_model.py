"""Each model through the same commands: train, train on, evaluate, export, score, predict, report."""

import json
from pathlib import Path

import pytest

from beam_pipelines import draw, prepare, score
from trainer import evaluate, export, predict, report, train

pytestmark = pytest.mark.slow

SETTINGS = {
    "svhn_rnn": ["model.crop=[14,28]", "optimizer.name=sgd", "optimizer.schedule=staircase", "optimizer.ema_decay=0"],
    "five_heads": ["model.max_length=8", "optimizer.name=momentum", "precision=mixed_bfloat16"],
}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with 12 drawn images, and the same as a validation dataset in `prepared`."""
    folder = tmp_path_factory.mktemp("photos")
    assert draw.main(["--count", "12", "--seed", "2", "--output", f"{folder}/pictures"]) == 0
    args = ["--format", "csv", "--input", f"{folder}/pictures", "--split", "validation"]
    assert prepare.main([*args, "--output", f"{folder}/prepared"]) == 0
    return folder


@pytest.mark.parametrize("model", SETTINGS)
def test_every_command_takes_every_model(
    model: str, tiny_dataset: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    run, exported, scored, page = (str(tmp_path / name) for name in ("run", "model", "predictions", "report.html"))
    args = ["--experiment", "smoke", "--data", str(tiny_dataset), "--validation-data", f"{photos}/prepared"]
    settings = [f"model.name={model}", "model.dense_units=[16]", *SETTINGS[model]]
    for steps in (4, 6):  # the second continues with the slots of the first
        assert train.main([*args, "--workdir", run, "--set", *settings, f"train.steps={steps}"]) == 0
    assert evaluate.main(["--workdir", run, "--data", f"{photos}/prepared"]) == 0
    assert "12 images" in capsys.readouterr().out
    assert json.loads((tmp_path / "run" / "evaluation.json").read_text())["step"] in (4, 6)
    assert export.main(["--workdir", run, "--output", exported]) == 0
    args = ["--model", exported, "--input", f"{photos}/pictures", "--precision", "float32"]
    assert score.main([*args, "--output", scored]) == 0
    answers = [json.loads(line) for line in (tmp_path / "run" / "answers.jsonl").read_text().splitlines()]
    lines = [line for path in Path(scored).glob("predictions-*.jsonl") for line in path.read_text().splitlines()]
    rows = {row["key"].rsplit("/", 1)[-1]: row for row in map(json.loads, lines)}
    assert len(rows) == 12
    for answer in answers:
        row = rows[answer["key"].rsplit("/", 1)[-1]]
        # Candidates that are equal but for rounding, as these are after six steps, may change places.
        assert row["confidence"] == pytest.approx(answer["probabilities"][0], rel=0.02)
    capsys.readouterr()
    assert predict.main(["--model", exported, str(next((photos / "pictures" / "images").glob("*.png")))]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[1:]] == [
        "No.",
        "1",
        "2",
        "3",
    ]
    assert report.main(["--workdir", run, "--predictions", scored, "--output", page]) == 0
