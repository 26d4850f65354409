"""Regressions between two files of figures: what counts as noise, what is compared, and the exit status."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import compare
from benchmarks.compare import Change
from benchmarks.rows import HIGHER, LOWER, NEITHER, Row
from tests.benchmarks.conftest import results

REPEATS = st.lists(st.floats(0.01, 1e6), min_size=1, max_size=5)


def speeds(*values: float, better: str = HIGHER) -> Row:
    return Row("steps", "examples/s", list(values), better)


def only(before: Row, after: Row) -> Change:
    (change,) = compare.changes(results(before), results(after), any_machine=False)
    return change


@pytest.mark.parametrize(
    ("after", "regression"),
    [
        ([80.0, 81.0, 82.0], True),
        ([80.0, 81.0, 99.5], False),  # one repeat is as good as before
        ([96.0, 96.5, 97.0], False),  # less than 5 %
        ([120.0, 121.0, 122.0], False),  # better
        ([85.0], False),  # one repeat, less than 20 %
        ([75.0], True),
    ],
)
def test_a_regression_is_worse_outside_the_noise(after: list[float], regression: bool) -> None:
    assert only(speeds(99.0, 100.0, 101.0), speeds(*after)).regression == regression


def test_what_is_worse_depends_on_the_figure() -> None:
    for better, regression in ((HIGHER, True), (LOWER, False), (NEITHER, False)):
        change = only(speeds(100, 100, 100, better=better), speeds(50, 50, 50, better=better))
        assert change.outside_noise
        assert change.regression == regression


@given(REPEATS, REPEATS, st.sampled_from([HIGHER, LOWER]))
def test_a_difference_is_a_regression_in_one_direction_at_most(
    one: list[float], other: list[float], better: str
) -> None:
    there, back = Change("", "", one, other, better), Change("", "", other, one, better)
    assert there.outside_noise == back.outside_noise
    assert there.regression + back.regression == there.outside_noise


@given(REPEATS, st.floats(-0.04, 0.04))
def test_the_same_figures_are_within_the_noise(values: list[float], shift: float) -> None:
    assert not Change("", "", values, values, HIGHER).outside_noise
    assert not Change("", "", values, [value * (1 + shift) for value in values], HIGHER).outside_noise


def ran(tmp_path: Path, before: dict[str, Any], after: dict[str, Any], *options: str) -> int:
    paths = [tmp_path / "before.json", tmp_path / "after.json"]
    for path, found in zip(paths, (before, after), strict=True):
        path.write_text(json.dumps(found))
    return compare.main([*map(str, paths), *options])


def test_regressions_are_named_and_the_exit_status_is_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good, bad = results(speeds(100, 101, 102)), results(speeds(70, 71, 72))
    assert ran(tmp_path, good, bad) == 1
    out, err = capsys.readouterr()
    assert "training: steps: 101 to 71 examples/s, 0.70 times, REGRESSION" in out
    assert "1 regressions: training: steps" in err
    assert ran(tmp_path, bad, good) == 0
    assert "1.42 times, changed" in capsys.readouterr().out
    assert ran(tmp_path, good, good) == 0


def test_a_busy_machine_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ran(tmp_path, results(speeds(100.0)), results(speeds(100.0), load=3.0)) == 0
    out = capsys.readouterr().out
    assert "after.json: measured on a busy machine, load average 3.0" in out
    assert "before.json" not in out


def test_a_benchmark_that_fails_now_is_a_regression(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = results(speeds(1.0))
    broken["benchmarks"]["training"] = {"command": "python -m benchmarks.training", "failed": "out of memory"}
    assert ran(tmp_path, results(speeds(1.0)), broken) == 1
    assert "training: out of memory" in capsys.readouterr().err
    assert ran(tmp_path, broken, results(speeds(1.0))) == 0


def test_figures_measured_differently_are_not_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    quick = results(speeds(1.0), command="python -m benchmarks.training --repeats 3")
    assert ran(tmp_path, results(speeds(100.0)), quick) == 0
    assert "training: not compared" in capsys.readouterr().out


def test_other_machines_are_refused_unless_only_ratios_are_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = speeds(100, 100, 100)
    here = results(base, Row("both", "examples/s", [95, 95, 95], HIGHER).relative_to(base))
    faster = speeds(300, 300, 300)
    there = results(faster, Row("both", "examples/s", [150, 150, 150], HIGHER).relative_to(faster), machine="other")
    assert ran(tmp_path, here, there) == 2
    assert "--any-machine" in capsys.readouterr().err
    assert ran(tmp_path, here, there, "--any-machine") == 1
    out = capsys.readouterr().out
    assert "training: both: 0.95 to 0.5 of steps, 0.53 times, REGRESSION" in out
    assert "examples/s" not in out


def test_a_file_of_something_else_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ran(tmp_path, {}, results(speeds(1.0))) == 2
    assert "give a file of benchmarks.all" in capsys.readouterr().err
    assert compare.main([str(tmp_path / "missing.json"), str(tmp_path / "after.json")]) == 2
    assert "missing.json" in capsys.readouterr().err
