"""Ranges of the reference's colour distortion, for the trainer and the synthesiser.

The two orders are those of the Inception preprocessing: even threads distort brightness, saturation,
hue, contrast; odd ones brightness, contrast, saturation, hue.
"""

BRIGHTNESS_DELTA = 32 / 255
SATURATION_RANGE = (0.5, 1.5)
HUE_DELTA = 0.032
CONTRAST_RANGE = (0.5, 1.5)
ORDERS = (
    ("brightness", "saturation", "hue", "contrast"),
    ("brightness", "contrast", "saturation", "hue"),
)
