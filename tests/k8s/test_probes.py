"""Liveness probes of the Pods that train together."""

import pytest

from k8s import render
from k8s.render import Choices
from tests.k8s import pods
from trainer.liveness import PROBE_SECONDS


@pytest.mark.parametrize("overlay", ["multi-worker", "parameter-server", "jobset"])
def test_probes_bear_with_a_busy_node_and_end_what_hangs_at_once(overlay: str) -> None:
    probed = [
        work.container["livenessProbe"]
        for work in pods.workloads(render.render(overlay, Choices()))
        if "livenessProbe" in work.container
    ]
    assert probed
    for probe in probed:
        assert probe["timeoutSeconds"] >= PROBE_SECONDS + 10
        assert probe["periodSeconds"] > probe["timeoutSeconds"]
        assert (probe["failureThreshold"] - 1) * probe["periodSeconds"] >= 90
        assert probe["terminationGracePeriodSeconds"] <= 10
