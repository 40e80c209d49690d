"""Memory of freed tensors stays with the process."""

import os
import subprocess
import sys

import pytest

FAULTS_A_STEP = """
import resource
from trainables import Trial, TrialConfig
from trainables.trial import use_one_thread
if {kept}:
    use_one_thread()
trial = Trial(TrialConfig.parse({{"n_train": 320, "n_valid": 8, "n_test": 8}}))
trial.train_epoch()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
trial.train_epoch()
print((resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / 10)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's settings")
def test_a_training_step_asks_the_system_for_no_new_pages():
    """A step's maps are some 5 MB, more than a thousand pages of 4 KiB. The variables hold glibc to its first defaults,
    which else it raises at times."""
    hold = {"MALLOC_MMAP_THRESHOLD_": "131072", "MALLOC_TRIM_THRESHOLD_": "131072"}
    faults = {}
    for kept in (True, False):
        script = FAULTS_A_STEP.format(kept=kept)
        done = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=True, env={**os.environ, **hold}
        )
        faults[kept] = float(done.stdout)
    assert faults[True] < 50 < 500 < faults[False]
