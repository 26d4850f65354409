"""Which of a finder's answers a report shows, and as what."""

from typing import Any

from trainer.inference.evaluating import notable_photos

WHOLE = [0.0, 0.0, 90.0, 0.0, 90.0, 60.0, 0.0, 60.0]
BOX = [10.0, 10.0, 40.0, 10.0, 40.0, 20.0, 10.0, 20.0]

Row = dict[str, Any]


def number(text: str, confidence: float, box: list[float] = BOX) -> Row:
    return {"text": text, "confidence": confidence, "box": box}


def row(key: str, labels: list[str], *numbers: Row, right: bool = False) -> Row:
    return {"key": key, "labels": labels, "right": right, "numbers": [*numbers], "size": [90, 60]}


def test_the_whole_photo_and_what_is_hardly_a_number_are_not_answers() -> None:
    found = row("a", [], number("12", 0.9), number("77", 0.5, WHOLE), number("3", 0.1))
    assert [one["text"] for one in notable_photos.answers(found)] == ["12"]
    assert notable_photos.confidence(found) == 0.9
    alone = row("a", [], number("77", 0.5, WHOLE), number("12", 0.4))
    assert [one["text"] for one in notable_photos.answers(alone)] == ["77", "12"]


def test_a_photo_without_a_number_is_right_without_an_answer() -> None:
    empty = row("a", [], number("5", 0.01, WHOLE))
    assert notable_photos.is_right(empty)
    assert notable_photos.answers(empty) == []
    assert not notable_photos.is_right(row("b", [], number("5", 0.6)))
    assert notable_photos.shown([empty]) == {"worst": [], "uncertain": []}


def test_a_labelled_photo_has_its_best_guess() -> None:
    guessed = row("a", ["12"], number("12", 0.1), number("3", 0.05), right=True)
    assert [one["text"] for one in notable_photos.answers(guessed)] == ["12"]
    assert notable_photos.is_right(guessed)
    assert notable_photos.answers(row("a", ["12"], number("", 0.1))) == []


def test_mistakes_come_most_confident_first_and_the_others_least() -> None:
    rows = [
        row("sure", ["1"], number("2", 0.9)),
        row("unsure", ["1"], number("2", 0.3)),
        row("right", ["1"], number("1", 0.5), right=True),
        row("missed", ["1"]),
    ]
    assert [one["key"] for one in notable_photos.worst(rows)] == ["sure", "unsure", "missed"]
    assert [one["key"] for one in notable_photos.most_uncertain(rows)] == ["unsure", "right", "sure"]
    many = [row(str(i), ["1"], number("2", i / 100)) for i in range(100)]
    assert [len(kind) for kind in notable_photos.shown(many).values()] == [notable_photos.SHOWN] * 2
