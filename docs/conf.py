"""Sphinx configuration: furo, autodoc, and nothing that needs more than `pip install -e ".[docs]"`."""

import sys
from pathlib import Path

from flambeau.version import __version__

sys.path.insert(0, str(Path(__file__).parent / "extensions"))

project = "Flambeau"
author = "Flambeau developers"
project_copyright = "Flambeau developers"
version = release = __version__

extensions = ["sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode", "operator_pages"]
exclude_patterns = ["_build"]
nitpicky = False  # signatures name builtins and private types that no page documents

html_theme = "furo"
html_title = f"Flambeau {release}"

default_role = "code"  # docstrings write `name` for code, as the comments do
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the signature is in the first line; types twice make it unreadable
