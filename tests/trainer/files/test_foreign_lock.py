"""Files of others under the name of a lock stay as they are."""

from pathlib import Path

import pytest

from tests.trainer.files.test_lock import Bucket, take
from trainer.cli import UserError
from trainer.files import lock, lock_file
from trainer.files.lock import Lock


@pytest.mark.parametrize(
    "content", ["years of work\n", '{"name": "mine"}', "[1, 2]", '{"id": 1}' + " " * lock_file.BLOCK]
)
def test_a_strangers_file_is_neither_overwritten_nor_removed(tmp_path: Path, content: str) -> None:
    """Nor what it is another name of."""
    (tmp_path / "lock").write_text(content)
    (tmp_path / "theirs").hardlink_to(tmp_path / "lock")
    with pytest.raises(UserError, match=r"lock is not a lock file of this program: move it away"):
        take(tmp_path)
    assert lock.owner(str(tmp_path / "lock"), None) is None
    assert [(tmp_path / name).read_text() for name in ("lock", "theirs")] == [content, content]
    bucket = Bucket()
    bucket.files["gs://b/lock"] = "years of work"
    with pytest.raises(UserError, match="is not a lock file"):
        Lock("gs://b/lock", bucket)
    assert bucket.files == {"gs://b/lock": "years of work"}


def test_a_link_in_place_of_a_lock_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "theirs").write_text("")
    (tmp_path / "lock").symlink_to("theirs")
    with pytest.raises(UserError, match="lock is a link, which is not followed"):
        take(tmp_path)
    assert (tmp_path / "theirs").read_text() == ""
