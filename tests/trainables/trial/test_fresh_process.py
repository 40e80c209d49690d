"""Keys, streams, data and a whole trial come out the same in another process."""

import hashlib
import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from support.commands import PATIENCE, ROOT

from trainables import DATASETS, resolve
from trainables.core.process import as_in_a_sweep
from trainables.core.streams import numpy_stream, stream_seed, torch_stream
from trainables.trial.trial import Trial

pytestmark = pytest.mark.slow
# The others need files of the user's.
GENERATED = {name: dataset for name, dataset in DATASETS.items() if "root" not in dataset.Options.model_fields}


@as_in_a_sweep()
def summary() -> dict[str, str]:
    """What must not depend on the process, as short strings."""
    config = resolve(
        {"method": "actdiff", "strength": 0.5, "epochs": 2, "n_train": 32, "n_valid": 16, "n_test": 16, "seed": 7}
    )
    result = {
        "key": config.trial_key,
        "stream": str(stream_seed("x", 1, "y", 0.5)),
        "numpy": numpy_stream("x", 1).random(4).tobytes().hex(),
        "torch": torch.rand(4, generator=torch_stream("x", 1)).numpy().tobytes().hex(),
    }
    for name, dataset in GENERATED.items():
        digest = hashlib.sha256()
        for split in dataset(dataset.Options(), 0.8, 3).splits().values():
            for part in (split.images, split.labels, split.masks, split.distractors, split.cues):
                digest.update(np.ascontiguousarray(part.numpy()).tobytes())
        result[name] = digest.hexdigest()
    trial = Trial(config)
    epochs = [trial.train_epoch() for _ in range(2)]
    result["trial"] = repr([epochs, trial.evaluate(), trial.localise().scores])
    return result


def test_same_in_a_fresh_process():
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")]).strip(os.pathsep)
    environment = {**os.environ, "PYTHONHASHSEED": "4321", "OMP_NUM_THREADS": "1", "PYTHONPATH": path}
    program = [sys.executable, __file__]
    done = subprocess.run(program, env=environment, capture_output=True, text=True, check=True, timeout=PATIENCE)
    assert json.loads(done.stdout) == summary()


if __name__ == "__main__":
    print(json.dumps(summary()))
