"""Katib experiments from a space, one a method: a grid of batch Jobs, each of which runs one trial.

    python k8s/kubeflow/katib.py --space smoke --image saliency-sweep:0.1.0 > experiments.yaml

A Job a trial costs half a minute of start-up: this is for people who use Katib already, and for small spaces. All
trials leave their records in one sweep, and `python -m analysis` reports on it.
"""

import argparse
import sys
from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Any

import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from driver import UserError
from driver.plan.space_file import find_space
from records import columns
from search_spaces import Settings, Space

MOST_TRIALS = 1000
"""More trials than these are too many Jobs for a cluster, and for Katib's database."""
Levels = dict[str, list[Any]]


def experiments(space: Space, image: str, parallel: int) -> list[dict[str, Any]]:
    """One Katib Experiment for each method of `space`.

    Raises:
        UserError: a space that searches or is too large, or whose trials of a method are no grid.
    """
    if space.search is not None:
        raise UserError(
            f"space {space.name!r} searches for its trials, and an experiment here is a grid; "
            "run it with sweep.py, or choose a space without a search"
        )
    if len(space.trials) > MOST_TRIALS:
        raise UserError(
            f"space {space.name!r} has {len(space.trials)} trials, each of which would be a Job; Katib is for at most "
            f"{MOST_TRIALS}: use a smaller space, or the RayJob"
        )
    methods = list(dict.fromkeys(settings["method"] for settings in space.trials))
    return [_experiment(space, method, image, parallel) for method in methods]


def grid(space: Space, method: str) -> Levels:
    """The levels of each setting that varies among the trials of `method`.

    Raises:
        UserError: the trials are not all combinations of these levels.
    """
    trials = [settings for settings in space.trials if settings["method"] == method]
    levels = {name: list(dict.fromkeys(trial.get(name) for trial in trials)) for name in _names(trials)}
    if all(trial.get("data_seed") == trial.get("seed") for trial in trials):
        # Both vary together: one parameter sets both.
        levels.pop("data_seed", None)
    levels = {name: values for name, values in levels.items() if len(values) > 1}
    if prod(map(len, levels.values())) != len(trials):
        raise UserError(
            f"the {len(trials)} trials of method {method!r} in space {space.name!r} are not all combinations of "
            f"{', '.join(levels) or 'anything'}; Katib's grid needs that: use the RayJob"
        )
    return levels


def _names(trials: Sequence[Settings]) -> list[str]:
    return list(dict.fromkeys(name for trial in trials for name in trial))


def _experiment(space: Space, method: str, image: str, parallel: int) -> dict[str, Any]:
    levels = grid(space, method)
    primary = space.primary
    localisation = columns.localisation(primary.split, primary.metric, primary.attribution)
    return {
        "apiVersion": "kubeflow.org/v1beta1",
        "kind": "Experiment",
        "metadata": {"name": f"{space.name}-{method}".replace("_", "-"), "namespace": "saliency-sweep"},
        "spec": {
            "objective": {
                "type": "maximize",
                "objectiveMetricName": primary.outcome,
                "additionalMetricNames": [localisation],
            },
            "algorithm": {"algorithmName": "grid"},
            "parallelTrialCount": parallel,
            "maxTrialCount": prod(map(len, levels.values())),
            "maxFailedTrialCount": 3,
            "metricsCollectorSpec": {
                "collector": {"kind": "StdOut"},
                # Katib's own pattern does not know names with dots.
                "source": {"filter": {"metricsFormat": [r"([\w.-]+)=([+-]?\d*(\.\d+)?([Ee][+-]?\d+)?)"]}},
            },
            "parameters": [_parameter(name, values) for name, values in levels.items()],
            "trialTemplate": {
                "primaryContainerName": "trial",
                "trialParameters": [{"name": name, "reference": name} for name in levels],
                "trialSpec": _job(space, method, levels, image),
            },
        },
    }


def _parameter(name: str, values: list[Any]) -> dict[str, Any]:
    number = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    kind = "discrete" if number else "categorical"
    return {"name": name, "parameterType": kind, "feasibleSpace": {"list": [str(value) for value in values]}}


def _job(space: Space, method: str, levels: Levels, image: str) -> dict[str, Any]:
    settings = [f"method={method}", *(f"{name}=${{trialParameters.{name}}}" for name in levels)]
    if "seed" in levels:
        settings.append("data_seed=${trialParameters.seed}")
    command = ["python", "/app/k8s/kubeflow/katib_trial.py", "--space", space.name]
    container = {
        "name": "trial",
        "image": image,
        "command": [*command, *(word for setting in settings for word in ("--set", setting))],
        "env": [{"name": "HOME", "value": "/tmp"}],  # noqa: S108 -- a volume of the pod's own
        "envFrom": [
            {"configMapRef": {"name": "endpoints"}},
            {"secretRef": {"name": "s3"}},
            {"secretRef": {"name": "mlflow-client"}},
        ],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "resources": {"requests": {"cpu": "1", "memory": "2Gi"}, "limits": {"cpu": "1", "memory": "2Gi"}},
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108
    }
    pod = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 10001,
            "runAsGroup": 10001,
            "fsGroup": 10001,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        "volumes": [{"name": "tmp", "emptyDir": {"sizeLimit": "2Gi"}}],
    }
    labels = {"saliency-sweep/role": "katib"}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "spec": {"backoffLimit": 2, "template": {"metadata": {"labels": labels}, "spec": pod}},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Write a space's Katib experiments, one a method.")
    parser.add_argument("--space", default="smoke", help="a space's name (default: smoke)")
    parser.add_argument("--image", default="saliency-sweep:0.1.0", help="the trials' image")
    parser.add_argument("--parallel", type=int, default=4, help="trials of a method at a time (default: 4)")
    given = parser.parse_args()
    try:
        made = experiments(find_space(given.space), given.image, given.parallel)
    except UserError as error:
        sys.exit(f"katib.py: {error}")
    yaml.safe_dump_all(made, sys.stdout, sort_keys=False)


if __name__ == "__main__":
    main()
