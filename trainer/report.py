"""One HTML page on a work folder and predictions, pictures inside: `python -m trainer.report --help`."""

import base64
import json
import logging
import random
import sys
from typing import Any

from trainer import cli, cluster

log = logging.getLogger(__name__)

SHOWN = 24  # pictures in a gallery


def report(workdir: str, predictions: str | None, output: str) -> None:
    """Writes the page.

    Raises:
      UserError: there is no such work folder, or no such predictions.
    """
    import jinja2
    import tensorflow as tf

    from trainer import evaluate, plots
    from trainer import workdir as work

    config = work.read_config(workdir)
    metrics = work.read_metrics(workdir)
    model, optimizer, train = config.model, config.optimizer, config.train
    values: dict[str, Any] = {
        "title": f"{config.experiment}: {workdir}",
        "curves": plots.curves(metrics) if metrics else None,
        "settings": [
            ("picture", f"{model.image_height} x {model.image_width} pixels"),
            ("alphabet, longest number", f"{model.alphabet}, {model.max_length}"),
            ("steps, batch size", f"{train.steps:,}, {config.data.batch_size}"),
            ("learning rate", f"{optimizer.learning_rate}"),
            ("seed", f"{config.seed}"),
        ],
        "evaluation": None,
        "predictions": _predictions(predictions) if predictions else None,
    }
    if tf.io.gfile.exists(f"{workdir}/{work.EVALUATION_FILE}"):
        summary = json.loads(_read(f"{workdir}/{work.EVALUATION_FILE}"))
        answers = [json.loads(line) for line in _read(f"{workdir}/{work.ANSWERS_FILE}").splitlines()]
        lines = [line.strip().split("  ", 1) for line in evaluate.table(summary).splitlines()[1:]]
        values["evaluation"] = [("pictures", summary["examples"]), *lines]
        values["reliability"] = plots.reliability(summary["calibration"])
        values["confusion"] = plots.confusion(answers, model.alphabet)
        values.update(_galleries(answers, summary))
    page = jinja2.Environment(loader=jinja2.PackageLoader("trainer", "."), autoescape=True).get_template("report.html")
    tf.io.gfile.makedirs(output.rpartition("/")[0] or ".")
    with tf.io.gfile.GFile(output, "w") as file:
        file.write(page.render(values))


def _galleries(answers: list[dict[str, Any]], summary: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Samples of what was read wrongly, the most confident first, and rightly, the least confident first."""
    wrong = [a for a in answers if a["candidates"][0] != a["label"]]
    right = [a for a in answers if a["candidates"][0] == a["label"]]
    wrong.sort(key=lambda a: -a["probabilities"][0])
    right.sort(key=lambda a: a["probabilities"][0])
    shown = {"wrong": wrong[:SHOWN], "right": right[:SHOWN]}
    pictures = _stored_pictures({a["key"] for chosen in shown.values() for a in chosen}, summary)
    return {
        kind: [
            {
                "key": a["key"],
                "label": a["label"],
                "candidates": list(zip(a["candidates"], a["probabilities"], strict=True)),
                "image": pictures.get(a["key"], ""),
            }
            for a in chosen
        ]
        for kind, chosen in shown.items()
    }


def _stored_pictures(keys: set[str], summary: dict[str, Any]) -> dict[str, str]:
    """Pictures of datasets by their keys; none where the dataset has gone since."""
    import tensorflow as tf

    from trainer import records

    found: dict[str, str] = {}
    for folder in summary["data"]:
        try:
            info = records.read_info(folder)
        except cli.UserError as error:
            log.warning("the report lacks pictures: %s", error)
            continue
        paths = records.shard_paths(folder, info, summary["split"])
        dataset = tf.data.TFRecordDataset(paths).batch(256)
        for batch in dataset.map(lambda raw, n=info.max_length: records.parse_batch(raw, n)).as_numpy_iterator():
            columns = (batch["image/key"], batch["image/encoded"], batch["image/format"])
            for key, encoded, file_format in zip(*columns, strict=True):
                if key.decode() in keys:
                    found[key.decode()] = data_url(encoded, file_format.decode())
    return found


def _predictions(folder: str) -> dict[str, Any]:
    import tensorflow as tf

    from trainer import plots

    if not tf.io.gfile.exists(f"{folder}/COMPLETED"):
        raise cli.UserError(f"{folder} has no finished predictions: make them with beam_pipelines.score")
    summary = json.loads(_read(f"{folder}/summary.json"))
    if summary["shards"] and not summary["shards"][0]["name"].endswith(".jsonl"):
        raise cli.UserError(f"{folder} is no JSON Lines: make the predictions with beam_pipelines.score --format jsonl")
    chosen = random.Random(0)
    rows = [json.loads(line) for shard in summary["shards"] for line in _read(f"{folder}/{shard['name']}").splitlines()]
    pictures = [
        {
            "key": row["key"],
            "label": None,
            "candidates": [(c["text"], c["probability"]) for c in row["candidates"]],
            "image": _file_url(row["key"]),
        }
        for row in chosen.sample(rows, min(SHOWN, len(rows)))
    ]
    return {
        "folder": folder,
        "rows": summary["rows"],
        "rejects": sum(summary["rejects"].values()),
        "histogram": plots.histogram(summary["confidence_histogram"]),
        "pictures": pictures,
    }


def _file_url(path: str) -> str:
    import tensorflow as tf

    if not tf.io.gfile.exists(path):
        return ""
    with tf.io.gfile.GFile(path, "rb") as file:
        return data_url(file.read(), path.rpartition(".")[2].lower().replace("jpg", "jpeg"))


def data_url(data: bytes, file_format: str) -> str:
    return f"data:image/{file_format};base64,{base64.b64encode(data).decode()}"


def _read(path: str) -> str:
    import tensorflow as tf

    with tf.io.gfile.GFile(path, "r") as file:
        return file.read()


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    return cli.exit_status(_run, argv)


def _run(argv: list[str] | None) -> None:
    parser = cli.parser(
        description="Write one HTML page: curves, figures, pictures read rightly and wrongly, predictions.",
        example="python -m trainer.report --workdir runs/first --predictions out/predictions --output out/report.html",
    )
    parser.add_argument("--workdir", required=True, metavar="DIR", help="what trainer.train made")
    parser.add_argument("--predictions", metavar="DIR", help="what beam_pipelines.score made")
    parser.add_argument("--output", required=True, metavar="FILE", help="the page")
    args = parser.parse_args(argv)
    cluster.configure()
    report(args.workdir, args.predictions, args.output)
    print(f"wrote {args.output}")


if __name__ == "__main__":
    sys.exit(main())
