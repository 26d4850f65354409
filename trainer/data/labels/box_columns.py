"""Read the box of a number from the columns of a label list: an upright box, or four corners."""

from collections.abc import Mapping, Sequence

from trainer.cli import UserError
from trainer.data.labels import box_corners
from trainer.data.labels.box_corners import Corners

UPRIGHT = ("left", "top", "width", "height")
CORNERS = ("x0", "y0", "x1", "y1", "x2", "y2", "x3", "y3")


def columns_of(columns: Sequence[str], path: str) -> tuple[str, ...]:
    """Return the columns of a file that hold a box; empty if it has no boxes.

    Raises:
      UserError: they are incomplete, or there are both an upright box and corners.
    """
    present = [kind for kind in (UPRIGHT, CORNERS) if set(kind) & set(columns)]
    for kind in present:
        if missing := [name for name in kind if name not in columns]:
            given = ",".join(name for name in kind if name in columns)
            raise UserError(
                f"{path} has, of the columns {','.join(kind)}, only {given}: give all or none "
                f"({','.join(missing)} missing)"
            )
    if len(present) > 1:
        raise UserError(
            f"{path} has the columns {','.join(UPRIGHT)} and {','.join(CORNERS)}: keep one kind of box, and remove the "
            "other columns"
        )
    return present[0] if present else ()


def corners_in(row: Mapping[str, str], columns: tuple[str, ...]) -> Corners | None:
    """Return the corners, in pixels, of the box in a row; None if its values are all empty.

    Raises:
      ValueError: a value is not a number; the message contains the values.
    """
    texts = [row[column].strip() for column in columns]
    if not any(texts):
        return None
    try:
        values = tuple(map(float, texts))
    except ValueError as error:
        count = {4: "four", 8: "eight"}[len(columns)]
        raise ValueError(f"{','.join(columns)} are {','.join(texts)}, not {count} numbers") from error
    if columns == UPRIGHT:
        left, top, width, height = values
        return box_corners.of_box((left, top, left + width, top + height))
    return box_corners.of_values(values)
