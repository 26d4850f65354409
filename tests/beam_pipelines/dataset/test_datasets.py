"""The prepare and synthesize commands in this process, on the local runner."""

import json
from pathlib import Path

import pytest
import tensorflow as tf
from PIL import Image

from beam_pipelines import prepare, synthesize
from beam_pipelines.inputs.digit_struct import DigitBox, Entry
from beam_pipelines.sharding import shards
from tests.beam_pipelines.inputs.test_digit_struct import write as write_digit_struct
from trainer.cli import UserError
from trainer.data.formats import dataset_info, records
from trainer.data.formats.output_names import DATASET


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.tfrecord-*")}


def rejects(folder: Path) -> dict[str, str]:
    lines = (folder / dataset_info.REJECTS_FILE).read_text().splitlines()
    return {row["key"]: row["reason"] for row in map(json.loads, lines)}


def parsed(folder: Path) -> dict[str, dict]:
    info = dataset_info.read_info(str(folder))
    paths = [path for split in info.splits for path in dataset_info.shard_paths(str(folder), info, split)]
    raw = [data.numpy() for data in tf.data.TFRecordDataset(paths)]
    batch = {k: v.numpy() for k, v in records.parse_batch(raw, 5).items()}
    return {key.decode(): {k: v[i] for k, v in batch.items()} for i, key in enumerate(batch["image/key"])}


def synthesise(folder: Path, *extra: str, status: int = 0) -> Path:
    args = ["--count", "24", "--seed", "3", "--num-shards", "3", "--output", str(folder), *extra]
    assert synthesize.main(args) == status
    return folder


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(tmp_path: Path) -> None:
    one, again = synthesise(tmp_path / "one"), synthesise(tmp_path / "again")
    assert files(one) == files(again)
    assert len(files(one)) == 3
    other = synthesise(tmp_path / "other", "--seed", "4")
    assert not set(files(one).values()) & set(files(other).values())


def test_a_record_does_not_depend_on_count_and_shards(tmp_path: Path) -> None:
    one = parsed(synthesise(tmp_path / "one"))
    more = parsed(synthesise(tmp_path / "more", "--count", "40", "--num-shards", "7"))
    assert len(more) == 40
    for key, record in one.items():
        assert record["image/encoded"] == more[key]["image/encoded"]


def test_dataset_info_counts_what_is_there(tmp_path: Path) -> None:
    folder = synthesise(tmp_path / "one")
    info = dataset_info.read_info(str(folder))
    split = info.splits["train"]
    assert info.records_in == split.records == len(parsed(folder)) == 24
    assert sum(split.lengths.values()) == split.sources["synthetic-fonts"] == 24
    assert {shard.name: shard.bytes for shard in split.shards} == {name: len(d) for name, d in files(folder).items()}
    assert info.command[:3] == ["python", "-m", "beam_pipelines.synthesize"]


def test_a_finished_output_is_left_alone_and_another_request_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    folder = synthesise(tmp_path / "one")
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    synthesise(folder)
    assert "nothing to do" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    synthesise(folder, "--count", "9", status=2)
    assert "--overwrite" in capsys.readouterr().err
    synthesise(folder, "--count", "9", "--overwrite")
    assert len(parsed(folder)) == 9


def test_what_a_killed_run_left_is_replaced_and_never_read(tmp_path: Path) -> None:
    whole = synthesise(tmp_path / "whole")
    left = synthesise(tmp_path / "left")
    for name in (dataset_info.COMPLETED_FILE, dataset_info.INFO_FILE, "train.tfrecord-00001-of-00003"):
        (left / name).unlink()
    (left / "train.tfrecord-00000-of-00003").write_bytes(b"half")
    (left / f"train.tfrecord-00001-of-00003.tmp-{'0' * 32}").write_bytes(b"half")
    with pytest.raises(UserError, match="COMPLETED"):
        dataset_info.read_info(str(left))
    assert files(synthesise(left)) == files(whole)
    assert not list(left.glob("*.tmp-*"))


