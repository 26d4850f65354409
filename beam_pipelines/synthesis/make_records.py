"""Make records of synthetic images: each a drawn number, or a whole scene."""

from collections.abc import Callable
from dataclasses import dataclass

from beam_pipelines.inputs import images
from beam_pipelines.synthesis.fonts import Drawn
from beam_pipelines.synthesis.scenes.scene import Scene
from trainer.data.formats.records import Box, Record
from trainer.data.images import image_io


@dataclass(frozen=True)
class MakeDrawnRecord:
    """Draws and encodes the image with a given index."""

    draw: Callable[[int], Drawn]
    source: str
    key_prefix: str
    file_type: str

    def key(self, item: int) -> str:
        return f"{self.source}/{self.key_prefix}/{item}"

    def __call__(self, item: int) -> Record:
        drawn = self.draw(item)
        whole: Box = (0.0, 0.0, float(drawn.image.width), float(drawn.image.height))
        return Record(
            image_io.encode(drawn.image, self.file_type),
            self.file_type,
            self.key(item),
            drawn.text,
            f"synthetic-{drawn.style}" if drawn.style else self.source,
            images.relative(images.union(drawn.char_boxes), whole) if drawn.char_boxes else None,
            [images.relative(box, whole) for box in drawn.char_boxes],
        )


@dataclass(frozen=True)
class MakeSceneRecord:
    """Makes and encodes the scene with a given index; `text` and `box` are those of the largest number."""

    make: Callable[[int], Scene]
    key_prefix: str
    file_type: str

    def key(self, item: int) -> str:
        return f"synthetic-scenes/{self.key_prefix}/{item}"

    def __call__(self, item: int) -> Record:
        scene = self.make(item)
        largest = scene.numbers[0] if scene.numbers else None
        return Record(
            image_io.encode(scene.image, self.file_type),
            self.file_type,
            self.key(item),
            largest.text if largest else "",
            "synthetic-scenes",
            largest.upright_box if largest else None,
            numbers=scene.numbers,
        )
