"""The inputs and crops of the prepare command: SVHN format 2, CSV files with boxes, odd images."""

import csv
import io
import os
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.io import loadmat, savemat

from beam_pipelines import prepare
from beam_pipelines.inputs import csv_file, labelled, svhn
from beam_pipelines.inputs.digit_struct import DigitBox, Entry
from tests.beam_pipelines.dataset.test_datasets import files, parsed, rejects
from tests.beam_pipelines.inputs.test_digit_struct import write as write_digit_struct
from trainer.data.formats import dataset_info
from trainer.data.labels import listed_names

HEADER = "file,label,left,top,width,height"


def made(tmp_path: Path, name: str, *args: object, status: int = 0) -> Path:
    out = tmp_path / name
    assert prepare.main([*map(str, args), "--output", str(out)]) == status
    return out


def decoded(record: dict) -> np.ndarray:
    return tf.io.decode_image(record["image/encoded"]).numpy()


def write_rows(folder: Path, *rows: str, header: str = HEADER) -> Path:
    """Write one image, 40x30, red except for a blue number at (10, 5)-(22, 25), and a list of rows."""
    folder.mkdir(parents=True)
    image = Image.new("RGB", (40, 30), "red")
    image.paste((0, 0, 255), (10, 5, 22, 25))
    for name in ("a", "b", "c", "d", "e"):
        image.save(folder / f"{name}.png")
    (folder / "labels.csv").write_text("\n".join([header, *rows]) + "\n")
    return folder


def test_format_2_becomes_numbers_of_one_digit(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3, 12), np.uint8)
    labels = np.array([[10, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]], np.uint8).T
    savemat(tmp_path / "test_32x32.mat", {"X": pixels, "y": labels}, do_compression=True)
    out = made(tmp_path, "out", "--format", "cropped32", "--input", tmp_path / "test_32x32.mat", "--split", "test")
    found = parsed(out)
    assert rejects(out) == {"test_32x32/12": "label"}
    assert len(found) == 11
    for i in range(11):
        record = found[f"test_32x32/{i + 1}"]
        assert record["label/text"].decode() == str(labels[i, 0] % 10)
        assert record["source"] == b"cropped32"
        assert (record["box"] == -1).all()
        np.testing.assert_array_equal(decoded(record), pixels[..., i])


def test_real_format_2_is_read_as_scipy_reads_it(shared_data: Path, tmp_path: Path) -> None:
    path = shared_data / "cropped32" / "train_32x32_first1083.mat"
    out = made(tmp_path, "out", "--format", "cropped32", "--input", path)
    content, found = loadmat(path), parsed(out)
    assert len(found) == len(content["y"]) == 1083
    for i in (0, 500, 1082):
        record = found[f"train_32x32_first1083/{i + 1}"]
        assert record["label/text"].decode() == str(content["y"][i, 0] % 10)
        np.testing.assert_array_equal(decoded(record), content["X"][..., i])


def test_rows_with_boxes_are_cropped_and_bad_ones_named(tmp_path: Path) -> None:
    folder = write_rows(
        tmp_path / "mine", "a.png,12,10,5,12,20", "b.png,12,,,,", "c.png,12,1,2,x,4", "d.png,1,10,5,0,20", "e.png,1,9"
    )
    out = made(tmp_path, "out", "--format", "csv", "--input", folder, "--size", 52)
    assert rejects(out) == {
        "mine/b.png": "no-box",
        "mine/c.png": "box-value",
        "mine/d.png": "box-size",
        "mine/e.png": "box-value",
    }
    record = parsed(out)["mine/a.png"]
    # The square around (10, 5)-(22, 25) is 26 wide, from (3, 2).
    assert record["box"] == pytest.approx([7 / 26, 3 / 26, 19 / 26, 23 / 26])
    image = decoded(record)
    assert image.shape == (52, 52, 3)
    assert (image[10:42, 18:34] == (0, 0, 255)).all()
    assert (image[:2, :] == (255, 0, 0)).all()


