"""Run an OCR toolkit's recogniser on image files, for benchmarks.scoring, with the Python that has the toolkit.

Takes paths on standard input, one per line, and prints JSON: the seconds, and the digits read in each image.
RapidOCR (Apache-2.0) includes PP-OCR's recogniser as an ONNX model; its detector is left out, since each image is one
number with its surroundings, and our model has no detector either.
"""

import json
import re
import sys
import time

import cv2
from rapidocr_onnxruntime import RapidOCR

BATCH = 64


def main() -> None:
    paths = sys.stdin.read().splitlines()
    begin = time.perf_counter()
    recognise = RapidOCR().text_rec
    start = time.perf_counter() - begin
    texts: list[str] = []
    begin = time.perf_counter()
    for i in range(0, len(paths), BATCH):
        found, _ = recognise([cv2.imread(path) for path in paths[i : i + BATCH]])
        texts += [re.sub(r"\D", "", text) for text, *_ in found]
    print(json.dumps({"start": start, "seconds": time.perf_counter() - begin, "texts": texts}))


if __name__ == "__main__":
    main()
