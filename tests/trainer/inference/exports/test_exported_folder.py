"""Exporting over an older model: a complete model always exists, and nothing else is ever replaced."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import tensorflow as tf

from tests.conftest import ROOT
from trainer import export
from trainer.cli import UserError
from trainer.inference.exports import exported_folder

FILES = ("saved_model.pb", "fingerprint.pb", "variables/variables.index", "variables/variables.data-00000-of-00001")


def write(version: str):
    """Write a fake model of a version; with `tflite` it has one file more."""

    def write_into(folder: str) -> None:
        more = ("assets.extra/model.tflite",) if version == "tflite" else ()
        info = json.dumps({"alphabet": "01", "fingerprint": "f", "version": version})
        for name in (*FILES, *more, "assets/model_info.json"):
            path = Path(folder.removeprefix("file://")) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(info if name.endswith(".json") else version)

    return write_into


def versions(folder: Path) -> set[str]:
    """Return the versions of a model's files: exactly one if the model is complete."""
    found = {path.read_text() for path in folder.rglob("*") if path.is_file() and path.suffix != ".json"}
    return found | {json.loads((folder / "assets" / "model_info.json").read_text())["version"]}


def graph_of(output: Path) -> str:
    with contextlib.suppress(FileNotFoundError):
        return (output / "saved_model.pb").read_text()
    return ""


def interrupted(*_: object, **__: object) -> None:
    raise OSError("disk full")


def test_a_model_replaces_an_older_one_and_leaves_nothing_behind(tmp_path: Path) -> None:
    output = tmp_path / "models" / "export"
    for version in ("one", "tflite", "two"):
        exported_folder.replace(f"{output}/", write(version))
        assert versions(output) == {version}
        assert list(output.parent.iterdir()) == [output]
    (tmp_path / "empty").mkdir()
    exported_folder.replace(str(tmp_path / "empty"), write("one"))
    assert versions(tmp_path / "empty") == {"one"}


@pytest.mark.parametrize("exchange", [True, False])
def test_where_it_fails_the_old_one_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exchange: bool) -> None:
    output = tmp_path / "export"
    exported_folder.replace(str(output), write("old"))
    if not exchange:  # as on a file system that cannot
        monkeypatch.setattr(exported_folder, "_exchange", lambda *_: False)
    with pytest.raises(UserError, match=r"cannot be written \(disk full\)"):
        exported_folder.replace(str(output), interrupted)
    rename, calls = os.rename, []

    def fail_second(old: str, new: str) -> None:
        calls.append(new)
        if len(calls) == 2:
            interrupted()
        rename(old, new)

    if not exchange:
        monkeypatch.setattr(exported_folder.os, "rename", fail_second)
        with pytest.raises(UserError, match=r"cannot be written \(disk full\)"):
            exported_folder.replace(str(output), write("new"))
    assert versions(output) == {"old"}
    assert list(tmp_path.iterdir()) == [output]
    exported_folder.replace(str(output), write("new"))
    assert versions(output) == {"new"}


@pytest.mark.parametrize("failing", range(5))
def test_in_an_object_store_no_reader_finds_half_a_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    """A file:// path takes the code path of object stores; copying a file fails."""
    output, copy, copied = tmp_path / "export", tf.io.gfile.copy, []
    exported_folder.replace(f"file://{output}", write("tflite"))

    def fail_once(source: str, target: str, overwrite: bool) -> None:
        copied.append(target)
        assert not (output / "saved_model.pb").exists()
        if len(copied) == failing + 1:
            interrupted()
        copy(source, target, overwrite)

    with monkeypatch.context() as patch:
        patch.setattr(tf.io.gfile, "copy", fail_once)
        with pytest.raises(UserError, match=r"disk full.*; the new model is in .*\.tmp-[0-9a-f]{8}/model"):
            exported_folder.replace(f"file://{output}", write("new"))
    assert not (output / "saved_model.pb").exists()
    (scratch,) = tmp_path.glob("export.tmp-*")
    assert versions(scratch / "model") == {"new"}


def strange(folder: Path, kind: str) -> str:
    """Create something that must not be replaced; return the path to give as the output."""
    model = folder / "model"
    exported_folder.replace(str(model), write("old"))
    if kind == "file":
        (folder / "file").write_text("mine")
        return str(folder / "file")
    if kind in ("link", "link/"):
        (folder / "link").symlink_to(model)
        return str(folder / kind)
    if kind == "stranger":
        (model / "README.md").write_text("mine")
    elif kind == "empty folder":
        (model / "mine").mkdir()
    elif kind == "link inside":
        (model / "variables").rename(folder / "elsewhere")
        (model / "variables").symlink_to(folder / "elsewhere")
    elif kind == "other SavedModel":
        (model / "assets" / "model_info.json").unlink()
    elif kind == "other info":
        (model / "assets" / "model_info.json").write_text("{}")
    else:
        (model / "saved_model.pb").unlink()
    return str(model)


KINDS = [
    "file",
    "link",
    "link/",
    "stranger",
    "empty folder",
    "link inside",
    "other SavedModel",
    "other info",
    "no graph",
]


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_else_is_replaced(tmp_path: Path, kind: str) -> None:
    output = strange(tmp_path, kind)
    before = sorted((path, path.is_file() and path.read_bytes()) for path in tmp_path.rglob("*"))
    advice = "(give the folder|choose a folder|choose another)"
    with pytest.raises(UserError, match=f"--output {output.rstrip('/')} .*: {advice}"):
        exported_folder.replace(output, write("new"))
    assert sorted((path, path.is_file() and path.read_bytes()) for path in tmp_path.rglob("*")) == before


@pytest.mark.parametrize("name", ["a [1]", "a*", "a?", "a\\b"])
def test_a_name_that_tensorflow_reads_as_a_pattern_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="choose a name without"):
        exported_folder.replace(f"{tmp_path}/{name}", write("new"))
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_whenever_it_is_killed_the_model_is_whole(tmp_path: Path) -> None:
    output = tmp_path / "export"
    script = (
        "import itertools\nfrom trainer.inference.exports import exported_folder\n"
        "from tests.trainer.inference.exports.test_exported_folder import write\n"
        f"for i in itertools.count(): exported_folder.replace({str(output)!r}, write(str(i)))"
    )
    for more in range(3):
        with subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stderr=subprocess.DEVNULL) as process:
            begin = graph_of(output)
            while graph_of(output) == begin:
                assert process.poll() is None
                time.sleep(0.01)
            time.sleep(0.3 + 0.037 * more)
            process.send_signal(signal.SIGKILL)
        assert len(versions(output)) == 1


@pytest.mark.slow
def test_an_export_goes_over_an_older_one_on_another_file_system(tiny_model: Path, tmp_path: Path) -> None:
    shared = Path("/dev/shm")
    if not shared.is_dir() or shared.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second file system here")
    output = shared / f"export-{os.getpid()}" / "model"
    run = tiny_model.parent / "run"
    before = sorted(run.iterdir())
    try:
        exported_folder.replace(str(output), write("tflite"))
        assert export.main(["--workdir", str(run), "--output", str(output)]) == 0
        assert not (output / "assets.extra/model.tflite").exists()
        assert list(output.parent.iterdir()) == [output]
        assert tf.saved_model.load(str(output)).signatures
    finally:
        for folder in (output, output.parent):
            if folder.exists():
                tf.io.gfile.rmtree(str(folder))
    assert sorted(run.iterdir()) == before
