"""--texts and --pattern: the user's own texts, with the alphabet and the longest length taken from them."""

import csv
import os
import re
from pathlib import Path

import pytest

from beam_pipelines import draw, inspect, synthesize
from tests.beam_pipelines.dataset.test_readable import ours
from trainer.data.formats import dataset_info

PLATE = r"[A-D]{2}-\d{3}"


def test_a_dataset_of_a_pattern_has_its_alphabet(tmp_path: Path) -> None:
    out = tmp_path / "plates"
    assert synthesize.main(["--pattern", PLATE, "--count", "20", "--output", str(out)]) == 0
    assert inspect.main([str(out), "--verify"]) == 0
    texts = [record.text for record in ours(out, "train").values()]
    assert all(re.fullmatch(PLATE, text) for text in texts)
    assert len(set(texts)) > 15
    assert dataset_info.read_info(str(out)).alphabet == "-0123456789ABCD"
    again = tmp_path / "again"
    assert synthesize.main(["--pattern", PLATE, "--count", "20", "--output", str(again)]) == 0
    assert [record.text for record in ours(again, "train").values()] == texts


def test_listed_texts_are_drawn_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "texts.txt").write_text("12.5\n\n  7 \n108.25\n")
    args = ["--texts", str(tmp_path / "texts.txt"), "--count", "30", "--output", str(tmp_path / "out")]
    assert synthesize.main(args) == 0
    assert {record.text for record in ours(tmp_path / "out", "train").values()} == {"12.5", "7", "108.25"}
    assert dataset_info.read_info(str(tmp_path / "out")).alphabet == ".125780"[0] + "".join(sorted("125780"))


def test_other_texts_are_another_dataset(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    args = ["--texts", str(tmp_path / "texts.txt"), "--count", "3", "--output", str(tmp_path / "out")]
    (tmp_path / "texts.txt").write_text("12\n")
    assert synthesize.main(args) == 0
    (tmp_path / "texts.txt").write_text("13\n")
    assert synthesize.main(args) == 2
    assert "--overwrite" in capsys.readouterr().err


def test_draw_takes_them_too(tmp_path: Path) -> None:
    assert draw.main(["--pattern", PLATE, "--count", "4", "--output", str(tmp_path / "drawn")]) == 0
    with (tmp_path / "drawn" / "labels.csv").open(newline="") as file:
        assert all(re.fullmatch(PLATE, row["label"]) for row in csv.DictReader(file))


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--pattern", "[A-"], "cannot be drawn from this pattern (unterminated"),
        (["--pattern", ""], "no text of 1 to 100 characters matches"),
        (["--pattern", r"\d{200}"], "texts of at most 100 characters cannot be drawn"),
        (
            ["--pattern", r"[A-Z]{3}", "--alphabet", "0123456789"],
            "of 1000 texts that match, none has 1 to 3 characters",
        ),
        (["--pattern", r"\d{6}", "--max-digits", "5"], "none has 1 to 5 characters"),
        (["--pattern", "((((a{100}){100}){100}){100}){100}"], "50 of its texts are far longer than 100 characters"),
        (["--pattern", "((((a*)*)*)*)*"], "repeat less in it, e.g. {1,3}"),
        (["--pattern", "(" * 3000 + "a" + ")" * 3000], "cannot be drawn from this pattern (maximum recursion"),
        (["--pattern", "a{99999999999999999999}"], "cannot be drawn from this pattern (the repetition number"),
        (["--pattern", r"\d", "--texts", "x"], "not allowed with argument"),
        (["--texts", "{top}/nowhere"], "nowhere cannot be read (No such file or directory)"),
        (["--texts", "{top}/latin"], "it is not UTF-8 text"),
        (["--texts", "{top}/pipe"], "it is a pipe, not a regular file"),
        (["--texts", "{top}/endless"], "it is a device, not a regular file"),
        (["--texts", "{top}/escape"], "has a character that cannot be drawn"),
        (["--texts", "{top}/empty"], "is empty: give a text file"),
        (["--texts", "{top}/long"], "has more than 100 characters"),
        (["--texts", "{top}/good", "--max-digits", "2"], "'AB1' is longer than --max-digits 2"),
        (["--texts", "{top}/good", "--alphabet", "0123456789"], "are not in --alphabet '0123456789'"),
        (["--texts", "{top}/good", "--source", "mnist"], "draws digits only"),
    ],
)
def test_mistakes_are_one_line(
    tmp_path: Path, args: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "latin").write_bytes(b"\xe9\n")
    (tmp_path / "empty").write_text(" \n")
    (tmp_path / "long").write_text("1" * 101)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "endless").symlink_to("/dev/zero")
    (tmp_path / "escape").write_text("12\n1\x1b[31m2\n")
    (tmp_path / "good").write_text("AB1\n")
    filled = [arg.format(top=tmp_path) if "{top}" in arg else arg for arg in args]
    assert synthesize.main([*filled, "--count", "3", "--output", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()
