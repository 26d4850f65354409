"""The named experiments. Each docstring gives its command, and what to expect of it."""

from collections.abc import Callable
from dataclasses import replace

from trainer.cli import UserError
from trainer.config import Config, Data, Model, Train


def compact() -> Config:
    """Our default: a small residual encoder that keeps its feature map, an attention LSTM over it.

    `python -m trainer.train --experiment compact --data data/svhn data/synthetic --workdir runs/first`
    """
    return Config(experiment="compact")


def demo() -> Config:
    """`compact` in the minutes that `make demo` has on two CPU cores."""
    base = compact()
    return replace(
        base,
        experiment="demo",
        model=replace(base.model, image_height=48, image_width=80, widths=(32, 48, 96, 128)),
        train=replace(base.train, steps=1_800, checkpoint_every=300, evaluate_every=600),
    )


def released() -> Config:
    """The recipe of the model that ships with the package; `make release` prepares its data and runs it.

    Half of each batch are real photos and numbers cut from real photos, far more often than their sizes would give;
    the rest is drawn, or put together from real digits, and keeps the network from learning the few photos by heart.
    """
    base = compact()
    return replace(
        base,
        experiment="released",
        model=replace(base.model, dropout=0.2),
        distortion=replace(base.distortion, scale=(0.75, 1.15), invert=0.15, coarsen=0.2),
        data=replace(base.data, shares=(0.30, 0.25, 0.03, 0.27, 0.15)),
        optimizer=replace(base.optimizer, weight_decay=0.02),
        train=replace(base.train, steps=10_000),
    )


def smoke() -> Config:
    """Seconds, not accuracy: a tiny `compact` for tests and for trying a data set.

    `python -m trainer.train --experiment smoke --data data/svhn --workdir runs/smoke`
    """
    return Config(
        experiment="smoke",
        model=Model(
            image_height=16,
            image_width=32,
            widths=(4, 8),
            strides=(2, 2),
            attention_units=8,
            lstm_units=8,
            embedding_units=4,
        ),
        data=Data(batch_size=8, eval_batch_size=16),
        train=Train(steps=20, log_every=5, checkpoint_every=10, evaluate_every=10),
    )


def find(name: str) -> Config:
    """The experiment of that name.

    Raises:
      UserError: there is none; it lists those that there are.
    """
    known: dict[str, Callable[[], Config]] = {f.__name__: f for f in (compact, demo, released, smoke)}
    if name not in known:
        raise UserError(f"there is no experiment {name!r}; choose one of {', '.join(known)}")
    return known[name]()
