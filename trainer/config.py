"""Everything that an experiment can set: frozen dataclasses, checked, as JSON, changed by `--set`."""

import dataclasses
import json
import math
from dataclasses import dataclass, field
from typing import Any, Literal

from trainer import typed
from trainer.cli import UserError
from trainer.vocab import DIGITS


@dataclass(frozen=True)
class Model:
    """The recogniser. Sizes in pixels, widths in channels or units. What a model does not have, it ignores."""

    name: Literal["compact", "five_heads", "svhn_rnn"] = "compact"
    alphabet: str = DIGITS
    max_length: int = 5  # the longest number that can be read, in characters
    image_height: int = 56
    image_width: int = 96
    crop: tuple[int, ...] = ()  # height and width cut out of the picture, at random in training; empty: the whole
    widths: tuple[int, ...] = (32, 48, 96, 144)
    strides: tuple[int, ...] = (2, 2, 2, 1)  # of the stages of `widths`; their product is the map's pixel size
    attention_units: int = 128
    lstm_units: int = 128
    embedding_units: int = 32
    dense_units: tuple[int, ...] = (512,)  # five_heads, svhn_rnn: layers between the feature map and what reads it
    dropout: float = 0.1
    lstm_dropout: float = 0.3  # svhn_rnn: of the LSTM's inputs and outputs
    image_at_every_step: bool = False  # svhn_rnn: show the LSTM the image with each character, not only first

    @property
    def input_size(self) -> tuple[int, int]:
        """Height and width of what the encoder sees."""
        return (self.crop[0], self.crop[1]) if self.crop else (self.image_height, self.image_width)

    @property
    def map_size(self) -> tuple[int, int]:
        """Rows and columns of the encoder's last map."""
        rows, columns = self.input_size
        for stride in self.strides:
            rows, columns = -(-rows // stride), -(-columns // stride)
        return rows, columns

    def __post_init__(self) -> None:
        """Checks what the types do not.

        Raises:
          UserError: the picture is too small for the crop, or for the stages.
        """
        sides = {"image_height": self.image_height, "image_width": self.image_width}
        if self.crop and (
            len(self.crop) != 2 or not all(0 < c <= s for c, s in zip(self.crop, sides.values(), strict=True))
        ):
            raise UserError(
                f"model.crop={list(self.crop)}: give height and width, at most those of the picture, "
                f"{list(sides.values())}, or [] for the whole"
            )
        if len(self.strides) != len(self.widths):
            raise UserError(f"model.strides={list(self.strides)}: it must have one entry for each of model.widths")
        stride = math.prod(self.strides)
        if min(self.input_size) < stride:
            cropped = f" and model.crop={list(self.crop)}" if self.crop else ""
            raise UserError(
                f"{', '.join(f'model.{name}={side}' for name, side in sides.items())}{cropped}: "
                f"each must be at least {stride}, the product of model.strides"
            )


@dataclass(frozen=True)
class Distortion:
    """Random changes of training pictures; the colour ranges are in `photometric`."""

    colour: bool = True
    rotate_degrees: float = 7.0
    shear: float = 0.15  # horizontal shift per unit of height
    climb: float = 0.0  # vertical shift per unit of width, as of numbers whose digits stand one above the other
    scale: tuple[float, float] = (0.85, 1.15)
    stretch: float = 0.15  # width against height, +- as a share
    shift: float = 0.06  # share of the picture's side
    perspective: float = 0.05  # share by which one side may shrink against its opposite
    noise: float = 6.0  # largest standard deviation of pixel noise, of 255
    invert: float = 0.0  # share of the pictures that become negatives
    coarsen: float = 0.0  # share of the pictures that are shrunk and enlarged again, as photos of far numbers are


@dataclass(frozen=True)
class Data:
    """Input. Where no dataset has a validation split, a share of the keys is held out of training."""

    batch_size: int = 128
    eval_batch_size: int = 128
    shares: tuple[float, ...] = ()  # of each batch, one for each --data folder; none: by their sizes
    holdout: float = 0.05
    holdout_max: int = 1000
    memory_gb: float = 8.0  # pictures are held decoded in memory up to this size, else encoded


@dataclass(frozen=True)
class Optimizer:
    """The update of the weights, and its learning rate: a linear warm-up, then a schedule, in steps."""

    name: Literal["adamw", "momentum", "sgd"] = "adamw"
    learning_rate: float = 3e-3
    schedule: Literal["cosine", "staircase", "constant"] = "cosine"  # cosine falls to zero at train.steps
    warmup_steps: int = 200
    decay_rate: float = 0.9  # staircase: by this factor
    decay_steps: int = 10_000  # staircase: each time so many steps were made, those of the warm-up included
    weight_decay: float = 1e-4  # decoupled from the gradient, a share of the learning rate
    beta1: float = 0.9  # adamw
    beta2: float = 0.98  # adamw
    epsilon: float = 1e-8  # adamw
    momentum: float = 0.9  # momentum
    clip_norm: float = 5.0  # of all gradients together; 0 turns it off
    label_smoothing: float = 0.05
    ema_decay: float = 0.999  # moving-average weights, used wherever numbers are read; 0 turns it off


@dataclass(frozen=True)
class Train:
    """The run: lengths and intervals in steps."""

    steps: int = 3_000
    log_every: int = 100
    checkpoint_every: int = 500
    checkpoint_seconds: float = 0.0  # also when so much time has passed; 0 means never
    evaluate_every: int = 500
    patience: int = 0  # evaluations without a better one before stopping early; 0 means never
    keep_checkpoints: int = 3
    jit_compile: bool = False  # the step by XLA; on CPUs training takes twice as long with it, and more
    profile_after: int = 0  # steps after which the profiler watches one log interval; 0 means never


@dataclass(frozen=True)
class Decode:
    """How numbers are read."""

    beam_width: int = 3  # candidates that beam search follows, and so how many are returned
    views: tuple[float, ...] = (1.0,)  # zooms in which each picture is read; their log probabilities are averaged
    tilts: tuple[float, ...] = ()  # degrees by which one more view each is turned, clockwise
    closer: bool = False  # one more view, cut to what was attended to; for models with attention


@dataclass(frozen=True)
class TensorBoard:
    """What is written for TensorBoard, each `every` steps; what is off by default costs seconds each time."""

    scalars: bool = True
    images: bool = True  # training pictures before and after distortion
    hparams: bool = True
    histograms: bool = False  # of weights and gradients
    graph: bool = False  # of the training step, once a start
    projector: bool = False  # validation pictures by their embedding
    every: int = 1_000
    pictures: int = 8
    embedded: int = 1_000  # pictures in the projector at most


@dataclass(frozen=True)
class Config:
    """One experiment. `seed` fixes initial weights, the order of examples, distortion and dropout.

    `precision` is what the layers compute in; variables, checkpoints, logits and the loss are float32 in any case.
    bfloat16 pays on GPUs and on CPUs with AMX; on others it takes longer.
    """

    experiment: str
    seed: int = 0
    precision: Literal["float32", "mixed_bfloat16"] = "float32"
    model: Model = field(default_factory=Model)
    distortion: Distortion = field(default_factory=Distortion)
    data: Data = field(default_factory=Data)
    optimizer: Optimizer = field(default_factory=Optimizer)
    train: Train = field(default_factory=Train)
    decode: Decode = field(default_factory=Decode)
    tensorboard: TensorBoard = field(default_factory=TensorBoard)

    def __post_init__(self) -> None:
        """Checks what the types do not.

        Raises:
          UserError: a value is out of range.
        """
        at_least_one = {
            "model.max_length": self.model.max_length,
            "data.batch_size": self.data.batch_size,
            "data.eval_batch_size": self.data.eval_batch_size,
            "optimizer.decay_steps": self.optimizer.decay_steps,
            "train.steps": self.train.steps,
            "train.log_every": self.train.log_every,
            "train.checkpoint_every": self.train.checkpoint_every,
            "train.evaluate_every": self.train.evaluate_every,
            "train.keep_checkpoints": self.train.keep_checkpoints,
            "decode.beam_width": self.decode.beam_width,
            "tensorboard.every": self.tensorboard.every,
            "tensorboard.pictures": self.tensorboard.pictures,
            "tensorboard.embedded": self.tensorboard.embedded,
        }
        for key, value in at_least_one.items():
            if value < 1:
                raise UserError(f"{key}={value}: it must be at least 1")
        shares = {
            "model.dropout": self.model.dropout,
            "model.lstm_dropout": self.model.lstm_dropout,
            "data.holdout": self.data.holdout,
            "optimizer.label_smoothing": self.optimizer.label_smoothing,
            "optimizer.ema_decay": self.optimizer.ema_decay,
            "optimizer.momentum": self.optimizer.momentum,
        }
        for key, share in shares.items():
            if not 0 <= share < 1:
                raise UserError(f"{key}={share}: it must be at least 0 and below 1")
        if self.decode.closer and (self.model.name != "compact" or self.model.crop):
            raise UserError(
                "decode.closer=true: only compact without model.crop attends to places of the whole picture"
            )
        if not self.decode.views or any(zoom <= 0 for zoom in self.decode.views):
            raise UserError(f"decode.views={list(self.decode.views)}: give at least one zoom, each above 0, e.g. [1.0]")
        if any(share <= 0 for share in self.data.shares):
            raise UserError(f"data.shares={list(self.data.shares)}: each must be above 0; leave a dataset out instead")

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self), indent=2) + "\n"


