"""All settings of an experiment: frozen dataclasses that are checked, stored as JSON and overridden by `--set`."""

import dataclasses
import functools
import json
import math
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from trainer.cli import UserError
from trainer.config import typed
from trainer.config.typed import Items, Range
from trainer.vocab import DIGITS, Vocab

# Bounds beyond which nothing can work: TensorFlow's 32-bit integers, and sizes that would fill any memory.
Steps = Annotated[int, Range(1, 2**31 - 1)]
StepsOrNone = Annotated[int, Range(0, 2**31 - 1)]
Side = Annotated[int, Range(1, 4096)]
Units = Annotated[int, Range(1, 16_384)]
Layers = Annotated[tuple[Units, ...], Items(0)]
BatchSize = Annotated[int, Range(1, 65_536)]
LARGEST = 1e12  # no setting is sensible above
Share = Annotated[float, Range(0, 1)]
ShareBelowOne = Annotated[float, Range(0, 1, below=True)]
Positive = Annotated[float, Range(0, LARGEST, above=True)]
NotNegative = Annotated[float, Range(0, LARGEST)]
Degrees = Annotated[float, Range(-360, 360)]
Extent = Annotated[float, Range(0, 10)]
Zoom = Annotated[float, Range(0, 100, above=True)]
WEIGHTS = 2**31 - 1  # in one matrix


class _Group:
    """A group of settings, named after its class: each must be within the bounds of its type."""

    def __post_init__(self) -> None:
        typed.check(self, f"{type(self).__name__.lower()}.")


