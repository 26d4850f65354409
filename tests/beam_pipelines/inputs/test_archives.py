"""Archives of all kinds: each image in them is read or rejected with a reason, whatever the file's name."""

import bz2
import gzip
import io
import json
import lzma
import os
import socket
import struct
import tarfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from beam_pipelines import score
from beam_pipelines.inputs import archives
from beam_pipelines.scoring import prefetch
from beam_pipelines.scoring.check_readable import check_readable
from beam_pipelines.scoring.image_list import Item
from beam_pipelines.sharding.shards import Reject
from tests.beam_pipelines import finding
from tests.beam_pipelines.inputs.test_images import encoded
from tests.beam_pipelines.scoring.test_find_images import archive, rejects
from trainer.cli import UserError
from trainer.data.images.model_input import ModelInput

PNG = encoded(Image.new("RGB", (20, 10), "red"), "PNG")


def tarred(*members: tuple[str, bytes] | tarfile.TarInfo) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for member in members:
            info = member if isinstance(member, tarfile.TarInfo) else tarfile.TarInfo(member[0])
            data = b"" if isinstance(member, tarfile.TarInfo) else member[1]
            info.size = info.size or len(data)
            tar.addfile(info, io.BytesIO(data) if data else None)
    return out.getvalue()


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def zipped(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return out.getvalue()


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def contents(items: Sequence[Item], top: Path) -> dict[str, bytes | str]:
    """Return for each item its bytes, or the reason why it cannot be read."""
    containers, out = prefetch.Containers(), dict[str, bytes | str]()
    for item in items:
        try:
            out[item.key.removeprefix(f"{top}/")] = item.reject[0] if item.reject else containers.part(item).read()
        except Reject as reject:
            out[item.key.removeprefix(f"{top}/")] = reject.reason
    containers.close()
    return out


@pytest.mark.parametrize("name", ["a.tar", "A.TAR", "a.Tar", "without", "a.zip", "a.tgz"])
@pytest.mark.parametrize("pack", [lambda m: tarred(*m.items()), zipped, lambda m: zipped(m, zipfile.ZIP_STORED)])
def test_the_content_tells_what_an_archive_is(tmp_path: Path, name: str, pack: Callable) -> None:
    path = written(tmp_path / name, pack({"x/1.png": b"one", "2.PNG": b"two" * 99, "readme.md": b"", "none": b""}))
    out = finding.find([str(path)])
    assert contents(out.items, path) == {"x/1.png": b"one", "2.PNG": b"two" * 99}
    assert out.endings == {".md": 1, "": 1}


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress])
@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz", "a.tgz", "a.tar.xz", "without"])
def test_a_compressed_archive_is_named(tmp_path: Path, compress: Callable[[bytes], bytes], name: str) -> None:
    path = written(tmp_path / name, compress(tarred(("1.png", b"one"))))
    out = finding.find([str(path)])
    assert contents(out.items, tmp_path) == {name: "compressed-archive"}
    with pytest.raises(UserError, match=r"compressed with .*: repack it as a plain \.tar"):
        check_readable(out, ModelInput(8, 8))
    written(tmp_path / "2.png", PNG)
    assert contents(finding.find([str(tmp_path)]).items, tmp_path).keys() >= {"2.png"}


def test_what_was_appended_to_an_archive_is_read(tmp_path: Path) -> None:
    one, two, three = (tarred((f"{i}.png", b"%d" % i)) for i in range(3))
    path = written(tmp_path / "a.tar", one + two + bytes(512 * 7) + three)
    assert contents(finding.find([str(path)]).items, path) == {"0.png": b"0", "1.png": b"1", "2.png": b"2"}
    path = written(tmp_path / "a.tar", one + b"rubbish" * 200)
    assert contents(finding.find([str(path)]).items, tmp_path) == {"a.tar/0.png": b"0", "a.tar": "damaged-archive"}


