import numpy as np
import pytest
import tensorflow as tf
from hypothesis import example, given
from hypothesis import strategies as st

from trainer.cli import UserError
from trainer.data.pipeline import batch_order


@given(st.lists(st.floats(0.01, 100), min_size=1, max_size=8), st.integers(8, 300))
@example([1.0, 1.0, 1.0, 21.0], 8)  # a place too many is taken where there is one to give
def test_places_fill_the_batch_as_the_shares_say(shares: list[float], batch_size: int) -> None:
    found = batch_order.slots([1] * len(shares), tuple(shares), batch_size)
    assert sum(found) == batch_size
    assert min(found) >= 1
    exact = np.array(shares) / sum(shares) * batch_size
    assert all(places <= max(1, wanted + 1) for places, wanted in zip(found, exact, strict=True))


def test_each_dataset_has_its_places_and_its_own_epochs() -> None:
    counts, places = [10, 35], [4, 7]
    batches = np.array([batch_order.batch_indices(tf.constant(s, tf.int64), counts, places, seed=3) for s in range(5)])
    small, large = batches[:, :4].ravel(), batches[:, 4:].ravel()
    assert sorted(small[:10]) == sorted(small[10:]) == list(range(10))
    assert list(small[:10]) != list(small[10:])
    assert sorted(large) == list(range(10, 45))


@pytest.mark.parametrize(
    ("counts", "shares", "batch_size", "message"),
    [
        ([5, 5], (0.5,), 8, "one for each of the 2 datasets"),
        ([5, 5, 5], (1.0, 1.0, 1.0), 2, "at least 3, one for each dataset"),
    ],
)
def test_shares_that_do_not_fit_are_refused(
    counts: list[int], shares: tuple[float, ...], batch_size: int, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        batch_order.slots(counts, shares, batch_size)