def from_json(text: str) -> Config:
    """Reads what `Config.to_json` wrote.

    Raises:
      UserError: a key is unknown, or a value is of the wrong type.
    """
    return typed.build(Config, json.loads(text))


def override(config: Config, settings: list[str]) -> Config:
    """Applies `--set` values, e.g. `optimizer.learning_rate=1e-3`; lists and strings as in JSON.

    Raises:
      UserError: a setting is not `key=value`, the key is unknown, or the value is of the wrong type.
    """
    raw = dataclasses.asdict(config)
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals:
            raise UserError(f"--set {setting}: write it as key=value, e.g. --set train.steps=2000")
        *groups, leaf = key.split(".")
        target: Any = raw
        for name in groups:
            target = target.get(name) if isinstance(target, dict) else None
        if not isinstance(target, dict) or leaf not in target or isinstance(target[leaf], dict):
            raise UserError(f"--set {setting}: there is no {key!r}; {typed.nearest(key, raw)}")
        try:
            target[leaf] = json.loads(text)
        except json.JSONDecodeError:
            target[leaf] = text
        if isinstance(getattr(_find(config, groups), leaf), str):
            target[leaf] = text  # an alphabet of digits is no number
    return typed.build(Config, raw)


def keys(config: Config) -> list[str]:
    """The names of all settings, as `override` takes them."""
    return list(typed.leaves(dataclasses.asdict(config)))


def _find(config: Any, names: list[str]) -> Any:
    for name in names:
        config = getattr(config, name)
    return config
