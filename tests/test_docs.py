"""The documentation: every command in it is one that its program accepts, and every link leads somewhere."""

import argparse
import importlib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT
from trainer import cli, svhn

PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "k8s" / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
]
FENCE = re.compile(r"^```\w*\n(.*?)^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`(python -m (?:trainer|beam_pipelines)[^`]+)`")
BEAM = (  # options that the pipelines pass on
    *("--direct", "--runner", "--project", "--region", "--staging_location", "--temp_location", "--setup_file"),
    *("--sdk_container_image", "--num_workers", "--max_num_workers", "--machine_type"),
)
OURS = re.compile(r"^(?:python -m ((?:trainer|beam_pipelines|k8s)\.\w+)|svhn[- ](\w+))\b(.*)", re.DOTALL)


class Parsed(BaseException):
    """Raised in place of running a command whose arguments were accepted."""


def commands() -> Iterator[tuple[str, str, list[str]]]:
    """Yield the page, the module and the arguments of every complete command of ours."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        lines = [line for block in FENCE.findall(text) for line in block.replace("\\\n", " ").splitlines()]
        for line in lines + [" ".join(command.split()) for command in INLINE.findall(FENCE.sub("", text))]:
            found = OURS.match(line.strip())
            if found and found[1] != "trainer.liveness" and "..." not in line:  # the probe takes no arguments
                words = shlex.split(found[3], comments=True)
                yield page.relative_to(ROOT).as_posix(), found[1] or svhn.COMMANDS[found[2]][0], words


@pytest.mark.parametrize(("page", "module", "words"), list(commands()))
def test_a_command_of_the_docs_is_accepted(
    page: str, module: str, words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    parse = argparse.ArgumentParser.parse_known_args

    def parse_and_stop(parser: argparse.ArgumentParser, *args: object, **kwargs: object) -> None:
        _, unknown = parse(parser, *args, **kwargs)
        raise Parsed(unknown)

    monkeypatch.setattr(cli._Parser, "parse_known_args", parse_and_stop)
    program = importlib.import_module("trainer.cluster.__main__" if module == "trainer.cluster" else module)
    unknown = None
    try:
        program.main(words)
    except Parsed as parsed:
        (unknown,) = parsed.args
    assert unknown is not None, f"{page}: {module} {' '.join(words)}: {capsys.readouterr().err}"
    ours = [word for word in unknown if word.startswith("--") and not word.startswith(BEAM)]
    assert not ours, f"{page}: unknown options {ours}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_a_page_is_short_and_its_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= (150 if page == ROOT / "README.md" else 250)
    for target in re.findall(r"\]\(([^)#]+)(?:#([^)]+))?\)", text):
        there = (page.parent / target[0]).resolve()
        assert there.exists(), f"{page.name} links to {target[0]}"
        if target[1]:
            headings = re.findall(r"^#+ (.*)", there.read_text(encoding="utf-8"), re.MULTILINE)
            anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
            assert target[1] in anchors, f"{page.name} links to {target[0]}#{target[1]}"