@dataclass(frozen=True)
class Model(_Group):
    """The recogniser, or the finder: sizes are in pixels, widths in channels or units.

    A model ignores settings of other models.
    """

    name: Literal["compact", "five_heads", "svhn_rnn", "finder"] = "compact"
    alphabet: str = DIGITS
    max_length: Annotated[int, Range(1, 256)] = 5  # the longest number that can be read, in characters
    image_height: Side = 56
    image_width: Side = 96
    crop: tuple[Side, ...] = ()  # height and width of the crop, random in training; empty: the whole image
    widths: Annotated[tuple[Side, ...], Items(1)] = (32, 48, 96, 144)
    strides: tuple[Side, ...] = (
        2,
        2,
        2,
        1,
    )  # of the stages of `widths`; their product is the size of a map cell in pixels
    blocks: tuple[Annotated[int, Range(0, 100)], ...] = ()  # finder: residual blocks of each width but the first
    neck_units: Units = 48  # finder: channels of the maps that are merged
    attention_units: Units = 128
    lstm_units: Units = 128
    embedding_units: Units = 32
    dense_units: Layers = (512,)  # five_heads, svhn_rnn: layers between the feature map and the decoder
    dropout: ShareBelowOne = 0.1
    lstm_dropout: ShareBelowOne = 0.3  # svhn_rnn: of the LSTM's inputs and outputs
    image_at_every_step: bool = False  # svhn_rnn: feed the LSTM the image at every step, not only the first

    @property
    def finds(self) -> bool:
        """Whether it finds numbers in photos, rather than reading one."""
        return self.name == "finder"

    @property
    def measure(self) -> str:
        """The name of the validation figure that the best checkpoint has the highest of."""
        return "f1" if self.finds else "sequence_accuracy"

    @property
    def input_size(self) -> tuple[int, int]:
        """Height and width of the encoder's input."""
        return (self.crop[0], self.crop[1]) if self.crop else (self.image_height, self.image_width)

    @property
    def map_size(self) -> tuple[int, int]:
        """Rows and columns of the encoder's last feature map."""
        rows, columns = self.input_size
        for stride in self.strides:
            rows, columns = -(-rows // stride), -(-columns // stride)
        return rows, columns

    def __post_init__(self) -> None:
        """Check what the types cannot.

        Raises:
          UserError: the alphabet is invalid, or the image is too small for the crop or the strides.
        """
        super().__post_init__()
        try:
            Vocab(self.alphabet)
        except ValueError as error:
            raise UserError(f"model.alphabet={typed.shown(self.alphabet)}: {error}") from error
        sides = {"image_height": self.image_height, "image_width": self.image_width}
        if self.crop and (
            len(self.crop) != 2 or not all(0 < c <= s for c, s in zip(self.crop, sides.values(), strict=True))
        ):
            raise UserError(
                f"model.crop={list(self.crop)}: give height and width, at most those of the image, "
                f"{list(sides.values())}, or [] for the whole image"
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
        if self.finds:
            self._check_finder()
        units = self.attention_units if self.name == "compact" else self.widths[-1] * max(self.dense_units, default=1)
        if (weights := math.prod(self.map_size) * units) > WEIGHTS:
            raise UserError(
                f"model.strides={list(self.strides)}: they give a map of {' x '.join(map(str, self.map_size))}, whose "
                f"{weights:,} weights are too many: give larger strides or smaller images"
            )

    def _check_finder(self) -> None:
        if self.strides != (2,) * 5 or len(self.blocks) != len(self.widths) - 1:
            raise UserError(
                f"model.strides={list(self.strides)}, model.blocks={list(self.blocks)}: a finder has five strides "
                "of 2, five widths, and four numbers of blocks"
            )
        if self.image_height % 32 or self.image_width % 32 or self.crop:
            raise UserError(
                f"model.image_height={self.image_height}, model.image_width={self.image_width}, model.crop="
                f"{list(self.crop)}: the sides of a finder's input must be multiples of 32, without a crop"
            )


@dataclass(frozen=True)
class Distortion(_Group):
    """Random changes of training images; the colour ranges are in `photometric`."""

    colour: bool = True
    rotate_degrees: Annotated[float, Range(0, 360)] = 7.0
    shear: Extent = 0.15  # horizontal shift per unit of height
    climb: Extent = 0.0  # vertical shift per unit of width, as in numbers whose digits are stacked
    scale: tuple[Zoom, Zoom] = (0.85, 1.15)
    stretch: ShareBelowOne = 0.15  # relative change of width against height, +-
    shift: Extent = 0.06  # fraction of the image's side
    perspective: ShareBelowOne = 0.05  # fraction by which one side may shrink relative to its opposite
    noise: Annotated[float, Range(0, 255)] = 6.0  # largest standard deviation of pixel noise, out of 255
    invert: Share = 0.0  # fraction of the images that become negatives
    coarsen: Share = 0.0  # fraction of the images that are shrunk and enlarged again, like photos of distant numbers

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.scale[0] > self.scale[1]:
            raise UserError(f"distortion.scale={list(self.scale)}: give the smaller one first, e.g. [0.85,1.15]")


@dataclass(frozen=True)
class Data(_Group):
    """The input. If no dataset has a validation split, a fraction of the keys is held out of training."""

    batch_size: BatchSize = 128
    eval_batch_size: BatchSize = 128
    shares: tuple[Positive, ...] = ()  # of each batch, one per --data folder; empty: all datasets shuffled together
    holdout: ShareBelowOne = 0.05
    holdout_max: StepsOrNone = 1000
    memory_gb: NotNegative = 8.0  # images are kept decoded in memory up to this total size, else encoded


@dataclass(frozen=True)
class Optimizer(_Group):
    """The optimizer and its learning rate: a linear warm-up, then a schedule, in steps."""

    name: Literal["adamw", "momentum", "sgd"] = "adamw"
    learning_rate: NotNegative = 3e-3
    schedule: Literal["cosine", "staircase", "constant"] = "cosine"  # cosine falls to zero at train.steps
    warmup_steps: StepsOrNone = 200
    decay_rate: Annotated[float, Range(0, 10, above=True)] = 0.9  # staircase: the factor of each decay
    decay_steps: Steps = 10_000  # staircase: steps between decays, counted from step 0, warm-up included
    weight_decay: NotNegative = 1e-4  # decoupled from the gradient, multiplied by the learning rate
    beta1: ShareBelowOne = 0.9  # adamw
    beta2: ShareBelowOne = 0.98  # adamw
    epsilon: Positive = 1e-8  # adamw
    momentum: ShareBelowOne = 0.9  # momentum
    clip_norm: NotNegative = 5.0  # largest norm of all gradients together; 0 turns it off
    label_smoothing: ShareBelowOne = 0.05
    ema_decay: ShareBelowOne = 0.999  # moving-average weights, used for all decoding; 0 turns it off


@dataclass(frozen=True)
class Train(_Group):
    """The run: lengths and intervals in steps."""

    steps: Steps = 3_000
    log_every: Steps = 100
    checkpoint_every: Steps = 500
    checkpoint_seconds: NotNegative = 0.0  # also save a checkpoint after this time; 0 means never
    evaluate_every: Steps = 500
    patience: StepsOrNone = 0  # evaluations without improvement before stopping early; 0 means never
    keep_checkpoints: Annotated[int, Range(1, 1_000_000)] = 3
    jit_compile: bool = False  # compile the step with XLA; on CPUs training takes at least twice as long
    profile_after: StepsOrNone = 0  # steps after which the profiler records one log interval; 0 means never


@dataclass(frozen=True)
class Decode(_Group):
    """How numbers are decoded."""

    beam_width: Annotated[int, Range(1, 1_000)] = 3  # candidates returned; the beam search follows more hypotheses
    views: Annotated[tuple[Zoom, ...], Items(1)] = (
        1.0,
    )  # zoom factors at which each image is decoded; the log probabilities are averaged
    tilts: Annotated[tuple[Degrees, ...], Items(0)] = ()  # one more view for each, rotated by these degrees clockwise
    closer: bool = False  # one more view, cropped to the attended region; for models with attention


@dataclass(frozen=True)
class TensorBoard(_Group):
    """What is written for TensorBoard every `every` steps; what is off by default takes seconds each time."""

    scalars: bool = True
    images: bool = True  # training images before and after distortion
    hparams: bool = True
    histograms: bool = False  # of weights and gradients
    graph: bool = False  # of the training step, once per start
    projector: bool = False  # validation images by their embedding
    every: Steps = 1_000
    pictures: Annotated[int, Range(1, 1_000)] = 8
    embedded: Annotated[int, Range(1, 1_000_000)] = 1_000  # images in the projector at most


@dataclass(frozen=True)
class Config(_Group):
    """One experiment. `seed` fixes initial weights, the order of examples, distortion and dropout.

    The layers compute in `precision`; variables, checkpoints, logits and the loss are always float32.
    bfloat16 is faster on GPUs and on CPUs with AMX, and slower on other CPUs.
    """

    experiment: str
    seed: Annotated[int, Range(0, 2**31 - 1)] = 0
    precision: Literal["float32", "mixed_bfloat16"] = "float32"
    model: Model = field(default_factory=Model)
    distortion: Distortion = field(default_factory=Distortion)
    data: Data = field(default_factory=Data)
    optimizer: Optimizer = field(default_factory=Optimizer)
    train: Train = field(default_factory=Train)
    decode: Decode = field(default_factory=Decode)
    tensorboard: TensorBoard = field(default_factory=TensorBoard)

    def __post_init__(self) -> None:
        """Check what the types cannot.

        Raises:
          UserError: a value is out of bounds.
        """
        typed.check(self, "")
        if self.decode.closer and (self.model.name != "compact" or self.model.crop):
            raise UserError(
                "decode.closer=true: only compact without model.crop has attention over the whole image; give false"
            )

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self), indent=2) + "\n"