@pytest.mark.parametrize("data", [b"", bytes(1024), tarred(), zipped({})])
def test_an_empty_archive_is_named(tmp_path: Path, data: bytes, capsys: pytest.CaptureFixture) -> None:
    path = written(tmp_path / "a.tar", data)
    assert contents(finding.find([str(path)]).items, tmp_path) == {"a.tar": "empty-archive"}
    assert score.main(["--input", str(path), "--output", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_links_in_an_archive_are_followed_within_it_or_named(tmp_path: Path) -> None:
    members: list[tuple[str, bytes] | tarfile.TarInfo] = [
        special("first.png", tarfile.LNKTYPE, "data/x.bin"),
        ("data/x.bin", b"one"),
        special("hard.png", tarfile.LNKTYPE, "data/x.bin"),
        special("deep/soft.png", tarfile.SYMTYPE, "../hard.png"),
        special("out.png", tarfile.SYMTYPE, "../../etc/passwd"),
        special("absolute.png", tarfile.SYMTYPE, "/etc/passwd"),
        special("round.png", tarfile.SYMTYPE, "round.png"),
        special("one.png", tarfile.SYMTYPE, "two.png"),
        special("two.png", tarfile.SYMTYPE, "one.png"),
        special("pipe.png", tarfile.FIFOTYPE),
        special("device.png", tarfile.CHRTYPE),
        special("link", tarfile.SYMTYPE, "hard.png"),
    ]
    path = written(tmp_path / "a.tar", tarred(*members))
    out = finding.find([str(path)])
    assert contents(out.items, path) == {
        **dict.fromkeys(["first.png", "hard.png", "deep/soft.png"], b"one"),
        **dict.fromkeys(["out.png", "absolute.png", "round.png", "one.png", "two.png"], "broken-link"),
        **dict.fromkeys(["pipe.png", "device.png"], "not-a-file"),
    }
    assert out.endings == {".bin": 1, "": 1}


@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, tarfile.XGLTYPE])
@pytest.mark.parametrize("size", [10**13, 2**62, -(2**40), -512, 2 << 20])
def test_a_header_that_claims_any_size_takes_no_memory(tmp_path: Path, kind: bytes, size: int) -> None:
    claim = special("2.png", kind)
    claim.size = size
    header = claim.tobuf(tarfile.GNU_FORMAT)
    path = written(tmp_path / "a.tar", tarred(("1.png", b"one"))[:1024] + header + bytes(1024))
    found_there = contents(finding.find([str(path)]).items, tmp_path)
    assert found_there.pop("a.tar/1.png") == b"one"
    assert found_there
    assert set(found_there.values()) == {"damaged-archive"}


def test_a_zip_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    data = bytearray(zipped({"1.png": b"one" * 50, "2.png": b"two" * 50}))
    whole = bytes(data)
    path = tmp_path / "a.zip"
    data[40] ^= 0xFF  # within the first member
    assert contents(finding.find([str(written(path, bytes(data)))]).items, path) == {
        "1.png": "damaged-archive",
        "2.png": b"two" * 50,
    }
    assert contents(finding.find([str(written(path, whole[:-30]))]).items, tmp_path) == {"a.zip": "damaged-archive"}
    directory = whole.index(b"PK\x01\x02")
    locked = bytearray(whole)
    locked[directory + 8] |= 1
    assert contents(finding.find([str(written(path, bytes(locked)))]).items, path)["1.png"] == "encrypted"
    claiming = bytearray(whole)
    struct.pack_into("<I", claiming, directory + 24, 2**32 - 2)
    assert contents(finding.find([str(written(path, bytes(claiming)))]).items, path)["1.png"] == "too-large"


