import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer import config, experiments
from trainer.cli import UserError


@pytest.mark.parametrize("name", ["compact", "five_heads", "svhn_rnn", "demo", "smoke"])
def test_an_experiment_survives_json(name: str) -> None:
    wanted = experiments.find(name)
    assert wanted.experiment == name
    assert config.from_json(wanted.to_json()) == wanted
    assert config.from_json(wanted.to_json()).to_json() == wanted.to_json()  # with 0.0 where a float is meant


def test_settings_of_every_type() -> None:
    changed = config.override(
        experiments.find("smoke"),
        [
            "train.steps=7",
            "optimizer.learning_rate=1",
            "model.widths=[8,16]",
            "distortion.colour=false",
            "model.alphabet=0123456789.",
            "seed=3",
        ],
    )
    assert (changed.train.steps, changed.optimizer.learning_rate, changed.seed) == (7, 1.0, 3)
    assert changed.model.widths == (8, 16)
    assert changed.distortion.colour is False
    assert changed.model.alphabet == "0123456789."


def test_an_alphabet_of_digits_stays_a_text() -> None:
    assert config.override(experiments.find("smoke"), ["model.alphabet=01234"]).model.alphabet == "01234"


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("train.step=3", "did you mean train.steps"),
        ("nonsense=3", "there is no 'nonsense'"),
        ("train=3", "there is no 'train'"),
        ("train.steps", "write it as key=value"),
        ("train.steps=many", "must be of type int"),
        ("train.steps=0", "at least 1"),
        ("model.dropout=1.5", "below 1"),
        ("model.name=huge", "must be one of"),
        ("model.widths=3", "must be a list"),
        ("model.strides=[2]", "one entry for each"),
        ("model.image_height=4", "each must be at least"),
        ("model.crop=[40]", "give height and width"),
        ("model.crop=[40,120]", r"at most those of the picture, \[56, 96\]"),
        ("model.crop=[7,40]", r"model.crop=\[7, 40\]: each must be at least 8"),
        ("optimizer.name=adam", "must be one of adamw, momentum, sgd"),
        ("precision=float16", "must be one of float32, mixed_bfloat16"),
    ],
)
def test_bad_settings_say_what_to_do(setting: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        config.override(experiments.find("compact"), [setting])


@given(st.text(max_size=20))
def test_any_setting_is_taken_or_refused_clearly(setting: str) -> None:
    with contextlib.suppress(UserError):
        config.override(experiments.find("smoke"), [setting])


def test_unknown_experiments_are_listed() -> None:
    with pytest.raises(UserError, match="choose one of compact, five_heads, svhn_rnn, demo, released, tilted, smoke"):
        experiments.find("nonsense")
