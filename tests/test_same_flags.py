"""The same flag for the same thing in every command; former names work, and are not shown."""

import argparse
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.faults.test_flags import parser_of
from trainer import svhn

FORMER = {
    "score": {"--share": "--partition"},
    "prepare": {"--share": "--partition"},
    "synthesize": {"--share": "--partition"},
    "draw": {"--scenes": "--scene-size"},
    "serve": {"--max-batch": "--batch-size"},
    "cluster": {"--ps": "--parameter-servers", "--back-off-limit": "--restarts"},
    "submit": {"--servers": "--parameter-servers", "--shares": "--partitions"},
}
# What may differ between the commands that have a flag, and why.
EXPLAINED = {
    "--alphabet": {"default": "synthesize takes the characters of --texts and --pattern"},
    "--batch-size": {"default": "a server answers people who wait, and a batch job does not"},
    "--data": {"required": "evaluate takes a folder of images in its place"},
    "--format": {
        "choices": "the formats of what the command reads or writes",
        "default": "prepare cannot guess it; score, and evaluate of a folder, depend on other arguments",
        "required": "prepare cannot guess it",
    },
    "--input": {"nargs": "a dataset is prepared from one input"},
    "--max-digits": {"default": "5 where it is not taken from --texts or --pattern"},
    "--min-confidence": {"default": "review takes it from the predictions"},
    "--model": {
        "nargs": "a server has several, by name",
        "metavar": "a server has several, by name",
        "default": "the fast one is trained further; evaluate also measures work folders",
    },
    "--num-shards": {"default": "score writes as many as the images need"},
    "--output": {
        "metavar": "some write a folder, report a file, score either",
        "required": "synthesize has --preview",
    },
    "--parameter-servers": {"default": "submit takes it from the overlay"},
    "--reader": {"default": "evaluate refuses it for a folder of images"},
    "--restarts": {"default": "submit takes it from the overlay"},
    "--scene-size": {"default": "draw draws scenes if it is given"},
    "--split": {"default": "evaluate of a folder reads all of it"},
    "--workdir": {"required": "evaluate takes a folder of images in its place"},
    "--workers": {"default": "submit takes it from the overlay"},
}


@pytest.fixture(scope="module")
def parsers() -> dict[str, argparse.ArgumentParser]:
    """Return the parser of each command, by name."""
    return {command: parser_of(module) for command, (module, _) in svhn.COMMANDS.items()}


def shown(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    for action in parser._actions:
        if action.option_strings and action.help is not argparse.SUPPRESS:
            yield action


def kind(action: argparse.Action) -> object:
    """Return the class of a value: the functions that check its bounds differ."""
    if not callable(action.type):
        return str
    for text in ("99", "9", "0.5"):
        with suppress(argparse.ArgumentTypeError):
            return type(action.type(text))
    raise AssertionError(f"{action.option_strings} takes none of them")


def test_a_flag_is_the_same_in_every_command(parsers: dict[str, argparse.ArgumentParser]) -> None:
    values: dict[tuple[str, str], dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for command, parser in parsers.items():
        for action in shown(parser):
            (flag,) = [name for name in action.option_strings if name.startswith("--")]
            properties = {
                name: getattr(action, name) for name in ("nargs", "metavar", "choices", "default", "required")
            }
            for name, value in {**properties, "action": type(action).__name__, "kind": kind(action)}.items():
                values[flag, name][repr(value)].append(command)
    differing = {key: dict(by_value) for key, by_value in values.items() if len(by_value) > 1}
    explained = {(flag, name) for flag, names in EXPLAINED.items() for name in names}
    assert {key: value for key, value in differing.items() if key not in explained} == {}
    assert explained <= differing.keys(), "these do not differ any more"


def test_every_flag_has_one_name_and_says_what_it_does(parsers: dict[str, argparse.ArgumentParser]) -> None:
    for command, parser in parsers.items():
        for action in shown(parser):
            assert action.help, f"{command} {action.option_strings}"
            assert len([name for name in action.option_strings if name.startswith("--")]) == 1, command


def test_former_names_work_and_are_not_shown(parsers: dict[str, argparse.ArgumentParser]) -> None:
    found = {}
    for command, parser in parsers.items():
        hidden = {
            action.option_strings[0]: next(a for a in shown(parser) if a.dest == action.dest).option_strings[0]
            for action in parser._actions
            if action.help is argparse.SUPPRESS
        }
        if hidden:
            found[command] = hidden
        for former, name in hidden.items():
            assert f"{former} " not in parser.format_help()
            dest, required = parser._option_string_actions[name].dest, _required(parser)
            value = "0/2" if name == "--partition" else "99"
            before, after, without = (
                vars(argparse.ArgumentParser.parse_known_args(parser, [*required, *given])[0])
                for given in ([former, value], [name, value], [])
            )
            assert before == after
            assert before[dest] != without[dest]
    assert found == FORMER


def _required(parser: argparse.ArgumentParser) -> list[str]:
    """Return a line with what a command must be given."""
    words = []
    for action in parser._actions:
        if action.required and action.option_strings:
            words += [action.option_strings[0], next(iter(action.choices)) if action.choices else "1"]
    return words
