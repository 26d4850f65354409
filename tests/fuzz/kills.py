"""Targets that kill commands at random moments, run two at once, and fill disks."""

import json
import shutil
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.faults.command_lines import command_line
from tests.faults.snapshots import differences, snapshot
from tests.faults.table import faults_of
from tests.faults.test_full_disk import FINAL, WRITERS, fill, mounted
from tests.forking import Ended
from tests.fuzz.world import Case

VOLATILE = {
    "seconds",
    "images_per_second",
    "examples_per_second",
    "time",
    "date",
    "begin",
    "ended",
    "host",
    "pid",
    "id",
    "folder",
}


@dataclass(frozen=True)
class Killed:
    """A command that is killed and rerun.

    Attributes:
      module, replaced: the command line; `out` is its output.
      finished: the file whose presence says that the output is whole.
      files: patterns of what must be as after a run that nobody killed.
    """

    module: str
    replaced: dict[str, Any]
    finished: str
    files: tuple[str, ...]


WEIGHTS = "digest"  # of the newest checkpoint's tensors, by tests.fuzz.weights
KILLED = [
    Killed("beam_pipelines.prepare", {}, "COMPLETED", ("*",)),
    Killed("beam_pipelines.synthesize", {"count": 60}, "COMPLETED", ("*",)),
    Killed("beam_pipelines.score", {}, "_COMPLETED", ("*.jsonl", "_COMPLETED", "_summary.json")),
    Killed("beam_pipelines.draw", {"count": 40}, "labels.csv", ("**/*",)),
    Killed("trainer.train", {}, "FINISHED", ("FINISHED", "config.json", WEIGHTS)),
    Killed("trainer.export", {}, "saved_model.pb", ("assets/*", "variables/*")),
    Killed("trainer.search", {}, "search.json", ("seed=3/FINISHED",)),
]


def _stable(value: Any) -> Any:
    """Return a JSON value without what differs from run to run."""
    if isinstance(value, dict):
        return {name: _stable(inner) for name, inner in value.items() if name not in VOLATILE}
    return [_stable(inner) for inner in value] if isinstance(value, list) else value


def _contents(case: Case, folder: Path, files: tuple[str, ...]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for pattern in files:
        if pattern == WEIGHTS:
            ended = case.commands("tests.fuzz.weights", folder)
            assert ended.status == 0, ended.err[-2000:]
            found[WEIGHTS] = ended.out
            continue
        for path in folder.glob(pattern):
            if path.is_file():
                data: Any = path.read_bytes()
                found[str(path.relative_to(folder))] = _stable(json.loads(data)) if path.suffix == ".json" else data
    return found


def _compare(wanted: dict[str, Any], found: dict[str, Any], what: str) -> None:
    differing = [name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name)]
    assert not differing, f"{what}: other bytes than of a run that nobody killed: {sorted(differing)}"


def kills(case: Case) -> None:
    """SIGKILL at a random moment, once or more; the same command then completes, with the same bytes."""
    killed = case.rng.choice(KILLED)
    reference, place = case.place / "reference", case.place / "killed"
    reference.mkdir()
    place.mkdir()

    def run(folder: Path, kill_after: float | None = None) -> Ended:
        # The same words in both, since outputs store their command.
        args = command_line(killed.module, world=case.world, new=Path("."), **killed.replaced)
        return case.commands(killed.module, *args, cwd=folder, kill_after=kill_after)

    whole = run(reference)
    assert whole.status == 0, whole.err[-3000:]
    for _ in range(case.rng.choice([1, 1, 2, 3])):
        ended = run(place, kill_after=case.rng.uniform(0.05, whole.seconds))
        assert "Traceback" not in ended.err, f"{killed.module}\n{ended.err[-3000:]}"
        assert ended.status in (-9, 0), f"{killed.module} {ended.status}: {ended.err[-3000:]}"
        if (place / "out" / killed.finished).exists():
            _compare(
                _contents(case, reference / "out", killed.files[:1]), _contents(case, place / "out", killed.files[:1]),
                f"{killed.module} was killed, yet looks finished",
            )  # fmt: skip
    again = run(place)
    assert again.status == 0, f"{killed.module} does not go on: {again.status}\n{again.err[-3000:]}"
    _compare(
        _contents(case, reference / "out", killed.files), _contents(case, place / "out", killed.files), killed.module
    )


