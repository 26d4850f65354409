"""One process per folder in object stores, by claims that are renewed."""

import json
import threading
import time

import pytest

from tests.trainer.files.test_lock import Bucket
from trainer.cli import Locked
from trainer.files import lock, lock_file
from trainer.files.lock import Lock


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock_file, "SETTLE_SECONDS", 0.05)


def test_a_renewal_that_fails_once_does_not_end_the_claim(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Full(Bucket):
        failures = 0

        def write(self, path: str, text: str) -> None:
            if self.files and self.failures < 2:
                self.failures += 1
                raise OSError(28, "No space left on device")
            super().write(path, text)

    monkeypatch.setattr(lock, "RENEW_SECONDS", 0.05)
    monkeypatch.setattr(lock, "RETRY_SECONDS", 0.05)
    store = Full()
    with Lock("gs://bucket/lock", store):
        taken = store.files["gs://bucket/lock"]
        deadline = time.monotonic() + 10
        while store.files["gs://bucket/lock"] == taken:
            assert time.monotonic() < deadline
            time.sleep(0.02)
    assert store.failures == 2
    assert len(caplog.records) == 1
    assert not store.files


def test_a_renewed_claim_is_as_long_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader of s3:// that has asked for the size of a file fails if the file is then shorter."""
    sizes = set()

    class Measured(Bucket):
        def write(self, path: str, text: str) -> None:
            sizes.add(len(text))
            super().write(path, text)

    times = iter([1e9, 1234567890.123456, 1234567890.1] * 1000)
    monkeypatch.setattr(time, "time", lambda: next(times))
    monkeypatch.setattr(lock, "RENEW_SECONDS", 0.02)
    with Lock("s3://bucket/lock", store := Measured()):
        before = store.files["s3://bucket/lock"]
        for _ in range(3):
            until = time.monotonic() + 10
            while store.files["s3://bucket/lock"] == before and time.monotonic() < until:
                time.sleep(0.01)
            before = store.files["s3://bucket/lock"]
    assert len(sizes) == 1


def test_in_an_object_store_the_living_owner_is_found_by_its_process() -> None:
    store = Bucket()
    with Lock("gs://bucket/lock", store):
        claim = json.loads(store.files["gs://bucket/lock"])
        store.files["gs://bucket/lock"] = json.dumps({**claim, "time": 0})
        with pytest.raises(Locked):
            Lock("gs://bucket/lock", store)
    dead = {**claim, "started": "1", "time": time.time()}
    store.files["gs://bucket/lock"] = json.dumps(dead)
    Lock("gs://bucket/lock", store).release()


def test_of_two_that_claim_at_once_in_an_object_store_one_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock_file, "SETTLE_SECONDS", 0.3)
    store = Bucket()
    ended: list[Lock | Locked] = []

    def claim() -> None:
        try:
            ended.append(Lock("gs://bucket/lock", store))
        except Locked as refused:
            ended.append(refused)

    threads = [threading.Thread(target=claim) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(type(one).__name__ for one in ended) == ["Lock", "Locked"]
    next(one for one in ended if isinstance(one, Lock)).release()
