"""What is recorded about how a result was made."""

import json
import subprocess
from pathlib import Path

import pytest

from trainer import provenance


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (
            [str(provenance.ROOT / "trainer" / "train.py"), "--workdir", "a b"],
            "python -m trainer.train --workdir 'a b'",
        ),
        ([str(provenance.ROOT / "trainer" / "cluster" / "__main__.py")], "python -m trainer.cluster"),
        (["/usr/bin/svhn", "train"], "svhn train"),
        (["/home/x/mine.py", "1"], "python mine.py 1"),
    ],
)
def test_the_command_is_as_one_would_type_it(argv: list[str], expected: str) -> None:
    assert provenance.command(argv) == expected


def test_the_commit_is_that_of_the_checkout_and_of_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run([*git, "init", "--quiet"], check=True)
    subprocess.run([*git, "commit", "--quiet", "--allow-empty", "--message", "x"], check=True)
    head = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout
    monkeypatch.setattr(provenance, "ROOT", tmp_path)
    assert provenance.commit() == head[:12]
    (tmp_path / "installed").mkdir()
    monkeypatch.setattr(provenance, "ROOT", tmp_path / "installed")  # a package below somebody else's project
    assert provenance.commit() is None


def test_it_is_json_and_knows_the_machine() -> None:
    found = provenance.gather()
    assert json.loads(json.dumps(found)) == found
    assert found["hardware"]["cores"] >= 1
    assert found["versions"]["python"].startswith("3.")
    assert found["folder"] == str(Path.cwd())
