"""Trials that are killed for memory: by Ray, as on a node that is nearly full, and by the kernel."""

import json
import re

import pytest
from ray._private.utils import get_system_memory, get_used_memory
from support.commands import run_sweep
from support.need import need
from support.plugin_package import write_package

pytestmark = pytest.mark.slow
SMALL = tuple(
    word
    for setting in ("n_train=64", "n_valid=32", "n_test=64", "attribution_images=4", "integrated_gradients_steps=4")
    for word in ("--set", setting)
)
# The first takes memory until it is killed; the second is killed unless it has both processors to itself.
METHODS = """
import os, signal, time, ray
from trainables.methods import Method

class Hungry(Method):
    reads_preset = reads_masks = False

    def loss(self, model, batch):
        taken = []
        while len(taken) < 250:
            taken.append(bytearray(b"x") * 2**25)
            time.sleep(0.05)
        raise RuntimeError("8 GB, and Ray has not ended it")

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

def mine():
    trials = [("baseline", 0), ("{method}", 0), ("{method}", 1), ("baseline", 1)][:{trials}]
    trials = [{{"dataset": "synthetic", "severity": 1.0, "method": method, "seed": seed}} for method, seed in trials]
    return Space("mine", "trials that need much memory", trials)
"""
GIB = 2**30


def run(folder, method, trials, **variables):
    """A sweep of trials of a method beside those of the baseline, two at a time."""
    methods = {name: f"tools:{name.title()}" for name in ("hungry", "needy")}
    write_package(folder / "installed", "tools", methods, METHODS)
    (folder / "mine.py").write_text(SPACE.format(method=method, trials=trials))
    sweep = ("--name", "memory", "--space", "mine.py", "--tracking-uri", "none", "--set", "epochs=2")
    return run_sweep(folder, *sweep, *SMALL, "--concurrency", "2", PYTHONPATH=f"{folder}/installed", **variables)


def records(folder):
    return [json.loads(path.read_text()) for path in (folder / "sweeps/memory/records").glob("*.json")]


def test_a_trial_that_ray_kills_to_free_memory_is_recorded_and_the_sweep_goes_on(tmp_path):
    used, total = get_used_memory(), get_system_memory()
    need(None if total - used >= 6 * GIB else "needs 6 GiB of free memory")
    # Room for the driver, Ray and two trials.
    ran = run(tmp_path, "hungry", 2, RAY_memory_usage_threshold=f"{(used + 5 * GIB) / total:.4f}")
    assert ran.code == 10, ran
    assert "Traceback" not in ran.out + ran.err
    assert "1 trial killed, probably for memory: one more try, alone on a node." in ran.out
    by_method = {record["method"]: record for record in records(tmp_path)}
    assert (by_method["baseline"]["status"], by_method["hungry"]["status"]) == ("completed", "failed")
    assert by_method["hungry"]["error"].startswith("tried 4 times, the last time alone on its node: out of memory (")
    assert "lower batch_size" in by_method["hungry"]["error"]


def test_trials_that_have_no_room_beside_others_succeed_alone(tmp_path):
    ran = run(tmp_path, "needy", 4)
    assert ran.code == 0, ran
    # A process that is killed loses the record that it was writing for its last trial too, which is then run again.
    assert re.search(r"[234] trials killed,\s+probably\s+for\s+memory:\s+one\s+more\s+try", ran.out), ran.out
    assert sorted(record["method"] for record in records(tmp_path)) == ["baseline"] * 2 + ["needy"] * 2
    assert {record["status"] for record in records(tmp_path)} == {"completed"}
