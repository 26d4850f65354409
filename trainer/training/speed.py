"""Measure training speed, and format durations for display."""

import time


class Speed:
    """Measures examples per second since the last call or the start, and the time left."""

    def __init__(self, batch_size: int, first_step: int, total_steps: int) -> None:
        self.batch_size, self.total_steps = batch_size, total_steps
        self.step, self.time = first_step, time.monotonic()

    def pause(self, seconds: float) -> None:
        """Exclude seconds that were not spent on training."""
        self.time += seconds

    def restart(self, step: int) -> None:
        """Restart the measurement now, at the step from which training resumes."""
        self.step, self.time = step, time.monotonic()

    def measure(self, step: int) -> tuple[float, float]:
        """Return the examples per second since the last call, and the seconds left at that rate."""
        now = time.monotonic()
        steps_per_second = (step - self.step) / max(now - self.time, 1e-9)
        self.step, self.time = step, now
        return steps_per_second * self.batch_size, (self.total_steps - step) / max(steps_per_second, 1e-9)


def clock(seconds: float) -> str:
    """Return a duration as `0:07:31`."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02d}:{second:02d}"
