"""Which rows are reviewed, in which order."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_pipelines.scoring.predictions import WRITERS
from beam_pipelines.sharding.counted_file import CountedFile
from tests.trainer.reviewing import scored
from trainer.cli import UserError
from trainer.reviewing import predictions, queue
from trainer.reviewing.queue import Options, Queue


def confidences(count: int) -> list[float]:
    return [round((i * 37 % count) / count, 4) for i in range(count)]


def plan(folder: Path, rows: list[dict[str, Any]], *answered: str, **options: Any) -> Queue:
    source = predictions.open_predictions(str(scored.write(folder, rows)))
    return queue.plan(source, Options(**{"min_confidence": 0.9, **options}), frozenset(answered))


def test_the_least_certain_rows_come_first_and_no_more_than_asked_for(tmp_path: Path) -> None:
    rows = [scored.row(f"{i:03d}", confidence=c) for i, c in enumerate(confidences(200))]
    found = plan(tmp_path, rows, sample=0, count=30)
    shown = [found.rows[number].confidence for number in found.order]
    assert shown == sorted(confidences(200))[:30]


def test_the_most_valuable_rows_are_those_whose_candidates_are_closest(tmp_path: Path) -> None:
    rows = [scored.row(f"{i}", confidence=0.5) for i in range(5)]
    for place, margin in enumerate((0.5, 0.1, 0.3, 0.2, 0.4)):
        for one, value in zip(rows[place]["candidates"], (0.6, 0.6 - margin, 0.0), strict=True):
            one["probability"] = value
    found = plan(tmp_path, rows, sample=0, order="valuable")
    assert [found.rows[number].key for number in found.order] == ["1", "3", "2", "4", "0"]


def test_the_sample_is_seeded_stratified_nested_and_mixed_into_the_queue(tmp_path: Path) -> None:
    rows = [scored.row(f"{i:04d}", confidence=c) for i, c in enumerate(confidences(1000))]
    small, large, other = (plan(tmp_path, rows, sample=n, count=100, seed=s) for n, s in ((120, 0), (300, 0), (120, 1)))
    for found, count in ((small, 120), (large, 300), (other, 120)):
        assert sum(map(len, found.sample)) == count
        assert sum(found.sizes) == 1000
        for place, keys in enumerate(found.sample):
            assert len(keys) >= min(queue.FEWEST, found.sizes[place])
            of = {queue.stratum_of(found.edges, row.confidence) for row in found.rows.values() if row.key in keys}
            assert of <= {place}
        assert len(set(found.order)) == len(found.order)
    assert all(a <= b for a, b in zip(small.sample, large.sample, strict=True))
    assert small.sample != other.sample
    sampled = frozenset().union(*small.sample)
    halves = [Counter(small.rows[n].key in sampled for n in part) for part in (small.order[:100], small.order[100:])]
    assert all(abs(half[True] - half[False]) < 40 for half in halves)
    assert plan(tmp_path, rows, sample=120, count=100) == small


@given(sizes=st.lists(st.integers(0, 300), min_size=1, max_size=9), total=st.integers(0, 500))
def test_the_allocation_takes_what_is_asked_for_and_no_more_than_there_is(sizes: list[int], total: int) -> None:
    counts = queue.allocated(sizes, total)
    assert sum(counts) == min(total, sum(sizes))
    assert all(0 <= count <= size for count, size in zip(counts, sizes, strict=True))


def test_rows_of_archives_and_records_are_left_out_and_answered_ones_are_kept(tmp_path: Path) -> None:
    rows = [scored.row("a", found_as="member"), scored.row("b", found_as="record"), scored.row("s3://b/c.png")]
    rows += [scored.row("d", confidence=0.2), scored.row("e"), scored.row("f", found_as=None, label="7")]
    found = plan(tmp_path, rows, "e", "a", sample=0)
    assert (found.left_out, sum(found.sizes)) == (4, 2)
    assert {row.key for row in found.rows.values()} == {"d", "e"}
    assert [found.rows[number].key for number in found.order] == ["d"]
    with pytest.raises(UserError, match="no rows whose images can be shown"):
        plan(tmp_path, rows[:3])


def test_every_format_gives_the_same_queue(tmp_path: Path) -> None:
    rows = [scored.row(f'{i}, "{i}"\n', text=f"00{i}", confidence=c) for i, c in enumerate(confidences(12))]
    rows[3] |= {"text": "", "numbers": []}
    queues = []
    for name, write in WRITERS.items():
        folder = scored.write(tmp_path / name, rows, shards=1)
        summary = json.loads((folder / "_summary.json").read_text())
        summary["shards"][0]["name"] = f"predictions-00000-of-00001.{name}"
        (folder / "_summary.json").write_text(json.dumps(summary))
        with (folder / summary["shards"][0]["name"]).open("wb") as file:
            writer = write(CountedFile(file))
            writer.write(rows[:7])
            writer.write(rows[7:])
            writer.close()
        queues.append(queue.plan(predictions.open_predictions(str(folder)), Options(0.9), frozenset()))
    (tmp_path / "csv").rename(tmp_path / "flat.parts")
    (tmp_path / "flat.csv").write_text("")
    queues.append(queue.plan(predictions.open_predictions(str(tmp_path / "flat.csv")), Options(0.9), frozenset()))
    assert len(queues[0].order) == 12
    assert all(one == queues[0] for one in queues)


@pytest.mark.parametrize("damage", ["no-marker", "rows", "json", "summary", "shard-name", "missing", "types", "box"])
def test_damaged_predictions_are_one_line(tmp_path: Path, damage: str) -> None:
    rows = [scored.row(f"{i}", confidence=0.5) for i in range(4)]
    if damage == "types":
        rows[2]["candidates"] = [{"texts": 1}]
    if damage == "box":
        rows[2]["box"] = [1.0, 2.0]
    folder = scored.write(tmp_path, rows)
    shard, summary = folder / "predictions-00000-of-00002.jsonl", folder / "_summary.json"
    if damage == "no-marker":
        (folder / "_COMPLETED").unlink()
    elif damage == "rows":
        shard.write_text(shard.read_text().splitlines(keepends=True)[0])
    elif damage == "json":
        shard.write_text("{")
    elif damage == "summary":
        summary.write_text('{"shards": 3, "rows": 4}')
    elif damage == "shard-name":
        summary.write_text(json.dumps({"shards": [{"name": "../x.jsonl", "rows": 1}], "rows": 1}))
    elif damage == "missing":
        shard.unlink()
    with pytest.raises(UserError) as raised:
        queue.plan(predictions.open_predictions(str(folder)), Options(0.9), frozenset())
    assert "\n" not in str(raised.value)
