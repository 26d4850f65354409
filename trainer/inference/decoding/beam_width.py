"""Choose the width of beam search.

The beam must be wider than the number of candidates returned, or the last of them are wrong: a beam of 3 has often
dropped the third most probable number before its end.
"""

from trainer.cli import UserError

WIDER = 2  # hypotheses followed per candidate
MOST = 1_000  # hypotheses; memory grows with them


def width_for(candidates: int) -> int:
    """Return how many hypotheses to follow so that the candidates are the most probable ones; 1 is greedy search."""
    return WIDER * candidates if candidates > 1 else 1


def sizes(width: int | None, candidates: int | None, configured: int) -> tuple[int, int]:
    """Return the beam width and the number of candidates that the command-line options ask for.

    Args:
      width: --beam-width; if only that is given, all hypotheses are returned as candidates.
      candidates: --candidates; their number never changes the best one.
      configured: how many candidates the model was configured to return.
    Raises:
      UserError: a number is out of range, or there would be more candidates than hypotheses.
    """
    for name, value in (("beam-width", width), ("candidates", candidates)):
        if value is not None and not 1 <= value <= MOST:
            raise UserError(f"--{name} {value}: it must be from 1 to {MOST:,}")
    returned = candidates or width or configured
    followed = width or min(MOST, max(width_for(returned), width_for(configured)))
    if returned > followed:
        raise UserError(f"--candidates {returned}: a beam of width {followed} has fewer; raise --beam-width")
    return followed, returned
