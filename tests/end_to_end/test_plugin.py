"""The package in tests/plugin: it keeps the contracts, a sweep runs with it, and the page about it shows its code."""

import json
import os
import re
import subprocess
import sys

import pytest
from support.commands import PATIENCE, ROOT, run_sweep
from support.plugin_package import NAMES, SOURCE, install

from records import columns

PAGE = (ROOT / "docs" / "extending.md").read_text()
CONTRACTS = (
    *("methods/test_method_contract.py", "datasets/test_dataset_contract.py"),
    *("saliency/attribution/test_attributions.py", "saliency/localisation/test_metric_contract.py"),
    "models/test_architectures.py",
)


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    return str(install(tmp_path_factory.mktemp("plugin")))


def test_the_page_shows_the_packages_code():
    files = [SOURCE / "pyproject.toml", *(SOURCE / "saliency_extras").glob("[a-z]*.py")]
    assert {file.stem for file in files} == {"pyproject", *NAMES}
    for file in files:
        assert f"\n{file.read_text().strip()}\n```\n" in PAGE, file.name


@pytest.mark.slow
def test_the_contract_tests_pass_on_it(installed):
    """As the page says to run them, but for the checks of shapes, which take as long as the tests."""
    chosen = re.search(r"-m pytest tests/trainables -k \"(.+)\"", PAGE)[1]
    files = [str(ROOT / "tests" / "trainables" / file) for file in CONTRACTS]
    plain = ["-o", "addopts=--import-mode=importlib", "-p", "no:cacheprovider", "-v"]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")} | {"PYTHONPATH": installed}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *plain, *files, "-k", chosen],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    passed = [line for line in done.stdout.splitlines() if " PASSED" in line]
    counts = {name: sum(re.search(rf"\[.*\b{name}\b", line) is not None for line in passed) for name in NAMES}
    assert counts["erased_outside"] >= 8
    assert counts["bars"] >= 20
    assert counts["squared_gradient"] == 6
    assert counts["squared_energy"] == 1
    assert counts["plain_cnn"] >= 5


@pytest.mark.slow
def test_a_sweep_of_the_pages_space(installed, tmp_path):
    space = re.search(r"```python\n(from search_spaces import .+?)```", PAGE, re.DOTALL)[1]
    (tmp_path / "mine.py").write_text(space)
    few = ("--max-trials", "2", "--set", "epochs=2", "--set", "attribution_images=8", "--concurrency", "1")
    ran = run_sweep(tmp_path, "--space", "mine.py", *few, PYTHONPATH=installed)
    assert ran.code == 0, ran
    records = [json.loads(path.read_text()) for path in (tmp_path / "sweeps/mine/records").glob("*.json")]
    assert {r["method"] for r in records} == {"baseline", "erased_outside"}
    for record in records:
        assert (record["status"], record["dataset"]) == ("completed", "bars"), record["error"]
        assert record["model"] == "plain_cnn"
        assert record[columns.PLUGINS] == "saliency-extras 1.2"
        assert 0 < record["test_ood.squared_energy.squared_gradient"] < 1
