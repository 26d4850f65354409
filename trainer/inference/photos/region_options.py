"""Add command-line options for which regions of a photo are read, how, and with which engine."""

import argparse

from trainer.config import typed

MOST_NUMBERS = 60
ONNX, TENSORFLOW = "onnx", "tensorflow"
AUTO, FLOAT32 = "auto", "float32"


def add_engine(parser: argparse.ArgumentParser) -> None:
    """Add --engine."""
    parser.add_argument(
        "--engine",
        choices=[ONNX, TENSORFLOW],
        help="what runs the model: onnx starts ten seconds sooner and needs no TensorFlow; it is the default for "
        "models exported with --onnx, as the released ones were",
    )


def add_precision(parser: argparse.ArgumentParser) -> None:
    """Add --precision."""
    parser.add_argument(
        "--precision",
        choices=[AUTO, FLOAT32],
        default=AUTO,
        help="auto: bfloat16 if the CPU supports it; float32: the same confidences on all CPUs, up to rounding",
    )


def add_beam(parser: argparse.ArgumentParser) -> None:
    """Add --beam-width and --candidates."""
    parser.add_argument(
        "--beam-width", type=int, help="hypotheses that beam search follows; by default two for each candidate"
    )
    parser.add_argument(
        "--candidates",
        type=int,
        help="candidates of each answer; by default as many as --beam-width, else the model's own number",
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add --regions and --max-numbers."""
    parser.add_argument(
        "--regions",
        choices=["found", "whole"],
        default="found",
        help="found: read each number found in a photo, and the whole photo; whole: read only the whole photo",
    )
    parser.add_argument(
        "--max-numbers",
        type=typed.integer(1, MOST_NUMBERS),
        default=MOST_NUMBERS,
        help="maximum number of answers per photo",
    )
