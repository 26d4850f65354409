"""Serve RapidOCR with our server, so that only the models differ; started by `benchmarks.serving`.

It runs in RapidOCR's own Python, in which `pip install '.[serve]'` has added the server without TensorFlow.
"""

import argparse
import asyncio
import sys
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, cast

import cv2
import numpy as np
import uvicorn

from benchmarks import wild_peers
from trainer.data.images.image_kinds import UnreadableImage
from trainer.inference.reader import Reader
from trainer.inference.reading import Number, Reading
from trainer.serving import app, listening
from trainer.serving.limits import Limits
from trainer.serving.metrics import Metrics
from trainer.serving.models import ServedModel

ENGINES = {"rapidocr_1": wild_peers.rapidocr_1, "rapidocr_3": wild_peers.rapidocr_3}
LIMITS = Limits(pending=1000)


@dataclass
class PeerReader:
    """Does what the server asks of a `Reader`; confidences are left out."""

    find: wild_peers.Find
    model = SimpleNamespace(info={"fingerprint": "peer"})

    def prepare(self, content: bytes) -> np.ndarray:
        image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
        if image is None:
            raise UnreadableImage("undecodable", "OpenCV cannot decode it")
        return image

    def read_prepared(self, images: list[np.ndarray]) -> list[Reading]:
        return [self._reading(wild_peers.answers(self.find(image))[1]) for image in images]

    def _reading(self, text: str) -> Reading:
        numbers = (Number(text, 1.0, None, (text,), ()),) if text else ()
        return Reading(text, 1.0, (text,), numbers, b"")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("engine", choices=ENGINES)
    engine = parser.parse_args().engine

    def load() -> Reader:
        reader: Any = PeerReader(ENGINES[engine]())
        reader.read_prepared([np.zeros((64, 64, 3), np.uint8)])
        return cast(Reader, reader)

    metrics = Metrics()
    made = app.create({engine: ServedModel(engine, load, LIMITS, metrics)}, LIMITS, metrics)
    with listening.listen("127.0.0.1", 0) as socket_:
        print(listening.address(socket_), file=sys.stderr, flush=True)
        asyncio.run(uvicorn.Server(uvicorn.Config(made, log_config=None, access_log=False)).serve([socket_]))


if __name__ == "__main__":
    main()
