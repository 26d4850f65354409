"""The import rules of the house: downwards only, and heavy libraries only where they belong."""

import ast
import re
import subprocess
import sys
from functools import lru_cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# What packages may use of each other: all of themselves, and of the trainer what is named.
FROM_TRAINER = {
    "beam_pipelines": {
        "trainer.cli",
        "trainer.vocab",
        "trainer.photometric",
        "trainer.records",
        "trainer.cluster",
        "trainer.cluster.child",
        "trainer.pictures",
        "trainer.image_kinds",
        "trainer.beam",
        "trainer.framing",
        "trainer.terminal",
        "trainer.troubles",
        "trainer.image_files",
        "trainer.quiet",
        "trainer.image_output",
        "trainer.released",
        "trainer.lock",
        "trainer.lock_file",
        "trainer.shard_sizes",
        "trainer.local_file",
    },
    "k8s": {"trainer.cli", "trainer.cluster"},
    "trainer": set(),
}
PACKAGES = {"trainer", "trainer.runners", "beam_pipelines", "beam_pipelines.synthesis", "k8s"}


@lru_cache
def modules() -> dict[str, Path]:
    found = {}
    for package in ("trainer", "beam_pipelines", "k8s"):
        for path in (ROOT / package).rglob("*.py"):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            found[name.removesuffix(".__init__")] = path
    return found


@lru_cache
def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.update({node.module} | {f"{node.module}.{alias.name}" for alias in node.names})
    return names


def used(name: str) -> set[str]:
    """Return the modules of ours that a module imports, anywhere in it."""
    ours = modules()
    return {target for target in imported(ours[name]) if target in ours} - PACKAGES - {name}


def test_packages_are_empty_and_imports_are_acyclic() -> None:
    for name in PACKAGES:
        assert not used(name), f"{name} must be empty"
    try:
        TopologicalSorter({name: used(name) for name in modules()}).prepare()
    except CycleError as error:
        pytest.fail(f"a circle of imports: {' -> '.join(error.args[1])}")


@pytest.mark.parametrize("name", sorted(modules()))
def test_packages_use_of_each_other_only_what_is_named(name: str) -> None:
    package = name.split(".")[0]
    foreign = {target for target in used(name) if target.split(".")[0] != package}
    assert foreign <= FROM_TRAINER[package], f"{name} imports {sorted(foreign - FROM_TRAINER[package])}"


def test_only_cluster_reads_the_environment() -> None:
    for name, path in modules().items():
        if name != "trainer.cluster":
            assert not re.search(r"\b(environ|getenv)\b", path.read_text()), f"{name} reads the environment"


def test_the_writing_side_loads_no_tensorflow_and_the_contract_no_beam() -> None:
    script = (
        "import sys, trainer.records, beam_pipelines.prepare, beam_pipelines.synthesize, beam_pipelines.score;"
        "import beam_pipelines.inspect, beam_pipelines.download;"
        "assert 'tensorflow' not in sys.modules; assert 'keras' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True)
    script = "import sys, trainer.train, trainer.export, trainer.learner; assert 'apache_beam' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True)


def test_files_stay_small() -> None:
    long = {name: n for name, path in modules().items() if (n := len(path.read_text().splitlines())) > 300}
    assert not long
