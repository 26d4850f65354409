"""How the chief of a parameter-server cluster leaves a cluster that has lost a server."""

import threading
import time

import pytest

from trainer.cluster.limits import Limits
from trainer.cluster.watchdog import Watchdog
from trainer.exit_status import Interrupted
from trainer.training.runners.parameter_server import UPDATING, ParameterServers


class Coordinator:
    """As TensorFlow's: a thread updates its cluster, and ends a moment after the coordinator is told to."""

    def __init__(self) -> None:
        self.told = threading.Event()
        self.updating = threading.Thread(target=self._update, name=UPDATING, daemon=True)
        self.updating.start()

    def __del__(self) -> None:
        self.told.set()

    def _update(self) -> None:
        self.told.wait()
        time.sleep(0.2)


def test_the_next_cluster_is_connected_when_the_last_is_no_longer_updated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two updates at once end the process by SIGSEGV. What failed may refer to the coordinator for long."""
    runner, old = ParameterServers.__new__(ParameterServers), Coordinator()
    vars(runner).update(watchdog=Watchdog(60), limits=Limits(), coordinator=old, train_state=None, images=None)
    vars(runner).update(failures=0, recovered_step=-1, step=7, restore=lambda: "ckpt-7")
    alive: list[bool] = []
    monkeypatch.setattr(runner, "connect", lambda: alive.append(old.updating.is_alive()))
    monkeypatch.setattr(runner, "begin", lambda *_: None)
    runner.recover(Interrupted("ps 1 is lost"))
    assert alive == [False]
