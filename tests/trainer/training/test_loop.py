import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from tests.conftest import ROOT
from trainer.cluster.stopping import Stopped
from trainer.exit_status import Interrupted
from trainer.training import loop
from trainer.training.runners.base import Runner
from trainer.training.speed import Speed


class Counter(Runner):
    """A runner whose steps only count."""

    def __init__(self, step: int = 0) -> None:
        self.step = step
        self.chunks: list[int] = []

    def begin(self, *_: object) -> None:
        """Do nothing: counting needs no state."""

    def read_step(self) -> int:
        return self.step

    def run_steps(self, count: int, stop: threading.Event) -> dict[str, float]:
        self.chunks.append(count)
        for _ in range(count):
            if stop.is_set():
                break
            self.step += 1
        return {"loss": 1.0}


def run(counter: Counter, hooks: list[loop.Hook], total: int) -> None:
    loop.run(counter, hooks, total)


def test_hooks_act_at_their_multiples_and_at_the_end() -> None:
    acted: list[tuple[str, int]] = []

    def hook(every: int) -> loop.Hook:
        return loop.Hook(every, lambda step, _: acted.append((f"each {every}", step)))

    run(Counter(), [hook(4), hook(6)], 13)
    assert [step for name, step in acted if name == "each 4"] == [4, 8, 12, 13]
    assert [step for name, step in acted if name == "each 6"] == [6, 12, 13]


def test_a_restart_keeps_to_the_multiples() -> None:
    acted: list[int] = []
    run(Counter(step=7), [loop.Hook(5, lambda step, _: acted.append(step))], 16)
    assert acted == [10, 15, 16]


def test_a_hook_acts_by_the_clock_between_its_multiples(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    saved: list[int] = []

    def pass_time(*_: object) -> None:
        now[0] += 4.0

    run(Counter(), [loop.Hook(1, pass_time), loop.Hook(100, lambda step, _: saved.append(step), seconds=10.0)], 9)
    assert saved == [4, 8, 9]  # 12 seconds after the first step and 12 after the first save, and at the end


def test_a_hook_can_stop_training() -> None:
    def enough(step: int, _: dict[str, float]) -> None:
        if step == 6:
            raise loop.StopTraining("enough")

    counter = Counter()
    run(counter, [loop.Hook(3, enough)], 100)
    assert counter.step == 6


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_to_stop_saves_between_steps_and_raises(number: signal.Signals) -> None:
    saved: list[int] = []
    others: list[int] = []

    class Terminated(Counter):
        def run_steps(self, count: int, stop: threading.Event) -> dict[str, float]:
            os.kill(os.getpid(), number)
            self.step += 1
            return {"loss": 1.0}

    hooks = [
        loop.Hook(10, lambda step, _: saved.append(step), on_stop=True),
        loop.Hook(10, lambda step, _: others.append(step)),
    ]
    counter = Terminated()
    before = signal.getsignal(number)
    with pytest.raises(Stopped, match=f"stopped by {number.name} at step 1") as raised:
        run(counter, hooks, 100)
    assert raised.value.status == 128 + number
    assert (saved, others) == ([1], [])
    assert signal.getsignal(number) == before


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        run(Counter(), [loop.Hook(5, lambda *_: os.kill(os.getpid(), signal.SIGHUP))], 10)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_second_ctrl_c_ends_at_once() -> None:
    script = (
        "import time\nfrom tests.trainer.training.test_loop import Counter\nfrom trainer.training import loop\n"
        "class Stuck(Counter):\n  def run_steps(self, count, stop):\n    print('ready', flush=True)\n"
        "    stop.wait()\n    print('asked', flush=True)\n    time.sleep(600)\n"
        "loop.run(Stuck(), [loop.Hook(1, lambda *_: None)], 1)"
    )
    with subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in ("ready", "asked"):
            assert process.stdout.readline().strip() == line
            process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130


def test_after_a_recovery_the_speed_is_that_of_the_steps_that_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server is lost at step 130, the last checkpoint is from step 20: the rate stays positive, the time finite."""
    now, lost = [0.0], [130]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    speed, measured = Speed(batch_size=10, first_step=0, total_steps=400), []

    class LosesAServer(Counter):
        def run_steps(self, count: int, stop: threading.Event) -> dict[str, float]:
            now[0] += count
            if lost and self.step + count > lost[0]:
                self.step, _ = 20, lost.pop()
                raise Interrupted("a server")
            return super().run_steps(count, stop)

        def recover(self, reason: Interrupted) -> None:
            now[0] += 60.0

    hook = loop.Hook(10, lambda step, _: measured.append((step, *speed.measure(step))), recovered=speed.restart)
    run(LosesAServer(), [hook], 400)
    assert measured == [(n, 10.0, 400.0 - n) for n in (*range(10, 140, 10), *range(30, 410, 10))]


def test_a_runner_is_closed_last() -> None:
    done: list[str] = []

    def terminate(step: int, _: dict[str, float]) -> None:
        done.append(f"step {step}")
        if step == 15:
            os.kill(os.getpid(), signal.SIGTERM)

    class Together(Counter):
        def close(self) -> None:
            done.append("closed")

    def train(total: int) -> None:
        run(Together(step=total - 10), [loop.Hook(5, terminate, on_stop=True)], total)

    train(10)
    assert done == ["step 5", "step 10", "closed"]
    done.clear()
    with pytest.raises(Stopped):
        train(20)
    assert done == ["step 15", "step 15", "closed"]
