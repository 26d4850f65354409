import numpy as np
from PIL import Image

from trainer.inference import attention_overlay
from trainer.inference.attention_overlay import Look


def test_where_the_model_looked_glows_on_dark_images_and_on_bright_ones() -> None:
    attention = np.zeros([6, 4, 4], np.float32)
    attention[0, :, 0], attention[1, :, 3] = 0.25, 0.25  # the left edge for the first character, then the right one
    for shade in (0, 255):
        look = Look(Image.new("RGB", (60, 60), (shade, shade, shade)), "17", 0.9, attention)
        sheet = np.asarray(attention_overlay.draw([look])).astype(int)
        step = (sheet.shape[1] - attention_overlay.MARGIN) // 3  # the image, and one for each character
        middle = attention_overlay.MARGIN + attention_overlay.HEIGHT // 2
        for number, side in ((1, 0), (2, 1)):
            left = attention_overlay.MARGIN + number * step
            colours = [sheet[middle, left + x] for x in (4, attention_overlay.HEIGHT - 5)]
            glow, rest = colours[side], colours[1 - side]
            assert glow[0] - glow[2] > 100
            assert rest.tolist() == [shade] * 3


def test_a_model_without_attention_gives_the_image_and_its_answer() -> None:
    look = Look(Image.new("RGB", (30, 60), "blue"), "2", 0.5, None)
    sheet = attention_overlay.draw([look, look])
    assert sheet.height == 2 * (attention_overlay.HEIGHT + attention_overlay.CAPTION + attention_overlay.MARGIN)
    assert sheet.getpixel((attention_overlay.MARGIN + 5, attention_overlay.MARGIN + 60)) == (0, 0, 255)
