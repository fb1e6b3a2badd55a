"""How the guide is built: `tox run -e docs`, warnings being errors."""

project = "keras-ab"
author = "the authors of keras-ab"
extensions = ["myst_parser"]
html_theme = "furo"
html_title = "keras-ab"
exclude_patterns = ["_build"]
# What is included from README.md begins with headings of the second and third level.
suppress_warnings = ["myst.header"]
