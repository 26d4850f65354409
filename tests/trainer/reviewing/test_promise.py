"""What a sample promises, against independent computations."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.reviewing import promise
from trainer.reviewing.promise import Stratum


def by_bisection(right: int, size: int) -> tuple[float, float]:
    """Return the Clopper-Pearson interval from its definition: both tails of the binomial distribution have 2.5 %."""

    def tail(p: float, counts: range) -> float:
        return sum(math.comb(size, k) * p**k * (1 - p) ** (size - k) for k in counts)

    def solve(is_below: Callable[[float], bool]) -> float:
        low, high = 0.0, 1.0
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if is_below(middle) else (low, middle)
        return low

    low = solve(lambda p: tail(p, range(right, size + 1)) < 0.025) if right else 0.0
    high = solve(lambda p: tail(p, range(right + 1)) > 0.025) if right < size else 1.0
    return low, high


@pytest.mark.parametrize(("right", "size"), [(0, 5), (5, 5), (1, 1), (3, 10), (97, 100), (100, 100), (50, 60)])
def test_the_interval_is_that_of_clopper_and_pearson(right: int, size: int) -> None:
    assert promise.interval(right, size) == pytest.approx(by_bisection(right, size), abs=1e-9)


STRATA = st.lists(
    st.integers(0, 500).flatmap(
        lambda rows: st.integers(0, min(rows, 40)).flatmap(
            lambda answered: st.tuples(st.just(rows), st.just(answered), st.integers(0, answered))
        )
    ),
    min_size=1,
    max_size=6,
)


@settings(max_examples=100, deadline=None)
@given(counts=STRATA)
def test_the_table_weights_strata_by_their_rows(counts: list[tuple[int, int, int]]) -> None:
    strata = [Stratum(index / 10, *one) for index, one in enumerate(counts)]
    table = promise.table(strata)
    assert [one.confidence for one in table] == [s.low for s in reversed(strata) if s.rows]
    total = sum(rows for rows, _, _ in counts)
    for one in table:
        accepted = [c for s, c in zip(strata, counts, strict=True) if s.low >= one.confidence and c[0]]
        rows = sum(c[0] for c in accepted)
        assert (one.rows, one.coverage) == (rows, pytest.approx(rows / total))
        assert one.answered == sum(c[1] for c in accepted)
        if all(c[1] for c in accepted):
            # One weight for each answered row: how many rows it stands for.
            weights = np.concatenate([np.full(answered, size / answered) for size, answered, _ in accepted])
            right = np.concatenate([np.arange(answered) < ok for _, answered, ok in accepted])
            assert one.accuracy == pytest.approx(np.average(right, weights=weights))
            effective = weights.sum() ** 2 / (weights**2).sum()
            assert one.interval == pytest.approx(promise.interval(one.accuracy * effective, effective), abs=1e-6)
        else:
            assert (one.accuracy, one.interval) == (None, None)


def test_the_interval_holds_the_true_accuracy_at_least_19_times_in_20() -> None:
    """Sample buckets with known accuracies many times, unevenly, as the queue does."""
    rng = np.random.default_rng(4)
    sizes, accuracies, samples = (5000, 800, 200), (0.99, 0.9, 0.6), (60, 25, 15)
    populations = [rng.random(size) < accuracy for size, accuracy in zip(sizes, accuracies, strict=True)]
    truth, held = np.concatenate(populations).mean(), 0
    for _ in range(400):
        right = [int(rng.choice(one, n, replace=False).sum()) for one, n in zip(populations, samples, strict=True)]
        strata = [Stratum(i, s, n, r) for i, (s, n, r) in enumerate(zip(sizes, samples, right, strict=True))]
        low, high = promise.table(strata)[-1].interval or (1.0, 0.0)
        held += low <= truth <= high
    assert held >= 380


def test_the_text_marks_the_threshold_and_says_what_is_unknown() -> None:
    table = promise.table([Stratum(0.0, 100, 0, 0), Stratum(0.9, 900, 50, 49)])
    above, below = promise.text(table, 0.9).splitlines()[1:]
    assert above.startswith("* from 0.9")
    assert "98.0%" in above
    assert "not yet" in below
    empty = promise.table([Stratum(0.0, 100, 5, 5), Stratum(0.9, 0, 0, 0)], 0.9)
    assert "no rows" in promise.text(empty, 0.9).splitlines()[1]
