"""The search command with its runs in real processes; the search space as plain functions."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.plugins.base_plugin import TBContext
from tensorboard.plugins.hparams.hparams_plugin import HParamsPlugin
from werkzeug.test import Client

from tests.conftest import ROOT, assert_no_chatter
from trainer import search
from trainer.cli import UserError
from trainer.config import experiments, schema, search_space
from trainer.inference.measuring import metrics
from trainer.training import ranking


def test_a_grid_has_every_combination() -> None:
    found = search_space.grid(["optimizer.learning_rate=1e-3,3e-3", "model.widths=[4,8],[8,16]", "seed=1"])
    assert len({tuple(settings) for settings in found}) == 4
    assert {schema.override(experiments.find("smoke"), settings).model.widths for settings in found} == {
        (4, 8),
        (8, 16),
    }
    assert search_space.grid([]) == [[]]
    assert search_space.grid(["model.alphabet=0123,01"]) == [["model.alphabet=0123"], ["model.alphabet=01"]]
    assert search_space.grid(["seed=1,1"]) == [["seed=1"]]


@given(seed=st.integers(0, 2**31), trial=st.integers(0, 1000))
def test_draws_lie_in_their_ranges_and_come_again(seed: int, trial: int) -> None:
    specs = ["a=log:1e-5:1e-2", "b=uniform:-1:1", "c=int:2:4", "d=choice:x:y"]
    drawn = search_space.draw(specs, seed=seed, trial=trial)
    a, b, c, d = (setting.partition("=")[2] for setting in drawn)
    assert 1e-5 <= float(a) <= 1e-2
    assert -1 <= float(b) <= 1
    assert c in {"2", "3", "4"}
    assert d in {"x", "y"}
    assert search_space.draw(specs[::-1], seed=seed, trial=trial) == drawn[::-1]


def test_a_logarithmic_draw_has_as_many_in_each_decade() -> None:
    drawn = [float(search_space.draw(["a=log:1e-4:1"], seed=0, trial=i)[0][2:]) for i in range(2000)]
    counts = np.histogram(np.log10(drawn), bins=4, range=(-4, 0))[0]
    np.testing.assert_allclose(counts, 500, atol=80)


@given(st.lists(st.text(max_size=80), max_size=4))
def test_any_settings_name_a_folder(settings: list[str]) -> None:
    name = search_space.run_name(settings)
    assert 0 < len(name) <= 150
    assert not set(name) & set("/[]*?{} \\\n")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "nothing to search"),
        (["--grid", "optimizer.learning_rate"], "write it as key=value,value"),
        (["--grid", "optimizer.learning_rat=1"], "did you mean optimizer.learning_rate"),
        (["--grid", "seed=1", "--random", "seed=int:1:2"], "sets a key twice"),
        (["--random", "seed=1:2"], "write it as key=log:LOW:HIGH"),
        (["--random", "optimizer.learning_rate=log:0:1"], "write it as key=log:LOW:HIGH"),
        (["--random", "seed=int:1:2", "--trials", "0"], "at least 1"),
        (["--random", "seed=uniform:0:inf"], "write it as key=log:LOW:HIGH"),
        (["--random", "seed=int:1:1e30"], "write it as key=log:LOW:HIGH"),
        (["--grid", "seed=" + "[" * 100_000], "must be of type int"),
        (["--grid", "train.patience=-1,3"], "train.patience=-1: it must be at least 0"),
    ],
)
def test_mistakes_end_in_one_line(
    args: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "search"
    assert search.main(["--experiment", "smoke", "--data", "d", "--workdir", str(folder), *args]) == 2
    assert message in capsys.readouterr().err
    assert not folder.exists()


def test_the_best_validation_and_the_seconds_of_training_are_read_from_the_metrics() -> None:
    logged = [
        {"kind": "training", "step": 10, "examples_per_second": 40.0},
        {"kind": "validation", "step": 10, "sequence_accuracy": 0.75, "examples": 8},
        {"kind": "training", "step": 20, "examples_per_second": 80.0},
        {"kind": "validation", "step": 20, "sequence_accuracy": 0.5, "examples": 8},
    ]
    config = schema.override(experiments.find("smoke"), ["data.batch_size=4"])
    found = ranking.measured(logged, config)
    assert found == {
        "seconds": 1.5,
        "sequence_accuracy": 0.75,
        "step": 10,
        "interval_95": metrics.wilson_interval(6, 8),
    }
    assert ranking.measured(logged[:1], config) == {"seconds": 1.0}


def arguments(dataset: Path, folder: Path, *args: str, steps: int = 10) -> list[str]:
    fixed = ["--set", f"train.steps={steps}", "data.batch_size=4", "train.checkpoint_every=5"]
    fixed += ["tensorboard.images=false"]
    return ["--experiment", "smoke", "--data", str(dataset), "--workdir", str(folder), *fixed, *args]


RATES = ("--grid", "optimizer.learning_rate=0.003,1e12")


@pytest.fixture(scope="module")
def searched(tiny_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Search two runs, one of which fails because its loss becomes infinite."""
    folder = tmp_path_factory.mktemp("searched") / "search"
    assert search.main(arguments(tiny_dataset, folder, *RATES)) == 1
    return folder


