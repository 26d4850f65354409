"""The inputs of a run: the datasets and the initial weights."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from trainer.config.schema import Config

if TYPE_CHECKING:
    from trainer.data.pipeline.input_pipeline import LabelledImages
    from trainer.workdir.warm_start import InitialWeights


@dataclass(frozen=True)
class Inputs:
    """The inputs, as given on the command line.

    Attributes:
      data: datasets with a `train` split.
      validation: datasets with a `validation` split. If empty, those of `data` that have this split are used; if none
        has it, a part of the training images is held out.
      init_from: the source of a new work folder's weights, as for `warm_start.find`; empty to initialise them randomly.
    """

    data: list[str]
    validation: list[str] = field(default_factory=list)
    init_from: str = ""

    def fitted(self, config: Config, settings: Sequence[str]) -> Config:
        """Return the config with the alphabet of the datasets and the length of their longest label.

        Args:
          config: the config.
          settings: the `--set` values; an alphabet or a length that they set is kept.
        Raises:
          UserError: a dataset is missing, unfinished or damaged.
        """
        from trainer.data.formats import dataset_info

        infos = [dataset_info.read_info(folder) for folder in (*self.data, *self.validation)]
        given, model = {setting.partition("=")[0] for setting in settings}, config.model
        alphabets = {info.alphabet for info in infos}
        if "model.alphabet" not in given and len(alphabets) == 1:
            model = replace(model, alphabet=alphabets.pop())
        if "model.max_length" not in given:
            model = replace(model, max_length=max(model.max_length, *(info.max_length for info in infos)))
        return replace(config, model=model)

    def check(self, config: Config) -> None:
        """Check what can be checked without reading anything.

        Raises:
          UserError: `data.shares` does not fit the datasets.
        """
        from trainer.data.pipeline import batch_order

        if config.data.shares:
            batch_order.slots([1] * len(self.data), config.data.shares, config.data.batch_size)

    def check_datasets(self) -> None:
        """Check that all datasets are complete.

        Raises:
          UserError: one is missing, unfinished or damaged.
        """
        from trainer.data.formats import dataset_info

        for folder in (*self.data, *self.validation):
            dataset_info.read_info(folder)

    def load(self, config: Config, workdir: str) -> "tuple[LabelledImages, LabelledImages, InitialWeights | None]":
        """Return the training and validation images; the initial weights have never been trained on the latter.

        Returns:
          Both, and the source of the initial weights, or None.
        Raises:
          UserError: a dataset or the weights are not usable, or validation images are, or were, trained on.
        """
        import numpy as np

        from trainer.data.formats import dataset_info
        from trainer.data.pipeline import input_pipeline, leakage
        from trainer.workdir import warm_start

        source = warm_start.find(self.init_from) if self.init_from else None
        folders = self.validation or [f for f in self.data if "validation" in dataset_info.read_info(f).splits]
        training = input_pipeline.load(self.data, "train", config)
        if folders:
            validating = input_pipeline.load(folders, "validation", config)
        else:
            training, validating = input_pipeline.hold_out(training, config)
        input_pipeline.places(training, config)
        before = np.union1d(leakage.remembered(workdir), source.trained_on if source else [])
        trained_on = np.union1d(training.fingerprints, before)
        advice = "give other validation data, or train in another --workdir if this one was trained on them before"
        leakage.check(validating.keys, validating.fingerprints, trained_on, data="the validation data", advice=advice)
        return training, validating, source
