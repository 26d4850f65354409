"""What a run reports: Beam's metrics, the table at the end, and its progress."""

import re
from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam.metrics import MetricsFilter

from beam_pipelines import prepare, synthesize
from beam_pipelines.dataset.write_records import WriteRecords
from beam_pipelines.inputs import csv_file, labelled
from beam_pipelines.inputs.crops import CropPolicy
from beam_pipelines.runs.prepare import MakeLabelledRecord
from beam_pipelines.sharding import beam_options, progress, shards
from tests.beam_pipelines.dataset.test_datasets import write_csv
from trainer.data.formats import dataset_info
from trainer.data.images.megapixels import DEFAULT_MEGAPIXELS
from trainer.vocab import DIGITS, Vocab

ROWS = "file,label\na.png,12\nb.jpg,7\na.png,12b\nnone.png,4\nnone2.png,5\n"


def test_beams_metrics_agree_with_the_files(tmp_path: Path) -> None:
    folder, out = write_csv(tmp_path / "mine", ROWS), tmp_path / "out"
    out.mkdir()
    source = csv_file.open_csv(str(folder), None)
    items = labelled.survey(source, [("train", 1.0)], seed=0).splits["train"]
    specs = shards.deal(items, output=str(out), split="train", num_shards=2, name=dataset_info.shard_name)
    whole = CropPolicy("whole", size=64, max_side=256, context=(0.0, 0.0), seed=0)
    make = MakeLabelledRecord(source, frozenset(), whole, Vocab(DIGITS), 5, "png", DEFAULT_MEGAPIXELS)
    pipeline = beam.Pipeline(options=beam_options.parse([]))
    _ = pipeline | beam.Create(specs) | WriteRecords(make, Vocab(DIGITS))
    result = pipeline.run()
    result.wait_until_finish()
    counters = {
        (metric.key.metric.namespace, metric.key.metric.name): metric.result
        for metric in result.metrics().query(MetricsFilter())["counters"]
    }
    assert counters == {
        ("records", "in"): 5,
        ("records", "written"): 2,
        ("records", "bytes"): sum(path.stat().st_size for path in out.iterdir()),
        ("rejects", "label"): 1,
        ("rejects", "missing-picture"): 2,
    }
    seconds = progress.seconds_by_step(result)
    assert seconds.keys() == {"make", "write", "shard"}
    assert all(0 <= value < 60 for value in seconds.values())


def test_the_table_says_what_came_in_and_where_it_went(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    folder, out = write_csv(tmp_path / "mine", ROWS), tmp_path / "out"
    assert prepare.main(["--format", "csv", "--input", str(folder), "--output", str(out)]) == 0
    table = dict(re.findall(r"^(\S.*?)  +([\d.]+)", capsys.readouterr().out, flags=re.MULTILINE))
    steps = [table.pop(f"seconds, {step}") for step in ("make", "write", "shard", "complete")]
    assert all(re.fullmatch(r"\d+\.\d\d", seconds) for seconds in steps)
    assert table == {
        "records in": "5",
        "written to train": "2",
        "rejected, duplicate-name": "1",
        "rejected, missing-picture": "2",
        "note: images without an entry": "1",
        "bytes": str(sum(path.stat().st_size for path in out.glob("*.tfrecord-*"))),
    }


def test_progress_shows_what_is_done_while_it_is_done(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "PROGRESS_SECONDS", 0.01)
    assert synthesize.main(["--count", "200", "--num-shards", "4", "--output", str(tmp_path / "out")]) == 0
    shown = re.findall(r"out: (\d+) of 200, (\d) of 4 shards, ", capsys.readouterr().err)
    assert ("50", "1") in shown
    assert [int(done) for done, _ in shown] == sorted(int(done) for done, _ in shown)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--direct-num-workers=2", "unknown option --direct-num-workers=2"),
        ("--runner=NoSuchRunner", "--runner NoSuchRunner: Unexpected pipeline runner"),
        ("--runner=no.such.Runner", "--runner no.such.Runner: No module named 'no'"),
        ("stray", "unknown option stray"),
    ],
)
def test_options_that_no_runner_takes_end_in_one_line(
    option: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture, caplog: pytest.LogCaptureFixture
) -> None:
    assert synthesize.main(["--count", "1", "--output", str(tmp_path / "out"), option]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not caplog.messages
    assert not (tmp_path / "out").exists()
