"""The command `svhn`, which runs all others."""

import os
import re
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from trainer import svhn


@pytest.mark.parametrize("name", svhn.COMMANDS)
def test_each_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        svhn.main([name, "--help"])
    assert not ended.value.code
    assert "usage: " in capsys.readouterr().out


def test_every_script_of_the_package_is_a_command() -> None:
    names = re.findall(r"svhn-(\w+)\"", (ROOT / "setup.py").read_text().partition("console_scripts")[2])
    assert len(names) > 5
    assert set(names) <= svhn.COMMANDS.keys()


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"]])
def test_the_overview_names_all_commands(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert svhn.main(words) == 0
    assert set(re.findall(r"^  (\w+)  ", capsys.readouterr().out, re.MULTILINE)) == svhn.COMMANDS.keys()


def test_versions_and_unknown_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert svhn.main(["--version"]) == 0
    assert re.match(r"svhn-sequences \d.*\ntensorflow", capsys.readouterr().out)
    assert svhn.main(["predcit"]) == 2
    assert capsys.readouterr().err == "error: predcit is not a command: svhn --help lists them\n"


def test_a_script_is_the_command_of_its_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["/usr/bin/svhn-inspect", "/no/such/dataset"])
    assert svhn.main() == 2
    assert "/no/such/dataset" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("package", "words", "extra"),
    [
        ("apache_beam", ["score", "--input", "x", "--output", "y"], "beam"),
        ("tensorflow", ["predict", "x.png", "--engine", "tensorflow"], "cpu"),
        ("jinja2", ["report", "--workdir", "x", "--output", "y"], "report"),
        ("fastapi", ["serve", "--port", "0"], "serve"),
        ("uvicorn", ["serve", "--port", "0"], "serve"),
        ("prometheus_client", ["serve", "--port", "0"], "serve"),
        ("rstr", ["draw", "--count", "1", "--output", "x"], "beam"),
        ("kubernetes", ["submit", "status", "--name", "x"], "k8s"),
    ],
)
def test_an_extra_that_is_missing_is_named(package: str, words: list[str], extra: str) -> None:
    script = f"import sys; sys.modules[{package!r}] = None; from trainer import svhn; sys.exit(svhn.main(sys.argv[1:]))"
    done = subprocess.run([sys.executable, "-c", script, *words], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(
        rf"error: {package}[\w.]* is not installed: pip install 'svhn-sequences\[{extra}\]'\n", done.stderr
    )


def test_the_overview_imports_no_command() -> None:
    script = "import sys; from trainer import svhn; svhn.main([]); print(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = done.stdout.splitlines()[-1]
    assert not [module for module, _ in svhn.COMMANDS.values() if f"'{module}'" in loaded]


HEAVY = ("tensorflow", "keras", "apache_beam", "scipy", "matplotlib", "pyarrow", "PIL")


@pytest.mark.parametrize("name", svhn.COMMANDS)
def test_nothing_heavy_is_imported_to_explain_a_command(name: str) -> None:
    script = f"""
import sys
from trainer import svhn
try: svhn.main([{name!r}, "--help"])
except SystemExit: pass
print([module for module in {HEAVY} if module in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def completions(line: str, script: str = "svhn") -> list[str]:
    """Return what the shell is told when the user presses Tab at the end of the line."""
    code = f"""
import sys
sys.argv = [{script!r}]
sys.modules.update(dict.fromkeys({HEAVY}))  # an import of any of them fails
from trainer import svhn
svhn.main()
"""
    reading, writing = os.pipe()
    environment = os.environ | {"_ARGCOMPLETE": "1", "_ARGCOMPLETE_IFS": "\n", "COMP_LINE": line}
    environment |= {"COMP_POINT": str(len(line)), "COMP_TYPE": "9", "_ARGCOMPLETE_COMP_WORDBREAKS": " \t\n=:"}
    # The completion protocol: answers go to descriptor 8.
    command = f"exec 8>&{writing} 9>/dev/null; exec {sys.executable} -c '{code.replace(chr(39), chr(34))}'"
    done = subprocess.run(["/bin/bash", "-c", command], cwd=ROOT, env=environment, pass_fds=[writing])
    os.close(writing)
    with os.fdopen(reading) as file:
        words = file.read().split("\n")
    assert done.returncode == 0
    return [word.strip() for word in words]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("svhn pre", ["predict", "prepare"]),
        ("svhn --v", ["--version"]),
        ("svhn predict --can", ["--candidates"]),
        ("svhn predict --format ", ["table", "json"]),
        ("svhn score a.png --target", ["--target-accuracy"]),
        ("svhn score --format p", ["parquet"]),
        ("svhn train --strategy mu", ["multi-worker"]),
        ("svhn submit st", ["status"]),
        ("svhn cluster --log-format j", ["json"]),
    ],
)
def test_the_shell_completes(line: str, expected: list[str]) -> None:
    assert sorted(completions(line)) == sorted(expected)


def test_scripts_complete_too() -> None:
    assert completions("svhn-predict --can", script="svhn-predict") == ["--candidates"]


@pytest.mark.parametrize("name", svhn.COMMANDS)
def test_every_command_completes(name: str) -> None:
    assert completions(f"svhn {name} --log") == ["--log-format"]
