"""Katib's experiments: by Katib's own model of its API, and each grid is exactly the space's trials."""

import itertools
import re
import runpy
import subprocess
import sys

import kubernetes_validate
import pytest
import yaml
from kubeflow_katib_api import models
from support.commands import ROOT, TINY

from driver import UserError
from driver.plan.make_plan import make_plan
from search_spaces import SPACES, Space
from trainables.core.config import parse_settings

KATIB = runpy.run_path(str(ROOT / "k8s" / "kubeflow" / "katib.py"))
SMOKE = KATIB["experiments"](SPACES["smoke"](), "saliency-sweep:0.1.0", 4)


def test_one_a_method_from_the_command_line():
    script = str(ROOT / "k8s" / "kubeflow" / "katib.py")
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    assert list(yaml.safe_load_all(done.stdout)) == SMOKE
    assert len(SMOKE) == 5


def unknown(given, model):
    """Fields that a model of Katib's API does not have, all the way down."""
    known = {field.alias or name: field for name, field in type(model).model_fields.items()}
    for name, value in given.items():
        if name not in known:
            yield name
            continue
        attribute = next(n for n, f in type(model).model_fields.items() if (f.alias or n) == name)
        inside = getattr(model, attribute)
        pairs = zip(value, inside, strict=True) if isinstance(value, list) else [(value, inside)]
        for one, its in pairs:
            if isinstance(one, dict) and hasattr(type(its), "model_fields"):
                yield from (f"{name}.{deeper}" for deeper in unknown(one, its))


@pytest.mark.parametrize("experiment", SMOKE, ids=lambda e: e["metadata"]["name"])
def test_katib_and_kubernetes_know_every_field(experiment):
    model = models.V1beta1Experiment.from_dict(experiment)
    assert list(unknown(experiment, model)) == []
    job = experiment["spec"]["trialTemplate"]["trialSpec"]
    kubernetes_validate.validate({**job, "metadata": {"name": "trial"}}, "1.34", strict=True)


def test_that_check_finds_a_wrong_field():
    wrong = {**SMOKE[0], "spec": {**SMOKE[0]["spec"], "objective": {"type": "maximize", "metricName": "x"}}}
    assert list(unknown(wrong, models.V1beta1Experiment.from_dict(wrong))) == ["spec.objective.metricName"]


@pytest.mark.parametrize("experiment", SMOKE, ids=lambda e: e["metadata"]["name"])
def test_the_grid_is_the_spaces_trials_of_the_method(experiment):
    spec = experiment["spec"]
    lists = {p["name"]: p["feasibleSpace"]["list"] for p in spec["parameters"]}
    command = spec["trialTemplate"]["trialSpec"]["spec"]["template"]["spec"]["containers"][0]["command"]
    settings = [command[n + 1] for n, word in enumerate(command) if word == "--set"]
    references = {p["name"]: p["reference"] for p in spec["trialTemplate"]["trialParameters"]}
    keys = set()
    for values in itertools.product(*lists.values()):
        chosen = dict(zip(lists, values, strict=True))

        def fill(match, chosen=chosen):
            return chosen[references[match[1]]]

        filled = [re.sub(r"\$\{trialParameters\.(\w+)\}", fill, setting) for setting in settings]
        plan = make_plan("smoke", None, parse_settings(filled), None)
        assert len(plan.trials) == 1, filled
        keys |= set(plan.trials)
    whole = make_plan("smoke", None, {}, None).trials
    method = settings[0].removeprefix("method=")
    assert keys == {key for key, config in whole.items() if config.method == method}
    assert len(keys) == spec["maxTrialCount"]


def test_a_space_that_is_no_grid_is_refused():
    one = {"dataset": "synthetic", "method": "baseline"}
    trials = [{**one, "severity": 0.0, "seed": 0}, {**one, "severity": 1.0, "seed": 1}]
    with pytest.raises(UserError, match=r"2 trials of method 'baseline' .* not all combinations of severity, seed"):
        KATIB["grid"](Space("odd", "", trials), "baseline")


def test_a_space_that_searches_is_refused():
    with pytest.raises(UserError, match=r"space 'paper_search' searches for its trials.* run it with sweep.py"):
        KATIB["experiments"](SPACES["paper_search"](), "image", 4)


def test_a_large_space_is_refused():
    with pytest.raises(UserError, match="has 5700 trials, each of which would be a Job; Katib is for at most 1000"):
        KATIB["experiments"](SPACES["laptop"](), "x:1.0", 4)


@pytest.mark.slow
def test_a_job_runs_its_trial_prints_its_scores_and_does_not_run_it_twice(tmp_path):
    small = [word for word in TINY if "=" in word and not word.startswith("severity")]
    settings = ["dataset=synthetic", "severity=1", "method=baseline", "seed=0", "data_seed=0", *small]
    command = [sys.executable, str(ROOT / "k8s" / "kubeflow" / "katib_trial.py"), "--space", "smoke"]
    command += [word for setting in settings for word in ("--set", setting)]
    command += ["--storage", str(tmp_path / "sweeps")]
    outputs = []
    for _ in range(2):
        done = subprocess.run(command, capture_output=True, text=True, timeout=200, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        outputs.append(done.stdout)
    (record,) = (tmp_path / "sweeps" / "smoke" / "records").iterdir()
    written = record.stat().st_mtime_ns
    pattern = SMOKE[0]["spec"]["metricsCollectorSpec"]["source"]["filter"]["metricsFormat"][0]
    scores = {match[1]: float(match[2]) for match in re.finditer(pattern, outputs[0])}
    objective = SMOKE[0]["spec"]["objective"]
    assert {objective["objectiveMetricName"], *objective["additionalMetricNames"]} <= scores.keys()
    assert 0 <= scores["test_ood.auc"] <= 1
    assert [line for line in outputs[1].splitlines() if "=" in line] == [
        line for line in outputs[0].splitlines() if "=" in line
    ]
    assert record.stat().st_mtime_ns == written
