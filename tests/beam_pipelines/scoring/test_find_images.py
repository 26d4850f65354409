"""What --input names: no image is lost or found twice, and each has its own key."""

import io
import os
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from google.cloud import storage

from beam_pipelines.scoring import prefetch
from beam_pipelines.scoring.image_list import Item
from tests.beam_pipelines import finding
from tests.beam_pipelines.conftest import BUCKET
from trainer.cli import UserError
from trainer.data.formats import records
from trainer.data.images.model_input import ModelInput


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"picture")
    return folder


def archive(path: Path, members: dict[str, bytes] | list[tuple[str, bytes]]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, data in members.items() if isinstance(members, dict) else members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def keys(*inputs: object) -> list[str]:
    return [item.key for item in finding.find(map(str, inputs)).items]


def test_folders_patterns_files_and_lists_stand_for_the_same_images(tmp_path: Path) -> None:
    folder = touch(tmp_path / "photos", "b.png", "deep/a.JPG", "notes.txt")
    wanted = sorted([f"{folder}/b.png", f"{folder}/deep/a.JPG"])
    assert keys(folder) == keys(f"{folder}/") == wanted
    assert keys(f"{folder}/*.png", f"{folder}/*/*.JPG") == wanted
    assert keys(*wanted) == wanted
    (tmp_path / "list.txt").write_text("\n".join(["", *wanted, wanted[0], ""]))
    (tmp_path / "list").write_text("\r\n".join(wanted))
    assert keys(tmp_path / "list.txt") == keys(f"@{tmp_path}/list") == wanted
    assert keys(folder, *wanted, f"{folder}/../photos/b.png") == wanted
    strange = [str(tmp_path / name) for name in ("a\x0bb.png", "a\u2028b.png")]
    (tmp_path / "list").write_text("\n".join(strange))
    assert keys(f"@{tmp_path}/list") == strange


def test_other_files_are_counted(tmp_path: Path) -> None:
    touch(tmp_path, "1.png", "thesis.doc", "none")
    archive(tmp_path / "more.tar", {"2.png": b"", "readme.md": b""})
    (tmp_path / "round").symlink_to(tmp_path)
    out = finding.find([str(tmp_path)])
    assert [item.key for item in out.items] == [f"{tmp_path}/1.png", f"{tmp_path}/more.tar/2.png"]
    assert out.others == 4


def test_names_are_taken_as_they_are(tmp_path: Path) -> None:
    names = ["a b.png", "a\nb.png", "数字.png", "[1].png", "*.png", "%41.png", "-x.png", "q?.png", "😀.png"]
    touch(tmp_path, *names)
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.png")).write_bytes(b"")
    assert keys(tmp_path) == sorted(f"{tmp_path}/{name}" for name in [*names, "\\xff.png"])
    assert keys(tmp_path / "[1].png") == [f"{tmp_path}/[1].png"]


def test_members_are_read_where_they_lie(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.tar", {"x/1.png": b"one", "2.png": b"twos", "é.png": b"three"})
    items = finding.find([str(path)]).items
    assert [item.key for item in items] == [f"{path}/2.png", f"{path}/x/1.png", f"{path}/é.png"]
    containers = prefetch.Containers()
    assert [containers.part(item).read() for item in items] == [b"twos", b"one", b"three"]
    containers.close()


@pytest.mark.parametrize("cut", [100, 513, 1100, 1536, 2000])
def test_a_cut_archive_gives_what_it_has_and_one_reject(tmp_path: Path, cut: int) -> None:
    path = archive(tmp_path / "a.tar", {f"{i}.png": bytes(400) for i in range(3)})
    path.write_bytes(path.read_bytes()[:cut])
    items = finding.find([str(path)]).items
    assert [item.reject[0] for item in items if item.reject] == ["damaged-archive"]
    assert len(items) == 1 + (cut + 512) // 1024  # each member has a header and a block of data


def test_all_but_one_of_the_same_key_are_rejected(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.tar", [("1.png", b"one"), ("1.png", b"two"), ("2.png", b"")])
    items = finding.find([str(path)]).items
    assert [item.reject and item.reject[0] for item in items] == [None, "duplicate-key", None]


def test_records_have_their_own_keys(tiny_dataset: Path, tmp_path: Path) -> None:
    items = finding.find([str(tiny_dataset)]).items
    assert len(items) == 80
    assert (
        finding.find([str(tiny_dataset)]).others == 4 + 2
    )  # the marker, what describes the dataset, and TensorFlow Datasets' files
    containers = prefetch.Containers()
    for item in items:
        assert records.from_example(containers.part(item).read()).key == item.key
    containers.close()


def test_damaged_records_are_named_and_the_rest_is_read(tiny_dataset: Path, tmp_path: Path) -> None:
    data = bytearray(next(tiny_dataset.glob("*.tfrecord-*")).read_bytes())
    half = finding.find([str(tiny_dataset)]).items[:40]
    (tmp_path / "COMPLETED").touch()
    path = tmp_path / "train.tfrecord-00000-of-00001"
    path.write_bytes(data[: len(data) // 2])
    items = finding.find([str(path)]).items
    rejects = [item for item in items if item.reject]
    assert [item.reject[0] for item in rejects if item.reject] == ["damaged-record"]
    assert 1 < len(items) < len(half)


@pytest.mark.parametrize(
    ("names", "given", "message"),
    [
        (["a.doc"], "", "matches no images"),
        ([], "none.png", "matches no images"),
        ([], "@none", "the list .*/none does not exist"),
        (["train.tfrecord-00000-of-00001"], "", "is not finished"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, names: list[str], given: str, message: str) -> None:
    touch(tmp_path, *names)
    one = f"@{tmp_path}/{given[1:]}" if given.startswith("@") else str(tmp_path / given)
    with pytest.raises(UserError, match=message):
        finding.find([one])


def test_a_prefix_of_a_bucket_stands_for_all_below_it(bucket: storage.Bucket, tmp_path: Path) -> None:
    for name in ("photos/1.png", "photos/deep/2.png", "photos/notes.doc", "photos2/3.png"):
        bucket.blob(name).upload_from_string(b"picture")
    path = archive(tmp_path / "a.tar", {"4.png": b"four"})
    bucket.blob("photos/a.tar").upload_from_filename(path)
    out = finding.find([f"gs://{BUCKET}/photos"])
    top = f"gs://{BUCKET}/photos"
    assert [item.key for item in out.items] == [f"{top}/1.png", f"{top}/a.tar/4.png", f"{top}/deep/2.png"]
    assert out.others == 1
    containers = prefetch.Containers()
    assert containers.part(out.items[1]).read() == b"four"
    containers.close()
    assert keys(f"{top}2/*.png") == [f"{top}2/3.png"]


@contextmanager
def unprivileged() -> Iterator[Path]:
    """Return a folder of a user to whom permissions apply."""
    with tempfile.TemporaryDirectory() as name:
        user, other = os.geteuid(), 65534
        if user == 0:
            os.chown(name, other, other)
            os.seteuid(other)
        try:
            yield Path(name)
        finally:
            os.seteuid(user)


def rejects(items: Sequence[Item]) -> dict[str, str]:
    """Return the reasons by key."""
    read = prefetch.fetched(items, ahead=2, wanted=ModelInput(8, 8))
    return {key: reject.reason for key, reject in (one for one in read if not isinstance(one, prefetch.FetchedImage))}


def test_what_may_not_be_read_is_rejected_and_so_is_what_may_not_be_listed() -> None:
    with unprivileged() as top:
        touch(top, "deep/1.png", "2.png", "locked/3.png")
        (top / "2.png").chmod(0)
        (top / "locked").chmod(0)
        items = finding.find([str(top)]).items
        reasons = rejects(items)
        (top / "locked").chmod(0o700)
    assert [item.key for item in items] == [f"{top}/2.png", f"{top}/deep/1.png", f"{top}/locked"]
    assert reasons == {items[0].key: "unreadable", items[1].key: "undecodable", items[2].key: "unreadable"}


def test_what_is_gone_from_a_bucket_is_rejected(bucket: storage.Bucket) -> None:
    for name in ("photos/1.png", "photos/2.png"):
        bucket.blob(name).upload_from_string(b"picture")
    items = finding.find([f"gs://{BUCKET}/photos"]).items
    bucket.blob("photos/1.png").delete()
    assert list(rejects(items).values()) == ["missing-picture", "undecodable"]


def test_what_is_gone_when_it_is_read_is_rejected(tmp_path: Path) -> None:
    items = finding.find([str(touch(tmp_path, "1.png"))]).items
    tar = archive(tmp_path / "a.tar", {"2.png": b"two"})
    items = [*items, *finding.find([str(tar)]).items]
    items.append(Item(str(tmp_path), str(tmp_path)))  # a folder is not an image
    (tmp_path / "1.png").unlink()
    tar.unlink()
    assert list(rejects(items).values()) == ["missing-picture", "missing-picture", "not-a-file"]
