"""Resolve the names of images in a list, which must be inside a folder."""

import posixpath
from dataclasses import dataclass

from beam_pipelines.sharding import listing
from beam_pipelines.sharding.shards import Reject
from trainer.data.labels import listed_names

IMAGES = "images"  # folder next to the list


@dataclass(frozen=True)
class ImageFolder:
    """The images that a list names, relative to a folder; a leading `images/` is dropped if that is the folder's name.

    A name outside the folder, such as an absolute path or one with `..`, is rejected, unless the user gave a folder
    that contains it.

    Attributes:
      list_path: of the list.
      folder: of the images, local or remote.
      drop: a prefix to drop from names because it is the folder itself, e.g. `images/`; may be empty.
      chosen: whether the user named the folder, and so allows every name that is inside it.
    """

    list_path: str
    folder: str
    drop: str
    chosen: bool

    @property
    def prefix(self) -> str:
        """The first part of all keys: the name of the list's folder."""
        return posixpath.basename(posixpath.dirname(self.list_path))

    def key(self, written: str) -> str:
        """Return the key of an image, given its name as written in the list."""
        name = self.inside(written)
        return f"{self.prefix}/{written}" if name is None else posixpath.join(self.prefix, name)

    def path(self, written: str) -> str:
        """Return the path of an image. Raise `Reject` with `outside-folder` if it is not in the folder."""
        name = self.inside(written)
        if name is None:
            raise Reject(
                "outside-folder", f"{written} leads out of {self.folder or '.'}: give a parent folder as --images"
            )
        return posixpath.join(self.folder, name)

    def inside(self, written: str) -> str | None:
        """Return the canonical form of a name, relative to the folder; None if it is outside the folder."""
        name = listed_names.inside(written)
        if name is not None:
            return name.removeprefix(self.drop)
        path = written if listing.is_remote(written) else posixpath.join(posixpath.dirname(self.list_path), written)
        return listed_names.below(self.folder, path) if self.chosen else None


def of_list(list_path: str, given: str | None) -> ImageFolder:
    """Return the folder that the user gave; by default, images/ next to the list if it has files, else the list's."""
    folder = given
    if folder is None:
        folder = posixpath.dirname(list_path)
        beside = posixpath.join(folder, IMAGES)
        folder = beside if _holds_files(beside) else folder
    last = posixpath.basename(folder.rstrip("/"))
    drop = f"{last}/" if last and not _holds_files(posixpath.join(folder, last)) else ""
    return ImageFolder(list_path, folder, drop, given is not None)


def _holds_files(folder: str) -> bool:
    """Return whether there are files anywhere below a folder."""
    return next(listing.below(folder, on_error=lambda _: None), None) is not None
