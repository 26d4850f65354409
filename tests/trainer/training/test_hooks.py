"""Hooks that monitor training and end it."""

import logging
from pathlib import Path

import pytest

from trainer import train
from trainer.config import experiments, schema
from trainer.files.lock import Lost
from trainer.training.hooks import ChiefHooks
from trainer.training.run import train_and_evaluate
from trainer.workdir import checkpoint, files

pytestmark = pytest.mark.slow


def run(dataset: Path, folder: Path, *settings: str) -> None:
    wanted = schema.override(experiments.find("smoke"), ["data.holdout=0.2", *settings])
    train_and_evaluate(wanted, train.Inputs([str(dataset)]), workdir=str(folder))


def test_a_loss_that_is_not_finite_ends_it_and_names_the_steps(tiny_dataset: Path, tmp_path: Path) -> None:
    wild = ("optimizer.name=sgd", "optimizer.learning_rate=1e12", "optimizer.clip_norm=0", "optimizer.warmup_steps=0")
    with pytest.raises(FloatingPointError, match="the loss became nan between steps 0 and 5: lower"):
        run(tiny_dataset, tmp_path, *wild)
    assert not list(tmp_path.glob("checkpoints/*.index"))


def test_it_stops_early_where_validation_gets_no_better(
    tiny_dataset: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        run(tiny_dataset, tmp_path, "train.steps=10000", "train.evaluate_every=5", "train.patience=2")
    rows = [row for row in files.read_metrics(str(tmp_path)) if row["kind"] == "validation"]
    *before, best, first, second = rows
    assert f"validation did not improve for 2 evaluations: stopping at {second['step']}" in caplog.text
    assert best["sequence_accuracy"] >= max(first["sequence_accuracy"], second["sequence_accuracy"])
    assert all(row["sequence_accuracy"] < best["sequence_accuracy"] for row in before)
    assert (tmp_path / "best" / f"ckpt-{best['step']}.index").exists()
    caplog.clear()
    with caplog.at_level(logging.INFO):
        run(tiny_dataset, tmp_path, "train.steps=10000", "train.evaluate_every=5", "train.patience=2")
    assert f"training stopped early at step {second['step']}" in caplog.text
    assert "raise train.steps or change train.patience" in caplog.text
    assert files.read_metrics(str(tmp_path)) == sorted(files.read_metrics(str(tmp_path)), key=lambda r: r["step"])
    assert max(row["step"] for row in files.read_metrics(str(tmp_path))) == second["step"]
    last = second["step"] + 5
    with caplog.at_level(logging.INFO):
        run(tiny_dataset, tmp_path, f"train.steps={last}", "train.evaluate_every=5", "train.patience=2", "seed=7")
    assert f"train.steps: 10000 -> {last}" in caplog.text
    assert "seed: 0 -> 7" in caplog.text
    assert files.read_metrics(str(tmp_path))[-1]["step"] == last
    finished = files.last_finish(str(tmp_path))
    assert finished is not None
    assert (finished["step"], finished["stopped_early"]) == (last, False)


def test_the_profiler_watches_one_interval(
    tiny_dataset: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        run(tiny_dataset, tmp_path, "train.profile_after=5")
    assert "profiled up to step 10" in caplog.text
    assert list(tmp_path.glob("tensorboard/plugins/profile/*/*.xplane.pb"))


def test_a_chief_that_has_lost_its_lock_saves_nothing_more(
    tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lock is lost just before the checkpoint of step 10."""

    def lose(_: ChiefHooks, step: int, figures: dict[str, float]) -> None:
        if step == 10:
            (tmp_path / "run" / files.LOCK_FILE).unlink()

    monkeypatch.setattr(ChiefHooks, "profile", lose)
    with pytest.raises(Lost, match="nothing more is written"):
        run(tiny_dataset, tmp_path / "run")
    assert not checkpoint.listed(str(tmp_path / "run" / "checkpoints"))
    assert not (tmp_path / "run" / "FINISHED").exists()
