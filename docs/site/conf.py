"""How Sphinx builds the site: `make site`. Its source is the whole repository, so that links work as on GitHub."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # autodoc imports trainer, which loads neither TensorFlow nor Beam

project = "svhn-sequences"
html_title = project
include_patterns = ["*.md", "docs/*.md", "docs/*.ipynb", "docs/site/*.md", "k8s/README.md", "trainer/*/MODEL_CARD.md"]
exclude_patterns = [".*", "build", "data", "demo", "dist", "out", "runs"]
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_external_toc"]
external_toc_path = "docs/site/toc.yml"

html_theme = "furo"
html_extra_path = ["extra"]  # index.html, which leads to README.html
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_copyright = False

myst_heading_anchors = 4
nb_execution_mode = "off"  # the notebook holds its outputs; tests/test_notebook.py executes it
highlight_language = "none"
default_role = "code"
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
napoleon_numpy_docstring = False
napoleon_use_ivar = True
