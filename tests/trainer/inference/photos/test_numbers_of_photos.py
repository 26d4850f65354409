"""What a model that finds numbers answers, with a signature that always finds the same."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import tensorflow as tf
from PIL import Image

from trainer import predict
from trainer.inference import few_images
from trainer.inference.exports import any_model
from trainer.inference.exports.exported_model import Answer, ExportedModel

FOUND = [("42", 0.9), ("7", 0.5), ("108", 0.3), ("", 0.25), ("5", 0.1)]


def signature(images: tf.Tensor, **_: Any) -> dict[str, tf.Tensor]:
    texts, confidences = zip(*FOUND, strict=True)
    return {
        "text": tf.constant([["42"]]),
        "log_prob": tf.constant([[-0.1]]),
        "probability": tf.constant([[0.9]]),
        "confidence": tf.constant([0.9]),
        "numbers/text": tf.constant([texts]),
        "numbers/confidence": tf.constant([confidences]),
        "numbers/corners": tf.zeros([1, len(FOUND), 8]),
    }


def read(most: int) -> Answer:
    loaded = SimpleNamespace(signatures={"serving_default": signature})
    [answer] = ExportedModel(loaded, {}).read([b"file"], beam_width=2, candidates=1, most=most)
    return answer


@pytest.mark.parametrize(("most", "cut_off"), [(1, True), (2, True), (3, False), (60, False)])
def test_an_answer_says_whether_it_was_cut_off(most: int, cut_off: bool) -> None:
    answer = read(most)
    assert answer.numbers is not None
    assert [number["text"] for number in answer.numbers] == ["42", "7", "108"][:most]
    assert answer.numbers_cut_off == cut_off
    assert ("--max-numbers" in few_images.numbers_table(answer)) == cut_off


def test_as_many_numbers_as_a_model_reads_at_most_may_not_be_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "FOUND", [("1", 0.9), ("2", 0.8), ("3", 0.7)])
    assert read(60).numbers_cut_off


@pytest.mark.parametrize(("count", "optimised"), [(1, False), (few_images.FEW + 1, True)])
def test_for_a_few_images_the_graph_is_not_optimised(
    count: int, optimised: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def noted(**inputs: Any) -> dict[str, tf.Tensor]:
        seen.append(not tf.config.optimizer.get_experimental_options().get("disable_meta_optimizer", False))
        return signature(**inputs)

    info = {"finder": {}, "beam_width": 2, "calibration": None, "image_size": [32, 32]}
    model = ExportedModel(SimpleNamespace(signatures={"serving_default": noted}), info)
    monkeypatch.setattr(any_model, "load", lambda *_: model)
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    assert predict.main([str(tmp_path / "a.png")] * count) == 0
    assert set(seen) == {optimised}
    assert not tf.config.optimizer.get_experimental_options().get("disable_meta_optimizer", False)
