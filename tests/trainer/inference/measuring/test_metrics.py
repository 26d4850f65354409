import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.inference.measuring.metrics import Answer, coverage, scalars, summarise, wilson_interval

texts = st.text(alphabet="0123", min_size=1, max_size=4)
answers = st.lists(
    st.builds(
        lambda source, label, read, others, p: Answer("k", source, label, (read, *others), (p, *[0.0] * len(others))),
        st.sampled_from(["svhn", "csv", "synthetic-fonts"]),
        texts,
        texts,
        st.lists(texts, max_size=2),
        st.sampled_from([0.1, 0.5, 0.9, 0.95]),
    ),
    min_size=1,
    max_size=30,
)


@given(answers)
def test_figures_are_those_of_a_plain_count(found: list[Answer]) -> None:
    summary = summarise(found)
    right = np.array([a.label == a.candidates[0] for a in found])
    assert summary["examples"] == len(found)
    assert summary["sequence_accuracy"] == pytest.approx(right.mean())
    assert summary["top_accuracy"] == pytest.approx(np.mean([a.label in a.candidates for a in found]))
    assert summary["length_accuracy"] == pytest.approx(np.mean([len(a.label) == len(a.candidates[0]) for a in found]))
    places = [(a.label.ljust(4), a.candidates[0].ljust(4)) for a in found]
    used = np.array([[x != " " or y != " " for x, y in zip(*pair, strict=True)] for pair in places])
    same = np.array([[x == y != " " for x, y in zip(*pair, strict=True)] for pair in places])
    assert summary["digit_accuracy"] == pytest.approx(same.sum() / used.sum())
    labels = {
        "by_length": np.array([str(len(a.label)) for a in found]),
        "by_source": np.array([a.source for a in found]),
    }
    for kind, names in labels.items():
        assert list(summary[kind]) == sorted(set(names))
        for name, group in summary[kind].items():
            assert group["examples"] == np.sum(names == name)
            assert group["sequence_accuracy"] == pytest.approx(right[names == name].mean())
    for figures, part in (
        (summary, right),
        (summary["by_length"][labels["by_length"][0]], right[labels["by_length"] == labels["by_length"][0]]),
    ):
        low, high = figures["interval_95"]
        for bound in (low, high):  # where the distance from the share is 1.96 of its own standard deviations
            deviation = np.sqrt(bound * (1 - bound) / len(part))
            assert abs(part.mean() - bound) == pytest.approx(1.96 * deviation, abs=1e-6)


@given(answers)
def test_coverage_is_the_best_of_all_thresholds(found: list[Answer]) -> None:
    best = 0.0
    for threshold in {a.probabilities[0] for a in found}:
        above = [a for a in found if a.probabilities[0] >= threshold]
        if sum(a.right for a in above) >= 0.8 * len(above):
            best = max(best, len(above) / len(found))
    assert coverage(found, 0.8) == pytest.approx(best)


@pytest.mark.parametrize(("right", "count", "accuracy"), [(4, 5, 0.8), (49, 50, 0.98), (99, 100, 0.99), (3, 3, 1.0)])
def test_exactly_the_required_accuracy_is_enough(right: int, count: int, accuracy: float) -> None:
    labels = ["1"] * right + ["2"] * (count - right)
    read = [Answer("k", "csv", label, ("1",), (0.9,)) for label in labels]
    assert coverage(read, accuracy) == 1.0
    assert coverage([*read, Answer("k", "csv", "2", ("1",), (0.9,))], accuracy) == 0.0


def test_wilson_interval_of_a_known_case() -> None:
    low, high = wilson_interval(81, 263)
    assert (low, high) == (pytest.approx(0.2553, abs=1e-4), pytest.approx(0.3662, abs=1e-4))


def test_nothing_read_is_no_division_by_zero() -> None:
    assert summarise([])["sequence_accuracy"] == 0


def test_a_validation_stores_the_accuracy_of_each_of_several_sources() -> None:
    read = [Answer("a", "csv", "12", ("12",), (0.9,)), Answer("b", "svhn", "3", ("4",), (0.5,))]
    stored = scalars(summarise(read))
    assert stored["sequence_accuracy"] == 0.5
    assert stored["sequence_accuracy/csv"] == 1.0
    assert stored["sequence_accuracy/svhn"] == 0.0
    assert not any("/" in name for name in scalars(summarise(read[:1])))
