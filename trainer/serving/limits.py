"""Limits of what a server accepts."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Limits of what a server accepts.

    Attributes:
      batch: maximum number of images that are read together.
      wait: seconds to wait for more images after the first of a batch.
      pending: maximum number of requests with a body, and of images of each model, that may wait; others are refused.
      body_bytes: maximum size of a request.
      images: maximum number of images in a request.
      body_seconds: maximum time from the start of a request to the end of its body.
    """

    batch: int = 16
    wait: float = 0.005
    pending: int = 64
    body_bytes: int = 32_000_000
    images: int = 32
    body_seconds: float = 60.0
