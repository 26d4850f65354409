"""Work folders and exports of released models, for benchmarks.scoring; each is made in a process of its own."""

import json
from pathlib import Path
from typing import Any


def export(workdir: str, output: str, settings: list[str]) -> list[Any]:
    """Export the model of a work folder, also as TFLite."""
    from trainer.inference.exports import saved_model

    saved_model.export(workdir, output, tflite=True, settings=settings)
    return []


def restore(model: str, workdir: str) -> list[Any]:
    """Create a work folder from an exported model: all ways use its weights, which may be stored as float16."""
    import tensorflow as tf

    from trainer import released
    from trainer.config import experiments
    from trainer.models.recogniser import PureRecogniser
    from trainer.workdir import checkpoint, files, warm_start

    info = json.loads(Path(released.folder_of(model), "assets/model_info.json").read_text())
    config = experiments.find(info["experiment"])
    recogniser = PureRecogniser(config.model, seed=config.seed)
    params, state = (
        {path: tf.Variable(value, name=path) for path, value in values.items()}
        for values in (recogniser.params, recogniser.state)
    )
    warm_start.initialise(warm_start.find(model), params, state, averages={})
    files.start(workdir, config)
    weights = {"averages" if config.optimizer.ema_decay else "params": params}
    saved = tf.train.Checkpoint(step=tf.Variable(info["step"], dtype=tf.int64), state=state, **weights)
    checkpoint.Checkpoints(workdir, saved, keep=1).save(info["step"])
    return []
