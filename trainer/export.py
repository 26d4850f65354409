"""Work folder to SavedModel: picture files in, candidates out: `python -m trainer.export --help`."""

import hashlib
import json
import logging
import sys
from typing import Any

from trainer import cli, cluster

log = logging.getLogger(__name__)

MODEL_INFO_FILE = "model_info.json"


def export(workdir: str, output: str) -> dict[str, Any]:
    """Writes the best checkpoint as a SavedModel with preprocessing and beam search inside.

    The signature `serving_default` takes `images`, string [B], picture files, and returns `text` string [B, K],
    `log_prob` and `probability` float32 [B, K], best first, and `confidence` float32 [B], calibrated where
    `trainer.evaluate --calibrate` was run. `decoded` takes `images`, uint8 [B, h, w, 3].

    Returns:
      What it stores as the asset `model_info.json`: alphabet, longest number, step, fingerprint, calibration.
    Raises:
      UserError: there is no trained model in the work folder, its calibration is of another checkpoint, or the
        output holds something else.
    """
    import tensorflow as tf

    from trainer import preprocess
    from trainer import workdir as work
    from trainer.calibration import Calibration
    from trainer.reading import Reader

    if tf.io.gfile.exists(output) and not tf.io.gfile.exists(f"{output}/saved_model.pb"):
        raise cli.UserError(f"{output} is there and is no SavedModel: choose another --output")
    wanted, recogniser, params, state, step = work.load_model(workdir)
    stored = work.read_calibration(workdir, step)
    calibrated = Calibration(stored["temperature"], stored["offset"]) if stored else Calibration()
    reader = Reader(recogniser, params, state, wanted, calibrated)
    height, width = wanted.model.image_height, wanted.model.image_width

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="images")])
    def read_files(images):
        return reader.read(preprocess.normalise(preprocess.decode_and_fit(images, height, width)))

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8, name="images")])
    def read_decoded(images):
        return reader.read(preprocess.normalise(preprocess.fit(images, height, width)))

    info = {
        "experiment": wanted.experiment,
        "step": step,
        "alphabet": wanted.model.alphabet,
        "alphabet_fingerprint": reader.vocab.fingerprint,
        "max_length": wanted.model.max_length,
        "beam_width": wanted.decode.beam_width,
        "fingerprint": fingerprint(params, state),
        "calibration": stored,
    }
    module = tf.Module()
    module.params, module.state = params, state
    scratch = f"{workdir}/export-scratch"
    tf.io.gfile.makedirs(scratch)
    with tf.io.gfile.GFile(f"{scratch}/{MODEL_INFO_FILE}", "w") as file:
        file.write(json.dumps(info, indent=2) + "\n")
    module.info = tf.saved_model.Asset(f"{scratch}/{MODEL_INFO_FILE}")
    tf.saved_model.save(module, f"{scratch}/model", {"serving_default": read_files, "decoded": read_decoded})
    if tf.io.gfile.exists(output):
        tf.io.gfile.rmtree(output)
    tf.io.gfile.makedirs(output.rstrip("/").rpartition("/")[0] or ".")
    tf.io.gfile.rename(f"{scratch}/model", output)
    tf.io.gfile.rmtree(scratch)
    return info


def fingerprint(params: dict[str, Any], state: dict[str, Any]) -> str:
    """Twelve hexadecimal digits that differ for different weights."""
    digest = hashlib.sha256()
    for values in (params, state):
        for path in sorted(values):
            digest.update(path.encode() + values[path].numpy().tobytes())
    return digest.hexdigest()[:12]


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    return cli.exit_status(_run, argv)


def _run(argv: list[str] | None) -> None:
    parser = cli.parser(
        description="Write a trained recogniser as a SavedModel: picture files in, candidates out.",
        example="python -m trainer.export --workdir runs/first --output runs/first/export",
    )
    parser.add_argument("--workdir", required=True, metavar="DIR", help="what trainer.train made")
    parser.add_argument("--output", required=True, metavar="DIR", help="the SavedModel; one that is there is replaced")
    args = parser.parse_args(argv)
    cluster.configure()
    info = export(args.workdir, args.output)
    print(f"exported step {info['step']} of {args.workdir} as {args.output}, fingerprint {info['fingerprint']}")
    if not info["calibration"]:
        print("its confidence is not calibrated: trainer.evaluate --calibrate does it, then export again")


if __name__ == "__main__":
    sys.exit(main())
