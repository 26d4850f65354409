"""The table of all ratios in the documentation."""

import json
import re

import pytest

from benchmarks import page
from benchmarks.rows import HIGHER, LOWER, Row
from tests.benchmarks.conftest import results
from tests.conftest import ROOT
from trainer import cli

PLAIN = Row("plain loop", "s", [2.0], LOWER)
BEAM = Row("Beam", "s", [2.0, 2.4, 2.6], LOWER).relative_to(PLAIN, at_most=1.1)


def test_the_committed_table_is_that_of_the_committed_results() -> None:
    text = page.PAGE.read_text(encoding="utf-8")
    marked = page.MARKED.search(text)
    assert marked
    stored = json.loads((ROOT / marked[2]).read_text())
    assert text == page.written(text, marked[2], stored), "run python -m benchmarks.page"
    assert f"/{stored['machine']['name']}/{stored['commit']}" in marked[2]
    assert not re.search(r"/(home|work|tmp|root|usr)/", (ROOT / marked[2]).read_text())


def test_a_row_has_its_ratio_target_and_the_peak() -> None:
    found = page.table(results(PLAIN, BEAM, benchmark="pipelines"))
    assert "| pipelines | Beam | 2.4 s (2-2.6) | 1.20 | plain loop, 2 | at most 1.1, **missed** | 122 |" in found
    assert "| pipelines | plain loop" not in found  # it has neither ratio nor target
    assert "Missed targets: Beam (1.20, at most 1.1)." in found
    assert "not final" not in found


def test_a_target_without_a_ratio_is_for_the_value() -> None:
    for reached, words in ((95.0, "No target was missed."), (80.0, "Missed targets: right (80 %, at least 92).")):
        assert words in page.table(results(Row("right", "%", [reached], HIGHER, at_least=92.0)))


def test_quick_runs_busy_machines_and_failures_are_named() -> None:
    found = results(PLAIN, BEAM, benchmark="pipelines", quick=True, load=2.5)
    found["benchmarks"]["beam"] = {"command": "", "date": "", "peaks": [], "failed": "exit status 1: no memory"}
    found["benchmarks"]["wild"] = {"command": "", "date": "", "skipped": "SHARED/scenes does not exist"}
    text = page.table(found)
    assert "**quick run, not final**; **busy machine, not final**" in text
    assert "| pipelines | Beam | 2.4 s (2-2.6) | 1.20 | plain loop, 2 |  | 122 |" in text
    assert "too short to judge" in text
    assert "missed" not in text
    assert "| beam | failed: exit status 1: no memory |" in text
    assert "| wild | skipped: SHARED/scenes does not exist |" in text


def test_only_the_text_between_the_comments_changes() -> None:
    before = "# A\n\n<!-- all ratios: old.json -->\nold\n<!-- end -->\n\nby hand\n"
    after = page.written(before, "new.json", results(PLAIN, BEAM))
    assert after.startswith("# A\n\n<!-- all ratios: new.json -->\n`python -m benchmarks.all`")
    assert after.endswith("<!-- end -->\n\nby hand\n")
    assert "old" not in after
    with pytest.raises(cli.UserError, match="comments"):
        page.written("# A\n", "new.json", results(PLAIN))
