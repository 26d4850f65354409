"""What the targets start from: a case's own folder, commands, and the oracles that hold for all of them."""

import json
import random
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.faults.command_lines import command_line
from tests.faults.table import faults_of
from tests.forking import Commands, Ended

GIGABYTE = 1 << 30


@dataclass
class Case:
    """One try of a target: its randomness, an empty folder, the world that is only read, and commands to run."""

    rng: random.Random
    place: Path
    world: Path
    commands: Commands
    other_commands: Commands  # to run at the same time

    def copied(self, *names: str) -> Path:
        """Copy some folders of the world, to be damaged."""
        for name in names:
            shutil.copytree(self.world / name, self.place / name, symlinks=True)
        return self.place

    def run(self, module: str, statuses: tuple[int, ...] = (0, 2), *, lines: int = 3, **replaced: object) -> Ended:
        """Run a valid command line with some values replaced; copied folders replace the world's.

        Raises:
          AssertionError: it crashed, hung, said too much or nothing, or needed more memory than it should.
        """
        args = command_line(module, world=self.world, new=self.place, **replaced)
        here = {f"{self.world}/{path.name}": str(path) for path in self.place.iterdir()}
        args = [here.get(arg, arg) for arg in args]
        ended = self.commands(module, *args, cwd=self.place, memory=10 * GIGABYTE)
        faults = faults_of(ended, statuses, lines)
        assert not faults, f"python -m {module} {' '.join(args)}\n{faults}\n{ended.err[-3000:]}"
        return ended

    def check_dataset(self, folder: Path) -> None:
        """Check that counts add up, checksums match, and the trainer reads the dataset."""
        info = json.loads((folder / "dataset_info.json").read_text())
        written = sum(split["records"] for split in info["splits"].values())
        named = len((folder / "rejects.jsonl").read_text().splitlines()) if (folder / "rejects.jsonl").exists() else 0
        assert info["records_in"] == written + sum(info["rejects"].values()), info
        assert named == sum(info["rejects"].values()), info
        for module, args in (("beam_pipelines.inspect", [folder, "--verify"]), ("tests.fuzz.readable", [folder])):
            ended = self.commands(module, *args)
            assert ended.status == 0, f"{module}: {ended.out}\n{ended.err[-3000:]}"

    def check_predictions(self, folder: Path) -> dict[str, Any]:
        """Check that counts add up, and that each row and reject has its own key."""
        summary = json.loads((folder / "_summary.json").read_text())
        rows = [
            json.loads(line)
            for path in sorted(folder.glob("predictions-*.jsonl"))
            for line in path.read_text().splitlines()
        ]
        rejects = (folder / "_rejects.jsonl").read_text().splitlines()
        assert summary["rows"] == len(rows)
        assert sum(summary["rejects"].values()) == len(rejects)
        assert summary["images"] == len(rows) + len(rejects)
        assert len({row["key"] for row in rows}) == len(rows)
        return summary
