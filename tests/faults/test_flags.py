"""Every flag of every command with values that nobody means: found by asking the parsers, so that none is forgotten."""

import argparse
import contextlib
import dataclasses
import importlib
import io
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.command_lines import SOUND, SPAWNING, command_line, modules, rows
from tests.faults.table import check
from tests.forking import Commands
from trainer import cli
from trainer.cli import UserError
from trainer.config import experiments, schema

NEVER = ["", "nan", "inf", "-inf", "-1", "1e400", "text"]
PERHAPS = ["0", "99999999999999999999"]


class Captured(BaseException):
    """The parser of a command, instead of what it would parse."""


def parser_of(module: str) -> argparse.ArgumentParser:
    """The parser that a command uses."""

    def capture(self: argparse.ArgumentParser, *_: object) -> None:
        raise Captured(self)

    name = f"{module}.__main__" if module == "trainer.cluster" else module
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cli._Parser, "parse_known_args", capture)  # not that of the parser of -q and -v, which runs first
        with pytest.raises(Captured) as caught:
            importlib.import_module(name).main(["x"])
    return caught.value.args[0]


def numeric_flags() -> Iterator[Any]:
    for module in SOUND:
        for action in parser_of(module)._actions:
            number = action.type is not None or (isinstance(action.default, (int, float)) and action.nargs != 0)
            if number and action.option_strings and action.dest != "alphabet":  # any text of distinct characters is one
                for value in NEVER + PERHAPS:
                    slow = [pytest.mark.slow] if module in SPAWNING else []
                    name = f"{module}{action.option_strings[-1]}={value}"
                    yield pytest.param(module, action, value, marks=slow, id=name)


def test_numeric_flags_are_found() -> None:
    assert {"--count", "--num-shards", "--hang-timeout", "--port"} <= {
        case.values[1].option_strings[0] for case in numeric_flags()
    }


@pytest.mark.parametrize(("module", "action", "value"), numeric_flags())
def test_a_number_that_cannot_be_is_refused(
    request: pytest.FixtureRequest, module: str, action: argparse.Action, value: str
) -> None:
    """Nonsense is refused by name before anything is written; zero and a huge number may work, but nothing crashes.

    What the parser refuses, which is most, needs no process: parsing is the first that a command does.
    """
    flag, said = action.option_strings[-1], io.StringIO()
    given = [flag, *[value] * action.nargs] if isinstance(action.nargs, int) else [f"{flag}={value}"]
    with contextlib.redirect_stderr(said):
        try:
            parser_of(module).parse_args(_with(given, module, Path("world"), Path("new")))
            refused = False
        except SystemExit as error:
            refused = error.code == 2
        except UserError as error:
            refused = bool(said.write(str(error)))
    if refused:
        assert flag in said.getvalue().splitlines()[-1]
        return
    commands, world, place = (request.getfixturevalue(name) for name in ("commands", "world", "place"))
    args = _with(given, module, world, place)
    if value in PERHAPS:
        check(commands, module, *args, watched=(world,), statuses=(0, 2))
        return
    ended = check(commands, module, *args, watched=(world, place))
    same = [other for other in parser_of(module)._actions if other.dest == action.dest]  # a flag and its former name
    assert any(name in ended.err for other in same for name in other.option_strings), ended.err


def _with(given: list[str], module: str, world: Path, place: Path) -> list[str]:
    args = command_line(module, world=world, new=place)
    at = args.index("--") if "--" in args else len(args)
    return [*args[:at], *given, *args[at:]]


@pytest.mark.parametrize("module", modules())
@pytest.mark.parametrize("flag", ["--no-such-flag", "--\x1b[31m"])
def test_an_unknown_flag_is_one_line(commands: Commands, world: Path, place: Path, module: str, flag: str) -> None:
    args = command_line(module, world=world, new=place)
    args[args.index("--") if "--" in args else len(args) :] = [flag]
    check(commands, module, *args, watched=(world, place))


@pytest.mark.parametrize("module", modules(*(name for name in SOUND if name != "trainer.serve")))  # it serves then
def test_no_argument_at_all_is_one_line(commands: Commands, place: Path, module: str) -> None:
    statuses = (2,) if any(action.required for action in parser_of(module)._actions) else (0, 2)
    if module == "trainer.cluster":  # starts trainer.train, which lacks its arguments
        statuses = (2,)
    check(commands, module, cwd=place, watched=(place,), statuses=statuses)


