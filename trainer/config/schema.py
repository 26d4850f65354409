"""All settings of an experiment: frozen dataclasses that are checked, stored as JSON and overridden by `--set`."""

import dataclasses
import functools
import json
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from trainer.cli import UserError
from trainer.config import typed
from trainer.config.bounds import (
    BatchSize,
    Degrees,
    Extent,
    Group,
    NotNegative,
    Positive,
    Share,
    ShareBelowOne,
    Steps,
    StepsOrNone,
    Zoom,
)
from trainer.config.model import Model
from trainer.config.typed import Items, Range

CONFIG_FILE = "config.json"  # in a work folder


@dataclass(frozen=True)
class Distortion(Group):
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
class Data(Group):
    """The input. If no dataset has a validation split, a fraction of the keys is held out of training."""

    batch_size: BatchSize = 128
    eval_batch_size: BatchSize = 128
    shares: tuple[Positive, ...] = ()  # of each batch, one per --data folder; empty: all datasets shuffled together
    holdout: ShareBelowOne = 0.05
    holdout_max: StepsOrNone = 1000
    memory_gb: NotNegative = 8.0  # images are kept decoded in memory up to this total size, else encoded


@dataclass(frozen=True)
class Optimizer(Group):
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
class Train(Group):
    """The run: its length and intervals in steps, and an optional teacher."""

    steps: Steps = 3_000
    log_every: Steps = 100
    checkpoint_every: Steps = 500
    checkpoint_seconds: NotNegative = 0.0  # also save a checkpoint after this time; 0 means never
    evaluate_every: Steps = 500
    patience: StepsOrNone = 0  # evaluations without improvement before stopping early; 0 means never
    keep_checkpoints: Annotated[int, Range(1, 1_000_000)] = 3
    teacher: str = ""  # work folder of a recogniser whose probabilities are learnt in addition to the labels
    teacher_weight: Share = 0.7  # of the teacher in the targets
    jit_compile: bool = False  # compile the step with XLA; on CPUs training takes at least twice as long
    profile_after: StepsOrNone = 0  # steps after which the profiler records one log interval; 0 means never


@dataclass(frozen=True)
class Decode(Group):
    """How numbers are decoded."""

    beam_width: Annotated[int, Range(1, 1_000)] = 3  # candidates returned; the beam search follows more hypotheses
    views: Annotated[tuple[Zoom, ...], Items(1)] = (
        1.0,
    )  # zoom factors at which each image is decoded; the log probabilities are averaged
    tilts: Annotated[tuple[Degrees, ...], Items(0)] = ()  # one more view for each, rotated by these degrees clockwise
    closer: bool = False  # one more view, cropped to the attended region; for models with attention
    empty: bool = False  # whether the text may be empty; for models that were also trained on images without a number


@dataclass(frozen=True)
class TensorBoard(Group):
    """What is written for TensorBoard every `every` steps; parts that are off by default take seconds each time."""

    scalars: bool = True
    images: bool = True  # training images before and after distortion
    hparams: bool = True
    histograms: bool = False  # of weights and gradients
    graph: bool = False  # of the training step, once per start
    projector: bool = False  # validation images by their embedding
    every: Steps = 1_000
    pictures: Annotated[int, Range(1, 1_000)] = 8
    embedded: Annotated[int, Range(1, 1_000_000)] = 1_000  # maximum number of images in the projector


@dataclass(frozen=True)
class Config(Group):
    """One experiment. `seed` fixes initial weights, the order of examples, distortion and dropout.

    The layers compute in `precision`; variables, checkpoints, logits and the loss are always float32. `auto` is
    replaced by the faster of the others when a run first starts, see `precision.chosen`.
    """

    experiment: str
    seed: Annotated[int, Range(0, 2**31 - 1)] = 0
    precision: Literal["float32", "mixed_bfloat16", "auto"] = "float32"
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
        if self.train.teacher and self.model.finds:
            raise UserError(f"train.teacher={self.train.teacher}: a finder cannot learn from one; leave it out")

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
    return [f"{key}: {old} -> {new}" for key, old, new in differences(before, after)]


def differences(before: Config, after: Config) -> list[tuple[str, str, str]]:
    """Return the settings that differ: their names, and both values as JSON."""
    pairs = [(key, *(_find(config, key.split(".")) for config in (before, after))) for key in keys(after)]
    return [(key, json.dumps(old), json.dumps(new)) for key, old, new in pairs if old != new]


def keys(config: Config) -> list[str]:
    """Return the names of all settings, as `override` accepts them."""
    return list(typed.leaves(dataclasses.asdict(config)))


def _find(config: Any, names: list[str]) -> Any:
    return functools.reduce(getattr, names, config)
