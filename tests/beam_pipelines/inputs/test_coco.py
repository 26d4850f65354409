"""COCO files: read by prepare, written by inspect, and the same numbers after both."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from beam_pipelines import inspect, prepare, synthesize
from tests.beam_pipelines.dataset.test_datasets import files, rejects
from tests.beam_pipelines.dataset.test_readable import ours
from trainer.data.formats import dataset_info

TURNED = [8, 20, 20, 4, 28, 10, 16, 26]


def listed(folder: Path, content: object) -> Path:
    """Three images of 40x30, and a COCO file."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for name in "abc":
        Image.new("RGB", (40, 30), "red").save(folder / "images" / f"{name}.png")
    (folder / "annotations.json").write_text(json.dumps(content))
    return folder


def image(name: str, **more: object) -> dict[str, Any]:
    return {"id": ord(name) - ord("a"), "file_name": f"{name}.png", **more}


def annotation(name: str, **more: object) -> dict[str, Any]:
    return {"image_id": ord(name) - ord("a"), "bbox": [10, 5, 12, 20], **more}


def content() -> dict[str, Any]:
    """A turned number, two numbers, and none; each way to say what a number is."""
    return {
        "images": [image("a", width=40, height=30), image("b", split="validation"), image("c")],
        "categories": [{"id": 1, "name": "house number"}, {"id": 7, "name": "7"}],
        "annotations": [
            annotation("a", id=1, category_id=1, text="205", segmentation=[TURNED]),
            annotation("b", id=2, category_id=7, bbox=[1, 1, 4, 8]),
            annotation("b", id=3, attributes={"text": 12}, segmentation={"counts": "x", "size": [30, 40]}),
        ],
    }


def prepared(folder: Path, *args: str, status: int = 0) -> Path:
    out = folder.parent / "out"
    command = ["--format", "coco", "--input", str(folder), "--output", str(out), *args]
    assert prepare.main(command) == status
    if not status:
        info = dataset_info.read_info(str(out))
        assert info.records_in == sum(split.records for split in info.splits.values()) + sum(info.rejects.values())
    return out


def test_boxes_corners_and_texts_are_read(tmp_path: Path) -> None:
    out = prepared(listed(tmp_path / "mine", content()))
    train, validation = ours(out, "train"), ours(out, "validation")
    assert set(train) == {"mine/a.png", "mine/c.png"}
    (turned,) = train["mine/a.png"].numbers
    np.testing.assert_allclose(np.multiply(turned.corners, (40, 30) * 4), TURNED, rtol=1e-6)
    assert (turned.text, train["mine/a.png"].source) == ("205", "coco")
    assert (train["mine/c.png"].text, list(train["mine/c.png"].numbers)) == ("", [])
    record = validation["mine/b.png"]
    assert [number.text for number in record.numbers] == ["12", "7"]
    np.testing.assert_allclose(np.multiply(record.numbers[0].corners, (40, 30) * 4), [10, 5, 22, 5, 22, 25, 10, 25])


def test_other_crops_store_images_of_one_number(tmp_path: Path) -> None:
    out = prepared(listed(tmp_path / "mine", content()), "--crop", "context", "--image-format", "png")
    assert set(ours(out, "train")) == {"mine/a.png"}
    assert rejects(out) == {"mine/b.png": "several-numbers", "mine/c.png": "label"}


@pytest.mark.parametrize(
    ("wrong", "reason", "detail"),
    [
        ({}, "label", "annotation 9 has no text: add its number as text, attributes.text or category name"),
        ({"text": " "}, "label", "has no text"),
        ({"text": "12b"}, "label", "outside the alphabet"),
        ({"attributes": [1]}, "label", "attributes that are not an object"),
        ({"text": "123456"}, "too-long", "more than 5 characters"),
        ({"text": "1", "bbox": [1, 2, 3]}, "box-value", "has the bbox [1, 2, 3], not four numbers"),
        ({"text": "1", "bbox": None}, "box-value", "not four numbers"),
        ({"text": "1", "bbox": [1, 1, 0, 9]}, "box-size", "0x9"),
        ({"text": "1", "bbox": [100, 1, 5, 9]}, "box-outside", "inside the image"),
        ({"text": "1", "segmentation": [[16, 26, 28, 10, 20, 4, 8, 20]]}, "box-order", "clockwise"),
    ],
)
def test_an_annotation_that_cannot_be_used_rejects_its_image(
    tmp_path: Path, wrong: dict, reason: str, detail: str
) -> None:
    coco = content()
    coco["annotations"].append(annotation("c", id=9, **{"category_id": 1, **wrong}))
    out = prepared(listed(tmp_path / "mine", coco))
    (row,) = map(json.loads, (out / dataset_info.REJECTS_FILE).read_text().splitlines())
    assert (row["key"], row["reason"]) == ("mine/c.png", reason)
    assert detail in row["detail"]


