import pytest

from trainer.cli import UserError
from trainer.inference.decoding import beam_width


@pytest.mark.parametrize(
    ("width", "candidates", "sizes"),
    [
        (None, None, (6, 3)),
        (None, 1, (6, 1)),  # so that the best one is the same, however many are asked for
        (None, 5, (10, 5)),
        (None, 1_000, (1_000, 1_000)),
        (5, None, (5, 5)),
        (20, 3, (20, 3)),
        (1, None, (1, 1)),
    ],
)
def test_what_a_command_line_stands_for(width: int | None, candidates: int | None, sizes: tuple[int, int]) -> None:
    assert beam_width.sizes(width, candidates, configured=3) == sizes


def test_a_model_configured_to_be_greedy_is() -> None:
    assert beam_width.sizes(None, None, configured=1) == (1, 1)


@pytest.mark.parametrize(
    ("width", "candidates", "message"),
    [
        (0, None, "--beam-width 0: it must be from 1"),
        (None, -1, "--candidates -1: it must be from 1"),
        (99_999_999, None, "--beam-width 99999999: it must be from 1 to 1,000"),
        (2, 3, "--candidates 3: a beam of width 2 has fewer"),
    ],
)
def test_what_cannot_be_is_refused(width: int | None, candidates: int | None, message: str) -> None:
    with pytest.raises(UserError, match=message):
        beam_width.sizes(width, candidates, configured=3)
