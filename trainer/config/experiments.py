"""The named experiments. Each docstring gives its command and what to expect."""

from collections.abc import Callable
from dataclasses import replace

from trainer.cli import UserError
from trainer.config.model import Model
from trainer.config.schema import Config, Data, Distortion, Optimizer, Train


def compact() -> Config:
    """The default: a small residual encoder that keeps its feature map, and an attention LSTM over it.

    `python -m trainer.train --experiment compact --data data/svhn data/synthetic --workdir runs/first`
    """
    return Config(experiment="compact")


def five_heads() -> Config:
    """The other classic design, on the encoder of `compact`: one classifier per position and one for the length.

    `python -m trainer.train --experiment five_heads --data data/svhn data/synthetic --workdir runs/five_heads`
    """
    base = compact()
    return replace(base, experiment="five_heads", model=replace(base.model, name="five_heads", strides=(2, 2, 2, 2)))


def svhn_rnn() -> Config:
    """The reference network, trained like the reference: until 100 validations in a row bring no improvement.

    `python -m trainer.train --experiment svhn_rnn --data data/svhn data/synthetic --workdir runs/svhn_rnn`

    24.9 million weights, 1.2 GFLOP per image, 27 examples per second on two CPU cores; the best
    checkpoint is kept. It learns many times faster with `--set model.image_at_every_step=true`.
    """
    return Config(
        experiment="svhn_rnn",
        model=Model(
            name="svhn_rnn",
            image_height=64,
            image_width=64,
            crop=(54, 54),
            widths=(48, 64, 128, 160, 192, 192, 192, 192),
            strides=(2, 1, 2, 1, 2, 1, 2, 1),
            dense_units=(3072, 3072),
            embedding_units=512,
            lstm_units=64,
            dropout=0.2,
            lstm_dropout=0.3,
        ),
        distortion=Distortion(
            colour=True,
            rotate_degrees=0.0,
            shear=0.0,
            scale=(1.0, 1.0),
            stretch=0.0,
            shift=0.0,
            perspective=0.0,
            noise=0.0,
        ),
        data=Data(batch_size=32, eval_batch_size=128),
        optimizer=Optimizer(
            name="sgd",
            learning_rate=1e-2,
            schedule="staircase",
            warmup_steps=0,
            decay_rate=0.9,
            decay_steps=10_000,
            weight_decay=0.0,
            label_smoothing=0.0,
            ema_decay=0.0,
        ),
        train=Train(steps=1_000_000, log_every=100, checkpoint_every=1_000, evaluate_every=1_000, patience=100),
    )


def demo() -> Config:
    """`compact` for the few minutes of `make demo` on two CPU cores: a smaller model and weaker distortion."""
    base = compact()
    return replace(
        base,
        experiment="demo",
        model=replace(base.model, image_height=48, image_width=80, widths=(32, 48, 96, 128)),
        distortion=replace(
            base.distortion,
            rotate_degrees=4.0,
            shear=0.08,
            scale=(0.92, 1.08),
            stretch=0.08,
            perspective=0.03,
            noise=3.0,
        ),
        train=replace(base.train, steps=1_120, checkpoint_every=280, evaluate_every=560),
        decode=replace(base.decode, views=(0.9, 1.0, 1.1), closer=True),
    )


def released() -> Config:
    """The first stage of the recipe of the model that ships with the package; `make release` runs both stages.

    Half of each batch is real photos and numbers cut from real photos, far more than in proportion to the sizes of
    these datasets. The rest is drawn, or assembled from real digits, and keeps the network from overfitting the few
    photos.
    """
    base = compact()
    return replace(
        base,
        experiment="released",
        model=replace(base.model, dropout=0.2),
        distortion=replace(base.distortion, scale=(0.65, 1.15), invert=0.15, coarsen=0.2),
        data=replace(base.data, shares=(0.30, 0.25, 0.03, 0.27, 0.15)),
        optimizer=replace(base.optimizer, weight_decay=0.02),
        train=replace(base.train, steps=8_000),
        decode=replace(base.decode, views=(0.8, 0.9, 1.0, 1.1, 1.2), closer=True),
    )