def from_json(text: str) -> Config:
    """Parse what `Config.to_json` wrote.

    Raises:
      UserError: it is not JSON, a key is unknown, or a value is of the wrong type or out of bounds.
    """
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"the config is not valid JSON ({error})") from error
    return typed.build(Config, raw)


def override(config: Config, settings: list[str]) -> Config:
    """Apply `--set` values, e.g. `optimizer.learning_rate=1e-3`; lists and strings as in JSON.

    Raises:
      UserError: a setting is not `key=value`, the key is unknown, or the value is of the wrong type or out of bounds.
    """
    raw = dataclasses.asdict(config)
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals:
            raise UserError(f"--set {typed.shown(setting)}: write it as key=value, e.g. --set train.steps=2000")
        *groups, leaf = key.split(".")
        target: Any = raw
        for name in groups:
            target = target.get(name) if isinstance(target, dict) else None
        if not isinstance(target, dict) or leaf not in target or isinstance(target[leaf], dict):
            raise UserError(
                f"--set {typed.shown(setting)}: unknown setting {typed.shown(key)!r}; {typed.nearest(key, raw)}"
            )
        try:
            target[leaf] = json.loads(text)
        except (ValueError, RecursionError):
            target[leaf] = text
        if isinstance(getattr(_find(config, groups), leaf), str):
            target[leaf] = text  # an alphabet of digits is text, not a number
    return typed.build(Config, raw)


def changes(before: Config, after: Config) -> list[str]:
    """Return the settings that differ, each as `key: old -> new`."""
    pairs = [(key, *(_find(config, key.split(".")) for config in (before, after))) for key in keys(after)]
    return [f"{key}: {json.dumps(old)} -> {json.dumps(new)}" for key, old, new in pairs if old != new]


def keys(config: Config) -> list[str]:
    """Return the names of all settings, as `override` takes them."""
    return list(typed.leaves(dataclasses.asdict(config)))


def _find(config: Any, names: list[str]) -> Any:
    return functools.reduce(getattr, names, config)
