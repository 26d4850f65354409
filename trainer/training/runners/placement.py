"""Place variables on parameter servers: balanced by size, large ones partitioned, so that no server is a bottleneck.

TensorFlow's own placement is round robin, which puts 90 % of a model with two large layers on one of two servers.
"""

import itertools
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from trainer import graph
from trainer.training.train_state import TrainState

log = logging.getLogger(__name__)

IMBALANCE = 0.05  # target: how far the fullest server may be above the mean
PART_LIMITS = (1.0, 0.5, 0.25, 0.1, 0.05, 0.025)  # the largest part, as a share of the mean load of a server


@dataclass(frozen=True)
class Part:
    """Rows `begin` to `end` along an axis of a variable, and the server they are placed on."""

    server: int
    axis: int
    begin: int
    end: int


def plan(shapes: Mapping[str, Sequence[int]], servers: int) -> dict[str, list[Part]]:
    """Partition the variables so that the servers hold about equally many values, in as few parts as possible.

    The largest parts are placed first, each on the least loaded server (Graham 1969), so only parts that are large
    compared with a server's load can unbalance them.
    """
    for limit in PART_LIMITS:
        parts = _greedy(shapes, servers, limit)
        if imbalance(loads(parts, shapes, servers)) <= IMBALANCE:
            break
    return parts


def loads(parts: Mapping[str, list[Part]], shapes: Mapping[str, Sequence[int]], servers: int) -> list[int]:
    """Return how many values each server holds."""
    held = [0] * servers
    for name, of_name in parts.items():
        for part in of_name:
            held[part.server] += _size(shapes[name], part)
    return held


def imbalance(held: Sequence[float]) -> float:
    """Return how far the fullest server is above the mean, as a share of the mean."""
    mean = sum(held) / len(held)
    return max(held) / mean - 1 if mean else 0.0


def _greedy(shapes: Mapping[str, Sequence[int]], servers: int, limit: float) -> dict[str, list[Part]]:
    most = limit * sum(map(math.prod, shapes.values())) / servers
    cuts = [(name, cut) for name, shape in shapes.items() for cut in _cuts(shape, most)]
    held = [0] * servers
    parts: dict[str, list[Part]] = {name: [] for name in shapes}
    for name, cut in sorted(cuts, key=lambda item: -_size(shapes[item[0]], item[1])):
        server = held.index(min(held))
        held[server] += _size(shapes[name], cut)
        parts[name].append(Part(server, cut.axis, cut.begin, cut.end))
    return {name: sorted(of_name, key=lambda part: part.begin) for name, of_name in parts.items()}


def _cuts(shape: Sequence[int], most: float) -> list[Part]:
    """Cut a variable into parts of about equal size, none above `most` values if its longest axis allows."""
    if not shape:
        return [Part(0, 0, 0, 1)]
    axis = max(range(len(shape)), key=lambda i: shape[i])
    count = min(shape[axis], max(1, math.ceil(math.prod(shape) / max(most, 1.0))))
    edges = [i * shape[axis] // count for i in range(count + 1)]
    return [Part(0, axis, begin, end) for begin, end in itertools.pairwise(edges)]


def _size(shape: Sequence[int], part: Part) -> int:
    return math.prod(shape) * (part.end - part.begin) // shape[part.axis] if shape else 1


class Served:
    """A train state whose variables are on parameter servers, initialised from a local one.

    Attributes:
      train_state: its `train_step` updates the variables on the servers.
    """

    def __init__(self, local: TrainState, servers: int) -> None:
        others = {**local.state, "step": local.step}
        self.local = local
        self.plan = plan({path: p.shape.as_list() for path, p in local.params.items()}, servers)
        self.plan |= _greedy({path: v.shape.as_list() for path, v in others.items()}, servers, math.inf)
        self.train_state = local.placed(self._place, whole=self._whole)
        self._fetch = graph.compiled(self._read)
        held = self.bytes_held(servers)
        shares = " + ".join(f"{size / 1e6:.2f}" for size in held)
        cut = sum(len(parts) > 1 for parts in self.plan.values())
        log.info("servers hold %s MB, up to %.1f %% above the mean; %d partitioned", shares, 100 * imbalance(held), cut)

    def bytes_held(self, servers: int) -> list[int]:
        """Return how many bytes of variables each server holds."""
        held = [0] * servers
        for group in self.train_state.groups().values():
            for variable in group.values():
                task = tf.DeviceSpec.from_string(variable.device).task
                held[task] += variable.shape.num_elements() * variable.dtype.size
        return held

    def collect(self) -> None:
        """Update the local train state; no step may run at the same time."""
        variables = [variable for group in self.local.groups().values() for variable in group.values()]
        for variable, value in zip(variables, self._fetch(), strict=True):
            variable.assign(value)

    def _read(self) -> list[tf.Tensor]:
        served = self.train_state.groups()
        return [self._joined(name, served[kind]) for kind, group in self.local.groups().items() for name in group]

    def _whole(self, values: Mapping[str, Any]) -> dict[str, Any]:
        return {path: self._joined(path, values) for path in self.local.params}

    def _joined(self, name: str, values: Mapping[str, Any]) -> tf.Tensor:
        placed = self._parts(name)
        tensors = [tf.convert_to_tensor(values[part_name]) for part_name in placed]
        return tensors[0] if len(tensors) == 1 else tf.concat(tensors, axis=next(iter(placed.values())).axis)

    def _place(self, variables: Mapping[str, tf.Variable]) -> dict[str, tf.Variable]:
        placed = {}
        for name, variable in variables.items():
            for part_name, part in self._parts(name).items():
                value = variable.numpy()
                if value.ndim:
                    value = value.take(range(part.begin, part.end), axis=part.axis)
                with tf.device(f"/job:ps/replica:0/task:{part.server}/device:CPU:0"):
                    placed[part_name] = tf.Variable(value, trainable=False, name=part_name)
        return placed

    def _parts(self, name: str) -> dict[str, Part]:
        """Return the parts of a variable by name. Slots, named `slot/path`, are placed with their parameters."""
        parts = self.plan.get(name) or self.plan[name.partition("/")[2]]
        return {name if len(parts) == 1 else f"{name}/part{i}": part for i, part in enumerate(parts)}
