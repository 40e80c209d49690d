"""One step of the pipeline, as kfp's executor calls it, in kfp's own environment.

run_step.py ROOT STEP < {"argument": …}     writes what the step returns, as JSON, on the last line
"""

import json
import sys

root, step = sys.argv[1:]
sys.path.insert(0, f"{root}/k8s/kubeflow")

import pipeline  # noqa: E402

print(json.dumps(getattr(pipeline, step).python_func(**json.load(sys.stdin))))
