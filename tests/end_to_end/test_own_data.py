"""From 200 images, their masks and a CSV to a report, by one command."""

import json
import re

import pytest
from support import own_images
from support.commands import run_sweep

pytestmark = pytest.mark.slow
QUICK = ("--set", "image_size=20", "--set", "epochs=2", "--set", "integrated_gradients_steps=4")


def test_200_images_in_four_formats_become_a_report(tmp_path, monkeypatch):
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
        assert record["train.n"] == 52
        assert record["test_ood.n"] == 24
        assert 0 <= record["test_ood.iou.integrated_gradients"] <= 1
        assert (folder / f"artifacts/{record['trial_key']}/saliency.png").is_file()
    assert json.loads((folder / "report/report.json").read_text())["n_trials"] == 2
    assert "1 dataset: mine\n" in (folder / "report/report.md").read_text()