def test_each_policy_carries_the_box_along(tmp_path: Path) -> None:
    folder = write_rows(tmp_path / "mine", "a.png,12,10,5,12,20")
    for policy, options in (("context", ["--context", 0.1, 0.2]), ("whole", [])):
        args = ["--format", "csv", "--input", folder, "--crop", policy, *options]
        record = parsed(made(tmp_path, policy, *args))["mine/a.png"]
        image = decoded(record)
        edges = np.round(record["box"] * np.tile(image.shape[1::-1], 2)).astype(int)
        blue = np.zeros(image.shape[:2], bool)
        blue[edges[1] : edges[3], edges[0] : edges[2]] = True
        np.testing.assert_array_equal(image[..., 2] == 255, blue)
        if policy == "whole":
            assert record["image/encoded"] == (folder / "a.png").read_bytes()
        else:
            assert image.shape[0] in range(24, 30)
        small = decoded(parsed(made(tmp_path, f"{policy}-small", *args, "--max-side", 16))["mine/a.png"])
        assert max(small.shape) == 16


def test_boxes_of_characters_are_carried_along(tmp_path: Path) -> None:
    folder = tmp_path / "train"
    folder.mkdir()
    Image.new("RGB", (60, 30)).save(folder / "1.png")
    write_digit_struct(
        folder / "digitStruct.mat", [Entry("1.png", (DigitBox(1, 6, 3, 12, 15), DigitBox(2, 30, 3, 40, 15)))]
    )
    out = made(tmp_path, "out", "--format", "digitstruct", "--input", folder, "--crop", "whole")
    [shard] = out.glob("*.tfrecord-*")
    [data] = tf.data.TFRecordDataset([str(shard)])
    feature = tf.train.Example.FromString(data.numpy()).features.feature
    assert feature["box"].float_list.value == pytest.approx([0.1, 0.1, 1, 0.6])  # the second leaves the image
    assert feature["char_boxes"].float_list.value == pytest.approx([0.1, 0.1, 0.3, 0.6, 0.5, 0.1, 1, 0.6])


def test_boxes_are_those_of_the_image_as_people_see_it(tmp_path: Path) -> None:
    folder = write_rows(tmp_path / "mine", "a.jpg,12,5,10,20,12")
    lying = Image.open(folder / "a.png").transpose(Image.Transpose.TRANSPOSE)  # 30x40, number at (5, 10)-(25, 22)
    exif = Image.Exif()
    exif[0x0112] = 6  # stored a quarter turn to the left
    lying.transpose(Image.Transpose.ROTATE_90).save(folder / "a.jpg", exif=exif, quality=100, subsampling=0)
    out = made(tmp_path, "out", "--format", "csv", "--input", folder, "--crop", "context", "--context", 0, 0)
    image = decoded(parsed(out)["mine/a.jpg"])
    assert image.shape == (12, 20, 3)
    assert (image[..., 2] > 200).all()


def test_large_images_are_stored_smaller_and_others_as_they_are(tmp_path: Path) -> None:
    folder = write_rows(tmp_path / "mine", "a.png,12", "big.png,7", header="file,label")
    Image.effect_noise((400, 100), 50).convert("RGB").save(folder / "big.png")
    found = parsed(made(tmp_path, "out", "--format", "csv", "--input", folder))
    assert found["mine/a.png"]["image/encoded"] == (folder / "a.png").read_bytes()
    assert decoded(found["mine/big.png"]).shape == (64, 256, 3)
    info = dataset_info.read_info(str(tmp_path / "out"))
    assert info.notes == {"images without an entry": 4}


cells = st.text(st.characters(codec="utf-8", exclude_characters="\0\n"), max_size=8)
file_names = cells.filter(lambda name: name.strip() and listed_names.inside(name) == name)


@settings(deadline=None)
@given(
    st.lists(st.tuples(file_names, cells), max_size=6), st.sampled_from(["", "\ufeff"]), st.sampled_from(["\n", "\r\n"])
)
def test_any_row_is_found_again_where_it_begins(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]], mark: str, ending: str
) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator=ending, quoting=csv.QUOTE_ALL).writerows([("file", "label"), *rows])
    path = tmp_path_factory.mktemp("rows") / "mine" / "list.csv"
    path.parent.mkdir()
    path.write_bytes((mark + text.getvalue()).encode())
    source = csv_file.open_csv(str(path), "pictures")
    places = [place for place, _, _ in source.entries()]
    assert len(places) == len(rows)
    for place, (file, label) in reversed(list(zip(places, rows, strict=True))):
        labelled = source.read(place)
        assert labelled.text == label.strip()
        assert str(labelled.image).endswith(file)


