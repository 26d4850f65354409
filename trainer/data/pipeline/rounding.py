"""How resized pixels are rounded, the same with TensorFlow as without."""

HALF_WITHIN = 0.01  # of a level: values at most so far below a half are rounded upwards
