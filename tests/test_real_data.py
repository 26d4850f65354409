"""The end-to-end walkthrough on real images, if available."""

import json
from pathlib import Path

import pytest

from tests.conftest import Run
from trainer.data.formats import dataset_info


@pytest.mark.slow
def test_real_format_1_images_become_records(shared_data: Path, forked: Run, tmp_path: Path) -> None:
    out = tmp_path / "svhn"
    forked("beam_pipelines.prepare", "--format", "digitstruct", "--input", shared_data / "format1" / "train",
        "--output", out)  # fmt: skip
    info = dataset_info.read_info(str(out))
    annotations = json.loads((shared_data / "format1" / "train.json").read_text())
    lengths = [len(entry["label"]) for entry in annotations.values()]
    split = info.splits["train"]
    assert info.records_in == len(annotations) == split.records + sum(info.rejects.values())
    assert split.lengths == {str(n): lengths.count(n) for n in sorted(set(lengths)) if n <= 5}


@pytest.mark.slow
def test_real_photos_become_records(shared_data: Path, forked: Run, tmp_path: Path) -> None:
    out = tmp_path / "photos"
    forked("beam_pipelines.prepare", "--format", "csv", "--input", shared_data / "photos", "--output", out)
    info = dataset_info.read_info(str(out))
    assert {name: split.records for name, split in info.splits.items()} == {"train": 2000, "validation": 400}
    assert info.rejects == {}
