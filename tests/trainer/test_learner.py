import numpy as np
import pytest
import tensorflow as tf

from trainer import config, experiments
from trainer.learner import Learner, target_weights


@pytest.fixture(scope="module")
def learner() -> Learner:
    return Learner(config.override(experiments.find("smoke"), ["model.dropout=0.5"]))


def batch(tokens: list[list[int]], seed: int = 0) -> dict[str, tf.Tensor]:
    images = tf.random.stateless_uniform([len(tokens), 16, 32, 3], [seed, 0], -1, 1)
    return {"image": images, "tokens": tf.constant(tokens, tf.int32)}


def values(variables: dict[str, tf.Variable]) -> dict[str, np.ndarray]:
    return {path: v.numpy() for path, v in variables.items()}


def loss(learner: Learner, data: dict[str, tf.Tensor], step: int = 0) -> float:
    return float(learner.loss(values(learner.params), values(learner.state), data, tf.constant(step))[0])


def test_weights_reach_up_to_and_including_the_first_end() -> None:
    targets = tf.constant([[1, 11, 11, 11], [1, 2, 3, 11], [11, 1, 1, 11]])
    np.testing.assert_array_equal(target_weights(targets, 11), [[1, 1, 0, 0], [1, 1, 1, 1], [1, 0, 0, 0]])


def test_what_follows_the_end_does_not_count(learner: Learner) -> None:
    padded = [[1, 2, 11, 11, 11, 11], [3, 11, 11, 11, 11, 11]]
    scribbled = [[1, 2, 11, 7, 8, 9], [3, 11, 4, 4, 4, 4]]
    assert loss(learner, batch(padded)) == pytest.approx(loss(learner, batch(scribbled)), rel=1e-6)


def test_dropout_acts_and_depends_on_the_step_alone(learner: Learner) -> None:
    data = batch([[1, 2, 11, 11, 11, 11]] * 4)
    assert loss(learner, data, step=1) == loss(learner, data, step=1)
    assert loss(learner, data, step=1) != loss(learner, data, step=2)


def test_a_step_moves_weights_batch_norm_statistics_averages_and_the_count() -> None:
    learner = Learner(experiments.find("smoke"))
    before = {name: values(getattr(learner, name)) for name in ("params", "state")}
    averages = values(learner.optimizer.averages)
    figures = tf.function(learner.train_step)(batch([[1, 2, 11, 11, 11, 11]] * 8))
    assert np.isfinite(float(figures["loss"]))
    assert int(learner.step) == 1
    for path, value in before["state"].items():
        assert not np.array_equal(value, learner.state[path]), f"{path} stood still"
    moved = [path for path, value in before["params"].items() if not np.array_equal(value, learner.params[path])]
    assert set(moved) >= {path for path in before["params"] if "kernel" in path}
    assert any(not np.array_equal(averages[path], learner.optimizer.averages[path]) for path in moved)


def test_a_few_pictures_are_learnt_by_heart() -> None:
    wanted = config.override(
        experiments.find("smoke"),
        ["optimizer.warmup_steps=1", "optimizer.learning_rate=0.02", "train.steps=150", "model.dropout=0"],
    )
    learner = Learner(wanted)
    step = tf.function(learner.train_step)
    data = batch([[i, (3 * i) % 10, 11, 11, 11, 11] for i in range(8)])
    for _ in range(150):
        figures = step(data)
    assert float(figures["token_accuracy"]) == 1.0


def test_the_learning_rate_rises_then_falls_to_zero() -> None:
    optimizer = Learner(config.override(experiments.find("compact"), ["train.steps=1000"])).optimizer
    rates = [float(optimizer.learning_rate(tf.constant(step))) for step in (0, 99, 199, 600, 1000)]
    assert rates[0] == pytest.approx(3e-3 / 200)
    assert rates[1] == pytest.approx(3e-3 / 2)
    assert rates[2] == pytest.approx(3e-3)
    assert rates[3] == pytest.approx(3e-3 / 2)
    assert rates[4] == pytest.approx(0, abs=1e-9)


def test_adam_is_adam() -> None:
    """Against the update of the paper, in NumPy, over a few steps."""
    wanted = config.override(
        experiments.find("smoke"), ["optimizer.weight_decay=0.1", "optimizer.clip_norm=1e9", "train.steps=100"]
    )
    learner = Learner(wanted)
    path = next(p for p in learner.params if learner.params[p].shape.rank == 2)
    settings, optimizer = wanted.optimizer, learner.optimizer
    weight = learner.params[path].numpy().astype(np.float64)
    first = second = np.zeros_like(weight)
    rng = np.random.default_rng(0)
    for step in range(3):
        gradient = rng.normal(size=weight.shape)
        rate = float(optimizer.learning_rate(tf.constant(step)))
        weight -= rate * settings.weight_decay * weight
        first = settings.beta1 * first + (1 - settings.beta1) * gradient
        second = settings.beta2 * second + (1 - settings.beta2) * gradient**2
        unbiased = first / (1 - settings.beta1 ** (step + 1)), second / (1 - settings.beta2 ** (step + 1))
        weight -= rate * unbiased[0] / (np.sqrt(unbiased[1]) + settings.epsilon)
        gradients = {p: tf.zeros_like(v) for p, v in learner.params.items()}
        gradients[path] = tf.constant(gradient, tf.float32)
        optimizer.apply(gradients, learner.params, tf.constant(step))
    np.testing.assert_allclose(learner.params[path], weight, rtol=1e-4, atol=1e-6)
