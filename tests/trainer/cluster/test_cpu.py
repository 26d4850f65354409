"""Which CPUs have instructions for bfloat16."""

from pathlib import Path

import pytest

from trainer.cluster import cpu


@pytest.mark.parametrize(
    ("flags", "expected"),
    [("fpu avx512f avx512_bf16 ospke", True), ("amx_bf16 amx_tile", True), ("fpu avx512f avx512_vnni", False)],
)
def test_the_flags_of_linux_say_it(flags: str, expected: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS", raising=False)
    description = tmp_path / "cpuinfo"
    description.write_text(f"processor\t: 0\nmodel name\t: AMD avx512_bf16\nflags\t\t: {flags}\nbugs\t\t: none\n")
    assert cpu.computes_in_bfloat16(str(description)) == expected
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    assert not cpu.computes_in_bfloat16(str(description))


def test_other_systems_have_no_such_file(tmp_path: Path) -> None:
    assert not cpu.computes_in_bfloat16(str(tmp_path / "missing"))
