"""What is to be applied: an overlay as it is in the files, with a user's choices written into a copy of them."""

import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from k8s import kustomize
from k8s.kustomize import Object
from trainer.cli import UserError

ROOT = Path(__file__).parent
IMAGES = ("svhn-trainer", "svhn-trainer-gpu", "svhn-pipelines")
STORAGES = ("volume", "shared-volume")


@dataclass(frozen=True)
class Choices:
    """What a user may choose; None, or nothing, is what the files say.

    Attributes:
      name: of the run.
      sizes: values of the overlay's run.yaml, e.g. `CLUSTER_WORKERS`.
      storage: `volume`, `shared-volume`, or a folder of a bucket, `gs://bucket/folder`.
      components: further ones, e.g. `gpu`.
      image: with its tag.
      args: what follows the command in each container.
    """

    name: str | None = None
    sizes: tuple[tuple[str, int], ...] = ()
    storage: str | None = None
    components: tuple[str, ...] = ()
    image: str | None = None
    args: tuple[str, ...] = ()


def names(kind: str) -> list[str]:
    """The overlays, or the components."""
    return sorted(path.parent.name for path in (ROOT / kind).glob(f"*/{kustomize.FILE}"))


def render(overlay: str, choices: Choices) -> list[Object]:
    """The objects of an overlay under the choices.

    Raises:
      UserError: there is no such overlay, or it has nothing of what was chosen.
    """
    with chosen(overlay, choices) as folder:
        return kustomize.render(folder)


def to_yaml(objects: Sequence[Object]) -> str:
    """What `kubectl apply -f -` takes."""
    return yaml.safe_dump_all(objects, sort_keys=False, width=120)


@contextmanager
def chosen(overlay: str, choices: Choices) -> Iterator[Path]:
    """A copy of the overlay in which the choices are written; kubectl makes the same of it.

    Raises:
      UserError: as `render`.
    """
    if overlay not in names("overlays"):
        raise UserError(f"--overlay {overlay}: choose one of {', '.join(names('overlays'))}")
    with tempfile.TemporaryDirectory() as top:
        for part in ("base", "components", "overlays"):
            shutil.copytree(ROOT / part, Path(top, part))
        folder = Path(top, "overlays", overlay)
        _edit(folder / "run.yaml", lambda run: _size(run, overlay, choices))
        _edit(folder / kustomize.FILE, lambda overlay_file: _choose(overlay_file, choices))
        if choices.storage and choices.storage not in STORAGES:
            patch = Path(top, "components", "bucket", kustomize.FILE)
            _edit(patch, lambda component: _bucket(component, choices.storage or ""))
        yield folder


def _edit(path: Path, change: Callable[[Any], None]) -> None:
    (content,) = kustomize.load(path.read_text(encoding="utf-8"), path)
    change(content)
    path.write_text(yaml.safe_dump(content), encoding="utf-8")


def _size(run: Object, overlay: str, choices: Choices) -> None:
    if choices.name is not None:
        # The longest name of a Pod is NAME-synthesize-INDEX, and it must be a label of DNS: 63 characters.
        if not re.fullmatch(r"[a-z]([-a-z0-9]{0,38}[a-z0-9])?", choices.name):
            raise UserError(f"--name {choices.name}: write small letters, digits and -, a letter first, at most 40")
        run["data"]["CLUSTER_NAME"] = choices.name
    for key, value in choices.sizes:
        if key not in run["data"]:
            there = ", ".join(name for name in run["data"] if name != "CLUSTER_NAME")
            raise UserError(f"overlay {overlay} has no {key} to change; its run.yaml has {there or 'only a name'}")
        run["data"][key] = str(value)


def _choose(overlay: dict[str, Any], choices: Choices) -> None:
    components = overlay["components"]
    if choices.storage:
        chosen = {"volume": ["volume"], "shared-volume": ["volume", "shared-volume"]}.get(choices.storage, ["bucket"])
        components.remove("../../components/volume")
        components[:0] = [f"../../components/{name}" for name in chosen]
    for name in choices.components:
        if name not in names("components"):
            raise UserError(f"--component {name}: choose among {', '.join(names('components'))}")
        components.insert(len(components) - 1, f"../../components/{name}")
    if choices.image:
        name, colon, tag = choices.image.rpartition(":")
        if not colon or "/" in tag or tag == "latest":
            raise UserError(f"--image {choices.image}: give it a tag, and not latest, e.g. registry/svhn-trainer:0.1.0")
        overlay["images"] = [{"name": image, "newName": name, "newTag": tag} for image in IMAGES]
    if choices.args:
        overlay["patches"] = [
            _args_patch("Job", ["/spec/template/spec"], choices.args),
            _args_patch(
                "JobSet", [f"/spec/replicatedJobs/{i}/template/spec/template/spec" for i in range(4)], choices.args
            ),
        ]


def _args_patch(kind: str, specs: list[str], args: Sequence[str]) -> dict[str, Any]:
    changes = [{"op": "add", "path": f"{spec}/containers/0/args", "value": list(args)} for spec in specs]
    return {"target": {"kind": kind}, "patch": yaml.safe_dump(changes)}


def _bucket(component: dict[str, Any], storage: str) -> None:
    if not re.fullmatch(r"gs://[a-z0-9][-_.a-z0-9]+(/.*[^/])?", storage):
        raise UserError(f"--storage {storage}: choose {', '.join(STORAGES)}, or a folder of a bucket, gs://bucket/svhn")
    (patch,) = kustomize.load(component["patches"][0]["patch"], "components/bucket")
    patch["data"]["STORAGE"] = storage
    component["patches"][0]["patch"] = yaml.safe_dump(patch)
