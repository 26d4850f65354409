import time

import pytest

from trainer.training.speed import Speed, clock


def test_time_is_told_in_hours() -> None:
    assert clock(3661.4) == "1:01:01"


def test_speed_leaves_pauses_out(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    speed = Speed(batch_size=10, first_step=0, total_steps=100)
    now[0] = 30.0
    speed.pause(20.0)
    assert speed.measure(20) == (pytest.approx(20.0), pytest.approx(40.0))
