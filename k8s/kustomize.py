"""Renders a kustomization: the part of kustomize that our manifests use, and a refusal of all the rest.

There is no kustomize on PyPI, and a second copy of the manifests in code would drift. Tests compare what
this makes of every overlay with what `kubectl kustomize` makes of it, where that is installed.
"""

import copy
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonpatch
import yaml

from trainer.cli import UserError

Object = dict[str, Any]

FILE = "kustomization.yaml"
KEYS = {"apiVersion", "kind", "resources", "components", "patches", "images", "replacements"}


class _Loader(yaml.SafeLoader):
    """Refuses a key that is given twice, of which YAML would silently keep the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=deep) for key, _ in node.value]
        twice = [key for key in keys if keys.count(key) > 1]
        if twice:
            raise yaml.constructor.ConstructorError(None, None, f"the key {twice[0]!r} is there twice", node.start_mark)
        return super().construct_mapping(node, deep)


def load(text: str, where: object) -> list[Any]:
    """The documents of a YAML file.

    Raises:
      UserError: it is no YAML, or has a key twice; `where` names the file.
    """
    try:
        return [document for document in yaml.load_all(text, _Loader) if document is not None]
    except yaml.YAMLError as error:
        raise UserError(f"{where} is not valid YAML: {' '.join(str(error).split())}") from error


def render(folder: Path) -> list[Object]:
    """The objects of the kustomization in a folder, in the order of its resources.

    Raises:
      UserError: a file is missing or not valid, or uses what is not supported here.
    """
    return _accumulate(folder, [])


def _accumulate(folder: Path, objects: list[Object]) -> list[Object]:
    """Adds what a kustomization names to the objects, and changes them as it says, in kustomize's order."""
    (kustomization,) = load(_read(folder / FILE), folder / FILE)
    unknown = sorted(kustomization.keys() - KEYS)
    if unknown:
        raise UserError(f"{folder / FILE} has {unknown[0]!r}; supported here are {', '.join(sorted(KEYS))}")
    objects = list(objects)
    for name in kustomization.get("resources", []):
        path = folder / name
        objects += render(path) if path.is_dir() else load(_read(path), path)
    for name in kustomization.get("components", []):
        objects = _accumulate(folder / name, objects)
    for patch in kustomization.get("patches", []):
        _patch(objects, patch, folder)
    for image in kustomization.get("images", []):
        _set_image(objects, image)
    originals = [(o["kind"], o["metadata"]["name"]) for o in objects]
    for replacement in _replacements(kustomization.get("replacements", []), folder):
        _replace(objects, originals, replacement, folder)
    return objects


def _replacements(entries: list[dict[str, Any]], folder: Path) -> Iterator[dict[str, Any]]:
    """The replacements of a kustomization; a file of them has one, or a list."""
    for entry in entries:
        if "path" in entry:
            (found,) = load(_read(folder / entry["path"]), folder / entry["path"])
            yield from found if isinstance(found, list) else [found]
        else:
            yield entry


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error


def _patch(objects: list[Object], patch: dict[str, Any], folder: Path) -> None:
    """Applies a patch: a list of JSON 6902 operations to its target, or an object to the one of the same name."""
    text, where = (
        (patch["patch"], folder / FILE) if "patch" in patch else (_read(folder / patch["path"]), patch["path"])
    )
    (change,) = load(text, where)
    if isinstance(change, list):
        for i, found in enumerate(objects):
            if _is_target(found, patch["target"]):
                try:
                    objects[i] = jsonpatch.apply_patch(found, change)
                except jsonpatch.JsonPatchException as error:
                    raise UserError(f"{where}: {found['kind']} {found['metadata']['name']}: {error}") from error
        return
    wanted = {"kind": change["kind"], "name": re.escape(change["metadata"]["name"])}
    for found in objects:
        if _is_target(found, wanted):
            _merge(found, change, where)
            return
    raise UserError(f"{where}: there is no {change['kind']} {change['metadata']['name']} to patch")


def _is_target(found: Object, target: dict[str, str]) -> bool:
    """As kustomize: each of kind and name is a regular expression for the whole."""
    texts = {"kind": found["kind"], "name": found["metadata"]["name"]}
    return all(re.fullmatch(pattern, texts[field]) for field, pattern in target.items())


def _merge(into: dict[str, Any], change: dict[str, Any], where: object) -> None:
    for key, value in change.items():
        if isinstance(value, list):
            raise UserError(f"{where}: {key} is a list; change lists by JSON 6902 operations")
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value, where)
        else:
            into[key] = value


def _set_image(objects: list[Object], image: dict[str, str]) -> None:
    for found in objects:
        for container in _containers(found):
            name, colon, tag = container["image"].rpartition(":")
            if name == image["name"]:
                container["image"] = f"{image.get('newName', name)}{colon}{image.get('newTag', tag)}"


def _containers(value: Any) -> Iterator[dict[str, Any]]:
    """All containers anywhere in an object."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key in ("containers", "initContainers"):
                yield from inner
            else:
                yield from _containers(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _containers(inner)


def _replace(objects: list[Object], originals: list[tuple[str, str]], replacement: dict, folder: Path) -> None:
    """Copies a field of one object into fields of others; these may be strings of which a part is replaced."""
    source = replacement["source"]
    wanted = (source["kind"], source["name"])
    if wanted not in originals:
        raise UserError(f"{folder / FILE}: there is no {' '.join(wanted)} to take {source['fieldPath']} from")
    ((holder, field),) = _places(objects[originals.index(wanted)], _split(source["fieldPath"]))
    value = holder[field]
    for target in replacement["targets"]:
        select, options = target["select"], target.get("options", {})
        for found, (kind, name) in zip(objects, originals, strict=True):
            if select["kind"] == kind and select.get("name", name) == name:
                for path in target["fieldPaths"]:
                    for holder, field in _places(found, _split(path)):
                        holder[field] = _replaced(holder[field], value, options)


def _replaced(old: Any, value: Any, options: dict[str, Any]) -> Any:
    """The new value, of the type of the old one."""
    if "delimiter" in options:
        parts = old.split(options["delimiter"])
        parts[options["index"]] = str(value)
        return options["delimiter"].join(parts)
    return type(old)(value) if isinstance(old, (int, str)) else copy.deepcopy(value)


def _split(path: str) -> list[str]:
    r"""`a.b\.c.*` as `a`, `b.c`, `*`."""
    return [part.replace("\0", ".") for part in path.replace(r"\.", "\0").split(".")]


def _places(value: Any, path: list[str]) -> Iterator[tuple[Any, Any]]:
    """Where a path leads, as a dict or list and a key of it; `*` is all items of a list, `[name=x]` those so named.

    Raises:
      UserError: there is nothing.
    """
    head, rest = path[0], path[1:]
    keys: list[Any] = [head]
    if isinstance(value, list):
        name = re.fullmatch(r"\[name=(.*)\]", head)
        if name:
            keys = [i for i, item in enumerate(value) if item["name"] == name[1]]
        else:
            keys = list(range(len(value))) if head == "*" else [int(head)]
    for key in keys:
        try:
            inner = value[key]
        except (KeyError, IndexError, TypeError) as error:
            raise UserError(f"there is no field {key!r} to replace, only {_named(value)}") from error
        if rest:
            yield from _places(inner, rest)
        else:
            yield value, key


def _named(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, dict) else f"{len(value)} items"
