"""Extensions: the package in tests/plugin, the page about it, and images of the user."""

import json
import os
import re
import subprocess
import sys

import pytest
from support import own_images
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
    assert (counts["squared_gradient"], counts["squared_energy"]) == (5, 1)
    for name, least in {"erased_outside": 8, "bars": 20, "plain_cnn": 5}.items():
        assert counts[name] >= least


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


QUICK = ("--set", "image_size=20", "--set", "epochs=2", "--set", "integrated_gradients_steps=4")


@pytest.mark.slow
def test_200_images_in_four_formats_become_a_report(tmp_path):
    own_images.make_folder(tmp_path / "mine")
    command = ("--dataset", "folder:mine", "--space", "own_data", "--set", "severity=0.5", *QUICK)
    kept = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    ran = run_sweep(tmp_path, *command, "--max-trials", "2", "--concurrency", "1", **kept)
    assert ran.code == 0, ran
    assert "report/report.html" in ran.out
    assert re.search(r"^Converted: \d+ from colour to grey, \d+ of more than 8 bits", ran.out, re.MULTILINE)
    folder = tmp_path / "sweeps/own_data"
    records = [json.loads(path.read_text()) for path in (folder / "records").glob("*.json")]
    assert [record["status"] for record in records] == ["completed"] * 2
    for record in records:
        assert record["dataset"] == f"folder:{tmp_path / 'mine'}"
        assert re.fullmatch("[0-9a-f]{32}", record["hp.content"])
        assert (record["train.n"], record["test_ood.n"]) == (52, 24)
        assert 0 <= record["test_ood.iou.integrated_gradients"] <= 1
        assert (folder / f"artifacts/{record['trial_key']}/saliency.png").is_file()
    assert json.loads((folder / "report/report.json").read_text())["n_trials"] == 2
    assert "1 dataset: mine\n" in (folder / "report/report.md").read_text()
