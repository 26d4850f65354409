"""The download command against a local server that makes every mistake that servers make."""

import gzip
import hashlib
import io
import re
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from urllib3.util import Retry

from beam_pipelines import download
from beam_pipelines.inputs import http_download
from beam_pipelines.runs import download as fetching
from beam_pipelines.runs.download import Official
from tests.beam_pipelines.download_server import Handler, Server
from tests.http_server import running


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    ours = Server()
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    retry = Retry(total=4, backoff_factor=0.001, status_forcelist=http_download.RETRY.status_forcelist)
    monkeypatch.setattr(http_download, "RETRY", retry)
    with running(type("Handler_", (Handler,), {"server_of_ours": ours})) as port:
        ours.url = f"http://127.0.0.1:{port}"
        yield ours


def tar_gz(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


NOISE = np.random.default_rng(1).bytes(200_000)
MEMBERS = {"train/1.png": NOISE, "train/digitStruct.mat": b"matlab" * 100}
ARCHIVE = tar_gz(MEMBERS)
MAT = NOISE[::-1]


@pytest.fixture
def get(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Run the command for the train part; the official files are replaced by small ones."""
    official = {"train.tar.gz": Official(len(ARCHIVE)), "train_32x32.mat": Official(len(MAT), sum_of(MAT))}
    monkeypatch.setattr(fetching, "OFFICIAL", official)
    server.files = {"train.tar.gz": ARCHIVE, "train_32x32.mat": MAT}

    def run(*args: str) -> int:
        return download.main(["--part", "train", "--output", str(tmp_path), "--url", server.url, *args])

    return run


def sum_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def assert_unpacked(folder: Path) -> None:
    assert names(folder) == ["train", "train.tar.gz", "train.tar.gz.sha256"]
    assert {f"train/{path.name}": path.read_bytes() for path in (folder / "train").iterdir()} == MEMBERS
    assert (folder / "train.tar.gz").read_bytes() == ARCHIVE
    assert (folder / "train.tar.gz.sha256").read_text() == f"{sum_of(ARCHIVE)}  train.tar.gz\n"


@pytest.mark.parametrize(
    "misdeeds",
    [
        [],
        ["drop"],
        ["drop"] * 12,  # more than the retries, but something comes each time
        ["503", "503"],
        ["drop", "503", "end without a length", "500"],
        ["drop", "ignore the range", "drop"],
    ],
)
def test_the_file_arrives_whatever_the_line_does(
    server: Server, get: Callable[..., int], tmp_path: Path, misdeeds: list[str]
) -> None:
    server.misdeeds = list(misdeeds)
    assert get() == 0
    assert_unpacked(tmp_path)
    assert not server.misdeeds


def test_a_lost_connection_goes_on_where_it_was(server: Server, get: Callable[..., int]) -> None:
    server.misdeeds = ["drop"]
    assert get() == 0
    assert server.ranges == [None, f"bytes={len(ARCHIVE) // 2}-"]


def test_a_later_run_goes_on_where_an_earlier_one_gave_up(
    server: Server, get: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    server.misdeeds = ["drop"] + ["503"] * 9
    assert get() == 2
    half = len(ARCHIVE) // 2
    assert f"resumes from byte {half:,}" in capsys.readouterr().err
    assert names(tmp_path) == ["train.tar.gz.part", "train.tar.gz.part.validator"]
    server.misdeeds.clear()
    server.ranges.clear()
    assert get() == 0
    assert server.ranges == [f"bytes={half}-"]
    assert_unpacked(tmp_path)


def test_a_file_that_changed_on_the_server_is_fetched_from_its_beginning(
    server: Server, get: Callable[..., int], tmp_path: Path
) -> None:
    (tmp_path / "train.tar.gz.part").write_bytes(b"of another file")
    (tmp_path / "train.tar.gz.part.validator").write_text('"older"')
    assert get() == 0
    assert_unpacked(tmp_path)


def test_a_part_without_a_validator_is_not_trusted(server: Server, get: Callable[..., int], tmp_path: Path) -> None:
    (tmp_path / "train.tar.gz.part").write_bytes(b"who knows of what")
    assert get() == 0
    assert server.ranges == [None]
    assert_unpacked(tmp_path)


def test_a_second_run_does_nothing(
    server: Server, get: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    for args in ([], ["--format", "2"]):
        assert get(*args) == 0
    capsys.readouterr()
    server.ranges.clear()
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    for args in ([], ["--format", "2"]):
        assert get(*args) == 0
        assert "nothing to do" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    (tmp_path / "train.tar.gz").unlink()  # who is short of space keeps the folder only
    assert get() == 0
    assert not server.ranges


def test_a_killed_unpack_is_not_taken_for_a_finished_one(get: Callable[..., int], tmp_path: Path) -> None:
    (tmp_path / "train.tar.gz").write_bytes(ARCHIVE)
    half = tmp_path / "train.unpacking" / "train"
    half.mkdir(parents=True)
    (half / "1.png").write_bytes(b"half")
    (half / "left.png").write_bytes(b"left")
    assert get() == 0
    assert_unpacked(tmp_path)


def test_an_archive_that_changed_since_is_found(
    get: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert get() == 0
    (tmp_path / "train.tar.gz").write_bytes(ARCHIVE[:-1] + b"x")
    assert get() == 2
    assert f"not {sum_of(ARCHIVE)}: delete it" in capsys.readouterr().err


def linked() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        link = tarfile.TarInfo("train/link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc"
        archive.addfile(link)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "body",
    [
        tar_gz({"train/1.png": b"1", "../evil": b"evil"}),
        linked(),
        tar_gz({"other/1.png": b"1"}),
        tar_gz({}),
        ARCHIVE[: len(ARCHIVE) // 2],
        gzip.compress(b"no tar, but long enough to be looked into" * 40),
        b"<html>log in first</html>",
    ],
    ids=["outside", "link", "other folder", "empty", "cut", "no tar", "page"],  # not the bytes: gzip stores the time
)
def test_a_bad_archive_is_refused_and_leaves_nothing(
    server: Server,
    get: Callable[..., int],
    tmp_path: Path,
    body: bytes,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    monkeypatch.setattr(fetching, "OFFICIAL", {"train.tar.gz": Official(len(body))})
    server.files["train.tar.gz"] = body
    assert get() == 2
    assert "is not a valid archive of train/" in capsys.readouterr().err
    assert names(tmp_path) == []
    assert not (tmp_path.parent / "evil").exists()


@pytest.mark.parametrize(
    ("file", "args", "message"),
    [
        (b"short", [], r"has 5 bytes, not 200,000: it is a different file"),
        (NOISE, [], r"has the SHA-256 \w{64}, not \w{64}: it was removed"),
        (MAT, ["--sha256", f"train_32x32.mat={'0' * 64}"], r"not 0{64}: it was removed"),
        (None, [], r"the server answered 404"),
        (MAT, ["--sha256", "train_32x32.mat=12"], r"--sha256 train_32x32.mat=12: write NAME=SUM"),
        (MAT, ["--url", "ftp://127.0.0.1/"], r"--url ftp://127.0.0.1/: it must begin with"),
        (MAT, ["--url", "http://127.0.0.1:1/"], r"http://127.0.0.1:1/train_32x32.mat cannot be fetched"),
    ],
)
def test_what_is_not_right_ends_in_one_line(
    server: Server,
    get: Callable[..., int],
    tmp_path: Path,
    file: bytes | None,
    args: list[str],
    message: str,
    capsys: pytest.CaptureFixture,
) -> None:
    server.files = {} if file is None else {"train_32x32.mat": file}
    assert get("--format", "2", *args) == 2
    lines = capsys.readouterr().err.splitlines()
    assert re.search(message, lines[-1])
    assert names(tmp_path) == []


def test_a_given_sum_overrides_the_published_one(server: Server, get: Callable[..., int], tmp_path: Path) -> None:
    server.files["train_32x32.mat"] = NOISE
    assert get("--format", "2", "--sha256", f"train_32x32.mat={sum_of(NOISE).upper()}") == 0
    assert names(tmp_path) == ["train_32x32.mat"]


def test_too_little_space_is_found_before(
    server: Server, get: Callable[..., int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(fetching, "OFFICIAL", {"train.tar.gz": Official(10**15)})
    assert get() == 2
    assert "but 3000000.0 GB are needed" in capsys.readouterr().err
    assert not server.ranges


@pytest.mark.parametrize("name", ["train.tar.gz.part", "train.tar.gz.part.validator", "train.tar.gz.sha256"])
@pytest.mark.parametrize("dangling", [True, False])
def test_nothing_is_written_through_a_link(
    name: str, dangling: bool, get: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    if not dangling:
        (theirs / "thesis").write_text("years of work")
    (tmp_path / name).symlink_to("theirs/thesis")
    assert get("--format", "1") == 2
    assert capsys.readouterr().err.endswith(
        f"{name} is a link, to which nothing is written: remove it, or choose another --output\n"
    )
    assert [(path.name, path.read_text()) for path in theirs.iterdir()] == [("thesis", "years of work")][dangling:]


def test_an_archive_that_was_there_before_is_not_removed(
    get: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "train.tar.gz").write_bytes(tar_gz({"my/thesis.txt": b"years of work"}))
    before = (tmp_path / "train.tar.gz").read_bytes()
    assert get("--format", "1") == 2
    assert "delete it to download it again" in capsys.readouterr().err
    assert (tmp_path / "train.tar.gz").read_bytes() == before
