import functools
from collections.abc import Iterator
from pathlib import Path

import kubernetes_validate
import pytest

from k8s import client, watch
from tests.k8s import api_server
from tests.k8s.api_server import State
from tests.k8s.submitting import configure

# It would read megabytes of definitions, and list its own folders, again for each object.
for name in ("schema_contents", "all_versions"):
    setattr(kubernetes_validate.utils, name, functools.cache(getattr(kubernetes_validate.utils, name)))


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[State]:
    """Start an API server that kubectl's configuration names."""
    state = State()
    monkeypatch.setattr(client, "PAUSE", 0.02)
    monkeypatch.setattr(watch, "LOOK_SECONDS", 1.0)
    with api_server.serve(state) as url:
        configure(tmp_path, monkeypatch, url)
        yield state
