"""Reading in bfloat16, beside other functions in float32."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.beam_pipelines.scoring import drawn_photos
from trainer import Reader, released
from trainer.cluster import cpu

pytestmark = pytest.mark.skipif(not cpu.computes_in_bfloat16(), reason="this CPU has no instructions for bfloat16")


@pytest.mark.parametrize("name", [released.FAST, released.PHOTOS])
def test_released_models_read_the_same_texts(name: str, tmp_path: Path) -> None:
    photos = sorted(drawn_photos.write(tmp_path, 12).iterdir())
    exact, rough = (Reader(name, engine="tensorflow", precision=precision) for precision in ("float32", "auto"))
    answers = [list(reader.read_all(photos)) for reader in (exact, rough)]
    for one, other in zip(*answers, strict=True):
        assert one.text == other.text
        assert one.confidence == pytest.approx(other.confidence, abs=0.05)
    assert answers[0] != answers[1]
    with ThreadPoolExecutor(4) as pool:  # at the same time, neither changes the other
        again = list(pool.map(lambda reader: list(reader.read_all(photos)), [exact, rough, exact, rough]))
    assert again == [*answers, *answers]
