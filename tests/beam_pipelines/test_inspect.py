"""The inspect command: what it shows of a sound dataset, and what it finds in a damaged one."""

import io
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from beam_pipelines import inspect
from beam_pipelines.dataset import contact_sheet
from trainer.data.formats import dataset_info, tfrecord
from trainer.data.formats.records import Number, Record

NUMBER_RED, TOP_GREEN = (255, 45, 45), (0, 200, 83)
FIRST, SECOND = (dataset_info.shard_name("train", i, 2) for i in range(2))


@pytest.fixture
def dataset(tiny_dataset: Path, tmp_path: Path) -> Path:
    """Copy a dataset to damage: 80 numbers of one and two digits in two shards."""
    return Path(shutil.copytree(tiny_dataset, tmp_path / "copy"))


def rows(text: str, name: str) -> dict[str, int]:
    found = [line.split() for line in text.splitlines() if line.startswith(f"{name} ")]
    return {row[1]: int(row[2].replace(",", "")) for row in found}


def test_a_sound_dataset_is_counted_and_drawn(
    tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    drawn = tmp_path / "sheet.png"
    assert inspect.main([str(tiny_dataset), "--verify", "--sheet", str(drawn), "--sample", "13"]) == 0
    shown = capsys.readouterr().out
    split = dataset_info.read_info(str(tiny_dataset)).splits["train"]
    assert "is intact: 2 shards" in shown
    assert rows(shown, "split") == {"train": 80}
    assert rows(shown, "source") == split.sources
    assert rows(shown, "length") == split.lengths
    digits = sum(int(length) * count for length, count in split.lengths.items())
    assert sum(rows(shown, "character").values()) == digits
    assert "rejected   none" in shown
    cell = contact_sheet.CELL + 2 * contact_sheet.MARGIN
    with Image.open(drawn) as image:
        assert image.size == (contact_sheet.COLUMNS * cell, 2 * (cell + contact_sheet.CAPTION))


def test_the_seed_decides_the_sample(tiny_dataset: Path, tmp_path: Path) -> None:
    def draw(name: str, seed: int) -> bytes:
        args = ["--sheet", str(tmp_path / name), "--sample", "5", "--seed", str(seed)]
        assert inspect.main([str(tiny_dataset), *args]) == 0
        return (tmp_path / name).read_bytes()

    assert draw("one.png", 1) == draw("again.png", 1) != draw("other.png", 2)


def test_boxes_are_drawn_where_they_are() -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (20, 10)).save(buffer, "PNG")
    record = Record(buffer.getvalue(), "png", "k", "7", "csv", (0.5, 0.0, 1.0, 1.0), [(0.25, 0.0, 0.5, 1.0)])
    drawn = contact_sheet.draw([("train", record)])
    scale, bottom = contact_sheet.CELL / 20, contact_sheet.MARGIN + contact_sheet.CELL - 1
    colours = {
        name: drawn.getpixel((round(contact_sheet.MARGIN + x * scale), bottom))
        for name, x in (("number", 15), ("character", 7))
    }
    assert colours == {"number": NUMBER_RED, "character": TOP_GREEN}
    numbers = [
        Number("7", (0.1, 0.5, 0.4, 0.5, 0.4, 1.0, 0.1, 1.0)),
        Number("12", (0.9, 0.5, 0.9, 1.0, 0.6, 1.0, 0.6, 0.5)),  # read downwards: its top edge is the right one
    ]
    several = contact_sheet.draw([("train", Record(buffer.getvalue(), "png", "k", "7", "csv", numbers=numbers))])
    middle = bottom - contact_sheet.CELL // 8
    edges = [several.getpixel((round(contact_sheet.MARGIN + x * 20 * scale), middle)) for x in (0.1, 0.4, 0.6, 0.9)]
    assert edges == [NUMBER_RED, NUMBER_RED, NUMBER_RED, TOP_GREEN]
    broken = Record(b"none", "png", "k", "7", "csv")
    assert contact_sheet.draw([("train", broken)]).size == drawn.size


