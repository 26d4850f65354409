import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer import experiments, placement
from trainer.model import PureRecogniser

CONV = [3, 48, 64, 128, 160, 192, 192, 192, 192]
SVHN_RNN = {
    **{f"conv{i}/kernel": (5, 5, *CONV[i : i + 2]) for i in range(8)},
    **{f"conv{i}/gamma": (CONV[i + 1],) for i in range(8)},
    **{f"conv{i}/beta": (CONV[i + 1],) for i in range(8)},
    **{f"dense{i}/kernel": (3072, 3072) for i in range(2)},
    **{f"dense{i}/bias": (3072,) for i in range(2)},
    "image_embedding/kernel": (3072, 512),
    "token_embedding": (12, 512),
    "lstm/kernel": (512, 256),
    "lstm/recurrent_kernel": (64, 256),
    "lstm/bias": (256,),
    "logits/kernel": (64, 12),
    "logits/bias": (12,),
}
FIVE_HEADS = {
    **{name: shape for name, shape in SVHN_RNN.items() if name.startswith("conv")},
    "dense/kernel": (3072, 1024),
    **{f"head{i}/kernel": (1024, 11) for i in range(5)},
    "length/kernel": (1024, 6),
}


def compact() -> dict[str, tuple[int, ...]]:
    recogniser = PureRecogniser(experiments.find("compact").model, seed=0)
    return {path: value.shape for path, value in recogniser.params.items()}


@pytest.mark.parametrize("servers", [2, 3, 8])
@pytest.mark.parametrize("shapes", [SVHN_RNN, FIVE_HEADS, compact()], ids=["svhn_rnn", "five_heads", "compact"])
def test_the_fullest_server_is_at_most_a_tenth_above_the_mean(shapes: dict[str, tuple[int, ...]], servers: int) -> None:
    held = placement.loads(placement.plan(shapes, servers), shapes, servers)
    assert sum(held) == sum(map(math.prod, shapes.values()))
    assert placement.imbalance(held) <= 0.10


def test_a_model_of_one_server_is_in_one_piece() -> None:
    assert all(len(parts) == 1 for parts in placement.plan(SVHN_RNN, 1).values())


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
