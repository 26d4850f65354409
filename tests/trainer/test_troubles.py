"""A full disk and similar faults end in one line, wherever they happen; a bug in the program does not."""

import errno
import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import apache_beam as beam
import pytest
import tensorflow as tf
from apache_beam.io.filesystem import BeamIOError
from google.api_core.exceptions import RetryError

from beam_pipelines import download, prepare, score, synthesize
from beam_pipelines.sharding import beam_options
from beam_pipelines.sharding.whole_file import whole_file
from tests.beam_pipelines.inputs.test_csv_file import listed
from tests.conftest import Run
from trainer import cli


def ended(error: BaseException, capsys: pytest.CaptureFixture) -> tuple[int, str]:
    def run(_: list[str] | None) -> None:
        raise error

    status = cli.exit_status(run, [])
    return status, capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (
            OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/x/y"),
            42,
            "/x/y: No space left on device; free some space",
        ),
        (OSError(errno.EDQUOT, os.strerror(errno.EDQUOT), "/x/y"), 42, "/x/y: Disk quota exceeded"),
        (OSError(errno.EROFS, os.strerror(errno.EROFS), "/x/y"), 2, "/x/y: Read-only file system; choose a writable"),
        (PermissionError(errno.EACCES, "Permission denied", "/x"), 2, "/x: Permission denied; check its permissions"),
        (BeamIOError("failed", {"/x": OSError(errno.ENOSPC, "No space", "/x")}), 42, "/x: No space; free some space"),
        (
            tf.errors.ResourceExhaustedError(None, None, "/x/ckpt; No space left on device"),
            42,
            "/x/ckpt; No space left",
        ),
        (tf.errors.PermissionDeniedError(None, None, "gs://b: 403"), 2, "gs://b: 403"),
        (tf.errors.AbortedError(None, None, "All 10 retry attempts failed"), 42, "All 10 retry attempts failed"),
        (RetryError("Timeout of 120.0s exceeded", None), 42, "Timeout of 120.0s exceeded"),
    ],
)
def test_what_the_machine_refuses_is_one_line(
    error: Exception, status: int, said: str, capsys: pytest.CaptureFixture
) -> None:
    found, line = ended(error, capsys)
    assert (found, line.count("\n")) == (status, 1)
    assert said in line
    wrapped = RuntimeError("while running 'Work'")
    wrapped.__context__ = error
    assert ended(wrapped, capsys) == (status, line)
    wrapped.__context__, wrapped.__cause__ = None, error
    assert ended(wrapped, capsys) == (status, line)


def test_an_error_names_the_file_that_was_to_be_written_not_its_temporary_one(tmp_path: Path) -> None:
    path = str(tmp_path / ("x" * 250))  # too long only with the ending of the temporary file
    with pytest.raises(OSError, match="File name too long") as caught, whole_file(path):
        pass
    assert caught.value.filename == path


@pytest.mark.parametrize("error", [OSError("odd"), ValueError("odd"), RuntimeError("odd"), KeyError("odd")])
def test_a_fault_of_the_program_keeps_its_traceback(error: Exception, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(type(error), match="odd"):
        ended(error, capsys)


class Full(beam.DoFn):
    def process(self, element: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", element)


def test_it_is_found_within_what_beam_raises(capsys: pytest.CaptureFixture) -> None:
    def run(_: list[str] | None) -> None:
        pipeline = beam.Pipeline(options=beam_options.parse([]))
        _ = pipeline | beam.Create(["/full/shard"]) | beam.ParDo(Full())
        pipeline.run().wait_until_finish()

    assert cli.exit_status(run, []) == 42
    assert capsys.readouterr().err.splitlines()[-1].startswith("error: /full/shard: No space left on device")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A full file system of 200 KB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting a tmpfs is not permitted here")
    with suppress(OSError), (folder / "filler").open("wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_ends_every_pipeline_in_one_line(
    small_disk: Path, tmp_path: Path, tiny_model: Path, capsys: pytest.CaptureFixture
) -> None:
    rows = "".join(f"{i}.png,{i}\n" for i in range(9))
    mine = listed(tmp_path / "mine", "file,label\n" + rows, *[f"{i}.png" for i in range(9)])
    output = ["--output", str(small_disk / "out")]
    commands = [
        lambda: synthesize.main(["--count", "200", *output]),
        lambda: prepare.main(["--format", "csv", "--input", str(mine), *output]),
        lambda: score.main(["--model", str(tiny_model), "--input", str(mine), *output]),
        lambda: download.main(["--part", "test", *output]),
    ]
    for command in commands:
        assert command() in (2, 42)
        lines = [line for line in capsys.readouterr().err.splitlines() if "Traceback" in line or "error:" in line]
        assert len(lines) == 1
        assert str(small_disk) in lines[0]
        assert "No space left" in lines[0] or "GB free" in lines[0]


@pytest.mark.slow
def test_a_full_disk_ends_training_in_one_line(small_disk: Path, tiny_dataset: Path, forked: Run) -> None:
    args = ["--experiment", "smoke", "--data", tiny_dataset, "--workdir", small_disk / "run"]
    done = forked("trainer.train", *args, "--set", "train.steps=5", "data.holdout=0.2", status=42)
    assert "Traceback" not in done.stderr
    assert str(small_disk) in done.stderr.splitlines()[-1]


@pytest.mark.slow
def test_no_worker_shows_a_traceback_either(small_disk: Path, forked: Run) -> None:
    done = forked("beam_pipelines.synthesize", "--count", "50", "--output", small_disk / "out", status=42)
    assert done.stderr.splitlines()[-1].startswith(f"error: {small_disk}/out")
    assert "Traceback" not in done.stderr