def flip(folder: Path) -> None:
    """Flip a bit in the data of record 18."""
    with (folder / SECOND).open("rb") as file:
        payloads = list(tfrecord.read_framed(file))
    data = bytearray((folder / SECOND).read_bytes())
    data[data.index(payloads[18]) + len(payloads[18]) // 2] ^= 1
    (folder / SECOND).write_bytes(data)


def flip_one_and_lose_the_other(folder: Path) -> None:
    flip(folder)
    (folder / FIRST).unlink()


def cut(folder: Path) -> None:
    os.truncate(folder / SECOND, (folder / SECOND).stat().st_size // 2)


def drop_last_record(folder: Path) -> None:
    with (folder / SECOND).open("rb") as file:
        payloads = list(tfrecord.read_framed(file))
    with (folder / SECOND).open("wb") as file:
        for payload in payloads[:-1]:
            tfrecord.write_framed(file, payload)


def exchange(folder: Path) -> None:
    """Valid records, but others: the framing cannot reveal that."""
    shutil.copy(folder / FIRST, folder / SECOND)


def change_info(change: Callable[[dict], object]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        path = folder / dataset_info.INFO_FILE
        info = json.loads(path.read_text())
        change(info)
        path.write_text(json.dumps(info))

    return damage


@pytest.mark.parametrize(
    ("damage", "findings"),
    [
        (flip, [f"{SECOND}: record 18 at byte"]),
        (cut, [f"{SECOND}: record"]),
        (drop_last_record, [f"{SECOND}: "]),
        (exchange, [f"{SECOND}: "]),
        (lambda folder: (folder / SECOND).unlink(), [f"{SECOND}: it is missing"]),
        (
            lambda folder: shutil.copy(folder / FIRST, folder / "train.tfrecord-00002-of-00003"),
            ["train.tfrecord-00002-"],
        ),
        (change_info(lambda info: info.update(records_in=81)), [f"{dataset_info.INFO_FILE}: 81 in"]),
        (change_info(lambda info: info["splits"]["train"]["lengths"].update({"1": 7})), ["split train: lengths"]),
        (change_info(lambda info: info["splits"]["train"]["sources"].update(x=1)), ["split train: sources"]),
        (
            change_info(lambda info: info["splits"]["train"]["shards"][0].update(records=41, crc32c="0" * 8)),
            [f"{FIRST}: 40 records"],
        ),
        (
            change_info(lambda info: info.update(rejects={"label": 1}, records_in=81)),
            [f"{dataset_info.REJECTS_FILE}: {{}}"],
        ),
        (lambda folder: (folder / dataset_info.REJECTS_FILE).unlink(), [f"{dataset_info.REJECTS_FILE}: it is missing"]),
        (flip_one_and_lose_the_other, [f"{FIRST}: it is missing", f"{SECOND}: record"]),
    ],
)
def test_each_finding_has_a_line_and_the_status_is_1(
    dataset: Path, damage: Callable[[Path], object], findings: list[str], capsys: pytest.CaptureFixture
) -> None:
    damage(dataset)
    assert inspect.main([str(dataset), "--verify"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(findings)
    assert all(line.startswith(finding) for line, finding in zip(lines, findings, strict=True)), lines


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / dataset_info.COMPLETED_FILE).unlink(), "has no COMPLETED"),
        (lambda folder: (folder / dataset_info.INFO_FILE).write_text("{"), "is damaged"),
        (flip, "run with --verify to list all errors"),
        (lambda folder: (folder / SECOND).unlink(), f"{SECOND} is missing; run with --verify"),
    ],
)
def test_what_cannot_be_shown_is_the_users_mistake(
    dataset: Path, damage: Callable[[Path], object], message: str, capsys: pytest.CaptureFixture
) -> None:
    damage(dataset)
    assert inspect.main([str(dataset)]) == 2
    assert message in capsys.readouterr().err
