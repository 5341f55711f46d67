"""Settings of the documentation: `sphinx-build -W --keep-going docs docs/_build`."""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "src"))

from showo_turbo.version import __version__  # noqa: E402

project = "showo-turbo"
author = copyright = "The showo-turbo authors"
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
exclude_patterns = ["_build", "tools"]

html_theme = "furo"
html_title = f"showo-turbo {__version__}"

myst_heading_anchors = 3
# Docstrings mark code by single backticks.
default_role = "code"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True  # fields that a docstring lists are members already
napoleon_custom_sections = ["Events", "Source"]
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_default_options = {"members": True, "show-inheritance": True}
