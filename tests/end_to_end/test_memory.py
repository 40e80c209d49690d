"""Trials that are killed for memory: by Ray, as on a node that is nearly full, and by the kernel."""

import json

import pytest
from support.commands import run_sweep
from support.plugin_package import write_package

pytestmark = pytest.mark.slow
SMALL = tuple(
    word
    for setting in ("n_train=64", "n_valid=32", "n_test=64", "attribution_images=4", "integrated_gradients_steps=4")
    for word in ("--set", setting)
)
# A trial that fits only if it has both processors of the machine to itself is killed as the kernel kills.
NEEDY = """
import os, signal, ray
from trainables.methods import Method

class Needy(Method):
    reads_preset = reads_masks = False

    def loss(self, model, batch):
        resources = ray.get_runtime_context().get_assigned_resources()
        if max(amount for name, amount in resources.items() if name.startswith("CPU")) < 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().loss(model, batch)
"""
SPACE = """
from search_spaces.space import Space

def needy():
    trials = [("baseline", 0), ("needy", 0), ("needy", 1), ("baseline", 1)]
    trials = [{"dataset": "synthetic", "severity": 1.0, "method": method, "seed": seed} for method, seed in trials]
    return Space("needy", "two trials that need much memory", trials)
"""


def records(folder):
    return [json.loads(path.read_text()) for path in (folder / "sweeps/memory/records").glob("*.json")]


def test_trials_that_ray_kills_to_free_memory_are_recorded_and_the_sweep_goes_on(tmp_path):
    """Here memory always counts as full, and Ray looks every 20 seconds: mostly in the midst of a training."""
    sweep = ("--name", "memory", "--dataset", "synthetic", "--max-trials", "2", "--tracking-uri", "none")
    full = {"RAY_memory_usage_threshold": "0", "RAY_memory_monitor_refresh_ms": "20000"}
    ran = run_sweep(tmp_path, *sweep, *SMALL, "--set", "epochs=5000", "--concurrency", "2", **full)
    assert ran.code == 10, ran
    assert "Traceback" not in ran.out + ran.err
    assert "2 trials killed, probably for memory: one more try, alone on a node." in ran.out
    found = records(tmp_path)
    assert [record["status"] for record in found] == ["failed"] * 2
    for record in found:
        assert record["error"].startswith("tried 4 times, the last time alone on its node: out of memory (")
        assert "lower batch_size" in record["error"]


def test_trials_that_have_no_room_beside_others_succeed_alone(tmp_path):
    write_package(tmp_path / "installed", "tools", {"needy": "tools:Needy"}, NEEDY)
    (tmp_path / "needy.py").write_text(SPACE)
    sweep = ("--name", "memory", "--space", "needy.py", "--tracking-uri", "none", "--set", "epochs=2")
    ran = run_sweep(tmp_path, *sweep, *SMALL, "--concurrency", "2", PYTHONPATH=f"{tmp_path}/installed")
    assert ran.code == 0, ran
    assert "2 trials killed, probably for memory: one more try, alone on a node." in ran.out
    assert sorted(record["method"] for record in records(tmp_path)) == ["baseline"] * 2 + ["needy"] * 2
    assert {record["status"] for record in records(tmp_path)} == {"completed"}
