"""The import rules: a package imports only from those above it, and heavy libraries load only where needed."""

import ast
import functools
import re
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# Each line may import from the lines above it, and not from its own line.
LAYERS = {
    "trainer": [
        "exit_status vocab released terminal logs provenance graph",
        "progress",
        "troubles",
        "cli",
        "quiet",
        "files",
        "config",
        "data cluster",
        "models",
        "workdir",
        "inference",
        "training",
        "reporting serving",
        "reviewing",
        "train evaluate export predict search report review serve liveness",
        "svhn",
        "finetune",
    ],
    "trainer.data": ["images", "labels", "formats", "pipeline"],
    "trainer.inference": [
        "decoding measuring",
        "photos",
        "predictor load",
        "exports",
        "attention_overlay box_overlay",
        "reading",
        "evaluating",
        "reader few_images",
    ],
    "beam_pipelines": [
        "beam_import options",
        "sharding",
        "inputs",
        "synthesis",
        "dataset",
        "scoring",
        "runs place_checks",
        "prepare synthesize score inspect download draw",
    ],
    "k8s": ["outage", "client diagnose render", "run", "watch", "submit"],
    "benchmarks": [
        "rows restored stepwise listed_store peer wild_peers review_scenes ablation",
        "machine serving_peer",
        "training scoring pipelines listing first_answer strategies wild serving",
        "beam cost memory quality",
        "compare",
        "all",
        "page",
        "camera digit_struct photo_boxes report_data review_loop soak",
    ],
}
FORWARDS = "trainer"  # its names are imported when they are asked for
MEASURING = "benchmarks"  # imports whatever it measures; nothing imports it
# What the others may import of trainer.
OF_TRAINER = {
    "beam_pipelines": "cli cluster config data exit_status files inference logs progress provenance released troubles "
    "vocab",
    "k8s": "cli config exit_status logs",
}


@functools.cache
def modules() -> dict[str, Path]:
    found = {}
    for package in LAYERS:
        for path in (ROOT / package.replace(".", "/")).rglob("*.py"):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            found[name.removesuffix(".__init__")] = path
    return found


# Parsed when the tests are collected: in a test, CPython 3.11 once failed with "AST constructor recursion depth
# mismatch", whose cause is not known.
TREES = {name: ast.parse(path.read_text()) for name, path in modules().items()}


@functools.cache
def imported(name: str) -> set[str]:
    """Return our modules that a module imports, at its top or inside functions."""
    names: set[str] = set()
    ours = modules()
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.update({node.module} | {f"{node.module}.{alias.name}" for alias in node.names})
    return {module for module in names if module in ours and ours[module].stat().st_size} - {name, FORWARDS}


def room(module: str, package: str) -> str:
    """Return the module or sub-package of a package that a module is in; empty if it is in none."""
    return module.removeprefix(f"{package}.").split(".")[0] if module.startswith(f"{package}.") else ""


@pytest.mark.parametrize("package", LAYERS)
def test_packages_import_only_from_those_above(package: str) -> None:
    wrong, above = [], {("trainer", name) for name in OF_TRAINER.get(package, "").split()}
    places = {name: i for i, line in enumerate(LAYERS[package]) for name in line.split()}
    for module in sorted(modules()):
        if not (mine := room(module, package)):
            continue
        assert mine in places, f"{module}: give it a line in LAYERS"
        for target in imported(module) - {package}:
            theirs, top = room(target, package), target.split(".")[0]
            if theirs:
                allowed = mine == theirs or places[theirs] < places[mine]
            else:  # the package around it has its own line
                allowed = "." in package or package == MEASURING or (top, room(target, top)) in above
            if not allowed:
                wrong.append(f"{module} imports {target}")
    assert not wrong


def test_no_modules_import_each_other_in_a_circle() -> None:
    TopologicalSorter({name: imported(name) for name in modules()}).prepare()


def test_packages_hold_no_code_of_their_own() -> None:
    for name, path in modules().items():
        if path.name == "__init__.py" and name != FORWARDS:
            code = [type(node) for node in TREES[name].body]
            assert not {ast.FunctionDef, ast.ClassDef} & set(code), name
            assert not imported(name), name


def test_only_cluster_reads_the_environment() -> None:
    for name, path in modules().items():
        if not name.startswith("trainer.cluster."):
            assert not re.search(r"\b(environ|getenv)\b", path.read_text()), f"{name} reads the environment"


def loads(modules: str, *, not_: tuple[str, ...]) -> None:
    script = f"import sys, {modules}\nfor name in {not_}: assert name not in sys.modules, name"
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True)


def test_the_writing_side_loads_no_tensorflow() -> None:
    commands = ["prepare", "synthesize", "score", "inspect", "download"]
    ours = ", ".join(["trainer.data.formats.records", *(f"beam_pipelines.{name}" for name in commands)])
    loads(ours, not_=("tensorflow", "keras"))


def test_command_lines_load_no_tensorflow_before_they_run() -> None:
    commands = ["train", "finetune", "evaluate", "export", "predict", "search", "report", "review", "liveness"]
    loads(", ".join(f"trainer.{name}" for name in commands), not_=("tensorflow", "keras"))


def test_the_package_loads_nothing_heavy_before_its_names_are_used() -> None:
    loads("trainer", not_=("tensorflow", "keras", "numpy", "PIL"))


def test_the_trainer_loads_no_beam_and_no_matplotlib() -> None:
    """Keras imports matplotlib where it can, which takes half a second and 30 MB."""
    begin = "trainer.cluster.environment as environment; environment.configure(); import "
    loads(begin + "trainer.training.run, trainer.inference.exports.saved_model", not_=("apache_beam", "matplotlib"))


def test_files_stay_small() -> None:
    long = {name: n for name, path in modules().items() if (n := len(path.read_text().splitlines())) > 300}
    assert not long


def test_graphs_are_traced_as_they_are_written() -> None:
    """AutoGraph would take half of the time from the start of a command to its first step: see `trainer.graph`."""
    tracing = {
        f"{name}: {ast.unparse(node)}"
        for name, tree in TREES.items()
        for node in ast.walk(tree)
        if name != "trainer.graph"
        if isinstance(node, ast.Attribute)
        and (node.attr in ("function", "autograph") and ast.unparse(node.value) == "tf")
    }
    assert not tracing
    mapping = [name for name in TREES if name.startswith("trainer.") and name != "trainer.cluster.liveness"]
    given = [
        ast.unparse(node.args[0])
        for name in mapping
        for node in ast.walk(TREES[name])
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "map"
    ]
    assert len(given) >= 5
    assert all(function.startswith("graph.as_written(") for function in given), given
