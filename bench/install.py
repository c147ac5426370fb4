"""Installs the packages of the extra `bench`, one after the other, and names those that cannot be installed."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

PROJECT = tomllib.loads((Path(__file__).resolve().parent.parent / "pyproject.toml").read_text())
PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "install", "--quiet")

if __name__ == "__main__":
    for requirement in PROJECT["project"]["optional-dependencies"]["bench"]:
        if subprocess.run([*PIP, requirement], check=False, stderr=subprocess.DEVNULL).returncode:
            print(f"{requirement} cannot be installed here, and is left out")
