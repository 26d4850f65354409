"""A cluster of local processes trains with the commands and the environment of the Pods."""

import json
import os
from pathlib import Path

import pytest

from k8s import render
from k8s.render import Choices
from tests.forking import Forked
from tests.k8s import pods
from trainer.cluster.environment import read_task
from trainer.cluster.local import free_ports

SECONDS = 300


@pytest.mark.slow
@pytest.mark.parametrize(
    ("overlay", "sizes", "names"),
    [
        (
            "parameter-server",
            (("CLUSTER_WORKERS", 1), ("CLUSTER_SERVERS", 1)),
            ["chief-0", "evaluator-0", "ps-0", "worker-0"],
        ),
        ("multi-worker", (("CLUSTER_WORKERS", 2),), ["worker-0", "worker-1"]),
    ],
)
def test_pods_train_on_loopback(
    tiny_dataset: Path, tmp_path: Path, overlay: str, sizes: tuple[tuple[str, int], ...], names: list[str]
) -> None:
    """Of a Pod all is taken but its host names, for which no DNS is at hand, and the folder that it mounts."""
    args = ["--experiment", "smoke", "--data", str(tiny_dataset), "--wait", "120"]
    objects = render.render(overlay, Choices("run7", sizes, args=tuple(args)))
    ports: dict[str, int] = {}
    processes: dict[str, Forked] = {}
    places = [(work, index) for work in pods.workloads(objects) for index in range(work.size)]
    try:
        for work, index in places:
            variables = pods.environment(work, index, objects) | {"STORAGE": str(tmp_path), "HOME": str(tmp_path)}
            config = read_task(variables).tf_config()
            for addresses in config["cluster"].values():
                for i, address in enumerate(addresses):
                    if address not in ports:
                        ports[address] = free_ports(1)[0]
                    addresses[i] = f"127.0.0.1:{ports[address]}"
            python, flag, module, *words = pods.command(work.container, variables)
            assert (python, flag) == ("python", "-m")
            environment = {**os.environ, **variables, "TF_CONFIG": json.dumps(config)}
            name = f"{work.name}-{index}"
            processes[name] = Forked(module, words, environment, output=str(tmp_path / f"{name}.log"))
        statuses = {name: process.wait(SECONDS) for name, process in processes.items()}
    finally:
        for process in processes.values():
            process.kill()
    logs = {name: (tmp_path / f"{name}.log").read_text()[-2000:] for name in processes}
    assert statuses == {f"run7-{name}": 0 for name in names}, (statuses, logs)
    assert set(ports) == {f"run7-{name}.run7:2222" for name in names if name != "evaluator-0"}
    assert (tmp_path / "runs" / "run7" / "FINISHED").exists()
    if overlay == "parameter-server":
        assert "training is finished and its checkpoints are evaluated" in logs["run7-evaluator-0"]
