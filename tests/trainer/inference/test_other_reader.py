"""An exported model that finds numbers, with another recogniser."""

from pathlib import Path

import pytest

from beam_pipelines import draw
from trainer import released
from trainer.cli import UserError
from trainer.inference import exported_model, other_reader


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


def test_a_model_that_finds_nothing_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    reader = exported_model.load(str(tiny_model))
    with pytest.raises(UserError, match="finds no numbers"):
        other_reader.export(reader, reader, str(tmp_path / "photos"))
    assert not (tmp_path / "photos").exists()
