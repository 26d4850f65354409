import numpy as np
import pytest
import tensorflow as tf

from trainer import graph
from trainer.config import experiments, schema
from trainer.data.pipeline import preprocess
from trainer.data.pipeline.input_pipeline import LabelledImages
from trainer.inference.predictor import Predictor
from trainer.models.recogniser import PureRecogniser
from trainer.training.reading import target_weights
from trainer.training.train_state import TrainState

MODELS = ["compact", "five_heads", "svhn_rnn"]


def smoke(model: str, *settings: str) -> schema.Config:
    return schema.override(experiments.find("smoke"), [f"model.name={model}", "model.dense_units=[32]", *settings])


@pytest.fixture(scope="module", params=MODELS)
def train_state(request: pytest.FixtureRequest) -> TrainState:
    return TrainState(smoke(request.param, "model.dropout=0.5"))


def batch(tokens: list[list[int]], seed: int = 0) -> dict[str, tf.Tensor]:
    images = tf.random.stateless_uniform([len(tokens), 16, 32, 3], [seed, 0], -1, 1)
    return {"image": images, "tokens": tf.constant(tokens, tf.int32)}


def values(variables: dict[str, tf.Variable]) -> dict[str, np.ndarray]:
    return {path: v.numpy() for path, v in variables.items()}


def loss(train_state: TrainState, data: dict[str, tf.Tensor], step: int = 0) -> float:
    return float(train_state.loss(values(train_state.params), values(train_state.state), data, tf.constant(step)).mean)


def test_weights_reach_up_to_and_including_the_first_end() -> None:
    targets = tf.constant([[1, 11, 11, 11], [1, 2, 3, 11], [11, 1, 1, 11]])
    np.testing.assert_array_equal(target_weights(targets, 11), [[1, 1, 0, 0], [1, 1, 1, 1], [1, 0, 0, 0]])


def test_what_follows_the_end_does_not_count(train_state: TrainState) -> None:
    padded = [[1, 2, 11, 11, 11, 11], [3, 11, 11, 11, 11, 11]]
    scribbled = [[1, 2, 11, 7, 8, 9], [3, 11, 4, 4, 4, 4]]
    assert loss(train_state, batch(padded)) == pytest.approx(loss(train_state, batch(scribbled)), rel=1e-6)


def test_dropout_acts_and_depends_on_the_step_alone(train_state: TrainState) -> None:
    data = batch([[1, 2, 11, 11, 11, 11]] * 4)
    assert loss(train_state, data, step=1) == loss(train_state, data, step=1)
    assert loss(train_state, data, step=1) != loss(train_state, data, step=2)


@pytest.mark.parametrize("model", MODELS)
def test_a_step_moves_weights_batch_norm_statistics_averages_and_the_count(model: str) -> None:
    train_state = TrainState(smoke(model))
    before = {name: values(getattr(train_state, name)) for name in ("params", "state")}
    averages = values(train_state.optimizer.averages)
    figures = graph.compiled(train_state.train_step)(batch([[1, 2, 11, 11, 11, 11]] * 8))
    assert np.isfinite(float(figures["loss"]))
    assert int(train_state.step) == 1
    for path, value in before["state"].items():
        assert not np.array_equal(value, train_state.state[path]), f"{path} stood still"
    moved = [path for path, value in before["params"].items() if not np.array_equal(value, train_state.params[path])]
    assert set(moved) >= {path for path in before["params"] if "kernel" in path}
    assert any(not np.array_equal(averages[path], train_state.optimizer.averages[path]) for path in moved)


@pytest.mark.parametrize("model", MODELS)
def test_numbers_of_every_length_are_overfitted_and_read(model: str) -> None:
    """Overfit labels of up to eight characters, decoded in batches of three, the last one smaller; also in bfloat16."""
    settings = ["optimizer.warmup_steps=1", "optimizer.learning_rate=0.02", "train.steps=300", "optimizer.ema_decay=0"]
    settings += ["model.dropout=0", "model.lstm_dropout=0", "model.max_length=8", "model.lstm_units=32"]
    wanted = smoke(model, *settings, "model.image_at_every_step=true", "data.eval_batch_size=3")
    texts = ["7", "31", "555", "9012", "10000", "123456", "7654321", "99999999"]
    tokens = np.array([[*map(int, text)] + [11] * (9 - len(text)) for text in texts], np.int32)
    pixels = np.random.default_rng(0).integers(0, 256, (8, 16, 32, 3), np.uint8)
    train_state = TrainState(wanted)
    step = graph.compiled(train_state.train_step)
    data = {"image": preprocess.normalise(tf.constant(pixels)), "tokens": tf.constant(tokens)}
    for _ in range(500):
        figures = step(data)
    assert float(figures["token_accuracy"]) == 1.0
    images = LabelledImages(
        images=tf.constant(pixels),
        tokens=tokens,
        keys=texts,
        texts=texts,
        sources=["csv"] * 8,
        fingerprints=np.zeros((8, 3), np.int64),
        datasets=np.zeros(8, np.int64),
        corners=np.zeros((8, 0, 8), np.float32),
        paths=(),
        rows=np.arange(8),
        model=wanted.model,
    )
    network = PureRecogniser(wanted.model, seed=0)
    answers = Predictor(network, train_state.params, train_state.state, wanted).answers(images)
    assert [answer.candidates[0] for answer in answers] == texts
    rough = PureRecogniser(wanted.model, seed=0, precision="mixed_bfloat16")
    roughly = Predictor(rough, train_state.params, train_state.state, wanted).answers(images)
    assert [answer.candidates[0] for answer in roughly] == texts
    assert [a.probabilities[0] for a in roughly] == pytest.approx([a.probabilities[0] for a in answers], abs=0.1)


@pytest.mark.parametrize("model", MODELS)
def test_mixed_precision_trains_float32_weights(model: str) -> None:
    losses = {}
    for precision in ("float32", "mixed_bfloat16"):
        train_state = TrainState(smoke(model, f"precision={precision}", "optimizer.warmup_steps=1", "model.dropout=0"))
        step = graph.compiled(train_state.train_step)
        data = batch([[i, (3 * i) % 10, 11, 11, 11, 11] for i in range(8)])
        losses[precision] = [float(step(data)["loss"]) for _ in range(20)]
        assert {v.dtype for v in [*train_state.params.values(), *train_state.state.values()]} == {tf.float32}
    assert losses["mixed_bfloat16"] != losses["float32"]
    assert losses["mixed_bfloat16"] == pytest.approx(losses["float32"], rel=0.1)


@pytest.mark.slow
def test_xla_computes_the_same_steps() -> None:
    losses = []
    for jit_compile in (False, True):
        train_state = TrainState(smoke("compact", "model.dropout=0"))
        step = graph.compiled(train_state.train_step, jit_compile=jit_compile)
        data = batch([[i, (3 * i) % 10, 11, 11, 11, 11] for i in range(8)])
        losses.append([float(step(data)["loss"]) for _ in range(4)])
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)
