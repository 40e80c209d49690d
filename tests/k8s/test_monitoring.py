"""The Grafana dashboard shows what the driver reports."""

import json
import re

import yaml
from support.commands import ROOT

from driver.view.metrics import RATE, STATES, TIME_LEFT, TRIALS

DASHBOARD = json.loads((ROOT / "k8s" / "monitoring" / "grafana_dashboard.json").read_text())
# Ray's own, as listed in its documentation of system metrics.
RAYS = {"ray_node_mem_used", "ray_node_cpu_utilization", "ray_node_gpus_utilization"}


ALERTS = yaml.safe_load((ROOT / "k8s" / "monitoring" / "alerts.yaml").read_text())["spec"]["groups"]


def expressions():
    alerts = [rule["expr"] for group in ALERTS for rule in group["rules"]]
    return [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]] + alerts


def test_every_metric_that_it_shows_exists_and_all_of_ours_are_shown():
    shown = {name for e in expressions() for name in re.findall(r"ray_[a-z_]+", e)}
    assert shown == {f"ray_{name}" for name in (TRIALS, RATE, TIME_LEFT)} | RAYS


def test_every_state_that_it_asks_for_exists():
    asked = {
        state for e in expressions() for group in re.findall(r'state!?=~?"([^"]+)"', e) for state in group.split("|")
    }
    assert asked <= set(STATES)


def test_rays_own_metrics_exist():
    from ray.dashboard.modules.reporter.reporter_agent import METRICS_GAUGES

    assert {name.removeprefix("ray_") for name in RAYS} <= set(METRICS_GAUGES)


def test_panels_have_different_places_and_ids():
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    places = {(p["gridPos"]["x"], p["gridPos"]["y"]) for p in panels}
    assert len(places) == len(panels)
