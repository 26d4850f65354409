"""All commands as one: `svhn predict photo.png`, `svhn --help`."""

import importlib
import importlib.metadata
import sys
from pathlib import Path
from typing import Any

from trainer import cli
from trainer.cli import UserError
from trainer.cluster import environment

# By name: the module, whose `main` runs it, and what it does. A module is imported only when its command is run.
COMMANDS = {
    "predict": ("trainer.predict", "read the numbers in a few images"),
    "score": ("beam_pipelines.score", "read a folder or a bucket of images into sharded predictions"),
    "prepare": ("beam_pipelines.prepare", "turn labelled images into a dataset"),
    "synthesize": ("beam_pipelines.synthesize", "draw a dataset of numbers or scenes"),
    "draw": ("beam_pipelines.draw", "draw numbers or scenes as image files"),
    "inspect": ("beam_pipelines.inspect", "show what a dataset contains, and verify it"),
    "download": ("beam_pipelines.download", "fetch the official SVHN files"),
    "train": ("trainer.train", "train a model, or resume its training"),
    "cluster": ("trainer.cluster.__main__", "train with several processes of this machine"),
    "search": ("trainer.search", "train with many settings and rank them"),
    "finetune": ("trainer.finetune", "train a model further on a folder of labelled images"),
    "evaluate": ("trainer.evaluate", "measure a model on labelled images, and calibrate its confidence"),
    "export": ("trainer.export", "write a trained model as a SavedModel"),
    "serve": ("trainer.serve", "read images sent over HTTP, with a page for the camera"),
    "review": ("trainer.review", "check predictions in the browser, and export the answers as labels"),
    "report": ("trainer.report", "write an HTML report about a run or its predictions"),
    "submit": ("k8s.submit", "run any of these on Kubernetes"),
}
PREFIX = "svhn-"
SHOWN_VERSIONS = ("svhn-sequences", "tensorflow-cpu", "tensorflow", "keras", "apache-beam")


def main(argv: list[str] | None = None) -> int:
    """Run a command and return its exit status; the script `svhn-predict` is `svhn predict`."""
    words = sys.argv[1:] if argv is None else argv
    script = Path(sys.argv[0]).stem
    if argv is None and script.startswith(PREFIX):
        words = [script.removeprefix(PREFIX), *words]
    line = environment.completed_line()
    if line is not None:
        cli.complete_at_parsing()
        words = words or _words_to_complete(line)
    if not words or words[0] not in COMMANDS:
        return cli.exit_status(_overview, words)
    imported: list[Any] = []
    status = cli.exit_status(lambda _: imported.append(importlib.import_module(COMMANDS[words[0]][0])), None)
    return status or imported[0].main(words[1:])


def _words_to_complete(line: str) -> list[str]:
    """Return the command whose arguments are to be completed, if the line has one before its last word."""
    words = line.split()
    if len(words) < 2 or words[1] not in COMMANDS or (len(words) == 2 and not line[-1].isspace()):
        return []
    environment.complete_after_command()
    return words[1:2]


def _overview(words: list[str] | None) -> None:
    if environment.completed_line() is not None:
        cli.complete(COMMANDS, "--version")
    if words == ["--version"]:
        print("\n".join(_versions()))
    elif not words or words in (["--help"], ["-h"]):
        commands = "\n".join(f"  {name:<12}{does}" for name, (_, does) in COMMANDS.items())
        print(f"usage: svhn COMMAND ...\n\n{commands}\n\nsvhn COMMAND --help explains one; svhn --version")
    else:
        raise UserError(f"{words[0]} is not a command: svhn --help lists them")


def _versions() -> list[str]:
    """Return a line for each of `SHOWN_VERSIONS` that is installed."""
    versions = {d.metadata["Name"].replace("_", "-"): d.version for d in importlib.metadata.distributions()}
    return [f"{name} {versions[name]}" for name in SHOWN_VERSIONS if name in versions]


if __name__ == "__main__":
    sys.exit(main())
