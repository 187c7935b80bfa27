#!/usr/bin/env python3
"""Django's command line for this project."""

from __future__ import annotations

from securedrop_ftp.project.cli import main

if __name__ == "__main__":
    main()