def replacing(case: Case) -> None:
    """A kill while an older output is replaced: it is there whole, or the new one is, or no reader takes it for one."""
    module, name, more = case.rng.choice(
        [
            ("trainer.export", "model", []),
            ("beam_pipelines.score", "predictions", ["--overwrite", "--num-shards", "3"]),
            ("beam_pipelines.synthesize", "synthetic", ["--overwrite"]),
            ("trainer.report", "report.html", []),
            ("trainer.evaluate", "run", []),
        ]
    )
    source, target = case.world / name, case.place / name
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copy(source, target)
    argument = {"output": target} if module != "trainer.evaluate" else {"workdir": target}
    args = [*command_line(module, world=case.world, new=case.place, **argument), *more]
    usual = {"trainer.export": 8.0, "trainer.evaluate": 5.0}.get(module, 2.0)
    ended = case.commands(module, *args, kill_after=case.rng.uniform(0.05, usual))
    assert "Traceback" not in ended.err, ended.err[-3000:]
    readers: dict[str, Callable[[], Ended]] = {
        "trainer.export": lambda: case.commands("trainer.predict", "--model", target, case.world / "picture.png"),
        "beam_pipelines.synthesize": lambda: case.commands("beam_pipelines.inspect", target, "--verify"),
        "trainer.evaluate": lambda: case.commands(
            "trainer.report", "--workdir", target, "--output", case.place / "page.html"
        ),
    }
    if module == "trainer.report":
        assert target.read_text().rstrip().endswith("</html>"), "half a page"
    elif module == "beam_pipelines.score":
        if (target / "_COMPLETED").exists():
            case.check_predictions(target)
    else:
        read = readers[module]()
        refused = (0, 2) if module == "beam_pipelines.synthesize" else (0,)
        assert read.status in refused, f"{module} was killed: {read.status} {read.out}\n{read.err[-3000:]}"
    again = case.commands(module, *args)
    assert again.status == 0, again.err[-3000:]


MANY = {"beam_pipelines.draw": {"count": 40}}  # so that one is still at it when the other begins
OTHERWISE = {  # what makes another request of a command line
    "beam_pipelines.score": ["--num-shards", "3"],
    "beam_pipelines.draw": ["--seed", "5"],
    "trainer.train": ["seed=5"],
}


def two_at_once(case: Case) -> None:
    """Two runs into one output, the same or another request: one is refused, or both leave one sound output."""
    module = case.rng.choice(
        [f"beam_pipelines.{name}" for name in ("prepare", "synthesize", "score", "draw")] + ["trainer.train"]
    )
    first = command_line(module, world=case.world, new=case.place, **MANY.get(module, {}))
    second = list(first)
    if case.rng.random() < 0.7:
        second += OTHERWISE.get(module, ["--seed", "5", "--num-shards", "2"])
    delay = case.rng.choice([0.0, 0.1, 0.3, 0.6])
    ended: dict[str, Ended] = {}

    def run(name: str, commands: Any, args: list[str]) -> None:
        ended[name] = commands(module, *args, cwd=case.place)

    threads = [
        threading.Thread(target=run, args=("first", case.commands, first)),
        threading.Thread(target=run, args=("second", case.other_commands, second)),
    ]
    threads[0].start()
    time.sleep(delay)
    threads[1].start()
    for thread in threads:
        thread.join()
    for name, how in ended.items():
        assert not faults_of(how, (0, 2, 42)), f"{module}, {name}: {faults_of(how, (0, 2, 42))}\n{how.err[-3000:]}"
    statuses = sorted(int(how.status) for how in ended.values())
    assert 0 in statuses, f"{module}: both were refused: {[how.err for how in ended.values()]}"
    out = case.place / "out"
    if module == "trainer.train":
        assert (out / "FINISHED").exists()
    elif module == "beam_pipelines.draw":
        labels = [line.partition(",")[0] for line in (out / "labels.csv").read_text().splitlines()[1:]]
        assert sorted(path.name for path in (out / "images").iterdir()) == sorted(labels)
    elif module == "beam_pipelines.score":
        summary = case.check_predictions(out)
        assert sorted(shard["name"] for shard in summary["shards"]) == sorted(p.name for p in out.glob("predictions-*"))
        assert all((out / shard["name"]).stat().st_size == shard["bytes"] for shard in summary["shards"])
    else:
        case.check_dataset(out)


def full_disks(case: Case) -> None:
    """A disk of a random size: what is refused is one line, nothing half-written looks finished, and room mends it."""
    module, written = case.rng.choice(WRITERS)
    with mounted(case.place / "disk", "-t", "tmpfs", "-o", "size=4m", "none") as disk:
        fill(disk, leave=case.rng.choice([0, 4096, 20_000, 100_000, 500_000, 2_000_000]))
        before = snapshot(disk, case.world)
        args = command_line(module, world=case.world, new=disk, **{name: disk / path for name, path in written.items()})
        ended = case.commands(module, *args)
        statuses = (0, 1, 2, 42) if module == "trainer.search" else (0, 2, 42)
        assert not faults_of(ended, statuses), f"{module} {faults_of(ended, statuses)}\n{ended.err[-3000:]}"
        changes = [line for line in differences(before, snapshot(disk, case.world)) if f"{disk}/out" not in line]
        assert not changes, f"{module}: {changes}"
        if not ended.status:
            return
        final = FINAL if module != "trainer.finetune" else ("saved_model.pb",)  # its data and its run may be complete
        finished = [path for name in final for path in disk.glob(f"**/{name}")]
        assert not finished, f"{module} failed, but left {finished}"
        subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
        again = case.commands(module, *args)
        assert again.status == 0, f"{module} does not go on once there is room: {again.status}\n{again.err[-3000:]}"


TARGETS = (kills, replacing, two_at_once, full_disks)
