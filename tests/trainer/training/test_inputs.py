"""The model takes its alphabet and length from the datasets, unless the settings say otherwise."""

from pathlib import Path

import pytest

from trainer.config import experiments, schema
from trainer.config.model import Model
from trainer.data.formats.dataset_info import COMPLETED_FILE, INFO_FILE, DatasetInfo, Split
from trainer.training.inputs import Inputs


def dataset(folder: Path, alphabet: str, longest: int) -> str:
    folder.mkdir()
    split = Split(1, {}, {str(longest): 1}, [])
    info = DatasetInfo(alphabet, {"train": split}, 1, {}, [], {})
    (folder / INFO_FILE).write_text(info.to_json())
    (folder / COMPLETED_FILE).touch()
    return str(folder)


def fitted(inputs: Inputs, *settings: str) -> Model:
    return inputs.fitted(schema.override(experiments.find("compact"), list(settings)), settings).model


def test_alphabet_and_length_are_those_of_the_data(tmp_path: Path) -> None:
    letters = dataset(tmp_path / "letters", "AB12-", 9)
    model = fitted(Inputs([letters]))
    assert (model.alphabet, model.max_length) == ("AB12-", 9)
    longer = dataset(tmp_path / "longer", "AB12-", 11)
    assert fitted(Inputs([letters], [longer])).max_length == 11


def test_shorter_labels_leave_the_length_as_it_is(tmp_path: Path) -> None:
    assert fitted(Inputs([dataset(tmp_path / "short", "0123456789", 2)])) == Model()


def test_settings_count_more_than_the_data(tmp_path: Path) -> None:
    letters = dataset(tmp_path / "letters", "AB", 9)
    model = fitted(Inputs([letters]), "model.alphabet=ABC", "model.max_length=12")
    assert (model.alphabet, model.max_length) == ("ABC", 12)


@pytest.mark.parametrize("alphabet", ["AB", "0123456789"])
def test_datasets_that_differ_decide_nothing(tmp_path: Path, alphabet: str) -> None:
    folders = [dataset(tmp_path / "one", alphabet, 2), dataset(tmp_path / "two", "XY", 2)]
    assert fitted(Inputs(folders)).alphabet == "0123456789"
