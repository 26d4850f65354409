"""A file is replaced as a whole, or not at all."""

from pathlib import Path

import pytest

from beam_pipelines.sharding.whole_file import whole_file


def test_the_old_content_stays_until_the_new_one_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "x.tfrecord"
    for before, content in ((None, b"old"), (b"old", b"new")):
        with whole_file(str(path)) as file:
            file.write(content)
            file.flush()
            assert (path.read_bytes() if path.exists() else None) == before
        assert path.read_bytes() == content
        assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("old", [True, False])
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path, old: bool) -> None:
    path = tmp_path / "x.tfrecord"
    if old:
        path.write_bytes(b"old")
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}

    def write_half() -> None:
        with whole_file(str(path)) as file:
            file.write(b"half")
            raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        write_half()
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before