CONTRADICTIONS = [
    ("beam_pipelines.synthesize", ["--share", "0/2", "--overwrite"]),
    ("beam_pipelines.synthesize", ["--split", "train:0.5,validation:0.5"]),
    ("beam_pipelines.synthesize", ["--source", "mnist", "--alphabet", "abc"]),
    ("beam_pipelines.synthesize", ["--alphabet", ""]),
    ("beam_pipelines.synthesize", ["--alphabet", "00"]),
    ("beam_pipelines.prepare", ["--share", "2/2"]),
    ("beam_pipelines.prepare", ["--share", "0/0"]),
    ("beam_pipelines.prepare", ["--share", "-1/2"]),
    ("beam_pipelines.prepare", ["--split", "train:-1"]),
    ("beam_pipelines.prepare", ["--split", "train:nan"]),
    ("beam_pipelines.prepare", ["--split", "train:inf,validation:1"]),
    ("beam_pipelines.prepare", ["--split", "../x"]),
    ("beam_pipelines.prepare", ["--split", "train:0.5,train:0.5"]),
    ("beam_pipelines.prepare", ["--crop", "tight"]),
    ("beam_pipelines.prepare", ["--context", "2", "1"]),
    ("beam_pipelines.prepare", ["--context", "nan", "nan"]),
    ("beam_pipelines.prepare", ["--runner", "NoSuchRunner"]),
    ("beam_pipelines.prepare", ["--direct_num_workers", "x"]),
    ("beam_pipelines.score", ["--min-confidence", "0.5", "--target-accuracy", "0.9"]),
    ("beam_pipelines.score", ["--candidates", "9", "--beam-width", "3"]),
    ("beam_pipelines.score", ["--target-accuracy", "0.123"]),
    ("beam_pipelines.score", ["--share", "0/2", "--overwrite"]),
    ("trainer.train", ["--strategy", "multi-worker"]),
    ("trainer.train", ["--strategy", "parameter-server"]),
    ("trainer.train", ["--experiment", "no-such"]),
    ("trainer.train", ["--experiment", "released", "--init-from", "released"]),
    ("trainer.search", ["--grid", "seed=1,2"]),
    ("trainer.search", ["--grid", "no.such=1"]),
    ("trainer.search", ["--grid", "optimizer.learning_rate=nan"]),
    ("trainer.search", ["--random", "optimizer.beta1=uniform:1:0"]),
    ("trainer.search", ["--random", "optimizer.beta1=log:0:1"]),
    ("trainer.evaluate", ["--split", "no-such"]),
    ("trainer.evaluate", ["--set", "train.steps=3"]),
    ("k8s.submit", ["--storage", "gs://"]),
    ("k8s.submit", ["--component", "no-such"]),
    ("k8s.submit", ["--name", "Not a name"]),
]


@pytest.mark.parametrize(
    ("module", "more"), rows(CONTRADICTIONS), ids=lambda value: " ".join(value) if isinstance(value, list) else value
)
def test_flags_that_do_not_go_together_are_one_line(
    commands: Commands, world: Path, place: Path, module: str, more: list[str]
) -> None:
    args = command_line(module, world=world, new=place)
    check(commands, module, *args, *more, watched=(world, place))


# A negative value of these means something: colours, degrees, and a seed.
SIGNED = {"decode.tilts"}


def leaves() -> Iterator[tuple[str, Any]]:
    def walk(value: Any, prefix: str) -> Iterator[tuple[str, Any]]:
        for field in dataclasses.fields(value):
            inner = getattr(value, field.name)
            if dataclasses.is_dataclass(inner):
                yield from walk(inner, f"{prefix}{field.name}.")
            elif not isinstance(inner, (str, bool)):
                yield f"{prefix}{field.name}", inner

    return walk(experiments.find("smoke"), "")


@pytest.mark.parametrize(("key", "now"), leaves(), ids=lambda value: value if isinstance(value, str) else "")
def test_no_setting_takes_a_number_that_is_none(key: str, now: Any) -> None:
    """NaN, infinity, a negative, an absurdly large one, another type: refused with the key's name."""
    odd = [math.nan, math.inf, -math.inf, 10**18, 1e300, "text", True, None, {}]
    odd += [] if key in SIGNED else [-1, -0.5]
    taken, lines = [], {0}
    for value in odd:
        form = f"{value}" if isinstance(value, str) else in_json(value)
        for text in [f"[{form}]", f"[{form},{form}]"] if isinstance(now, tuple) else [form, f"[{form}]"]:
            try:
                schema.override(experiments.find("smoke"), [f"{key}={text}"])
            except UserError as error:
                lines |= {str(error).count("\n")}
            else:
                taken.append(text)
    assert lines == {0}
    assert not taken, f"--set {key}= takes {', '.join(taken)}"


def in_json(value: Any) -> str:
    import json

    return json.dumps(value)