@pytest.mark.slow
def test_a_failed_run_is_named_and_does_not_stop_the_search(searched: Path) -> None:
    best, failed = json.loads((searched / "search.json").read_text())
    assert (best["name"], best["status"]) == ("optimizer.learning_rate=0.003", "done")
    assert best["step"] <= 10
    low, high = best["interval_95"]
    assert low <= best["sequence_accuracy"] <= high
    assert best["seconds"] > 0
    assert (failed["name"], failed["status"]) == ("optimizer.learning_rate=1000000000000.0", "failed")
    assert "the loss became" in failed["error"]
    table = ranking.table([best, failed]).splitlines()
    assert len(table) == 3
    assert "failed: exit status" in table[2]


@pytest.mark.slow
def test_a_finished_run_is_not_repeated_and_another_search_is_refused(
    searched: Path, tiny_dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = searched / "optimizer.learning_rate=0.003" / "train.log"
    before = log.read_bytes()
    assert search.main(arguments(tiny_dataset, searched, "--grid", "optimizer.learning_rate=0.003")) == 0
    assert log.read_bytes() == before
    assert search.main(arguments(tiny_dataset, searched, "--grid", "optimizer.learning_rate=0.003", steps=15)) == 2
    assert "choose another --workdir" in capsys.readouterr().err


@pytest.mark.slow
def test_tensorboard_shows_the_runs_in_its_hparams_view(searched: Path) -> None:
    """Send the plug-in the requests that the view sends."""
    runs = EventMultiplexer().AddRunsFromDirectory(str(searched))
    runs.Reload()
    provider = MultiplexerDataProvider(runs, str(searched))
    view = HParamsPlugin(TBContext(logdir=str(searched), multiplexer=runs, data_provider=provider)).get_plugin_apps()
    (searched_setting,) = json.loads(Client(view["/experiment"]).post("/", json={}).text)["hparamInfos"]
    assert searched_setting["name"] == "optimizer.learning_rate"
    assert searched_setting["domainDiscrete"] == [0.003, 1e12]
    query = {"sliceSize": 10, "allowedStatuses": ["STATUS_UNKNOWN", "STATUS_RUNNING"]}
    groups = json.loads(Client(view["/session_groups"]).post("/", json=query).text)["sessionGroups"]
    assert {group["hparams"]["optimizer.learning_rate"] for group in groups} == {0.003, 1e12}
    measured = {value["name"]["tag"]: value["value"] for group in groups for value in group.get("metricValues", [])}
    row = json.loads((searched / "search.json").read_text())[0]
    assert measured["validation/sequence_accuracy"] == pytest.approx(row["sequence_accuracy"])


@contextlib.contextmanager
def started(args: list[str], run: Path) -> Iterator[subprocess.Popen]:
    """Start a search in its own process group, as in a terminal, and wait until its run has a checkpoint."""
    command = [sys.executable, "-m", "trainer.search", *args]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        deadline = time.monotonic() + 240
        while not list(run.glob("checkpoints/checkpoint")):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield process
    finally:
        process.kill()
        process.wait()


def left_behind(folder: Path) -> str:
    """Return the processes whose command line contains the folder."""
    return subprocess.run(["pgrep", "-af", str(folder)], capture_output=True, text=True).stdout


@pytest.mark.slow
def test_a_search_that_is_killed_takes_its_trainer_with_it(tiny_dataset: Path, tmp_path: Path) -> None:
    args = arguments(tiny_dataset, tmp_path / "search", "--random", "seed=int:3:3", steps=100_000)
    with started(args, tmp_path / "search" / "seed=3") as process:
        assert len(left_behind(tmp_path).splitlines()) == 2, left_behind(tmp_path)
        process.kill()
    deadline = time.monotonic() + 30
    while left := left_behind(tmp_path):
        assert time.monotonic() < deadline, left
        time.sleep(0.1)


@pytest.mark.slow
def test_ctrl_c_saves_and_says_how_to_resume(tiny_dataset: Path, tmp_path: Path) -> None:
    args = arguments(tiny_dataset, tmp_path / "search", "--random", "seed=int:3:3", steps=100_000)
    with started(args, tmp_path / "search" / "seed=3") as process:
        os.killpg(process.pid, signal.SIGINT)
        errors = process.communicate(timeout=120)[1]
    assert process.returncode == 130
    assert "to resume, run again: python -m trainer.search --experiment smoke" in errors
    assert "Traceback" not in errors
    log = (tmp_path / "search" / "seed=3" / "train.log").read_text()
    assert "stopped by SIGTERM at step" in log
    for output in (errors, log):
        assert_no_chatter(output)
    assert not left_behind(tmp_path)


@pytest.mark.slow
def test_a_search_that_is_stopped_goes_on_where_its_run_was(tiny_dataset: Path, tmp_path: Path) -> None:
    args = arguments(tiny_dataset, tmp_path / "search", "--random", "seed=int:3:3", steps=600)
    run = tmp_path / "search" / "seed=3"
    with started(args, run) as process:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=120)
    assert process.returncode == 143
    assert "stopped by SIGTERM at step" in (run / "train.log").read_text()
    (run / "run.json").write_bytes(b"")  # as a loss of power may leave it
    assert search.main(args) == 0
    log = (run / "train.log").read_text()
    assert f"from {run}/checkpoints/ckpt-" in log
    assert "done at step 600" in log


def test_a_space_that_no_one_knows_is_an_error() -> None:
    with pytest.raises(UserError, match="log:LOW:HIGH"):
        search_space.draw(["a=normal:0:1"], seed=0, trial=0)
