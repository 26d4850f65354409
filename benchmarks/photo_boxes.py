"""Write a labels file for `prepare` from photos whose boxes a text detector drew too large; used by `make finder`.

python -m benchmarks.photo_boxes PHOTOS --split train > photos.csv

The detector's boxes are about 1.6 times as high as the digits (looked at in 72 photos of 1,722), unlike those drawn by
hand. A finder trained on both learns neither. Numbers that still reach out of their photo have a box that is wrong.
"""

import argparse
import csv
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

MARGIN = 0.19  # to take off on each side, relative to the height of the box
OUTSIDE = 0.03  # of the photo's width or height: how far a correct box may reach out
COORDINATES = [f"{axis}{i}" for i in range(4) for axis in "xy"]


def tightened(corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a quadrilateral without its margin, float64 [4, 2] in pixels, clockwise from the top left."""
    down = corners[3] - corners[0]
    right = (corners[1] - corners[0]) / np.linalg.norm(corners[1] - corners[0]) * np.linalg.norm(down)
    return corners + MARGIN * np.array([right + down, down - right, -right - down, right - down])


def main() -> None:
    """Print the rows of all photos of a split that have a box."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("photos", type=Path, help="folder with labels.csv, boxes.csv and images")
    parser.add_argument("--split", required=True, help="train or validation")
    args = parser.parse_args()
    folder = args.photos
    with (folder / "labels.csv").open(newline="") as file:
        labels = {row["file"]: row for row in csv.DictReader(file)}
    out = csv.writer(sys.stdout, lineterminator="\n")
    out.writerow(["file", "label", *COORDINATES])
    with (folder / "boxes.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            label = labels[row["file"]]
            if label["split"] != args.split:
                continue
            corners = tightened(np.array([float(row[name]) for name in COORDINATES]).reshape(4, 2))
            with Image.open(folder / "images" / row["file"]) as image:
                relative = corners / image.size
            if relative.min() >= -OUTSIDE and relative.max() <= 1 + OUTSIDE:
                out.writerow([row["file"], label["label"], *corners.round(1).ravel().tolist()])


if __name__ == "__main__":
    main()
