"""The optimizers against the formulas of the papers, in NumPy."""

import numpy as np
import pytest
import tensorflow as tf

from trainer.config.schema import Optimizer
from trainer.training.optimizer import FusedOptimizer


def rates(config: Optimizer, steps: list[int], total_steps: int = 1000) -> list[float]:
    optimizer = FusedOptimizer(config, {}, total_steps=total_steps)
    return [float(optimizer.learning_rate(tf.constant(step, tf.int64))) for step in steps]


def test_a_cosine_rises_then_falls_to_zero() -> None:
    found = rates(Optimizer(learning_rate=3e-3, warmup_steps=200), [0, 99, 199, 600, 1000])
    assert found == pytest.approx([3e-3 / 200, 3e-3 / 2, 3e-3, 3e-3 / 2, 0], abs=1e-9)


def test_a_staircase_falls_by_its_rate_at_each_stair() -> None:
    config = Optimizer(learning_rate=0.01, schedule="staircase", warmup_steps=0)
    found = rates(config, [0, 9_999, 10_000, 19_999, 20_000, 100_000])
    assert found == pytest.approx([0.01, 0.01, 0.009, 0.009, 0.0081, 0.01 * 0.9**10])


def test_a_constant_stays_once_it_is_warm() -> None:
    config = Optimizer(learning_rate=0.01, schedule="constant", warmup_steps=10)
    assert rates(config, [0, 4, 9, 5_000]) == pytest.approx([0.001, 0.005, 0.01, 0.01])


class Expected:
    """Update one weight matrix by the formulas, in float64."""

    def __init__(self, config: Optimizer, weight: np.ndarray) -> None:
        self.config, self.weight, self.average = config, weight, weight
        self.first = self.second = np.zeros_like(weight)

    def update(self, gradient: np.ndarray, step: int) -> None:
        config, rate = self.config, self.config.learning_rate
        if config.clip_norm:
            gradient = gradient * min(1.0, config.clip_norm / np.sqrt(np.sum(gradient**2)))
        self.weight = self.weight - rate * config.weight_decay * self.weight
        if config.name == "adamw":
            self.first = config.beta1 * self.first + (1 - config.beta1) * gradient
            self.second = config.beta2 * self.second + (1 - config.beta2) * gradient**2
            mean = self.first / (1 - config.beta1 ** (step + 1))
            variance = self.second / (1 - config.beta2 ** (step + 1))
            self.weight = self.weight - rate * mean / (np.sqrt(variance) + config.epsilon)
        elif config.name == "momentum":
            self.first = config.momentum * self.first + gradient
            self.weight = self.weight - rate * self.first
        else:
            self.weight = self.weight - rate * gradient
        decay = min(config.ema_decay, (1 + step) / (10 + step))
        self.average = decay * self.average + (1 - decay) * self.weight


@pytest.mark.parametrize("clip_norm", [0.0, 1.5])
@pytest.mark.parametrize(
    ("name", "slots"),
    [("adamw", {"moment1/kernel", "moment2/kernel"}), ("momentum", {"momentum/kernel"}), ("sgd", set())],
)
def test_a_few_steps_are_those_of_the_formulas(name: str, slots: set[str], clip_norm: float) -> None:
    config = Optimizer(
        name=name,  # type: ignore[arg-type]
        learning_rate=0.05,
        schedule="constant",
        warmup_steps=0,
        weight_decay=0.1,
        clip_norm=clip_norm,
    )
    rng = np.random.default_rng(0)
    expected = Expected(config, rng.normal(size=(4, 3)))
    params = {"kernel": tf.Variable(expected.weight, dtype=tf.float32)}
    optimizer = FusedOptimizer(config, params, total_steps=100)
    assert set(optimizer.slots) == slots
    for step in range(5):
        gradient = rng.normal(size=(4, 3))
        expected.update(gradient, step)
        figures = optimizer.apply({"kernel": tf.constant(gradient, tf.float32)}, params, tf.constant(step, tf.int64))
        assert float(figures["gradient_norm"]) == pytest.approx(np.sqrt(np.sum(gradient**2)), rel=1e-5)
        np.testing.assert_allclose(params["kernel"], expected.weight, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(optimizer.averages["kernel"], expected.average, rtol=1e-4, atol=1e-6)


def test_scales_and_biases_do_not_decay() -> None:
    config = Optimizer(name="sgd", weight_decay=0.5, ema_decay=0)
    params = {"bias": tf.Variable([1.0, 2.0])}
    optimizer = FusedOptimizer(config, params, total_steps=10)
    optimizer.apply({"bias": tf.zeros(2)}, params, tf.constant(0))
    np.testing.assert_array_equal(params["bias"], [1, 2])
    assert not optimizer.averages
