"""Fine-tune a model on a folder of labelled images, and show the gain: `python -m trainer.finetune --help`."""

import argparse
import logging
import math
import os
import sys
from typing import TYPE_CHECKING

from trainer import cli, logs, released, svhn
from trainer.cli import UserError
from trainer.cluster import environment, place_checks
from trainer.config import bounds, experiments, schema, typed
from trainer.exit_status import USER_ERROR_STATUS
from trainer.vocab import DIGITS

if TYPE_CHECKING:
    from trainer.data.labels.finetuning_list import FinetuningList
    from trainer.inference.evaluating.folder_evaluation import FolderEvaluation

RATE = 1e-3  # a third of the rate for training from scratch
FEWEST_STEPS, STEPS_PER_ROOT = 100, 15  # times the square root of the number of images to train on
ENOUGH_TO_CALIBRATE = 50  # images for validation


class Ended(Exception):
    """A step has ended with another status than 0, and has said why."""

    def __init__(self, status: int) -> None:
        self.status = status


def main(argv: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    try:
        return cli.exit_status(_run, argv)
    except Ended as ended:
        if ended.status != USER_ERROR_STATUS:
            logs.say("run the same command again to continue", logging.WARNING)
        return ended.status


def _run(argv: list[str] | None) -> None:
    args = _parser().parse_args(argv)
    from trainer.data.labels import finetuning_list
    from trainer.data.labels.finetuning_list import TRAIN, VALIDATION

    images = finetuning_list.read(args.folder, args.alphabet, args.images)
    place = os.path.abspath(args.images or args.folder)
    steps = _default_steps(images.count(TRAIN)) if args.steps is None else args.steps
    settings = [*_settings(images, steps, args.learning_rate), *args.set]
    finds = images.has_boxes
    schema.override(experiments.find(args.experiment), settings)  # before anything is written
    environment.configure()
    from trainer.inference.reader import Reader
    from trainer.workdir import checkpoint

    checkpoint.check_name(args.workdir, "--workdir")
    first = Reader(args.model)
    if "finder" in first.model.info:
        raise UserError(f"--model {args.model} also finds numbers: give a recogniser, e.g. {released.FAST}")
    _announce(images, steps)
    if finds:
        place = os.path.abspath(os.path.join(args.workdir, "numbers"))
        images = images.cut(place)
    images.write(args.workdir)
    data, run, export = (os.path.join(args.workdir, name) for name in ("data", "run", "export"))
    _prepare(images, place, args.workdir, data)
    before = first.evaluate(args.workdir, split=VALIDATION, images=place)
    where = ["--experiment", args.experiment, "--init-from", released.folder_of(args.model)]
    height, width = first.model.info["image_size"]  # weights of other sizes would not all fit
    longest = max(first.model.info["max_length"], images.max_length)
    size = [f"model.image_height={height}", f"model.image_width={width}", f"model.max_length={longest}"]
    _step("train", *where, "--data", data, "--workdir", run, "--set", *size, *settings)
    calibrate = ["--calibrate"] if images.count(VALIDATION) >= ENOUGH_TO_CALIBRATE else []
    _step("evaluate", "--workdir", run, "--data", data, *calibrate)
    _step("export", "--workdir", run, "--output", export)
    _step("report", "--workdir", run, "--output", os.path.join(args.workdir, "report.html"))
    print(_comparison(before, Reader(export).evaluate(args.workdir, split=VALIDATION, images=place), export))
    if finds:
        _give_to_finder(export, os.path.join(args.workdir, "photos"))


def _announce(images: "FinetuningList", steps: int) -> None:
    from trainer.data.labels.finetuning_list import TRAIN, VALIDATION

    print(
        f"{images.count(TRAIN)} images to train on and {images.count(VALIDATION)} to validate on, of up to "
        f"{images.max_length} of the characters {images.alphabet}; {steps} steps"
    )
    if images.left_out:
        which = "a number with a box" if images.has_boxes else "a number or with several"
        print(f"{images.left_out} images without {which} are left out: see docs/finding.md for these")


def _give_to_finder(export: str, output: str) -> None:
    """Write the released finder with the new recogniser, since the labels are of numbers in photos."""
    from trainer.inference.exports import exported_model, other_reader

    photos = exported_model.load(released.folder_of(released.PHOTOS))
    other_reader.export(photos, exported_model.load(export), output)
    print(f"the model that also finds numbers in photos: {output}")


def _default_steps(to_train_on: int) -> int:
    return max(FEWEST_STEPS, round(STEPS_PER_ROOT * math.sqrt(to_train_on)))


def _settings(images: "FinetuningList", steps: int, rate: float) -> list[str]:
    every = max(20, steps // 5)
    return [
        f"model.alphabet={images.alphabet}",
        f"train.steps={steps}",
        f"train.evaluate_every={every}",
        f"train.checkpoint_every={every}",
        "train.log_every=20",
        f"optimizer.learning_rate={rate}",
        "optimizer.warmup_steps=20",
        f"decode.empty={str(images.has_boxes).lower()}",  # a finder may point at what is not a number
    ]


def _prepare(images: "FinetuningList", place: str, workdir: str, data: str) -> None:
    args = ["--format", "csv", "--input", os.path.join(workdir, "labels.csv"), "--images", place]
    args += [f"--alphabet={images.alphabet}", "--max-digits", str(images.max_length)]  # it may begin with a dash
    args += ["--num-shards", "1"]
    _step("prepare", *args, "--output", data)


def _step(command: str, *args: str) -> None:
    """Print a command and run it.

    Raises:
      Ended: its exit status is not 0.
    """
    print(f"\n== {command}", flush=True)
    if status := svhn.main([command, *args, *logs.chosen().words()]):
        raise Ended(status)


def _comparison(before: "FolderEvaluation", after: "FolderEvaluation", export: str) -> str:
    lines = [""]
    for name, found in (("before", before), ("after", after)):
        right, (low, high) = round(found.accuracy * found.images), found.interval_95
        share = f"{found.accuracy:.1%} (95 % interval {low:.1%} to {high:.1%})"
        lines.append(f"{name:<8}{right} of {found.images} right, {share}")
    if after.accuracy <= before.accuracy:
        lines.append("fine-tuning has not helped: use more images, or change --steps or --learning-rate")
    lines.append("the checkpoint was chosen on these images, so expect slightly less on others")
    return "\n".join([*lines, f"the model: {export}"])


def _check_place(flag: str, path: str) -> None:
    if flag == "--workdir":
        raise UserError(f"--workdir {path}: this command writes only to local folders; copy its export afterwards")
    cli.local_or_gs(flag, path)


def _parser() -> argparse.ArgumentParser:
    parser = cli.parser(
        description="Fine-tune a model on a folder of labelled images: prepare, train, evaluate, export and report, "
        "with the accuracy on held-out images before and after. The folder has a labels.csv with the columns file "
        "and label, or sub-folders or file names that are labels (123/a.jpg, 123_a.jpg). If labels.csv has boxes, the "
        "numbers are cut out, and there is also a model that finds them in photos. Run it again to continue.",
        example="python -m trainer.finetune photos --workdir runs/mine",
        check_place=_check_place,
        check_reach=place_checks.check,
    )
    parser.add_argument("folder", metavar="FOLDER", help="labelled images")
    parser.add_argument("--images", metavar="DIR", help="folder of the images that labels.csv lists (default: FOLDER)")
    parser.add_argument(
        "--workdir", required=True, metavar="DIR", help="folder for the data, the run, the model and the report"
    )
    parser.add_argument(
        "--model", default=released.FAST, metavar="EXPORT", help=f"model to start from: {released.HELP}"
    )
    parser.add_argument("--experiment", default="compact", help=cli.EXPERIMENT)
    parser.add_argument(
        "--alphabet",
        default=DIGITS,
        help="characters of labels that are file or folder names; labels.csv may contain any character",
    )
    steps = typed.integer(1, 2**31 - 1)
    parser.add_argument("--steps", type=steps, help="training steps; by default chosen by the number of images")
    rate = typed.argument(float, typed.Range(0, bounds.LARGEST))
    parser.add_argument("--learning-rate", type=rate, default=RATE, help="peak learning rate")
    cli.add_settings(parser, what="override settings of the training")
    return parser


if __name__ == "__main__":
    sys.exit(main())
