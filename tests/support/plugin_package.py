"""The package in tests/plugin, installed for real, and packages of a few lines."""

import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from support.commands import PATIENCE

SOURCE = Path(__file__).parents[1] / "plugin"
NAMES = ("bars", "erased_outside", "plain_cnn", "squared_energy", "squared_gradient")
"""The names that the package registers."""


def install(folder: Path) -> Path:
    """Install tests/plugin with pip, without a network, and return the folder for PYTHONPATH."""
    source, target = folder / "source", folder / "installed"
    shutil.copytree(SOURCE, source)  # setuptools writes into the source folder
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    offline = ["--no-index", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, *offline, "--target", str(target), str(source)], check=True, timeout=PATIENCE)
    return target


def write_package(folder: Path, name: str, entries: Mapping[str, str], module: str, group: str = "methods") -> None:
    """Write an installed package of version 0.1, as in site-packages, with its code in <name>.py."""
    metadata = folder / f"{name}-0.1.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.1\n")
    lines = [f"[saliency_sweep.{group}]", *(f"{entry} = {place}" for entry, place in entries.items())]
    (metadata / "entry_points.txt").write_text("\n".join(lines) + "\n")
    (folder / f"{name}.py").write_text(module)
