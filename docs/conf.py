"""Sphinx configuration."""

from __future__ import annotations

project = "securedrop_ftp"
author = "securedrop_ftp developers"
copyright = "2026, securedrop_ftp developers"

extensions = ["myst_parser"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
exclude_patterns = ["_build", "reference/clients-table.md", "reference/clients-failures.md"]

html_theme = "furo"
html_title = "securedrop_ftp"
nitpicky = True