def test_the_survey_deals_every_place_once_in_a_seeded_order(tmp_path: Path) -> None:
    names = [f"{i % 90}.png" for i in range(100)]
    write_digit_struct(tmp_path / "digitStruct.mat", [Entry(name, (DigitBox(1, 2, 3, 4, 5),)) for name in names])
    source, shares = svhn.open_photos(str(tmp_path)), [("train", 3.0), ("validation", 1.0)]
    contents = labelled.survey(source, shares, 7)
    dealt = [place for places in contents.splits.values() for place in places]
    assert sorted(dealt) == list(range(100))
    assert contents.duplicates == frozenset(range(90, 100))
    assert set(contents.splits) == {"train", "validation"}
    assert labelled.survey(source, shares, 7) == contents
    other = labelled.survey(source, shares, 8)
    assert [*other.splits["train"]] != [*contents.splits["train"]]
    assert sorted(other.splits["train"]) == sorted(contents.splits["train"])


@pytest.mark.slow
def test_two_worker_processes_read_the_same(tmp_path: Path) -> None:
    folder = tmp_path / "train"
    folder.mkdir()
    for i in range(20):
        Image.effect_noise((60, 40), 50).convert("RGB").save(folder / f"{i}.png")
    entries = [Entry(f"{i}.png", (DigitBox(i % 10, 10 + i, 5, 12, 20),)) for i in range(20)]
    write_digit_struct(folder / "digitStruct.mat", entries)
    args = ["--format", "digitstruct", "--input", folder, "--crop", "context"]
    one = made(tmp_path, "one", *args)
    two = made(tmp_path, "two", *args, "--direct_num_workers=2", "--direct_running_mode=multi_processing")
    assert len(files(one)) == 8
    assert files(one) == files(two)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--format", "cropped32", "--input", "nowhere.mat"], "nowhere.mat does not exist"),
        (["--format", "cropped32", "--input", "{top}/text.mat"], "cannot be read as a MATLAB v5 file"),
        (["--format", "cropped32", "--input", "{top}/other.mat"], "it is not SVHN format 2"),
        (["--format", "cropped32", "--input", "{top}/good.mat", "--crop", "tight"], "--crop tight needs boxes"),
        (["--format", "csv", "--input", "{top}/plain", "--crop", "context"], "--crop context needs boxes"),
        (["--format", "csv", "--input", "{top}/plain", "--max-side", "0"], "--max-side 0"),
        (["--format", "csv", "--input", "{top}/boxes", "--context", "0.5", "0.1"], "--context 0.5 0.1"),
        (["--format", "csv", "--input", "{top}/half"], "only left,top: give all or none"),
        (["--format", "csv", "--input", "{top}/latin"], "save it as CSV in UTF-8"),
        (["--format", "csv", "--input", "{top}/split"], "names a split '../up'"),
        (["--format", "csv", "--input", "{top}/empty"], "has no column file, label"),
    ],
)
def test_mistakes_end_in_one_line_and_leave_nothing(
    tmp_path: Path, args: list[str], message: str, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "text.mat").write_text("MATLAB")
    savemat(tmp_path / "other.mat", {"X": np.zeros((4, 4)), "y": np.zeros((2, 1))})
    savemat(tmp_path / "good.mat", {"X": np.zeros((32, 32, 3, 2), np.uint8), "y": np.ones((2, 1))})
    write_rows(tmp_path / "boxes", "a.png,1,2,3,4,5")
    write_rows(tmp_path / "plain", "a.png,1", header="file,label")
    write_rows(tmp_path / "half", "a.png,1,2,3", header="file,label,left,top")
    write_rows(tmp_path / "split", "a.png,1,../up", header="file,label,split")
    (write_rows(tmp_path / "latin") / "labels.csv").write_bytes("file,label\nä.png,1\n".encode("latin-1"))
    (write_rows(tmp_path / "empty") / "labels.csv").write_bytes(b"")
    out = made(tmp_path, "out", *(arg.format(top=tmp_path) for arg in args), status=2)
    error = capsys.readouterr().err
    assert message in error
    assert error.count("error:") == 1
    assert not out.exists()


def test_a_remote_file_is_read_from_a_copy_that_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = b"one\ntwo\n" * 300_000
    monkeypatch.setattr(labelled.FileSystems, "open", lambda path, **_: io.BytesIO(content))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with labelled.local_file("gs://bucket/digitStruct.mat") as file:
        assert os.pread(file.fileno(), len(content) + 1, 0) == content
        assert not list(tmp_path.iterdir())
