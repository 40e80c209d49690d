"""The Grafana dashboard and the alerts use metrics that exist."""

import json
import re

import yaml
from support.commands import ROOT

from driver.view.log import RATE, STATES, TIME_LEFT, TRIALS

DASHBOARD = json.loads((ROOT / "k8s" / "monitoring" / "grafana_dashboard.json").read_text())
# Ray's own, as listed in its documentation of system metrics.
RAYS = {"ray_node_mem_used", "ray_node_cpu_utilization", "ray_node_gpus_utilization"}


ALERTS = yaml.safe_load((ROOT / "k8s" / "monitoring" / "alerts.yaml").read_text())["spec"]["groups"]


def expressions():
    alerts = [rule["expr"] for group in ALERTS for rule in group["rules"]]
    return [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]] + alerts


def test_every_metric_of_the_driver_is_shown():
    shown = {name for e in expressions() for name in re.findall(r"ray_[a-z_]+", e)}
    assert shown == {f"ray_{name}" for name in (TRIALS, RATE, TIME_LEFT)} | RAYS


def test_every_state_exists():
    groups = [group for e in expressions() for group in re.findall(r'state!?=~?"([^"]+)"', e)]
    assert {state for group in groups for state in group.split("|")} <= set(STATES)
