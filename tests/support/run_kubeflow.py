"""The pipeline, or one of its steps, in kfp's own environment; the arguments come as JSON on the standard input.

run_kubeflow.py step ROOT STEP            the last line is what the step returns, as JSON
run_kubeflow.py pipeline ROOT FOLDER      all steps by kfp.local; "manifests" are the rendered sweep
"""

import json
import sys

what, root, name = sys.argv[1:]
sys.path.insert(0, f"{root}/k8s/kubeflow")
arguments = json.load(sys.stdin)

import pipeline  # noqa: E402
from kfp import local  # noqa: E402

if what == "step":
    print(json.dumps(getattr(pipeline, name).python_func(**arguments)))
else:
    local.init(runner=local.SubprocessRunner(use_venv=False), pipeline_root=name)
    pipeline.make_pipeline(pipeline.rayjob_of(arguments.pop("manifests")))(**arguments)