def test_a_member_of_a_zip_without_a_name_is_another_file(tmp_path: Path) -> None:
    data = bytearray(zipped({"1.png": b"one", "2.png": b"two"}))
    struct.pack_into("<H", data, data.rindex(b"PK\x01\x02") + 28, 0)  # the length of its name in the directory
    struct.pack_into("<H", data, data.rindex(b"PK\x01\x02") + 32, 5)  # its comment is the name
    found = finding.find([str(written(tmp_path / "a.zip", bytes(data)))])
    assert contents(found.items, tmp_path / "a.zip") == {"1.png": b"one"}
    assert found.others == 1


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_any_damage_is_a_reject(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    members = [(f"{i}.png", b"%d" % i * 300) for i in range(3)]
    links = [special("link.png", tarfile.SYMTYPE, "1.png"), special("l" * 120 + ".png", tarfile.LNKTYPE, "2.png")]
    whole = data.draw(st.sampled_from([tarred(*members, *links), zipped(dict(members))]))
    damaged = bytearray(whole)
    for spot in data.draw(st.lists(st.integers(0, len(whole) - 1), max_size=5)):
        damaged[spot] = data.draw(st.integers(0, 255))
    damaged = damaged[: data.draw(st.integers(0, len(whole)))] if data.draw(st.booleans()) else damaged
    path = written(tmp_path_factory.mktemp("damaged") / "a.tar", bytes(damaged))
    out = finding.find([str(path)])
    read = contents(out.items, path)
    assert len(read) + out.others >= 1
    if bytes(damaged) == whole:
        assert len(read) == (3 if whole[:2] == b"PK" else 5)


def test_archives_are_scored(tmp_path: Path, tiny_model: Path) -> None:
    archive(tmp_path / "A.TAR", {"1.png": PNG, "notes.txt": b""})
    written(tmp_path / "b.zip", zipped({"2.png": PNG, "no.png": b"no image"}))
    out = tmp_path / "out"
    inputs = [str(tmp_path / "A.TAR"), str(tmp_path / "b.zip")]
    assert score.main(["--model", str(tiny_model), "--input", *inputs, "--output", str(out)]) == 0
    summary = json.loads((out / "_summary.json").read_text())
    assert (summary["images"], summary["rows"], summary["rejects"]) == (3, 2, {"undecodable": 1})
    assert (summary["other_files"], summary["other_files_by_ending"]) == (1, {".txt": 1})


def specials(folder: Path) -> set[str]:
    """Things that have the name of a file, but are not files."""
    os.mkfifo(folder / "pipe.png")
    (folder / "zero.png").symlink_to("/dev/zero")
    (folder / "link.png").symlink_to("pipe.png")
    os.mkfifo(folder / "pipe.tar")
    os.mkfifo(folder / "train.tfrecord-00000-of-00001")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(os.path.relpath(folder / "socket.png"))
    return {"pipe.png", "zero.png", "link.png", "pipe.tar", "train.tfrecord-00000-of-00001", "socket.png"}


@pytest.mark.parametrize("way", ["folder", "files", "list", "pattern"])
def test_what_is_no_file_is_rejected_and_never_opened(tmp_path: Path, way: str) -> None:
    names = specials(tmp_path)
    (tmp_path / "folder.png").mkdir()
    written(tmp_path / "1.png", b"picture")
    every = [*names, *(["folder.png"] if way == "list" else []), "1.png"]
    (tmp_path / "list").write_text("".join(f"{tmp_path}/{name}\n" for name in every))
    given = {
        "folder": [str(tmp_path)],
        "files": [f"{tmp_path}/{name}" for name in every],
        "list": [f"@{tmp_path}/list"],
        "pattern": [f"{tmp_path}/*[geds]?*"],
    }[way]
    items = [item for item in finding.find(given).items if os.path.basename(item.key) in every]
    reasons = {os.path.basename(key): reason for key, reason in rejects(items).items()}
    wanted = {**dict.fromkeys(set(every), "not-a-file"), "1.png": "undecodable"}
    assert reasons == {name: wanted[name] for name in reasons}
    assert way == "pattern" or reasons == wanted


@pytest.mark.parametrize("given", ["@pipe", "pipe.txt", "@/dev/zero"])
def test_a_list_that_is_no_file_is_refused(tmp_path: Path, given: str) -> None:
    for name in ("pipe", "pipe.txt"):
        os.mkfifo(tmp_path / name)
    place = given if "/dev" in given else f"{given[:1].replace('p', '')}{tmp_path}/{given.removeprefix('@')}"
    with pytest.raises(UserError, match="not a regular file"):
        finding.find([place])


def test_every_ending_of_an_archive_is_in_small_letters() -> None:
    assert all(ending == ending.lower() and ending.startswith(".") for ending in archives.endings())
