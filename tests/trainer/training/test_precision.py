"""`precision=auto` is the faster one where a run begins, and stays as it is afterwards."""

from pathlib import Path

import pytest
import tensorflow as tf

from trainer.config import experiments, schema
from trainer.config.schema import CONFIG_FILE, Config
from trainer.training import precision
from trainer.workdir import files


def config(wanted: str) -> Config:
    return schema.override(experiments.find("smoke"), [f"precision={wanted}"])


@pytest.mark.parametrize(("faster", "expected"), [(True, "mixed_bfloat16"), (False, "float32")])
def test_a_new_run_takes_the_faster_one_and_keeps_it_on_another_machine(
    faster: bool, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "is_bfloat16_faster", lambda: faster)
    begun = precision.chosen(config("auto"), str(tmp_path))
    assert begun == config(expected)
    files.start(str(tmp_path), begun)
    monkeypatch.setattr(precision, "is_bfloat16_faster", lambda: not faster)
    assert precision.chosen(config("auto"), str(tmp_path)) == begun


def test_a_damaged_config_does_not_end_a_run_for_good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "is_bfloat16_faster", lambda: True)
    (tmp_path / CONFIG_FILE).write_text("{")
    assert precision.chosen(config("auto"), str(tmp_path)).precision == "mixed_bfloat16"


@pytest.mark.parametrize("given", ["float32", "mixed_bfloat16"])
def test_a_given_precision_is_not_measured(given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(precision, "is_bfloat16_faster")
    assert precision.chosen(config(given), str(tmp_path)) == config(given)


def test_a_cpu_for_which_onednn_has_no_bfloat16_takes_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object, **__: object) -> None:
        raise tf.errors.AbortedError(None, None, "could not create a primitive")

    monkeypatch.setattr(tf.nn, "conv2d", missing)
    assert not precision.is_bfloat16_faster()
