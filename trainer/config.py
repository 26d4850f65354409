"""Everything that an experiment can set: frozen dataclasses, checked, as JSON, changed by `--set`."""

import dataclasses
import difflib
import json
import typing
from dataclasses import dataclass, field
from typing import Any, Literal

from trainer.cli import UserError
from trainer.vocab import DIGITS


@dataclass(frozen=True)
class Model:
    """The recogniser. Sizes in pixels, widths in channels or units."""

    name: Literal["compact"] = "compact"
    alphabet: str = DIGITS
    max_length: int = 5  # the longest number that can be read, in characters
    image_height: int = 48
    image_width: int = 80
    widths: tuple[int, ...] = (32, 48, 96, 128)
    attention_units: int = 128
    lstm_units: int = 128
    embedding_units: int = 32
    dropout: float = 0.1


@dataclass(frozen=True)
class Distortion:
    """Random changes of training pictures; the colour ranges are in `photometric`."""

    colour: bool = True
    rotate_degrees: float = 7.0
    shear: float = 0.15  # horizontal shift per unit of height
    scale: tuple[float, float] = (0.85, 1.15)
    stretch: float = 0.15  # width against height, +- as a share
    shift: float = 0.06  # share of the picture's side
    perspective: float = 0.05  # share by which one side may shrink against its opposite
    noise: float = 6.0  # largest standard deviation of pixel noise, of 255


@dataclass(frozen=True)
class Data:
    """Input. Where no dataset has a validation split, a share of the keys is held out of training."""

    batch_size: int = 128
    eval_batch_size: int = 128
    holdout: float = 0.05
    holdout_max: int = 1000
    memory_gb: float = 8.0  # pictures are held decoded in memory up to this size, else encoded


@dataclass(frozen=True)
class Optimizer:
    """AdamW (Loshchilov & Hutter 2019) with linear warm-up and cosine decay to zero."""

    learning_rate: float = 3e-3
    warmup_steps: int = 200
    weight_decay: float = 1e-4
    beta1: float = 0.9
    beta2: float = 0.98
    epsilon: float = 1e-8
    clip_norm: float = 5.0
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
    profile_after: int = 0  # steps after which the profiler watches one log interval; 0 means never


@dataclass(frozen=True)
class Decode:
    """Beam search: how many candidates are followed, and so how many are returned."""

    beam_width: int = 3


@dataclass(frozen=True)
class Config:
    """One experiment. `seed` fixes initial weights, the order of examples, distortion and dropout."""

    experiment: str
    seed: int = 0
    model: Model = field(default_factory=Model)
    distortion: Distortion = field(default_factory=Distortion)
    data: Data = field(default_factory=Data)
    optimizer: Optimizer = field(default_factory=Optimizer)
    train: Train = field(default_factory=Train)
    decode: Decode = field(default_factory=Decode)

    def __post_init__(self) -> None:
        """Checks what the types do not.

        Raises:
          UserError: a value is out of range.
        """
        at_least_one = {
            "model.max_length": self.model.max_length,
            "data.batch_size": self.data.batch_size,
            "data.eval_batch_size": self.data.eval_batch_size,
            "train.steps": self.train.steps,
            "train.log_every": self.train.log_every,
            "train.checkpoint_every": self.train.checkpoint_every,
            "train.evaluate_every": self.train.evaluate_every,
            "train.keep_checkpoints": self.train.keep_checkpoints,
            "decode.beam_width": self.decode.beam_width,
        }
        for key, value in at_least_one.items():
            if value < 1:
                raise UserError(f"{key}={value}: it must be at least 1")
        shares = {
            "model.dropout": self.model.dropout,
            "data.holdout": self.data.holdout,
            "optimizer.label_smoothing": self.optimizer.label_smoothing,
            "optimizer.ema_decay": self.optimizer.ema_decay,
        }
        for key, share in shares.items():
            if not 0 <= share < 1:
                raise UserError(f"{key}={share}: it must be at least 0 and below 1")
        stride = 2 ** len(self.model.widths)
        if self.model.image_height < stride or self.model.image_width < stride:
            raise UserError(
                f"model.image_height={self.model.image_height}, model.image_width={self.model.image_width}: "
                f"each must be at least {stride}, since {len(self.model.widths)} stages halve it"
            )

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self), indent=2) + "\n"


def from_json(text: str) -> Config:
    """Reads what `Config.to_json` wrote.

    Raises:
      UserError: a key is unknown, or a value is of the wrong type.
    """
    return _from_dict(Config, json.loads(text), "")


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
            raise UserError(f"--set {setting}: there is no {key!r}; {_nearest(key, raw)}")
        try:
            target[leaf] = json.loads(text)
        except json.JSONDecodeError:
            target[leaf] = text
        if isinstance(getattr(_find(config, groups), leaf), str):
            target[leaf] = text  # an alphabet of digits is no number
    return _from_dict(Config, raw, "")


def _find(config: Any, names: list[str]) -> Any:
    for name in names:
        config = getattr(config, name)
    return config


def _nearest(key: str, raw: dict[str, Any]) -> str:
    known = list(_leaves(raw))
    close = difflib.get_close_matches(key, known, n=3, cutoff=0.5)
    return f"did you mean {', '.join(close)}?" if close else f"the keys are {', '.join(known)}"


def _leaves(raw: dict[str, Any], prefix: str = "") -> typing.Iterator[str]:
    for name, value in raw.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def _from_dict(cls: Any, raw: dict[str, Any], prefix: str) -> Any:
    hints = typing.get_type_hints(cls)
    unknown = sorted(set(raw) - set(hints))
    if unknown:
        raise UserError(f"the configuration has unknown keys: {', '.join(prefix + key for key in unknown)}")
    return cls(**{name: _convert(hints[name], value, prefix + name) for name, value in raw.items()})


def _convert(hint: Any, value: Any, key: str) -> Any:
    if dataclasses.is_dataclass(hint):
        return _from_dict(hint, value, f"{key}.")
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        if value not in args:
            raise UserError(f"{key}={value}: it must be one of {', '.join(args)}")
        return value
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            raise UserError(f"{key}={value}: it must be a list, e.g. [32,64]")
        return tuple(_convert(args[0], item, key) for item in value)
    if hint is float and type(value) is int:
        return float(value)
    if type(value) is not hint:
        raise UserError(f"{key}={value}: it must be of type {hint.__name__}")
    return value
