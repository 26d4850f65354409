"""File names cannot control the terminal, and JSON keeps them unchanged."""

import json
import logging
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer import cli
from trainer.terminal import printable

EVIL = "a\x1b]0;title\x07\x9b31m\u202egnp.\r\x7f\udce9"


@given(st.text())
def test_what_is_printed_is_safe_and_json_still_says_the_same(text: str) -> None:
    shown = printable(text)
    assert all(c.isprintable() or c in "\t\n" or ord(c) > 0x9F for c in shown)
    shown.encode()
    assert json.loads(printable(json.dumps(text, ensure_ascii=False))) == text
    assert printable(shown) == shown


def test_errors_tables_and_logs_are_printable(capsys: pytest.CaptureFixture) -> None:
    def run(_: list[str] | None) -> None:
        print(EVIL)
        handler = logging.StreamHandler(sys.stderr)
        logging.getLogger("printable").addHandler(handler)
        logging.getLogger("printable").warning("%s", EVIL)
        logging.getLogger("printable").removeHandler(handler)
        raise cli.UserError(EVIL)

    assert cli.exit_status(run, []) == 2
    said = "".join(capsys.readouterr())
    assert said.count("a\\u001b]0;title\\u0007\\u009b31m\\u202egnp.\\u000d\\u007f\\udce9") == 3
    assert said == printable(said)
    assert "\n" in said
