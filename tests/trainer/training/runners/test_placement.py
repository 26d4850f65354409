import functools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.config import experiments
from trainer.models.recogniser import PureRecogniser
from trainer.training.runners import placement


@functools.cache
def shapes_of(experiment: str) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the parameters of a real model."""
    recogniser = PureRecogniser(experiments.find(experiment).model, seed=0)
    return {path: value.shape for path, value in recogniser.params.items()}


@pytest.mark.parametrize("servers", [2, 3, 8])
@pytest.mark.parametrize("experiment", ["svhn_rnn", "five_heads", "compact"])
def test_the_fullest_server_is_at_most_a_tenth_above_the_mean(experiment: str, servers: int) -> None:
    shapes = shapes_of(experiment)
    held = placement.loads(placement.plan(shapes, servers), shapes, servers)
    assert sum(held) == sum(map(math.prod, shapes.values()))
    assert placement.imbalance(held) <= 0.10


def test_a_model_of_one_server_is_in_one_piece() -> None:
    assert all(len(parts) == 1 for parts in placement.plan(shapes_of("svhn_rnn"), 1).values())


@given(
    st.dictionaries(st.text(min_size=1), st.lists(st.integers(1, 40), max_size=3).map(tuple), min_size=1),
    st.integers(1, 9),
)
def test_every_row_lies_on_exactly_one_server(shapes: dict[str, tuple[int, ...]], servers: int) -> None:
    for name, parts in placement.plan(shapes, servers).items():
        axis = parts[0].axis
        rows = [row for part in parts for row in range(part.begin, part.end)]
        assert rows == list(range(shapes[name][axis] if shapes[name] else 1))
        assert all(part.axis == axis and 0 <= part.server < servers for part in parts)
