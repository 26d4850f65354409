"""What schemathesis sends as images, if the environment variable SCHEMATHESIS_HOOKS names this module.

Images in many formats, the bad ones of the corpus that other tests have met, and all of them with damage.
"""

import base64
import io
import os
import random
import struct
import zlib
from pathlib import Path

import schemathesis
from hypothesis import strategies as st
from PIL import Image

from tests.fuzz.mutate import damage

FORMATS = ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "PPM", "ICO", "TGA")
CASES = Path(os.environ.get("SHARED_DATA", "../shared/data"), "cases")


def encoded(form: str, size: tuple[int, int] = (48, 24), mode: str = "RGB") -> bytes:
    """Return an image file."""
    buffer = io.BytesIO()
    Image.effect_noise(size, 60).convert(mode).save(buffer, form)
    return buffer.getvalue()


def huge_png() -> bytes:
    """Return a PNG of a few bytes that claims to have 2^31 - 1 by 2^31 - 1 pixels."""
    header = struct.pack(">IIBBBBB", 2**31 - 1, 2**31 - 1, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b""))
    packed = (
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


GOOD = [encoded(form) for form in FORMATS]
GOOD += [encoded("PNG", (1, 1)), encoded("PNG", (600, 1)), encoded("PNG", mode="1"), encoded("PNG", mode="LA")]
BAD = [b"", b"\0", b"no image", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"%PDF-1.4", huge_png()]
BAD += [image[: len(image) // 2] for image in GOOD] + [image[:12] for image in GOOD]
BAD += [path.read_bytes() for path in sorted(CASES.glob("*.*")) if path.suffix in (".jpg", ".png", ".jp2", ".avif")]

images = st.sampled_from(GOOD) | st.sampled_from(BAD)
images |= st.sampled_from(GOOD) | st.builds(
    lambda image, seed: damage(image, random.Random(seed)), st.sampled_from(GOOD), st.integers(0, 2**32)
)

schemathesis.openapi.media_type("application/octet-stream", images)
schemathesis.openapi.media_type("image/*", images)
schemathesis.openapi.format("binary", images)
schemathesis.openapi.format("byte", images.map(lambda image: base64.b64encode(image).decode()))
