"""Memory of freed tensors stays with the process."""

import os
import subprocess
import sys

import pytest

# Holds glibc to its first defaults, which else it raises at times.
GIVE_BACK = {"MALLOC_MMAP_THRESHOLD_": "131072", "MALLOC_TRIM_THRESHOLD_": "131072"}
FAULTS_A_STEP = """
import resource
from trainables import Trial, resolve
from trainables.core.process import use_one_thread
use_one_thread()
trial = Trial(resolve({"n_train": 320, "n_valid": 8, "n_test": 8}))
faults = []
for _ in range(4):
    trial.train_epoch()
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
print(min(after - before for before, after in zip(faults, faults[1:])) / 10)
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's settings")
def test_a_training_step_causes_no_page_faults():
    """A step's maps are some 5 MB, more than a thousand pages of 4 KiB."""
    done = subprocess.run(
        [sys.executable, "-c", FAULTS_A_STEP],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **GIVE_BACK},
    )
    assert float(done.stdout) < 50
