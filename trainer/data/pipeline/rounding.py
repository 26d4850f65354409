"""How resized pixels are rounded, identically with and without TensorFlow."""

HALF_WITHIN = 0.01  # of a level: values at most this far below a half are rounded up
