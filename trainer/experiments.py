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
        train=replace(base.train, steps=1_800, checkpoint_every=300, evaluate_every=600),
    )


def smoke() -> Config:
    """Seconds, not accuracy: a tiny `compact` for tests and for trying a data set.

    `python -m trainer.train --experiment smoke --data data/svhn --workdir runs/smoke`
    """
    return Config(
        experiment="smoke",
        model=Model(image_height=16, image_width=32, widths=(4, 8), attention_units=8, lstm_units=8, embedding_units=4),
        data=Data(batch_size=8, eval_batch_size=16),
        train=Train(steps=20, log_every=5, checkpoint_every=10, evaluate_every=10),
    )


def find(name: str) -> Config:
    """The experiment of that name.

    Raises:
      UserError: there is none; it lists those that there are.
    """
    known: dict[str, Callable[[], Config]] = {f.__name__: f for f in (compact, demo, smoke)}
    if name not in known:
        raise UserError(f"there is no experiment {name!r}; choose one of {', '.join(known)}")
    return known[name]()
