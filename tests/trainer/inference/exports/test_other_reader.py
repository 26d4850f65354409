"""An exported model that finds numbers, with another recogniser."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from beam_pipelines import draw
from trainer import released
from trainer.cli import UserError
from trainer.inference.exports import exported_model, other_reader
from trainer.inference.measuring.calibration import Calibration
from trainer.inference.photos.region_calibration import RegionCalibration


@pytest.mark.slow
def test_with_the_same_recogniser_the_answers_are_the_same(tmp_path: Path) -> None:
    """The released finder reads with the recogniser of `released-fast`."""
    photos, reader = (exported_model.load(released.folder_of(name)) for name in (released.PHOTOS, released.FAST))
    assert photos.info["reader"]["fingerprint"] == reader.info["fingerprint"]
    info = other_reader.export(photos, reader, str(tmp_path / "photos"))
    assert info["fingerprint"] == photos.info["fingerprint"]
    assert info["calibration"]["thresholds"] == []
    assert draw.main(["--count", "4", "--scene-size", "320", "--output", str(tmp_path / "scenes")]) == 0
    files = [path.read_bytes() for path in sorted((tmp_path / "scenes" / "images").iterdir())]
    wanted = photos.read(files, beam_width=6, candidates=3)
    for one, other in zip(
        wanted, exported_model.load(str(tmp_path / "photos")).read(files, beam_width=6, candidates=3), strict=True
    ):
        assert [c["text"] for c in one.candidates] == [c["text"] for c in other.candidates]
        assert other.confidence == pytest.approx(one.confidence, abs=1e-4)
        assert other.box == pytest.approx(one.box, abs=0.2)
        assert [n["text"] for n in other.numbers or []] == [n["text"] for n in one.numbers or []]


def test_the_calibration_of_the_former_recogniser_is_applied_to_one_without() -> None:
    regions = RegionCalibration((0.8, 1.9), (-6.0, -4.0, -2.5), (1.1, 0.4, -1.7))
    probabilities = np.array([[0.3, 0.5, 0.8, 0.97], [0.9, 0.6, 0.4, 0.2]], np.float32)
    calibrated = Calibration(0.62, 1.4).confidence(probabilities.ravel()).reshape(2, 4).astype(np.float32)
    scores = np.array([[1, 0.9, 0.5, 0.3], [1, 0.7, 0.25, 0]], np.float32)
    lengths = np.array([[3, 1, 2, 5], [2, 2, 1, 4]])
    wanted = regions.confidence(*map(tf.constant, (scores, calibrated, lengths)))
    folded = other_reader.including(regions, 0.62, 1.4)
    assert folded.confidence(*map(tf.constant, (scores, probabilities, lengths))).numpy() == pytest.approx(
        wanted.numpy(), abs=1e-5
    )


def test_a_model_that_finds_nothing_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    reader = exported_model.load(str(tiny_model))
    with pytest.raises(UserError, match="finds no numbers"):
        other_reader.export(reader, reader, str(tmp_path / "photos"))
    assert not (tmp_path / "photos").exists()
