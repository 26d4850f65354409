"""A finder is combined with recognisers of earlier versions, too, which take rounded images."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from trainer.inference.exports.exported_model import ExportedModel


@pytest.mark.parametrize(
    ("dtype", "name", "seen"),
    [
        (tf.float32, "fitted", [0.4, 99.6, 254.8]),
        (tf.uint8, "fitted", [0, 100, 255]),
        (tf.uint8, "decoded", [0, 100, 255]),
    ],
)
def test_images_are_given_as_the_export_takes_them(
    dtype: tf.DType, name: str, seen: list[float], tmp_path: Path
) -> None:
    @tf.function(input_signature=[tf.TensorSpec([3], dtype, name="images"), tf.TensorSpec([], tf.int32, name="width")])
    def read(images: tf.Tensor, width: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"seen": tf.cast(images, tf.float32), "width": width}

    tf.saved_model.save(tf.Module(), str(tmp_path), {name: read})
    out = ExportedModel(tf.saved_model.load(str(tmp_path)), {}).fitted(
        images=tf.constant([0.4, 99.6, 254.8]), width=tf.constant(3)
    )
    np.testing.assert_allclose(out["seen"], seen)
    assert out["width"] == 3