def test_a_folder_with_other_files_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    synthesise(tmp_path, "--overwrite", status=2)
    assert "thesis.txt, which this program did not write" in capsys.readouterr().err
    assert (tmp_path / "thesis.txt").exists()


def test_an_engine_that_loses_a_shard_is_found_out(tmp_path: Path) -> None:
    result = shards.ShardResult(str(tmp_path / "a"), "train", items=2, written=1, rejects=[("k", "label", "x")])
    asked = {result.path: 2, str(tmp_path / "b"): 2}
    with pytest.raises(RuntimeError, match="differ from what was asked for"):
        shards.complete([result], str(tmp_path), asked, lambda _: {}, DATASET)
    assert not (tmp_path / dataset_info.COMPLETED_FILE).exists()


@pytest.fixture
def svhn(tmp_path: Path) -> Path:
    """Write a folder in SVHN format 1 with every mistake that can be in one."""
    folder = tmp_path / "svhn"
    folder.mkdir()
    good = DigitBox(3, 10, 5, 8, 20)
    entries = [
        Entry("good.png", (good,)),
        Entry("two.png", (DigitBox(1, 4, 5, 8, 20), DigitBox(0, 14, 5, 8, 20))),
        Entry("leaves.png", (DigitBox(7, -3, -2, 30, 60),)),
        Entry("six.png", (good,) * 6),
        Entry("missing.png", (good,)),
        Entry("broken.png", (good,)),
        Entry("empty.png", (DigitBox(3, 10, 5, 0, 20),)),
        Entry("negative.png", (good, DigitBox(3, 20, 5, 8, -4))),
        Entry("outside.png", (DigitBox(3, 400, 5, 8, 20),)),
        Entry("good.png", (DigitBox(4, 10, 5, 8, 20),)),
        Entry("nothing.png", ()),
    ]
    write_digit_struct(folder / "digitStruct.mat", entries)
    for entry in entries:
        if entry.name != "missing.png":
            Image.new("RGB", (60, 30), (90, 120, 150)).save(folder / entry.name)
    data = (folder / "good.png").read_bytes()
    (folder / "broken.png").write_bytes(data[: len(data) // 2])
    (folder / "unlabelled.PNG").write_bytes(data)
    return folder


def test_digit_structs_are_cropped_and_each_reject_is_named(
    svhn: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    out = tmp_path / "out"
    assert prepare.main(["--format", "digitstruct", "--input", str(svhn), "--output", str(out), "--size", "32"]) == 0
    assert rejects(out) == {
        "svhn/six.png": "too-long",
        "svhn/missing.png": "missing-picture",
        "svhn/broken.png": "undecodable",
        "svhn/empty.png": "box-size",
        "svhn/negative.png": "box-size",
        "svhn/good.png": "duplicate-name",
        "svhn/nothing.png": "label",
        "svhn/outside.png": "box-outside",
    }
    info = dataset_info.read_info(str(out))
    assert info.records_in == 11
    assert info.splits["train"].records + sum(info.rejects.values()) == 11
    assert info.notes == {"images without an entry": 1}
    assert "note: images without an entry             1" in capsys.readouterr().out
    found = parsed(out)
    assert {key: record["label/text"] for key, record in found.items()} == {
        "svhn/good.png": b"3",
        "svhn/two.png": b"10",
        "svhn/leaves.png": b"7",
    }
    image = tf.io.decode_image(found["svhn/two.png"]["image/encoded"])
    assert image.shape == (32, 32, 3)
    # The union (4, 5)-(22, 25) has its centre at (13, 15); the square around it is 26 wide.
    assert found["svhn/two.png"]["box"] == pytest.approx([4 / 26, 3 / 26, 22 / 26, 23 / 26])


def write_csv(folder: Path, text: str) -> Path:
    folder.mkdir(parents=True)
    for name, mode in (("a.png", "RGB"), ("grey.png", "L"), ("b.jpg", "RGB")):
        Image.new(mode, (40, 30)).save(folder / name)
    (folder / "labels.csv").write_text(text)
    return folder


def test_csv_rows_become_records_and_rejects(tmp_path: Path) -> None:
    text = "file,label,split\na.png,12,train\ngrey.png,7,\nb.jpg,00,validation\nc.png,12b,train\nnone.png,4,train\n"
    folder, out = write_csv(tmp_path / "mine", text), tmp_path / "out"
    assert prepare.main(["--format", "csv", "--input", str(folder), "--output", str(out)]) == 0
    found = parsed(out)
    assert found["mine/a.png"]["image/encoded"] == (folder / "a.png").read_bytes()
    assert found["mine/b.jpg"]["image/format"] == b"jpeg"
    assert tf.io.decode_image(found["mine/grey.png"]["image/encoded"]).shape == (30, 40, 3)
    info = dataset_info.read_info(str(out))
    assert {name: split.records for name, split in info.splits.items()} == {"train": 2, "validation": 1}
    assert info.rejects == {"label": 1, "missing-picture": 1}


def test_shares_split_by_key_and_a_image_never_moves(tmp_path: Path) -> None:
    def splits(count: int, name: str) -> dict[str, str]:
        folder = tmp_path / name / "mine"
        folder.mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(folder / "x.png")
        rows = []
        for i in range(count):
            (folder / f"{i}.png").write_bytes((folder / "x.png").read_bytes())
            rows.append(f"{i}.png,1")
        (folder / "labels.csv").write_text("\n".join(["file,label", *rows]))
        out = tmp_path / name / "out"
        args = ["--format", "csv", "--input", str(folder), "--output", str(out), "--split", "train:3,validation:1"]
        assert prepare.main(args) == 0
        info = dataset_info.read_info(str(out))
        return {
            data["image/key"].decode(): split
            for split in info.splits
            for raw in tf.data.TFRecordDataset(dataset_info.shard_paths(str(out), info, split))
            for data in [{k: v[0].numpy() for k, v in records.parse_batch([raw], 5).items()}]
        }

    few, many = splits(40, "few"), splits(80, "many")
    assert few.items() <= many.items()
    assert 8 <= list(many.values()).count("validation") <= 32


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--format", "csv", "--input", "nowhere.csv"], "nowhere.csv does not exist"),
        (["--format", "csv", "--input", "nowhere"], "nowhere/labels.csv does not exist"),
        (["--format", "digitstruct", "--input", "nowhere"], "has no digitStruct.mat"),
        (["--format", "tiff", "--input", "x"], "invalid choice"),
        (["--format", "csv", "--input", "{good}", "--nonsense=3"], "unknown option --nonsense=3"),
        (["--format", "csv", "--input", "{good}", "--num-shards", "0"], "--num-shards 0"),
        (["--format", "csv", "--input", "{good}", "--split", "train:x"], "write a name, or shares"),
        (["--format", "csv", "--input", "{columns}"], "no column label"),
        (["--format", "csv", "--input", "{none}"], "names no images"),
        (["--format", "csv", "--input", "{letters}"], "all 1 images were rejected"),
    ],
)
def test_mistakes_end_in_one_line_and_leave_nothing(
    tmp_path: Path, args: list[str], message: str, capsys: pytest.CaptureFixture
) -> None:
    folders = {
        "good": write_csv(tmp_path / "good", "file,label\na.png,1\n"),
        "columns": write_csv(tmp_path / "columns", "file,text\na.png,1\n"),
        "none": write_csv(tmp_path / "none", "file,label\n"),
        "letters": write_csv(tmp_path / "letters", "file,label\na.png,x\n"),
    }
    out = tmp_path / "out"
    assert prepare.main([arg.format(**folders) for arg in args] + ["--output", str(out)]) == 2
    error = capsys.readouterr().err.strip()
    assert message in error
    assert len([line for line in error.splitlines() if line.startswith("error:")]) == 1
    assert not out.exists()
