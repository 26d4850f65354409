"""The settings of a model: a recogniser or a finder."""

import math
from dataclasses import dataclass
from typing import Annotated, Literal

from trainer.cli import UserError
from trainer.config import typed
from trainer.config.bounds import WEIGHTS, Group, Layers, ShareBelowOne, Side, Units
from trainer.config.typed import Items, Range
from trainer.vocab import DIGITS, Vocab


@dataclass(frozen=True)
class Model(Group):
    """The recogniser, or the finder: sizes are in pixels, widths in channels or units.

    A model ignores settings of other models.
    """

    name: Literal["compact", "five_heads", "svhn_rnn", "finder"] = "compact"
    alphabet: str = DIGITS
    max_length: Annotated[int, Range(1, 256)] = 5  # the longest number that can be read, in characters
    image_height: Side = 64
    image_width: Side = 112
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
        """The name of the validation figure by which the best checkpoint is chosen."""
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
