import json

import numpy as np
import pytest
import tensorflow as tf

from trainer.inference.photos import region_calibration
from trainer.inference.photos.region_calibration import RegionCalibration


def confidence(
    calibrated: RegionCalibration, scores: np.ndarray, readings: np.ndarray, lengths: np.ndarray | None = None
) -> np.ndarray:
    lengths = np.full(scores.shape, 3) if lengths is None else lengths
    regions = tf.constant(scores, tf.float32), tf.constant(readings, tf.float32), tf.constant(lengths, tf.int32)
    return calibrated.confidence(*regions).numpy()


def test_regions_that_are_not_there_have_no_confidence() -> None:
    found = confidence(RegionCalibration(), np.array([[1, 0.9, 0.0]]), np.array([[0.5, 0.9, 0.9]]))
    assert found[0, 2] == 0
    assert (found[0, :2] > 0).all()


def test_a_good_box_counts_against_the_whole_photo() -> None:
    readings = np.array([[0.95, 0.9]])
    without, with_box = (confidence(RegionCalibration(), np.array([[1, s]]), readings)[0, 0] for s in (0.0, 0.95))
    assert with_box < without


def test_a_region_with_an_empty_text_has_no_confidence_and_does_not_count_against_the_whole_photo() -> None:
    readings = np.array([[0.95, 0.9]])
    empty = confidence(RegionCalibration(), np.array([[1, 0.95]]), readings, np.array([[3, 0]]))
    alone = confidence(RegionCalibration(), np.array([[1, 0.0]]), readings)
    np.testing.assert_array_equal(empty, alone)
    assert confidence(RegionCalibration(), np.array([[1, 0.95]]), readings, np.array([[0, 3]]))[0, 0] == 0


def test_the_fit_recovers_the_weights_that_made_the_data() -> None:
    rng = np.random.default_rng(0)
    scores, readings = rng.uniform(0.03, 0.99, (4000, 3)), rng.uniform(0.03, 0.99, (4000, 3))
    scores[:, 0] = 1
    lengths = rng.integers(0, 6, scores.shape)
    truth = RegionCalibration(box=(0.7, 0.9), offsets=(-2.0, -0.4, 0.6), whole=(1.2, -0.8, 0.3))
    right = rng.random(scores.shape) < confidence(truth, scores, readings, lengths)
    fitted = region_calibration.fit(scores, readings, lengths, right)
    np.testing.assert_allclose(fitted.box, truth.box, atol=0.15)
    np.testing.assert_allclose(fitted.offsets, truth.offsets, atol=0.25)
    np.testing.assert_allclose(fitted.whole, truth.whole, atol=0.25)


@pytest.mark.parametrize(("right", "length"), [(True, 2), (False, 2), (False, 0)])
def test_a_fit_on_answers_that_are_all_alike_is_finite(right: bool, length: int) -> None:
    scores = np.array([[1, 0.8, 0.0]] * 5)
    fitted = region_calibration.fit(scores, np.full((5, 3), 0.9), np.full((5, 3), length), np.full((5, 3), right))
    assert np.isfinite([*fitted.box, *fitted.offsets, *fitted.whole]).all()


def test_a_calibration_is_stored_and_read() -> None:
    stored = RegionCalibration(box=(0.7, 0.9), offsets=(-2.0, -0.4, 0.6))
    assert RegionCalibration.from_json(json.loads(json.dumps(stored.to_json()))) == stored
