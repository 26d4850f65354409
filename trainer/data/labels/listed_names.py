"""Check the names of images in lists, which are relative to a folder and must stay inside it."""

import os
import posixpath
import re


def inside(written: str) -> str | None:
    """Return the canonical form of an image's name relative to a folder; None if it is outside the folder.

    Backslashes are treated as slashes, since lists written on Windows have them.
    """
    name = written.replace("\\", "/")
    if "://" in name:
        return None
    name = posixpath.normpath(name)
    return None if name == "." or re.match(r"/|\.\.(/|$)|[A-Za-z]:/", name) else name


def below(folder: str, path: str) -> str | None:
    """Return the name of a path relative to a folder, both local or remote; None if it is not in the folder."""
    scheme, _, top = folder.rpartition("://")
    other, _, one = path.replace("\\", "/").rpartition("://")
    if scheme != other:
        return None
    normal = posixpath.normpath if scheme else os.path.abspath
    top, one = normal(top).rstrip("/") + "/", normal(one)
    return inside(one[len(top) :]) if one.startswith(top) else None
