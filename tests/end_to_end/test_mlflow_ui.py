"""The MLflow UI in a real browser: the table of a sweep's trials, the sweep's own run, a trial with its picture."""

import json
import os
import re
import signal
import subprocess
import sys
from contextlib import contextmanager

import psutil
import pytest
from mlflow.tracking import MlflowClient
from support.commands import ROOT, run_sweep
from support.services import free_ports

from driver.view.mlflow_ui import HOST
from records import SweepRecords, columns, open_storage
from records.mirror import mirror_sweep, mirror_trial, open_experiment
from search_spaces.strengths import PAPER_METHODS

pytestmark = pytest.mark.slow
WAIT = 60
"""Seconds within which a page must show what it is waited for."""


@contextmanager
def serving(tracking_uri, folder):
    """The running command of `make ui` and its lines, in another folder: the database is MLFLOW_TRACKING_URI's."""
    (port,) = free_ports(1)
    recipe = (ROOT / "Makefile").read_text().split("\nui:")[1].splitlines()[1].strip()
    program, *arguments = recipe.replace("$(MLFLOW_PORT)", str(port)).split()
    assert program == "$(BIN)/python"
    variables = {"PYTHONPATH": str(ROOT), "MLFLOW_TRACKING_URI": tracking_uri, "DISPLAY": ""}
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW_")} | variables
    command = [sys.executable, *arguments]
    with subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True) as server:
        try:
            lines = [server.stdout.readline().rstrip() for _ in range(2)]
            yield server, lines
        finally:
            server.send_signal(signal.SIGINT)
            assert server.wait(WAIT) == 0
            assert list(folder.iterdir()) == [], "a database was made where there was none"


@pytest.fixture(scope="module")
def ui(tiny_sweep, tmp_path_factory):
    with serving(tiny_sweep.tracking_uri, tmp_path_factory.mktemp("elsewhere")) as running:
        yield running


@pytest.fixture
def address(ui):
    """Where the server listens."""
    return re.search(r"http://[\d.]+:\d+", ui[1][0])[0]


def until(browser, condition, message):
    """Wait for a condition; elements may be missing or replaced while the page builds itself up."""
    from selenium.common.exceptions import WebDriverException
    from selenium.webdriver.support.ui import WebDriverWait

    return WebDriverWait(browser, WAIT, ignored_exceptions=[WebDriverException]).until(condition, message)


def visit(browser, address):
    """Load a page again: its addresses differ only after the #, which alone loads nothing."""
    browser.get("about:blank")
    browser.get(address)


def text(browser):
    """What the page shows as text."""
    from selenium.webdriver.common.by import By

    return browser.find_element(By.TAG_NAME, "body").text


def see(browser, what):
    """Wait until the page's text has `what`."""
    until(browser, lambda b: what in text(b), f"the page never showed {what!r}")


def test_one_process_serves_on_the_loopback_interface_and_ends_with_its_command(ui, address):
    command, lines = ui
    assert lines[1] == "Ctrl-C ends it."
    # MLflow's own command, and its one worker.
    _, worker = psutil.Process(command.pid).children(recursive=True)
    listening = {c.laddr for c in worker.net_connections() if c.status == "LISTEN"}
    assert listening == {(HOST, int(address.rsplit(":", 1)[1]))}


def test_the_link_of_a_finished_sweep_opens_a_table_of_its_trials(ui, address, browser, tiny_sweep):
    from selenium.webdriver.common.by import By

    link = re.search(r"#/experiments/\S+", tiny_sweep.ran.out)[0]
    status = run_sweep(tiny_sweep.folder, "--status", "--name", "tiny")
    assert link in status.out
    assert ui[1][0] == f"tiny  {address}/{link}"
    visit(browser, f"{address}/{link}")
    see(browser, "7 matching runs")
    for shown in (*(f"{method} λ=" for method in PAPER_METHODS), "test_ood/auc", "test_ood/iou/integrated_gradients"):
        see(browser, shown)
    cells = browser.find_elements(By.CSS_SELECTOR, "[role=gridcell][col-id='metrics.`test_ood/auc`']")
    scores = [float(cell.text) for cell in cells]
    assert len(scores) > 1
    assert scores == sorted(scores, reverse=True)
    # Charts are in sections, one a prefix.
    visit(browser, f"{address}/{link}&compareRunsMode=CHART")
    sections = ("epoch/train", "epoch/valid_id")
    until(browser, lambda b: all(re.search(rf"^{s}\b(?!/)", text(b), re.M) for s in sections), "no sections of charts")


