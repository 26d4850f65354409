import contextlib
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer import search, train
from trainer.cli import UserError
from trainer.cluster.__main__ import main as cluster_main
from trainer.config import experiments, schema


@pytest.mark.parametrize(
    "name", ["compact", "five_heads", "svhn_rnn", "demo", "released", "released_stage2", "photo_reader", "smoke"]
)
def test_an_experiment_survives_json(name: str) -> None:
    wanted = experiments.find(name)
    assert wanted.experiment == name
    assert schema.from_json(wanted.to_json()) == wanted
    assert schema.from_json(wanted.to_json()).to_json() == wanted.to_json()  # with 0.0 where a float is meant


def test_settings_of_every_type() -> None:
    changed = schema.override(
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
    assert schema.override(experiments.find("smoke"), ["model.alphabet=01234"]).model.alphabet == "01234"


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("train.step=3", "did you mean train.steps"),
        ("nonsense=3", "unknown setting 'nonsense'"),
        ("train=3", "unknown setting 'train'"),
        ("train.steps", "write it as key=value"),
        ("train.steps=many", "must be of type int"),
        ("train.steps=0", "at least 1"),
        ("model.dropout=1.5", "below 1"),
        ("model.name=huge", "must be one of"),
        ("model.widths=3", "must be a list"),
        ("model.strides=[2]", "one entry for each"),
        ("model.image_height=4", "each must be at least"),
        ("model.crop=[40]", "give height and width"),
        ("model.crop=[40,120]", r"at most those of the image, \[64, 112\]"),
        ("model.crop=[7,40]", r"model.crop=\[7, 40\]: each must be at least 8"),
        ("optimizer.name=adam", "must be one of adamw, momentum, sgd"),
        ("precision=float16", "must be one of float32, mixed_bfloat16, auto"),
    ],
)
def test_bad_settings_say_what_to_do(setting: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        schema.override(experiments.find("compact"), [setting])


@given(st.text(max_size=20))
def test_any_setting_is_taken_or_refused_clearly(setting: str) -> None:
    with contextlib.suppress(UserError):
        schema.override(experiments.find("smoke"), [setting])


@pytest.mark.parametrize(
    "setting",
    [
        *("model.widths=[]", "model.widths=[8,8,8,0]", "model.widths=[8,8,8,-1]", "model.widths=[8,8,8,1000000]"),
        *("model.strides=[0,2,2,2]", "model.strides=[-2,2,2,2]", "model.lstm_units=-1", "model.lstm_units=0"),
        *("model.attention_units=999999999", "model.embedding_units=0", "model.dense_units=[0]"),
        *("model.image_height=1000000000", "model.image_width=-96", "model.crop=[-1,5]", "model.crop=[1,2,3]"),
        *("model.max_length=1000000", "model.alphabet=", "model.alphabet=00", "model.alphabet=0\n1"),
        *("seed=-1", "seed=2147483648", "seed=1.5", "seed=true", "experiment=\udc80"),
        *("distortion.scale=[1.0]", "distortion.scale=[1,1,1]", "distortion.scale=[0,1]", "distortion.scale=[1.2,0.9]"),
        *("distortion.noise=Infinity", "distortion.invert=1.5", "distortion.stretch=1", "distortion.shear=NaN"),
        *("data.shares=[NaN]", "data.shares=[1,Infinity]", "data.shares=[0]", "data.shares=[1e-60]"),
        *("data.batch_size=100000000", "data.holdout_max=-1", "data.memory_gb=-1", "data.memory_gb=NaN"),
        *("optimizer.clip_norm=-1", "optimizer.beta2=1", "optimizer.beta1=-0.1", "optimizer.beta2=0.999999999"),
        *("optimizer.learning_rate=-1", "optimizer.learning_rate=NaN", "optimizer.learning_rate=1e39"),
        *("optimizer.epsilon=0", "optimizer.epsilon=1e-60", "optimizer.decay_rate=0", "optimizer.warmup_steps=-1"),
        *("train.patience=-1", "train.steps=3000000000", "train.profile_after=-1", "train.checkpoint_seconds=-1"),
        *("decode.views=[NaN]", "decode.views=[]", "decode.views=[0]", "decode.tilts=[Infinity]"),
        *("decode.beam_width=99999999", "decode.beam_width=-1", "tensorboard.pictures=0"),
        *("model.dropout=0.99999999999", "train.steps=1" + 400 * "0", "optimizer.learning_rate=1" + 400 * "0"),
        *("train.steps=" + 5000 * "9", "model.widths=" + 100_000 * "["),
    ],
)
def test_what_cannot_work_is_refused_in_one_line(setting: str) -> None:
    with pytest.raises(UserError) as raised:
        schema.override(experiments.find("compact"), [setting])
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 400
    assert setting.partition("=")[0].rpartition(".")[2] in str(raised.value)


def test_a_map_too_large_for_its_weights_is_refused() -> None:
    wide = ["model.image_height=4096", "model.image_width=4096", "model.strides=[1,1,1,1]"]
    with pytest.raises(UserError, match=r"a map of 4096 x 4096, whose .* weights are too many"):
        schema.override(experiments.find("compact"), wide)


def test_settings_are_checked_however_they_are_made() -> None:
    smoke = experiments.find("smoke")
    with pytest.raises(UserError, match=r"train\.steps=0: it must be at least 1"):
        dataclasses.replace(smoke, train=dataclasses.replace(smoke.train, steps=0))


NUMBERS = st.one_of(
    st.integers(),
    st.integers(-3, 300),
    st.floats(),
    st.sampled_from([0, -1, 1, 2**31, 2**63, 10**9, 10**400, 1e38, 1e-300, float("nan"), float("inf")]),
)
VALUES = st.one_of(
    NUMBERS, st.none(), st.booleans(), st.text(max_size=5), st.lists(NUMBERS, max_size=9), st.just({}), st.just([[]])
)


@given(st.sampled_from(schema.keys(experiments.find("compact"))), VALUES, st.sampled_from(["compact", "svhn_rnn"]))
def test_any_value_of_any_key_is_taken_or_refused_in_one_line(key: str, value: object, name: str) -> None:
    base = experiments.find(name)
    raw = json.loads(base.to_json())
    *groups, leaf = key.split(".")
    target = raw[groups[0]] if groups else raw
    target[leaf] = value
    for make in (
        lambda: schema.from_json(json.dumps(raw)),
        lambda: schema.override(base, [f"{key}={json.dumps(value)}"]),
    ):
        made, refused = base, ""
        try:
            made = make()
        except UserError as error:
            refused = str(error)
        assert "\n" not in refused
        assert schema.from_json(made.to_json()) == made
        assert min(made.model.map_size) >= 1


@given(
    st.recursive(st.none() | st.booleans() | NUMBERS | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x))
)
def test_any_json_is_a_configuration_or_refused(raw: object) -> None:
    for text in (json.dumps(raw), json.dumps({"experiment": "x", "model": raw})):
        with contextlib.suppress(UserError):
            schema.from_json(text)


@pytest.mark.parametrize(
    ("main", "option"),
    [
        *((train.main, option) for option in ("--wait", "--hang-timeout", "--max-restarts", "--min-workers")),
        *(
            (cluster_main, option)
            for option in ("--workers", "--parameter-servers", "--evaluators", "--kill-every", "--restarts")
        ),
        *((search.main, option) for option in ("--trials", "--seed")),
    ],
)
@pytest.mark.parametrize("value", ["nan", "inf", "-1", "1e99", "", "ten", "9" * 5000])
def test_numbers_on_the_command_line_are_checked(
    main: Callable[[list[str]], int], option: str, value: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--data", "d", "--workdir", str(tmp_path / "run")]
    given = ["--", *given] if main is cluster_main else given
    assert main([f"{option}={value}", *given]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"argument {option}: {value[:50]}" in line
    assert len(line) < 300
    assert not (tmp_path / "run").exists()


def test_unknown_experiments_are_listed() -> None:
    with pytest.raises(
        UserError,
        match="choose one of compact, five_heads, svhn_rnn, demo, released, released_stage2, "
        "photo_reader, free, finder, smoke",
    ):
        experiments.find("nonsense")
