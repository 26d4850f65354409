"""Synchronous replicas are equivalent to one process with the full batch."""

import os
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tests.forking import Forked
from tests.trainer.training.runners import replicas
from trainer.cli import UserError
from trainer.cluster import environment
from trainer.cluster.environment import Task
from trainer.cluster.local import free_ports
from trainer.data.pipeline import input_pipeline
from trainer.training.runners.synchronous import check_batch
from trainer.training.train_state import TrainState


@pytest.fixture(scope="module")
def one_process() -> dict[str, np.ndarray]:
    """Run the same steps in one process: the sums over tokens of each batch's halves are added and divided once."""
    train_state, wanted = TrainState(replicas.wanted()), replicas.wanted()
    paths, losses = list(train_state.params), []
    for step in range(replicas.STEPS):
        sums = [np.zeros(v.shape) for v in train_state.params.values()]
        moves = {path: np.zeros(v.shape) for path, v in train_state.state.items()}
        total = loss_sum = 0.0
        for i in range(2):
            batch = input_pipeline.training_batch(
                replicas.images(), wanted, tf.constant(step, tf.int64), index=i, slices=2
            )
            with tf.GradientTape() as tape:
                weights = {path: tf.convert_to_tensor(v) for path, v in train_state.params.items()}
                tape.watch(list(weights.values()))
                before = {path: tf.convert_to_tensor(v) for path, v in train_state.state.items()}
                loss = train_state.loss(weights, before, batch, tf.constant(0))
            gradients = tape.gradient(loss.mean, list(weights.values()))
            weight = float(loss.weight)
            sums = [s + tf.convert_to_tensor(g).numpy() * weight for s, g in zip(sums, gradients, strict=True)]
            moves = {path: m + (loss.next_state[path] - before[path]).numpy() / 2 for path, m in moves.items()}
            total, loss_sum = total + weight, loss_sum + float(loss.mean) * weight
        mean = {path: tf.constant(s / total, tf.float32) for path, s in zip(paths, sums, strict=True)}
        train_state.optimizer.apply(mean, train_state.params, train_state.step)
        for path, move in moves.items():
            train_state.state[path].assign_add(move)
        train_state.step.assign_add(1)
        losses.append(loss_sum / total)
    return {"loss": np.asarray(np.mean(losses)), **replicas.values(train_state)}


def assert_same(found: dict[str, np.ndarray], wanted: dict[str, np.ndarray]) -> None:
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        scale = max(1.0, float(np.abs(value).max()))
        np.testing.assert_allclose(found[name] / scale, value / scale, atol=1e-5, err_msg=name)


@pytest.mark.slow
def test_two_devices_of_one_host_train_like_one_process(one_process: dict[str, np.ndarray], tmp_path: Path) -> None:
    process = Forked(replicas.__name__, [str(tmp_path / "out.npz")], dict(os.environ))
    assert process.wait(timeout=300) == 0, process.stdout.read()
    assert_same(dict(np.load(tmp_path / "out.npz")), one_process)


def statuses_of_two_workers(*arguments: str) -> list[int]:
    jobs = {"worker": tuple(f"127.0.0.1:{port}" for port in free_ports(2))}
    variables = [environment.child_environment(Task("worker", i, jobs)) for i in range(2)]
    processes = [Forked(replicas.__name__, [*arguments], of_one) for of_one in variables]
    statuses = [process.wait(timeout=300) for process in processes]
    print(*(process.stdout.read() for process in processes))
    return statuses


@pytest.mark.slow
def test_two_workers_train_like_one_process(one_process: dict[str, np.ndarray], tmp_path: Path) -> None:
    assert statuses_of_two_workers(str(tmp_path / "out.npz")) == [0, 0]
    assert_same(dict(np.load(tmp_path / "out.npz")), one_process)


@pytest.mark.slow
def test_who_is_left_alone_at_the_very_end_has_lost_nothing(tmp_path: Path) -> None:
    assert statuses_of_two_workers(str(tmp_path / "out.npz"), "early") == [0, 0]


@pytest.mark.parametrize("slices", [1, 2, 4, 8])
def test_slices_are_the_batch_and_each_image_is_seen_once_an_epoch(slices: int) -> None:
    wanted, images = replicas.wanted(), replicas.images()
    numbered = np.zeros_like(images.tokens)
    numbered[:, 0] = np.arange(replicas.COUNT)
    object.__setattr__(images, "tokens", numbered)
    seen: list[int] = []
    for step in range(replicas.COUNT):  # as many images as batch_size epochs
        number = tf.constant(step, tf.int64)
        parts = [
            input_pipeline.training_batch(images, wanted, number, index=i, slices=slices)["tokens"][:, 0]
            for i in range(slices)
        ]
        seen += np.stack(parts, axis=1).ravel().tolist()  # every `slices`-th image of the batch is in a slice
    epochs = [seen[i : i + replicas.COUNT] for i in range(0, len(seen), replicas.COUNT)]
    assert all(sorted(epoch) == list(range(replicas.COUNT)) for epoch in epochs)
    assert epochs[0] != epochs[1]


def test_a_batch_that_replicas_cannot_share_is_refused() -> None:
    with pytest.raises(UserError, match=r"multiple of the 3 replicas: use --set data.batch_size=6 or 9"):
        check_batch(replicas.wanted(), 3)
    check_batch(replicas.wanted(), 4)
