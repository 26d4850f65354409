"""Find the typefaces in which numbers are drawn: those of the installed font packages, always in the same order."""

import hashlib
import importlib.util
from functools import lru_cache
from pathlib import Path

from fontTools.ttLib import TTFont
from PIL import ImageFont

from trainer.cli import UserError
from trainer.vocab import DIGITS

PACKAGES = (
    "font_amatic_sc",
    "font_caladea",
    "font_fredoka_one",
    "font_hanken_grotesk",
    "font_intuitive",
    "font_manrope",
    "font_roboto",
    "font_source_sans_pro",
    "font_source_serif_pro",
    "matplotlib",
)
# Faces without digits, or whose strokes vanish at the sizes of house numbers.
UNUSABLE = ("LastResort", "STIXNonUni", "STIXSiz", "Display", "cmex", "cmmi", "cmsy", "Thin", "ExtraLight", "Variable")


@lru_cache(maxsize=1)
def installed() -> tuple[str, ...]:
    """Return the paths of the usable typefaces, sorted by file name; if a face has both formats, its .otf file.

    Raises:
      UserError: none is installed.
    """
    faces: dict[str, Path] = {}
    for package in PACKAGES:
        spec = importlib.util.find_spec(package)
        for root in spec.submodule_search_locations or () if spec else ():
            for path in sorted(Path(root).rglob("*.?tf"), reverse=True):
                if not any(word in path.name for word in UNUSABLE):
                    faces[path.stem] = path
    if not faces:
        raise UserError("no typefaces are installed: install them with pip install '.[beam]'")
    return tuple(str(faces[name]) for name in sorted(faces))


@lru_cache(maxsize=4096)
def that_have(characters: frozenset[str]) -> tuple[str, ...]:
    """Return the installed typefaces that have all these characters; others would draw boxes for missing ones."""
    if characters <= set(DIGITS):  # which all typefaces have
        return installed()
    codes = {ord(character) for character in characters}
    return tuple(path for path in installed() if codes <= _codes(path))


@lru_cache
def _codes(path: str) -> frozenset[int]:
    with TTFont(path, lazy=True) as font:
        return frozenset(font.getBestCmap() or ())


def check(characters: frozenset[str]) -> None:
    """Raise UserError unless an installed typeface has all these characters."""
    if that_have(characters):
        return
    lacking = [one for one in sorted(characters) if not that_have(frozenset([one]))]
    what = f"the characters {' '.join(map(ascii, lacking))}" if lacking else "all characters of --alphabet"
    raise UserError(f"no installed typeface has {what}: leave them out of the texts, --pattern and --alphabet")


@lru_cache(maxsize=1)
def fingerprint() -> str:
    """Return twelve hexadecimal digits that change with the names or file sizes of the typefaces."""
    digest = hashlib.sha256()
    for path in installed():
        digest.update(f"{Path(path).stem} {Path(path).stat().st_size}\n".encode())
    return digest.hexdigest()[:12]


@lru_cache(maxsize=1024)
def load(path: str, size: int) -> ImageFont.FreeTypeFont:
    """Return a typeface at a size in pixels; cached, since loading takes longer than drawing."""
    return ImageFont.truetype(path, size, layout_engine=ImageFont.Layout.BASIC)