def test_the_sweeps_run_has_its_design_and_the_methods_means(address, browser, tiny_sweep):
    client = MlflowClient(tiny_sweep.tracking_uri)
    experiment = client.get_experiment_by_name("tiny").experiment_id
    (parent,) = client.search_runs([experiment], "tags.kind = 'sweep'")
    assert parent.data.tags["methods"] == ", ".join(sorted(PAPER_METHODS))
    for path in tiny_sweep.records.iterdir():
        record = json.loads(path.read_text())
        # One trial per method.
        assert parent.data.metrics[f"mean/test_ood/auc/{record['method']}"] == record["test_ood.auc"]
    visit(browser, f"{address}/#/experiments/{experiment}/runs?workflowType=machine_learning&viewStateShareKey=sweeps")
    see(browser, "1 matching run")
    see(browser, "n_trials")


def test_a_trial_shows_its_scores_its_parent_and_a_saliency_picture(address, browser, tiny_sweep):
    from selenium.webdriver.common.by import By

    client = MlflowClient(tiny_sweep.tracking_uri)
    experiment = client.get_experiment_by_name("tiny").experiment_id
    child = client.search_runs([experiment], "tags.kind = 'trial' and params.method = 'actdiff'")[0]
    visit(browser, f"{address}/#/experiments/{experiment}/runs/{child.info.run_id}")
    assert re.fullmatch(r"actdiff λ=\S+ s=1 seed=0", child.info.run_name)
    see(browser, child.info.run_name)
    see(browser, "test_ood/auc")
    see(browser, "Parent run")

    visit(browser, f"{address}/#/experiments/{experiment}/runs/{child.info.run_id}/artifacts/attribution/saliency.png")
    see(browser, "saliency.png")
    until(browser, lambda b: [i for i in b.find_elements(By.TAG_NAME, "img") if wide(b, i) > 300], "no picture")


def wide(browser, image):
    """Width in pixels of an image as it was loaded."""
    return browser.execute_script("return arguments[0].complete ? arguments[0].naturalWidth : 0", image)


PAYLOADS = (
    "<img src=x onerror=document.body.dataset.owned=1>",
    "<script>document.body.dataset.owned=2</script>",
    '"><svg onload=document.body.dataset.owned=3>',
    "[link](javascript:document.body.dataset.owned=4) {{constructor.constructor('document.body.dataset.owned=5')()}}",
)


def test_names_from_data_are_text_in_mlflows_pages(browser, tmp_path):
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    experiment = open_experiment(uri, "hostile", (tmp_path / "artifacts").as_uri())
    records = SweepRecords(open_storage(tmp_path / "sweeps"), "hostile")
    for seed, payload in enumerate(PAYLOADS):
        key = f"{seed:016x}"
        scores = {"test_ood.auc": 0.5, "test_ood.iou.integrated_gradients": 0.25}
        names = {
            "dataset": f"folder:/{payload}",
            "method": payload,
            "model": payload,
            "error": payload,
            "host": payload,
        }
        settings = {"severity": 1.0, "strength": 0.1, "seed": seed, "data_seed": 0, "hp.classes": payload}
        fixed = {"trial_key": key, "status": "failed", "schema_version": columns.SCHEMA_VERSION}
        records.write_artifact(key, "epochs.json", b"[]")
        records.write({**fixed, **names, **settings, **scores})
        run_id = mirror_trial(experiment, records, records.read(key))
    mirror_sweep(experiment, records, None, {"methods": ", ".join(PAYLOADS)}, {}, {"space": PAYLOADS[0]}, done=True)
    (tmp_path / "elsewhere").mkdir()
    with serving(uri, tmp_path / "elsewhere") as (_, lines):
        table = lines[0].split()[-1]
        run, parent = (
            f"{table.partition('#')[0]}#/experiments/{experiment.experiment_id}/runs/{i}"
            for i in (run_id, experiment.parent_run_id)
        )
        pages = {
            table: "4 matching runs",
            run: PAYLOADS[-1],
            parent: PAYLOADS[1],
            f"{run}/artifacts/attribution": "epochs",
        }
        for page, shown in pages.items():
            visit(browser, page)
            see(browser, shown)
            assert browser.execute_script("return document.body.dataset.owned") is None, page
