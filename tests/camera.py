"""A clip of drawn scenes, which Chromium plays as the camera."""

import csv
import io
from pathlib import Path

from PIL import Image, ImageFilter, ImageOps

from beam_pipelines import draw

FRAMES = 90  # of each scene: three seconds


def flags(clip: Path) -> list[str]:
    """Return the options with which Chromium has a camera that plays a clip, and needs nobody's consent."""
    return [
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-video-capture={clip}",
    ]


def write(folder: Path, size: tuple[int, int] = (640, 480), *, scenes: int = 3) -> tuple[Path, list[set[str]]]:
    """Write a clip, `clip.mjpeg`, one scene after the other; return it and the numbers of each scene.

    Args:
      folder: a new folder, which also gets the scenes.
      size: width and height of a frame; the scenes are fitted into it.
      scenes: how many, each with a number.
    """
    options = ["--quiet", "--count", "8", "--scene-size", "640", "--seed", "5"]
    assert draw.main([*options, "--output", str(folder / "scenes")]) == 0
    numbers: dict[str, set[str]] = {}
    for row in csv.DictReader((folder / "scenes" / "labels.csv").open()):
        numbers.setdefault(row["file"], set()).add(row["label"])
    chosen = [name for name, found in numbers.items() if found != {""}][:scenes]
    with (folder / "clip.mjpeg").open("wb") as clip:
        for name in chosen:
            clip.write(FRAMES * _frame(folder / "scenes" / "images" / name, size))
    return folder / "clip.mjpeg", [numbers[name] for name in chosen]


def _frame(path: Path, size: tuple[int, int]) -> bytes:
    """Return a JPEG of a scene before itself, blurred."""
    image = Image.open(path).convert("RGB")
    frame = ImageOps.fit(image, size).filter(ImageFilter.GaussianBlur(30))
    fitted = ImageOps.contain(image, size)
    frame.paste(fitted, ((size[0] - fitted.width) // 2, (size[1] - fitted.height) // 2))
    file = io.BytesIO()
    frame.save(file, "JPEG", quality=92)
    return file.getvalue()
