"""`svhn finetune`: from a folder of labelled images to a model, with the accuracy before and after."""

from pathlib import Path

import pytest

from beam_pipelines import draw
from trainer import finetune, svhn


@pytest.mark.slow
def test_a_folder_gives_a_model_and_a_second_run_has_nothing_to_do(
    tiny_model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert draw.main(["--count", "20", "--seed", "5", "--output", str(tmp_path / "images")]) == 0
    labels = tmp_path / "images" / "labels.csv"
    header, *rows = labels.read_text().splitlines()
    labels.write_text("\n".join([header, f"{rows[0]}-A", *rows[1:]]))  # an alphabet that begins with a dash
    args = ["finetune", str(tmp_path / "images"), "--workdir", str(tmp_path / "mine"), "--model", str(tiny_model)]
    args += ["--experiment", "smoke", "--steps", "6"]
    assert svhn.main(args) == 0
    out = capfd.readouterr().out
    assert "16 images to train on and 4 to validate on" in out
    assert "of the characters -0123456789A;" in out
    assert [line.split()[0] for line in out.splitlines() if " of 4 right" in line] == ["before", "after"]
    assert (tmp_path / "mine" / "report.html").stat().st_size > 1000
    image = next((tmp_path / "images" / "images").iterdir())
    assert svhn.main(["predict", str(image), "--model", str(tmp_path / "mine" / "export")]) == 0
    capfd.readouterr()
    assert svhn.main(args) == 0
    said = capfd.readouterr()
    assert "is already complete" in said.out + said.err
    assert " of 4 right" in said.out


@pytest.mark.slow
def test_numbers_with_boxes_are_cut_out_and_the_finder_gets_the_new_recogniser(
    tiny_model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    scenes = tmp_path / "scenes"
    assert draw.main(["--count", "16", "--scene-size", "128", "--seed", "4", "--output", str(scenes)]) == 0
    numbers = [line for line in (scenes / "labels.csv").read_text().splitlines()[1:] if line.split(",")[1]]
    args = ["finetune", str(scenes), "--workdir", str(tmp_path / "mine"), "--model", str(tiny_model)]
    assert svhn.main([*args, "--experiment", "smoke", "--steps", "4"]) == 0
    out = capfd.readouterr().out
    assert "without a number with a box are left out" in out
    assert len(list((tmp_path / "mine" / "numbers").iterdir())) == len(numbers)
    assert svhn.main(["evaluate", str(scenes), "--model", str(tmp_path / "mine" / "photos")]) == 0
    assert "no number, none listed" in capfd.readouterr().out


def test_a_model_that_also_finds_numbers_is_refused_before_anything_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert draw.main(["--count", "10", "--output", str(tmp_path / "images")]) == 0
    run = ["--workdir", str(tmp_path / "run"), "--model", "released-photos"]
    assert finetune.main([str(tmp_path / "images"), *run]) == 2
    assert "give a recogniser, e.g. released-fast" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_step_that_fails_ends_it_with_its_status(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(10):
        (tmp_path / f"{number}.png").write_bytes(b"no image")
    ran: list[str] = []

    def stopped(words: list[str]) -> int:
        ran.append(words[0])
        return 143

    monkeypatch.setattr(svhn, "main", stopped)
    assert finetune.main([str(tmp_path), "--workdir", str(tmp_path / "run")]) == 143
    assert ran == ["prepare"]
    assert "run the same command again to continue" in capsys.readouterr().err


def test_the_training_has_the_image_size_of_the_model_that_it_starts_from(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert draw.main(["--count", "10", "--output", str(tmp_path / "images")]) == 0
    ran: dict[str, list[str]] = {}

    def prepared_then_stopped(words: list[str]) -> int:
        ran[words[0]] = words
        return 0 if words[0] == "prepare" else 143

    monkeypatch.setattr(svhn, "main", prepared_then_stopped)
    run = ["--workdir", str(tmp_path / "run"), "--model", str(tiny_model)]
    assert finetune.main([str(tmp_path / "images"), *run]) == 143
    assert {"model.image_height=16", "model.image_width=32"} <= set(ran["train"])


@pytest.mark.parametrize(
    ("workdir", "message"),
    [("mine [2024]", "choose a name without such characters"), ("gs://bucket/mine", "only to local folders")],
)
def test_a_work_folder_that_cannot_be_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], workdir: str, message: str
) -> None:
    (tmp_path / "images").mkdir()
    for number in range(10):
        (tmp_path / "images" / f"{number}.png").write_bytes(b"no image")
    monkeypatch.chdir(tmp_path)
    assert finetune.main(["images", "--workdir", workdir]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["images"]
