"""Check that the scorer's --input contains something to read, before anything is written."""

from beam_pipelines.inputs import images
from beam_pipelines.scoring import endings
from beam_pipelines.scoring.find_images import Found
from beam_pipelines.scoring.image_list import Item
from beam_pipelines.sharding.shards import Reject
from trainer.cli import UserError
from trainer.data.images.model_input import ModelInput

_EXPECTED = "give images, folders, .tar or .zip archives, TFRecords, or @FILE for a list of paths"


def check_readable(found: Found, wanted: ModelInput) -> None:
    """Check that not everything is a reject.

    A folder, a pattern or a list may contain anything: unreadable files in it are counted, and the job succeeds. But if
    all files are named one by one and none of them is an image, that is a mistake. So these are decoded until one can
    be read, usually the first.

    Args:
      found: the result of `find_images.find`.
      wanted: the model's input.
    Raises:
      UserError: there are only rejects, or only other files.
    """
    if not found.items:
        others = endings.text(found.endings) or "none"
        raise UserError(f"--input contains no images; other files: {others}")
    if any(item.reject is None and not _is_named(item, found) for item in found.items):
        return
    rejects = []
    for item in found.items:
        if (reject := item.reject or _reject(item.path, wanted)) is None:
            return
        rejects.append((item.key, *reject))
    key, reason, detail = rejects[0]
    if len(rejects) == 1:
        raise UserError(f"--input {key} cannot be read ({reason}): {detail}; {_EXPECTED}")
    first = f"the first is {key}: {reason}, {detail}"
    raise UserError(f"none of the {len(rejects)} images that --input names can be read; {first}; {_EXPECTED}")


def _is_named(item: Item, found: Found) -> bool:
    return item.kind == "file" and item.path in found.named


def _reject(path: str, wanted: ModelInput) -> tuple[str, str] | None:
    """Return why a file cannot be read as an image, None if it can."""
    try:
        with images.opened(path) as file:
            images.for_model(file, wanted)
    except Reject as reject:
        return reject.reason, reject.detail
    return None
