"""The machine that benchmarks run on: its name, and the peak of its cores in matrix products."""

import re
import time
from collections.abc import Callable, Collection
from typing import Any

from benchmarks.rows import HIGHER, Row
from trainer import provenance
from trainer.cluster import cpu

INSTRUCTION_SETS = {"avx2": "avx2", "avx512f": "avx512", "avx512_bf16": "avx512_bf16", "amx_bf16": "amx_bf16"}
BUSY = 0.5  # load average at the start from which other work affects the figures
PEAK_SIDE = 2048  # of the matrices


def name(processor: str, flags: Collection[str], cores: int | None) -> str:
    """Return the name of a machine's type, as a folder can have it: the CPU, its instruction sets, its cores."""
    words = re.sub(r"\((r|tm)\)|\bcpu\b|@.*", " ", processor.lower())
    parts = [re.sub(r"[^a-z0-9.]+", "-", words).strip("-"), *instruction_sets(flags), f"{cores or 'unknown'}-cores"]
    return "-".join(part for part in parts if part)


def instruction_sets(flags: Collection[str]) -> list[str]:
    """Return those of the instruction sets for matrix products that the CPU has, by the flags of Linux."""
    return [known for flag, known in INSTRUCTION_SETS.items() if flag in flags]


def describe() -> dict[str, Any]:
    """Return the machine's name, its instruction sets and what `provenance.hardware` says of it."""
    hardware, flags = provenance.hardware(), cpu.flags()
    own = name(hardware["processor"], flags, hardware["cores"])
    return {"name": own, "instruction_sets": instruction_sets(flags), **hardware}


def peaks(repeats: int) -> list[Row]:
    """Return the GFLOP/s of matrix products, the best of the repeats, since other work only makes them slower.

    Of float32 and, where the CPU has instructions for it, of bfloat16.
    """
    kinds = ["float32", *(["bfloat16"] if cpu.computes_in_bfloat16() else [])]
    return [_peak(kind, repeats) for kind in kinds]


def _peak(kind: str, repeats: int) -> Row:
    import tensorflow as tf

    from trainer import graph

    matrix = tf.cast(tf.random.stateless_normal([PEAK_SIDE, PEAK_SIDE], [1, 2]), kind)
    product = graph.compiled(lambda: tf.matmul(matrix, matrix))
    best = min(seconds(lambda: product().numpy(), repeats))
    return Row(f"peak, {kind}", "GFLOP/s", [2 * PEAK_SIDE**3 / best / 1e9], HIGHER)


def seconds(work: Callable[[], Any], repeats: int) -> list[float]:
    """Return the seconds of each repeat, after a warm-up that is not counted."""
    work()
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        work()
        times.append(time.perf_counter() - begin)
    return times
