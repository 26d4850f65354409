"""Run another system on whole photos; started by `benchmarks.wild` in that system's own Python.

Takes two lists of paths, of photos with and without a number, as JSON; prints the answers as JSON.
"""

import json
import re
import sys
import time
from collections.abc import Callable
from typing import Any

Found = list[tuple[str, float]]  # each text, and its height or size
Find = Callable[[Any], Found]  # in an image: a path, or decoded by OpenCV


def rapidocr_1() -> Find:
    from rapidocr_onnxruntime import RapidOCR

    engine = RapidOCR()

    def find(image: Any) -> Found:
        found, _ = engine(image)
        return [(text, _size(box)) for box, text, _ in found or []]

    return find


def rapidocr_3() -> Find:
    from rapidocr import RapidOCR

    engine = RapidOCR()

    def find(image: Any) -> Found:
        out = engine(image)
        boxes = out.boxes if out.boxes is not None else []
        return [(text, _size(box)) for box, text in zip(boxes, out.txts or (), strict=True)]

    return find


def tesseract() -> Find:
    import pytesseract
    from PIL import Image

    def find(image: Any) -> Found:
        data = pytesseract.image_to_data(Image.open(image), config="--psm 11", output_type=pytesseract.Output.DICT)
        words = zip(data["text"], data["height"], strict=True)
        return [(text, float(height)) for text, height in words if text.strip()]

    return find


def _size(box) -> float:
    """Return the area of an upright box around corners."""
    xs, ys = [float(x) for x, _ in box], [float(y) for _, y in box]
    return (max(xs) - min(xs)) * (max(ys) - min(ys))


def answers(found: Found) -> list[str]:
    """Return the digits of all texts, and those of the largest text with a digit."""
    digits = [(re.sub(r"\D", "", text), size) for text, size in found]
    digits = [(text, size) for text, size in digits if text]
    return ["".join(text for text, _ in digits), max(digits, key=lambda one: one[1])[0] if digits else ""]


def main() -> None:
    paths, empty = json.load(sys.stdin)
    find = {"rapidocr_1": rapidocr_1, "rapidocr_3": rapidocr_3, "tesseract": tesseract}[sys.argv[1]]()
    find(paths[0])
    begin = time.monotonic()
    rows = [{"texts": answers(find(path))} for path in paths]
    seconds = time.monotonic() - begin
    answered = sum(any(answers(find(path))) for path in empty)
    print(json.dumps({"answers": rows, "seconds": seconds, "empty_answered": answered, "empty": len(empty)}))


if __name__ == "__main__":
    main()