def test_images_are_rejected_where_their_names_lead_out_repeat_or_have_another_size(tmp_path: Path) -> None:
    coco = content()
    coco["images"] += [
        {"id": 4, "file_name": "../secret.png"},
        {"id": 5, "file_name": "images/a.png"},
        {"id": 6, "file_name": "none.png"},
    ]
    coco["images"][2] |= {"width": 400, "height": 300}
    out = prepared(listed(tmp_path / "mine", coco))
    assert rejects(out) == {
        "mine/../secret.png": "outside-folder",
        "mine/a.png": "duplicate-name",
        "mine/none.png": "missing-picture",
        "mine/c.png": "image-size",
    }


def without(*path: str | int) -> Callable[[dict], object]:
    def change(coco: dict) -> object:
        inner: Any = coco
        for step in path[:-1]:
            inner = inner[step]
        return inner.pop(path[-1])

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without("images"), "annotations.json is damaged (images is missing): give a COCO file"),
        (without("annotations"), "(annotations is missing)"),
        (without("images", 1, "file_name"), "annotations.json, images[1] has no file_name: add it"),
        (without("images", 0, "id"), "images[0] has no id"),
        (without("annotations", 2, "image_id"), "annotations[2] has no image_id"),
        (without("categories", 0, "name"), "categories[0] has no name"),
        (without("images", 0), "annotations[0] belongs to the image 0, which is not among images"),
        (lambda coco: coco["images"].append(image("a")), "two of its images have the same id"),
        (lambda coco: coco.update(images=5), "images is 5, not a list"),
        (lambda coco: coco.update(images=["a.png"]), "images[0] has no id"),
        (lambda coco: coco.update(images=[], annotations=[]), "names no images"),
        (lambda coco: coco["images"][0].update(split="../up"), "names a split '../up'"),
    ],
)
def test_files_that_are_not_coco_are_one_line(
    tmp_path: Path, change: Callable[[dict], object], message: str, capsys: pytest.CaptureFixture
) -> None:
    coco = content()
    change(coco)
    out = prepared(listed(tmp_path / "mine", coco), status=2)
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not out.exists()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty"),
        (b"{", "is damaged"),
        (b"[]", "not a JSON object"),
        (b"\xff\xfe", "is damaged"),
        (None, "does not exist"),
    ],
)
def test_files_that_are_not_json_are_one_line(
    tmp_path: Path, data: bytes | None, message: str, capsys: pytest.CaptureFixture
) -> None:
    folder = listed(tmp_path / "mine", content())
    (folder / "annotations.json").unlink()
    if data is not None:
        (folder / "annotations.json").write_bytes(data)
    prepared(folder, status=2)
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of scenes, and its images and COCO file in a folder `mine` beside it."""
    top = tmp_path_factory.mktemp("scenes")
    args = ["--source", "scenes", "--scene-size", "96", "--count", "16", "--seed", "5", "--output", str(top / "data")]
    assert synthesize.main(args) == 0
    assert inspect.main([str(top / "data"), "--coco", str(top / "mine.json")]) == 0
    for key, record in ours(top / "data", "train").items():
        (top / "mine" / key).parent.mkdir(parents=True, exist_ok=True)
        (top / "mine" / key).write_bytes(record.encoded)
    (top / "mine.json").rename(top / "mine" / "annotations.json")
    return top


def test_what_inspect_writes_prepare_reads(scenes: Path) -> None:
    out = prepared(scenes / "mine")
    before, after = ours(scenes / "data", "train"), ours(out, "train")
    assert {f"mine/{key}" for key in before} == set(after)
    assert sum(len(record.numbers) for record in before.values()) >= 10
    for key, record in before.items():
        again = after[f"mine/{key}"]
        assert again.encoded == record.encoded
        assert again.text == record.text
        assert [number.text for number in again.numbers] == [number.text for number in record.numbers]
        for one, other in zip(record.numbers, again.numbers, strict=True):
            np.testing.assert_allclose(one.corners, other.corners, atol=1e-5)


def test_the_file_is_what_coco_tools_expect(scenes: Path) -> None:
    coco = json.loads((scenes / "mine" / "annotations.json").read_text())
    records = ours(scenes / "data", "train")
    assert {image["file_name"] for image in coco["images"]} == set(records)
    sizes = {image["id"]: (image["width"], image["height"]) for image in coco["images"]}
    assert len({annotation["id"] for annotation in coco["annotations"]}) == len(coco["annotations"])
    for annotation in coco["annotations"]:
        width, height = sizes[annotation["image_id"]]
        left, top, across, down = annotation["bbox"]
        assert 0 <= left < left + across <= width + 1e-6
        assert 0 <= top < top + down <= height + 1e-6
        assert 0 < annotation["area"] <= 1.5 * across * down
        assert annotation["category_id"] == coco["categories"][0]["id"]
        assert len(annotation["segmentation"][0]) == 8
        assert annotation["text"].isdigit()


def test_pycocotools_reads_the_file(scenes: Path) -> None:
    coco = COCO(str(scenes / "mine" / "annotations.json"))
    assert len(coco.getImgIds()) == 16
    for annotation in coco.loadAnns(coco.getAnnIds()):
        assert coco.annToMask(annotation).any()


def test_a_box_without_corners_is_written_and_a_number_without_a_box_is_counted(
    tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert inspect.main([str(tiny_dataset), "--coco", str(tmp_path / "tiny.json")]) == 0
    coco = json.loads((tmp_path / "tiny.json").read_text())
    assert len(coco["images"]) == len(coco["annotations"]) == 80
    record = ours(tiny_dataset, "train")[coco["images"][0]["file_name"]]
    first, size = coco["annotations"][0], (coco["images"][0]["width"], coco["images"][0]["height"])
    assert first["text"] == record.text
    np.testing.assert_allclose(first["segmentation"][0][:2], np.multiply((record.box or ())[:2], size))

    folder = listed(tmp_path / "mine", {})
    (folder / "labels.csv").write_text("file,label\na.png,1\nb.png,2\n")
    args = ["--format", "csv", "--input", str(folder), "--output", str(tmp_path / "out")]
    assert prepare.main(args) == 0
    assert inspect.main([str(tmp_path / "out"), "--coco", str(tmp_path / "none.json")]) == 0
    assert "2 images have a number without a box: they have no annotation" in capsys.readouterr().out


def test_only_a_coco_file_of_ours_is_replaced(
    tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    path = tmp_path / "boxes.json"
    for _ in range(2):
        assert inspect.main([str(tiny_dataset), "--coco", str(path)]) == 0
    path.write_text('{"info": {"contributor": "me"}}')
    capsys.readouterr()
    assert inspect.main([str(tiny_dataset), "--coco", str(path)]) == 2
    assert "--coco" in (error := capsys.readouterr().err)
    assert "not a COCO file written by this program" in error
    assert path.read_text() == '{"info": {"contributor": "me"}}'


@pytest.mark.slow
def test_two_worker_processes_read_the_same(scenes: Path, tmp_path: Path) -> None:
    args = ["--format", "coco", "--input", str(scenes / "mine")]
    assert prepare.main([*args, "--output", str(tmp_path / "one")]) == 0
    workers = ["--direct_num_workers=2", "--direct_running_mode=multi_processing"]
    assert prepare.main([*args, "--output", str(tmp_path / "two"), *workers]) == 0
    assert files(tmp_path / "one") == files(tmp_path / "two")
