"""Describe images and what was read in them, as cards of a gallery."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from trainer.config.model import Model
from trainer.inference.evaluating import notable_photos
from trainer.inference.measuring import notable
from trainer.reporting import report_images
from trainer.reporting.report_images import MISSING, Thumbnail

Corners = list[float]
MOST_LOOKS = 12  # characters of a card; more would make the page large
MOST_FOUND = 8  # numbers of a photo


@dataclass(frozen=True)
class Frame:
    """A box in an image: x and y of each corner in units of its SVG view, and whether it is a label or was found."""

    corners: Corners
    kind: str
    text: str = ""

    @property
    def points(self) -> str:
        """The corners in SVG's format."""
        return " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(self.corners[::2], self.corners[1::2], strict=True))


@dataclass(frozen=True)
class Card:
    """An image and the answer.

    Attributes:
      key: of the image.
      image: its thumbnail, or `MISSING`.
      confidence: of the answer, calibrated, 0-1.
      candidates: the texts, best first; an empty text if the model saw no number.
      label: the correct text, None if unknown.
      right: whether the answer is correct, None if unknown.
      facts: more about it, for display.
      frames: boxes in pixels of the original image.
      looks: for each of the first characters, a highlight of where the model looked, as a data URL.
      cut: the region of the image that the model saw; `MISSING` if that was the whole image.
      area: the part of this that the highlights cover: left, top, width, height, 0-1.
      source: where the image is from, for the filter.
    """

    key: str
    image: Thumbnail
    confidence: float
    candidates: list[str]
    label: str | None = None
    right: bool | None = None
    facts: list[str] = field(default_factory=list)
    frames: list[Frame] = field(default_factory=list)
    looks: list[tuple[str, str]] = field(default_factory=list)
    cut: Thumbnail = MISSING
    area: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0)
    source: str = ""

    @property
    def seen(self) -> Thumbnail:
        """What the model saw."""
        return self.cut if self.cut.url else self.image

    @property
    def kind(self) -> str:
        """The CSS class that gives the card its colour."""
        return "read" if self.right is None else "right" if self.right else "wrong"

    @property
    def name(self) -> str:
        """A description of the image, for screen readers."""
        label = "" if self.label is None else f", labelled {self.label or 'no number'}"
        return f"{self.key}{label}, read as {self.candidates[0] or 'no number'}"


@dataclass(frozen=True)
class Gallery:
    """Cards below a heading, a part of `total` images; `large` for photos, in which numbers are small."""

    title: str
    cards: Sequence[Card]
    total: int
    note: str = ""
    large: bool = False


def of_answers(
    rows: Iterable[dict[str, Any]], images: dict[str, Thumbnail], model: Model, near: Collection[str] = ()
) -> list[Card]:
    """Return the cards of rows of `answers.jsonl`; `near` are the keys of near misses."""
    return [_of_answer(row, images.get(row["key"], MISSING), _area(model), row["key"] in near) for row in rows]


def _of_answer(row: dict[str, Any], image: Thumbnail, area: tuple[float, float, float, float], near: bool) -> Card:
    frames = []
    if box := row.get("box"):
        left, top, right, bottom = (
            edge * side for edge, side in zip(box, (image.width, image.height) * 2, strict=True)
        )
        frames.append(Frame([left, top, right, top, right, bottom, left, bottom], "label"))
    facts = [row["source"]] if row.get("source") else []
    if row.get("width") and row.get("height"):
        facts.append(f"{row['width']} x {row['height']} pixels")
    if row.get("sharpness") is not None:
        facts.append(f"sharpness {row['sharpness']:,.0f}")
    if near:
        facts.append("near miss")
    return Card(
        key=row["key"],
        image=image,
        confidence=notable.confidence(row),
        candidates=row["candidates"],
        label=row["label"],
        right=notable.is_right(row),
        facts=facts,
        frames=frames,
        looks=_looks(row["candidates"][0], row),
        area=area,
        source=str(row.get("source", "")),
    )


def _looks(text: str, row: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the first characters and where the model looked for each; nothing if that is not stored."""
    pairs = zip(text[:MOST_LOOKS], row.get("attention", []), strict=False)
    return [(char, report_images.of_attention(look)) for char, look in pairs]


def _area(model: Model) -> tuple[float, float, float, float]:
    """Return the part of the image that the network sees, which is its middle."""
    sides = (model.image_height, model.image_width)
    height, width = (seen / side for seen, side in zip(model.input_size, sides, strict=True))
    return (1 - width) / 2, (1 - height) / 2, width, height


def of_photo(row: dict[str, Any], image: Thumbnail, cut: Thumbnail) -> Card:
    """Return the card of a row of a finder's `answers.jsonl`, with the boxes of the labels and those found.

    Args:
      row: the row.
      image: the photo.
      cut: what the recogniser saw of the best number, `MISSING` if it is not known.
    """
    numbers = notable_photos.answers(row)
    best: dict[str, Any] = numbers[0] if numbers else {"text": ""}
    frames = [Frame(corners, "label", text) for corners, text in zip(row.get("truth", []), row["labels"], strict=False)]
    facts = [f"{image.width} x {image.height} pixels"] if image.url else []
    if len(numbers) > 1:
        facts.append("also " + ", ".join(number["text"] for number in numbers[1:MOST_FOUND]))
    return Card(
        key=row["key"],
        image=image,
        confidence=notable_photos.confidence(row),
        candidates=best.get("candidates", [best["text"]]),
        label=" ".join(row["labels"]),
        right=notable_photos.is_right(row),
        facts=facts,
        frames=frames + [_found(number) for number in numbers[:MOST_FOUND]],
        looks=_looks(best["text"], best) if cut.url else [],
        cut=cut,
    )


def of_prediction(row: dict[str, Any], image: Thumbnail) -> Card:
    """Return the card of a row of predictions; its numbers, if the model finds them, have boxes."""
    candidates = [str(candidate["text"]) for candidate in row["candidates"]]
    label = row.get("label")
    return Card(
        key=row["key"],
        image=image,
        confidence=float(row["confidence"]),
        candidates=candidates,
        label=label,
        right=None if label is None else candidates[0] == label,
        facts=[] if row.get("numbers") is None else [_counted(row["numbers"])],
        frames=[_found(number) for number in row.get("numbers") or []],
    )


def _counted(numbers: Sequence[Any]) -> str:
    if not numbers:
        return "no number found: the answer is a guess"
    return f"{len(numbers)} number{'' if len(numbers) == 1 else 's'} found"


def _found(number: dict[str, Any]) -> Frame:
    return Frame(
        [float(edge) for edge in number["box"]], "found", f"{number['text']} {100 * number['confidence']:.0f} %"
    )
