"""Results as `benchmarks.all` keeps them."""

from dataclasses import asdict
from typing import Any

from benchmarks.rows import HIGHER, Row

PEAK = Row("peak, float32", "GFLOP/s", [122.0], HIGHER)


def results(*rows: Row, machine: str = "one-cpu-2-cores", benchmark: str = "training", **more: Any) -> dict[str, Any]:
    """Return the content of a file with one benchmark, of the given rows."""
    command = more.pop("command", f"python -m benchmarks.{benchmark}")
    done = {"command": command, "date": "2026-11-28", "seconds": 9, "peaks": [asdict(PEAK)]}
    return {
        "machine": {"name": machine, "processor": "One CPU", "instruction_sets": ["avx2"], "cores": 2},
        "commit": "0123456789ab",
        "quick": False,
        "versions": {},
        "date": "2026-11-28T01:00:00+00:00",
        "load": 0.1,
        "benchmarks": {benchmark: {**done, "rows": [asdict(row) for row in rows]}},
        **more,
    }
