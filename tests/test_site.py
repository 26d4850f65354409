"""The documentation site: it builds without a warning and asks no other host for anything."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.test_docs import PAGES

for name in ("furo", "myst_nb", "sphinx", "sphinx_external_toc"):
    pytest.importorskip(name, reason="needs the extra docs")

HEAVY = ["tensorflow", "keras", "apache_beam", "scipy", "matplotlib"]
BUILD = f"import sys; sys.modules.update(dict.fromkeys({HEAVY})); import sphinx.cmd.build as b; sys.exit(b.main())"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the site as `make site` does, where nothing heavy can be imported."""
    place = tmp_path_factory.mktemp("site")
    options = ["-q", "-W", "--keep-going", "-b", "html", "-c", "docs/site", "-d", str(place / "doctrees")]
    command = [sys.executable, "-c", BUILD, *options, ".", str(place / "html")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert not done.returncode, done.stdout + done.stderr
    return place / "html"


@pytest.mark.slow
def test_every_page_is_in_the_navigation(site: Path) -> None:
    front = (site / "README.html").read_text()
    for page in PAGES:
        name = page.relative_to(ROOT).with_suffix(".html").as_posix()
        assert (site / name).exists(), name
        assert f'href="{name}"' in front or name == "README.html"
    assert 'url=README.html"' in (site / "index.html").read_text()


@pytest.mark.slow
def test_the_api_page_shows_the_docstrings(site: Path) -> None:
    text = (site / "docs" / "site" / "api.html").read_text()
    for name in ("Reader.read", "Reader.read_all", "Reader.evaluate", "Reading.draw", "Number", "FolderEvaluation"):
        assert f'id="trainer.{name}"' in text
    assert "Yield what" in text


@pytest.mark.slow
def test_viewing_it_asks_no_other_host(site: Path) -> None:
    pages, styles = list(site.rglob("*.html")), list(site.rglob("*.css"))
    assert pages
    assert styles
    for page in pages:
        loaded = re.findall(r"<(?:script|link|img|iframe|source)\b[^>]*", page.read_text())
        assert not [tag for tag in loaded if re.search(r'(?:src|href)="(?:\w+:)?//', tag)], page
    for style in styles:
        assert not re.search(r"""(?:url\(|@import)\s*["']?(?:\w+:)?//""", style.read_text()), style
