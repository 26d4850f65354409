"""The house rule on the length of functions: each fits on a screen, besides its docstring."""

import ast
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = ("trainer", "beam_pipelines", "k8s", "benchmarks", "tests")
MOST = 40  # lines of a function, without its docstring, which says what the reader of the code need not find out


def lengths(path: Path) -> dict[str, int]:
    """Return the number of lines of each function, by name."""
    found: dict[str, int] = {}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0]
            documented = ast.get_docstring(node) is not None
            docstring = (first.end_lineno or 0) - first.lineno + 1 if documented else 0
            length = (node.end_lineno or 0) - node.lineno + 1 - docstring
            found[node.name] = max(length, found.get(node.name, 0))
    return found


@pytest.mark.parametrize("folder", FOLDERS)
def test_functions_are_short(folder: str) -> None:
    files = sorted((ROOT / folder).rglob("*.py"))
    assert files
    # In a process of its own: beside other threads, ast.parse may raise SystemError (seen with CPython 3.11.7).
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        found = list(process.map(lengths, files, chunksize=1_000))
    all_lengths = {
        f"{path.relative_to(ROOT)}: {name}": n
        for path, functions in zip(files, found, strict=True)
        for name, n in functions.items()
    }
    assert not {name: n for name, n in all_lengths.items() if n > MOST}
