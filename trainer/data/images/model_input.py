"""The size of the images that a model takes, and how far larger ones may be shrunk before."""

from dataclasses import dataclass

# Images are shrunk by integer factors to no less than this multiple of what the model sees. With 6, confidences for
# photos of 12 megapixels change by at most 0.006, and no text changes.
ROOM = 6
LETTERBOXED_ROOM = 4  # numbers that are found are cut out of what is left; see docs/finding.md


@dataclass(frozen=True)
class ModelInput:
    """The input of a model.

    Attributes:
      height, width: in pixels.
      letterboxed: images keep their aspect ratio, and the rest of the input is padded; otherwise they are stretched.
    """

    height: int
    width: int
    letterboxed: bool = False

    def factors(self, width: int, height: int, *, sideways: bool = False) -> tuple[int, int]:
        """Return the factors by which to shrink the width and height of an image.

        Args:
          width, height: of the image, as its file stores it.
          sideways: the image will be turned by 90 degrees.
        """
        rows, columns = (self.width, self.height) if sideways else (self.height, self.width)
        if self.letterboxed:
            factor = max(1, int(max(width / columns, height / rows) / LETTERBOXED_ROOM))
            return min(factor, width), min(factor, height)  # a strip of one row keeps it
        return max(1, width // (ROOM * columns)), max(1, height // (ROOM * rows))
