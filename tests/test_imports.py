"""The import rules of the house: downwards only, and heavy libraries only where they belong."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# A module may import only from layers above its own line.
LAYERS = [
    {"trainer.cli", "trainer.vocab", "trainer.photometric", "trainer.example", "trainer.released"}
    | {"trainer.pictures"},
    {"trainer.typed"},
    {f"trainer.{name}" for name in ("config", "records", "cluster", "session", "leaks", "drawing")}
    | {"trainer.search_space"},
    {"trainer.lease", "trainer.liveness", "trainer.watchdog"},
    {"trainer.cluster.child", "trainer.cluster.local", "trainer.server"},
    {
        "trainer.experiments",
        "trainer.cluster.__main__",
        "trainer.preprocess",
        "trainer.order",
        "trainer.views",
        "trainer.decode",
        "trainer.metrics",
        "trainer.checkpoint",
    },
    {f"trainer.model.{name}" for name in ("crop", "encoders", "decoder")}
    | {"trainer.optimizer", "trainer.plots", "trainer.calibration"},
    {"trainer.model.five_heads", "trainer.model.svhn_rnn"},
    {"trainer.model"},
    {"trainer.learner", "trainer.input_pipeline", "trainer.workdir", "trainer.init_from"},
    {"trainer.reading", "trainer.placement"},
    {"trainer.monitor", "trainer.serving"}
    | {f"trainer.runners.{name}" for name in ("single", "synchronous", "parameter_server")},
    {"trainer.recovery", "trainer.strategies", "trainer.evaluator", "trainer.tensorboard"},
    {"trainer.train", "trainer.evaluate", "trainer.export", "trainer.predict", "trainer.search"},
    {"trainer.report"},
]
BEAM_LAYERS = [
    {f"beam_pipelines.{name}" for name in ("hdf5", "progress", "verify", "tfds", "transfer", "outputs")},
    {f"beam_pipelines.synthesis.{name}" for name in ("typefaces", "texts", "colour")},
    {"beam_pipelines.shards", "beam_pipelines.synthesis.glyphs", "beam_pipelines.synthesis.camera"},
    {
        f"beam_pipelines.{name}"
        for name in ("digit_struct", "images", "crops", "transforms", "synthesis.surfaces", "shares")
    },
    {f"beam_pipelines.{name}" for name in ("synthesis.fonts", "dataset", "sheet", "found", "predictions")},
    {f"beam_pipelines.{name}" for name in ("synthesis.mnist", "synthesis.crops", "sources")},
    {f"beam_pipelines.{name}" for name in ("svhn", "csv_rows", "prefetch")},
    {"beam_pipelines.exported"},
    {"beam_pipelines.inference"},
    {f"beam_pipelines.{name}" for name in ("prepare", "synthesize", "score", "draw", "inspect", "download")},
]
K8S_LAYERS = [
    {"k8s.kustomize"},
    {"k8s.pods", "k8s.render", "k8s.client", "k8s.diagnose"},
    {"k8s.check", "k8s.run"},
    {"k8s.watch"},
    {"k8s.submit"},
]
PACKAGES = {"trainer", "trainer.runners", "beam_pipelines", "beam_pipelines.synthesis", "k8s"}
FROM_TRAINER = {
    "trainer.cli",
    "trainer.vocab",
    "trainer.photometric",
    "trainer.records",
    "trainer.cluster",
    "trainer.pictures",
    "trainer.released",
}


def modules() -> dict[str, Path]:
    found = {}
    for package in ("trainer", "beam_pipelines", "k8s"):
        for path in (ROOT / package).rglob("*.py"):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            found[name.removesuffix(".__init__")] = path
    return found


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.update({node.module} | {f"{node.module}.{alias.name}" for alias in node.names})
    return names


@pytest.mark.parametrize("name", sorted(modules()))
def test_imports_go_downwards(name: str) -> None:
    ours = modules()
    used = {target for target in imported(ours[name]) if target in ours} - PACKAGES - {name}
    if name in PACKAGES:
        assert not used, f"{name} must be empty"
        return
    layers = {"trainer": LAYERS, "beam_pipelines": BEAM_LAYERS, "k8s": K8S_LAYERS}[name.split(".")[0]]
    level = next(i for i, layer in enumerate(layers) if name in layer)
    below = set().union(*layers[:level])
    if name.startswith("beam_pipelines"):
        below |= FROM_TRAINER
    if name.startswith("k8s"):
        below |= {"trainer.cli", "trainer.cluster"}
    assert used <= below, f"{name} imports {sorted(used - below)}, which do not lie below it"


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
