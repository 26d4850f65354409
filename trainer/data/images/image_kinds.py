"""The kinds of image files that all commands read, and Pillow's process-wide settings, which are set only here."""

import importlib.util
import warnings
from typing import BinaryIO

from PIL import Image, PngImagePlugin, UnidentifiedImageError

from trainer.data.images import megapixels

HEIF_INSTALLED = importlib.util.find_spec("pillow_heif") is not None  # an extra
if HEIF_INSTALLED:
    from pillow_heif import register_heif_opener

# Registered by Pillow, but not accepted: data containers that Pillow recognises but cannot decode, videos, and formats
# that it opens by starting Ghostscript.
_NOT_READ = frozenset({"BUFR", "EPS", "FITS", "GRIB", "HDF5", "IPTC", "MPEG", "PALM", "PDF", "WMF"})
# Larger images of these formats take over 400 MB to decode, which their libraries only do whole; see `_most_pixels`.
_MOST_MEGAPIXELS = {"WEBP": 25, "AVIF": 50, "HEIF": 50}
_OPENED_AS_JPEG = "MPO"  # begins as a JPEG, so Pillow registers no separate opener
_HEIF_ENDINGS = frozenset({".heic", ".heif", ".hif"})  # listed even without pillow-heif, so that rejects name it
_HEIF_BRANDS = frozenset({b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"hevm", b"hevs", b"mif1", b"msf1"})

Image.init()
if HEIF_INSTALLED:
    register_heif_opener()
# With Pillow's own 1 MB, a photo with a large XMP or ICC block would be rejected.
PngImagePlugin.MAX_TEXT_CHUNK = PngImagePlugin.MAX_TEXT_MEMORY = 16 << 20
# malloc does not return freed blocks below 32 MB, such as Pillow's of 16 MB, to the system; 4 threads keep many.
Image.core.set_block_size(64 << 20)
# Pillow warns about damaged metadata, which does not matter here, and large sizes, which `open_image` checks itself.
warnings.filterwarnings("ignore", module=r"PIL\.")
warnings.simplefilter("ignore", Image.DecompressionBombWarning)

_ENDINGS = {
    ending: kind
    for ending, kind in Image.registered_extensions().items()
    if kind in Image.OPEN and kind not in _NOT_READ
}
FORMATS = tuple(
    kind for kind in Image.ID if kind in _ENDINGS.values()
)  # in Pillow's order, since some have no signature
IMAGE_ENDINGS = tuple(
    sorted(
        _HEIF_ENDINGS
        | _ENDINGS.keys()
        | {ending for ending, kind in Image.registered_extensions().items() if kind == _OPENED_AS_JPEG}
    )
)


class UnreadableImage(Exception):
    """A file that is not an image, or one that cannot be decoded.

    Attributes:
      reason: `undecodable` for damaged files and those that are not images, `too-large` for more pixels than allowed,
        `unreadable` if the file system fails.
      detail: what is wrong.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason, self.detail = reason, detail


def limit_megapixels(limit: float) -> None:
    """Set the largest image that this process decodes, of any format."""
    Image.MAX_IMAGE_PIXELS = round(limit * 1e6)


def open_image(file: BinaryIO) -> Image.Image:
    """Read the header of an image file without decoding its pixels.

    Raises:
      UnreadableImage: not an image of these kinds, damaged, or larger than `limit_megapixels` allows.
    """
    try:
        image = Image.open(file, formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise _too_large("it", _most_pixels()) from error
    except UnidentifiedImageError as error:
        raise UnreadableImage("undecodable", _unidentified(file)) from error
    except Exception as error:  # Pillow's plug-ins may raise any exception type
        raise undecodable(error) from error
    width, height = image.size
    if width * height > (most := _most_pixels(image.format or "")):
        raise _too_large(f"its size of {width:,} x {height:,} pixels", most, f" of {image.format}")
    if not width or not height:
        raise UnreadableImage("undecodable", f"its size is {width} x {height} pixels")
    return image


def undecodable(error: Exception) -> UnreadableImage:
    """Convert an exception from decoding to an `UnreadableImage`; the reason for file system errors is `unreadable`."""
    failed = isinstance(error, OSError) and error.errno
    return UnreadableImage("unreadable" if failed else "undecodable", f"{type(error).__name__}: {error}")


def _most_pixels(kind: str = "") -> int:
    """Return how many pixels an image to be decoded may have: fewer for some formats, unless a limit was set."""
    most = Image.MAX_IMAGE_PIXELS or 0
    if most != round(megapixels.DEFAULT_MEGAPIXELS * 1e6):
        return most
    return min(most, _MOST_MEGAPIXELS.get(kind, megapixels.LARGEST_MEGAPIXELS) * 1_000_000)


def _too_large(what: str, most: int, of: str = "") -> UnreadableImage:
    limit = f"the limit of {most / 1e6:.6g} megapixels{of}"
    return UnreadableImage("too-large", f"{what} exceeds {limit}; raise --max-megapixels")


def _unidentified(file: BinaryIO) -> str:
    file.seek(0)
    header = file.read(12)
    if not header:
        return "the file is empty"
    if header[4:8] == b"ftyp" and header[8:12] in _HEIF_BRANDS and not HEIF_INSTALLED:
        return "it is a HEIC image: pip install 'svhn-sequences[heif]'"
    return "its first bytes match no supported image format"
