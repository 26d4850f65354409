"""Export a work folder as a SavedModel (image files in, candidates out): `python -m trainer.export --help`."""

import argparse
import sys

from trainer import cli, released
from trainer.cluster import environment, place_checks


def main(argv: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    return cli.exit_status(_run, argv)


def _parser() -> argparse.ArgumentParser:
    parser = cli.parser(
        description="Write a trained recogniser as a SavedModel that takes image files and returns candidates; or a "
        "finder and a recogniser as one SavedModel that takes photos and returns numbers with their boxes.",
        example="python -m trainer.export --workdir runs/first --output runs/first/export",
        check_reach=place_checks.check,
    )
    parser.add_argument("--workdir", required=True, metavar="DIR", help="work folder written by trainer.train")
    place = parser.add_mutually_exclusive_group(required=True)
    place.add_argument("--output", metavar="DIR", help="folder of the SavedModel; an earlier export there is replaced")
    place.add_argument(
        "--serving",
        metavar="DIR",
        help="base folder of a model for TensorFlow Serving: write the next version (at first DIR/1), with warm-up "
        "requests, and DIR/batching.config",
    )
    parser.add_argument("--half", action="store_true", help="store the weights as float16, which halves the size")
    parser.add_argument(
        "--tflite", action="store_true", help="also write assets.extra/model.tflite, which takes resized images"
    )
    parser.add_argument(
        "--onnx",
        action="store_true",
        help="also write assets.extra/model.onnx, from pixels to tokens, for any ONNX runtime; with it, predict, serve "
        "and Reader need no TensorFlow",
    )
    parser.add_argument(
        "--reader",
        default=released.FAST,
        metavar="EXPORT",
        help=f"for a finder, the recogniser that becomes part of the model and reads what is found: {released.HELP}",
    )
    cli.add_settings(parser, what=cli.READ_OTHERWISE)
    return parser


def _run(argv: list[str] | None) -> None:
    args = _parser().parse_args(argv)
    environment.configure()
    from trainer.inference.exports import exported_model, photo_model, saved_model, warm_up
    from trainer.workdir import files

    output = warm_up.next_version(args.serving) if args.serving else args.output
    options = {"half": args.half, "onnx": args.onnx, "serving": bool(args.serving), "settings": args.set}
    with environment.native_stderr():
        if files.read_config(args.workdir).model.finds:
            reader = exported_model.load(released.folder_of(args.reader))
            info = photo_model.export(args.workdir, output, reader, **options)
        else:
            info = saved_model.export(args.workdir, output, tflite=args.tflite, **options)
    print(f"exported step {info['step']} of {args.workdir} as {output}, fingerprint {info['fingerprint']}")
    if args.serving and (batching := warm_up.write_batching(args.serving)):
        print(f"wrote {batching}")
    if not info["calibration"]:
        print("its confidence is not calibrated: run trainer.evaluate --calibrate, then export again")


if __name__ == "__main__":
    sys.exit(main())
