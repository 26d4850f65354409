"""Our own files: complete or absent, and a clear message if one is damaged."""

import json
from pathlib import Path

import pytest
import tensorflow as tf

from trainer.cli import UserError
from trainer.files import whole_file


def test_a_file_that_cannot_be_written_leaves_the_old_one_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "config.json"
    whole_file.write_json(str(path), {"a": 1})

    def fail(*_: object, **__: object) -> None:
        raise tf.errors.ResourceExhaustedError(None, None, "disk full")

    for name in ("rename", "GFile"):
        with monkeypatch.context() as patch:
            patch.setattr(tf.io.gfile, name, fail)
            with pytest.raises(tf.errors.ResourceExhaustedError):
                whole_file.write_json(str(path), {"a": 2})
        assert json.loads(path.read_text()) == {"a": 1}
        assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty"),
        *(
            (content, "damaged")
            for content in (b"\0" * 300, b'{"a": ', b"\xff{}", b"[1]", b"[" * 100_000, b"1" * 10_000)
        ),
    ],
)
def test_damaged_json_is_one_line(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(content)
    with pytest.raises(UserError, match=f"{path} is {said}.*: do this") as raised:
        whole_file.read_json(str(path), advice="do this")
    assert "\n" not in str(raised.value)
    assert whole_file.read_json(f"{path}.none", advice="") is None


def test_half_a_line_of_a_killed_process_does_not_swallow_the_next(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    whole_file.append_line(str(path), "one")
    path.write_text("one\ntw")
    whole_file.append_line(str(path), "three")
    whole_file.append_line(str(path), "four")
    assert path.read_text() == "one\ntw\nthree\nfour\n"


def test_a_line_is_appended_to_no_file_of_somebody_else(tmp_path: Path) -> None:
    """Neither through a hard link, e.g. in a backup of the work folder, nor through a symbolic one."""
    (tmp_path / "backup.jsonl").write_text("1\n")
    (tmp_path / "metrics.jsonl").hardlink_to(tmp_path / "backup.jsonl")
    whole_file.append_line(str(tmp_path / "metrics.jsonl"), "2")
    assert (tmp_path / "metrics.jsonl").read_text() == "1\n2\n"
    assert (tmp_path / "backup.jsonl").read_text() == "1\n"
    (tmp_path / "link.jsonl").symlink_to("backup.jsonl")
    with pytest.raises(UserError, match=r"link\.jsonl is a link, to which nothing is appended"):
        whole_file.append_line(str(tmp_path / "link.jsonl"), "2")
    assert (tmp_path / "backup.jsonl").read_text() == "1\n"