def released_stage2() -> Config:
    """The second stage of the recipe of the released model: numbers that are rotated more, or climb more steeply.

    It starts with the weights of the first stage: `--init-from runs/released`.
    """
    base = released()
    return replace(
        base,
        experiment="released_stage2",
        distortion=replace(base.distortion, rotate_degrees=15.0, climb=0.2),
        optimizer=replace(base.optimizer, learning_rate=1.5e-3, warmup_steps=100),
        train=replace(base.train, steps=2_500, checkpoint_every=250),
    )


def photo_reader() -> Config:
    """The recogniser that reads the numbers found by the released finder; `make finder` trains both.

    It starts with the weights of `released`. A third of each batch is regions cut out of scenes: numbers in inexact
    boxes, stacked digits as they are or laid side by side, and regions without a number, where the text is empty.
    """
    base = released_stage2()
    return replace(
        base,
        experiment="photo_reader",
        data=replace(base.data, shares=(0.22, 0.18, 0.03, 0.17, 0.08, 0.32)),
        optimizer=replace(base.optimizer, learning_rate=2e-3),
        train=replace(base.train, steps=6_000, checkpoint_every=500),
        decode=replace(base.decode, views=(1.0,), closer=False, empty=True),
    )


def free() -> Config:
    """The recogniser `free`, trained only on data that allows commercial use; `make free` makes the data.

    Drawn numbers, MNIST's digits, and regions cut out of drawn scenes; it has seen no photo.
    """
    base = photo_reader()
    return replace(
        base,
        experiment="free",
        model=replace(base.model, image_height=56, image_width=96),
        data=replace(base.data, shares=(0.45, 0.15, 0.40)),
        optimizer=replace(base.optimizer, learning_rate=3e-3, warmup_steps=200),
        train=replace(base.train, steps=12_000),
        decode=replace(base.decode, views=(0.8, 0.9, 1.0, 1.1, 1.2), closer=True),
    )


def finder() -> Config:
    """The finder, which locates the numbers in a photo; a recogniser then reads them.

    `python -m trainer.train --experiment finder --data data/scenes --workdir runs/finder`
    """
    return Config(
        experiment="finder",
        model=Model(
            name="finder",
            image_height=384,
            image_width=384,
            widths=(16, 32, 48, 96, 128),
            strides=(2, 2, 2, 2, 2),
            blocks=(0, 1, 2, 2),
        ),
        distortion=Distortion(
            rotate_degrees=8.0,
            shear=0.1,
            scale=(0.6, 1.4),
            stretch=0.2,
            shift=0.2,
            perspective=0.05,
            invert=0.05,
            coarsen=0.15,
        ),
        data=Data(batch_size=16, eval_batch_size=16),
        optimizer=Optimizer(learning_rate=2e-3, weight_decay=0.02),
        train=Train(steps=20_000, checkpoint_every=500, evaluate_every=1_000),
    )


def smoke() -> Config:
    """A tiny `compact` that trains in seconds, for tests and for trying out a dataset; it is not accurate.

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


FORMER_NAMES = {"tilted": "released_stage2"}


def find(name: str) -> Config:
    """Return the experiment with that name or former name.

    Raises:
      UserError: it does not exist; the message lists the existing ones.
    """
    named = (compact, five_heads, svhn_rnn, demo, released, released_stage2, photo_reader, free, finder, smoke)
    known: dict[str, Callable[[], Config]] = {f.__name__: f for f in named}
    name = FORMER_NAMES.get(name, name)
    if name not in known:
        raise UserError(f"the experiment {name!r} does not exist; choose one of {', '.join(known)}")
    return known[name]()
