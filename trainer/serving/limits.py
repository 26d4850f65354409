"""What a server accepts."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """What the server accepts.

    Attributes:
      batch: images that are read together.
      wait: seconds to wait for more images once one is there.
      pending: requests with a body, and images of a model, that may wait; further ones are refused.
      body_bytes: of a request.
      images: of a request.
      body_seconds: from the start of a request to the end of its body.
    """

    batch: int = 16
    wait: float = 0.005
    pending: int = 64
    body_bytes: int = 32_000_000
    images: int = 32
    body_seconds: float = 60.0
