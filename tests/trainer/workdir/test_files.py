"""What a work folder tells the tasks that share it and later starts; damaged files in it."""

import logging
import threading
from pathlib import Path

import pytest
import tensorflow as tf

from trainer.cli import UserError
from trainer.config import experiments, schema
from trainer.config.schema import Decode
from trainer.data.pipeline import leakage
from trainer.inference.load import load_model, read_calibration
from trainer.models.recogniser import PureRecogniser
from trainer.reporting import page
from trainer.workdir import checkpoint, files

DAMAGE = [b"", b'{"experiment": ', b"\0\0\0\0", b"\xff\xfe", b"[]"]


def test_a_worker_waits_for_the_end_that_the_chief_tells(tmp_path: Path) -> None:
    wanted = experiments.find("smoke")
    telling = threading.Timer(0.2, files.finish, [str(tmp_path), wanted, 20])
    telling.start()
    assert files.wait_for_finish(str(tmp_path), wanted, 60)
    telling.join()
    longer = schema.override(wanted, ["train.steps=40"])
    assert not files.wait_for_finish(str(tmp_path), longer, 0.0)


@pytest.mark.parametrize("content", DAMAGE)
def test_a_damaged_description_is_written_again(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    wanted = experiments.find("smoke")
    for name in (files.CONFIG_FILE, files.INPUTS_FILE, files.FINISHED_FILE):
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=r"config\.json is .*: run the trainer\.train command of this run again"):
        files.read_config(str(tmp_path))
    assert files.finished_step(str(tmp_path), wanted) is None
    files.check(str(tmp_path), wanted, {"data": ["a"]})
    assert "is rewritten from the command line" in caplog.text
    files.start(str(tmp_path), wanted, {"data": ["a"]})
    assert files.read_config(str(tmp_path)) == wanted
    assert {path.name for path in tmp_path.iterdir()} == {"config.json", "inputs.json", "FINISHED"}


def test_a_configuration_of_another_kind_is_not_taken_for_a_damaged_one(tmp_path: Path) -> None:
    wanted = experiments.find("smoke")
    (tmp_path / "config.json").write_text('{"experiment": "smoke", "from_the_future": 1}')
    with pytest.raises(UserError, match=r"config\.json: the config has unknown keys: from_the_future"):
        files.check(str(tmp_path), wanted)


def test_what_changes_since_the_last_start_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    wanted = experiments.find("smoke")
    files.start(str(tmp_path), wanted, {"data": ["a"], "images": "80"})
    changed = schema.override(wanted, ["seed=3", "data.batch_size=4", "data.shares=[1,2]"])
    with caplog.at_level(logging.INFO):
        files.check(str(tmp_path), wanted, {"data": ["a"], "images": "80"})
        assert not caplog.text
        files.check(str(tmp_path), changed, {"data": ["b"], "images": "80"})
    assert [record.getMessage().partition("started: ")[2] for record in caplog.records] == [
        "seed: 0 -> 3",
        "data.batch_size: 8 -> 4",
        "data.shares: [] -> [1.0, 2.0]",
        "data: ['a'] -> ['b']",
    ]


@pytest.mark.parametrize("content", [*DAMAGE, b'{"step": 1}'])
def test_damaged_results_are_one_line(tmp_path: Path, content: bytes) -> None:
    files.start(str(tmp_path), experiments.find("smoke"))
    (tmp_path / files.CALIBRATION_FILE).write_bytes(content)
    with pytest.raises(UserError, match=r"calibration\.json .*: run trainer\.evaluate --calibrate again, or delete it"):
        read_calibration(str(tmp_path), 1, Decode())
    if content in DAMAGE:
        (tmp_path / files.EVALUATION_FILE).write_bytes(content)
        with pytest.raises(UserError, match=r"evaluation\.json .*: run trainer\.evaluate again"):
            page.report(str(tmp_path), None, str(tmp_path / "report.html"))
    (tmp_path / leakage.TRAINED_ON_FILE).write_bytes(content)
    with pytest.raises(UserError, match=r"trained_on\.npy is damaged"):
        leakage.remembered(str(tmp_path))


def test_rows_around_a_torn_one_are_kept(tmp_path: Path) -> None:
    for step in (1, 2):
        files.append_metrics(str(tmp_path), {"kind": "training", "step": step})
    with (tmp_path / files.METRICS_FILE).open("ab") as file:
        file.write(b'\xff\n12\n{"kind": "training", "st')
    files.append_metrics(str(tmp_path), {"kind": "training", "step": 3})
    assert [row["step"] for row in files.read_metrics(str(tmp_path))] == [1, 2, 3]


def test_a_torn_best_checkpoint_is_passed_over_when_numbers_are_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    wanted = experiments.find("smoke")
    recogniser = PureRecogniser(wanted.model, seed=0)
    values = {"averages": recogniser.params, "state": recogniser.state}
    variables = {name: {path: tf.Variable(v) for path, v in paths.items()} for name, paths in values.items()}
    step = tf.Variable(1, dtype=tf.int64)
    checkpoints = checkpoint.Checkpoints(str(tmp_path), tf.train.Checkpoint(step=step, **variables), keep=3)
    files.start(str(tmp_path), wanted)
    checkpoints.save_best(1)
    for number in (2, 3):
        step.assign(number)
        checkpoints.save(number)
    assert load_model(str(tmp_path))[-1] == 1
    for name in ("best/ckpt-1", "checkpoints/ckpt-3"):
        torn = tmp_path / f"{name}.data-00000-of-00001"
        torn.write_bytes(torn.read_bytes()[:50])
    assert load_model(str(tmp_path))[-1] == 2
    assert "best/ckpt-1 cannot be read" in caplog.text
    (tmp_path / "checkpoints" / "ckpt-2.index").write_bytes(b"")
    with pytest.raises(UserError, match=r"none of the checkpoints .* can be read"):
        load_model(str(tmp_path))
