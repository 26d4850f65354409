"""The run of all benchmarks: machine names, files that are continued, and benchmarks that fail or lack data."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import all as all_benchmarks
from benchmarks import machine, rows
from benchmarks.rows import LOWER, Row
from tests.benchmarks.conftest import PEAK
from trainer.cluster import environment


@pytest.mark.parametrize(
    ("processor", "flags", "cores", "name"),
    [
        ("AMD EPYC", {"avx2", "fma"}, 2, "amd-epyc-avx2-2-cores"),
        ("AMD EPYC", {"avx2", "avx512f", "avx512_bf16"}, 2, "amd-epyc-avx2-avx512-avx512_bf16-2-cores"),
        (
            "Intel(R) Xeon(R) CPU E5-2690 v4 @ 2.60GHz",
            {"avx2"},
            8,
            "intel-xeon-e5-2690-v4-avx2-8-cores",
        ),
        ("Apple M2", set(), None, "apple-m2-unknown-cores"),
    ],
)
def test_the_name_of_a_machine(processor: str, flags: set[str], cores: int | None, name: str) -> None:
    assert machine.name(processor, flags, cores) == name


@settings(max_examples=50)
@given(st.text(), st.sets(st.sampled_from(["avx2", "avx512f", "avx512_bf16", "sse"])), st.integers(1, 256))
def test_the_name_of_a_machine_is_that_of_a_folder(processor: str, flags: set[str], cores: int) -> None:
    named = machine.name(processor, flags, cores)
    assert named.isascii()
    assert Path(named).name == named
    assert " " not in named


def test_this_machine_has_a_name() -> None:
    here = machine.describe()
    assert here["name"].endswith(f"-{here['cores']}-cores")


def test_rows_are_read_as_they_were_written(tmp_path: Path) -> None:
    base = Row("plain", "s", [2.0, 4.0, 3.0], LOWER)
    other = Row("Beam", "s", [6.0, 3.0], LOWER).relative_to(base, at_most=1.1)
    rows.write(tmp_path / "rows.json", [base, other])
    assert rows.read(tmp_path / "rows.json") == [base, other]
    assert other.ratios == [2.0, 1.0]
    assert other.missed
    assert not base.missed
    assert rows.line(other) == "Beam: 4.5 s (3 to 6), 1.50 of plain"


@pytest.fixture
def quiet_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getloadavg", lambda: (0.0, 0.0, 0.0))
    monkeypatch.setattr(machine, "peaks", lambda repeats: [PEAK])
    monkeypatch.setattr(environment, "configure", lambda: None)  # only the peak needs TensorFlow


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch, quiet_machine: None) -> list[str]:
    """Let benchmarks return one row at once, and list those that were run; `beam` is interrupted the first time."""
    started: list[str] = []

    def measure(name: str, command: str, *_: object) -> dict[str, Any]:
        started.append(name)
        if started.count("beam") == 1 and name == "beam":
            raise KeyboardInterrupt
        return {"command": command, "date": "", "peaks": [], "rows": [], "seconds": 1}

    monkeypatch.setattr(all_benchmarks, "measure", measure)
    return started


def test_an_interrupted_run_is_continued(measured: list[str], tmp_path: Path) -> None:
    output = tmp_path / "all.json"
    arguments = ["--only", "training", "beam", "listing", "--output", str(output)]
    assert all_benchmarks.main(arguments) == 130
    assert measured == ["training", "beam"]
    assert list(json.loads(output.read_text())["benchmarks"]) == ["training"]
    assert all_benchmarks.main(arguments) == 0
    assert measured == ["training", "beam", "beam", "listing"]
    assert all_benchmarks.main(arguments) == 0
    assert len(measured) == 4
    assert [path.name for path in tmp_path.iterdir()] == ["all.json"]


def test_a_file_of_another_run_is_not_continued(
    measured: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "all.json"
    assert all_benchmarks.main(["--only", "training", "--output", str(output)]) == 0
    assert all_benchmarks.main(["--only", "training", "--quick", "--output", str(output)]) == 2
    assert "its quick is False, now it is True; give another --output" in capsys.readouterr().err
    stored = json.loads(output.read_text())
    stored["machine"]["name"] = "another"
    output.write_text(json.dumps(stored))
    assert all_benchmarks.main(["--only", "training", "--output", str(output)]) == 2
    assert "its machine is another" in capsys.readouterr().err


def test_the_file_is_named_after_the_machine_and_the_commit(
    measured: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(all_benchmarks, "RESULTS", tmp_path)
    monkeypatch.setattr(all_benchmarks.provenance, "commit", lambda: "0123456789ab")
    assert all_benchmarks.main(["--only", "training", "--quick"]) == 0
    assert (tmp_path / machine.describe()["name"] / "0123456789ab-quick.json").exists()


def test_a_busy_machine_is_named(
    measured: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "getloadavg", lambda: (2.5, 0.0, 0.0))
    assert all_benchmarks.main(["--only", "training", "--output", str(tmp_path / "all.json")]) == 0
    assert "THIS MACHINE IS BUSY, load average 2.5" in capsys.readouterr().out


def test_benchmarks_that_fail_or_lack_data_are_named_and_the_others_run(
    quiet_machine: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The benchmark that fails and the one that works are real processes."""
    plan = {
        "first_answer": "svhn=OURS --image SHARED --runs SHARED",
        "wild": "--photos SHARED/scenes",
        "listing": "--counts 10",
    }
    monkeypatch.setattr(all_benchmarks, "PLAN", {name: (command, command) for name, command in plan.items()})
    output, shared = tmp_path / "all.json", tmp_path / "shared"
    shared.mkdir()
    assert all_benchmarks.main(["--output", str(output), "--shared", str(shared)]) == 1
    assert "first_answer failed: run the same command to try again" in capfd.readouterr().err
    stored = json.loads(output.read_text())["benchmarks"]
    assert stored["first_answer"]["failed"].endswith("error: argument --runs: invalid int value: 'SHARED'")
    assert stored["wild"]["skipped"] == "SHARED/scenes does not exist"
    found = [Row(**row) for row in stored["listing"]["rows"]]
    assert [row.name for row in found] == ["10 images, CPU", "10 images, memory"]


def test_a_benchmark_that_hangs_is_ended(quiet_machine: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(all_benchmarks, "MOST_SECONDS", 0.1)
    done = all_benchmarks.measure("listing", "--counts 10", {"SHARED": "/nowhere"}, tmp_path)
    assert done["failed"].startswith("exit status none within 0.1 s")


def test_each_command_is_what_its_benchmark_accepts(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    drawn = all_benchmarks.commands(tmp_path, {}, quick=True)
    (tmp_path / "photos" / "labels.csv").touch()
    peers = {"rapidocr_1": "python", "rapidocr_3": "python"}
    full = all_benchmarks.commands(tmp_path, peers, quick=False)
    assert "--images DRAWN/numbers" in drawn["scoring"]
    assert "--images SHARED/photos --split validation" in full["scoring"]
    assert "RAPIDOCR_1" in full["scoring"]
    assert full["first_answer"].endswith("svhn=OURS rapidocr_1=RAPIDOCR_1 rapidocr_3=RAPIDOCR_3")
    assert list(full) == list(drawn) == list(all_benchmarks.PLAN)
