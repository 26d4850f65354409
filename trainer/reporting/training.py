"""The section on the training: its curves and its main settings."""

from trainer.config.schema import Config
from trainer.reporting import plots
from trainer.reporting.section import Section, named_if_damaged
from trainer.training import ranking
from trainer.training.speed import clock
from trainer.workdir import files


def section(workdir: str, config: Config) -> Section:
    """Return the section.

    Raises:
      UserError: the metrics are damaged.
    """
    with named_if_damaged(f"{workdir}/{files.METRICS_FILE}", "remove it to report without the curves"):
        metrics = files.read_metrics(workdir)
        lines = plots.FINDING if config.model.finds else plots.READING
        charts = [chart for chart in (plots.loss(metrics), plots.validation(metrics, lines)) if chart]
        trained = ranking.measured(metrics, config)["seconds"] if metrics else 0.0
    model, optimizer, train = config.model, config.optimizer, config.train
    settings = [
        ("image", f"{model.image_height} x {model.image_width} pixels"),
        ("alphabet, maximum length", f"{model.alphabet}, {model.max_length}"),
        ("steps, batch size", f"{train.steps:,}, {config.data.batch_size}"),
        ("learning rate", f"{optimizer.learning_rate}"),
        ("seed", f"{config.seed}"),
    ]
    if trained:
        settings.append(("training time, without pauses", clock(trained)))
    return Section("Training", "training.html", {"charts": charts, "settings": settings})
