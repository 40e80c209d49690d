"""The pipeline's steps one after the other by kfp.local, in kfp's own environment.

run_pipeline.py ROOT FOLDER < {"manifests": …, "arguments": {…}}
"""

import json
import sys

root, folder = sys.argv[1:]
sys.path.insert(0, f"{root}/k8s/kubeflow")
request = json.load(sys.stdin)

import pipeline  # noqa: E402
from kfp import local  # noqa: E402

local.init(runner=local.SubprocessRunner(use_venv=False), pipeline_root=folder)
pipeline.make_pipeline(pipeline.rayjob_of(request["manifests"]))(**request["arguments"])
