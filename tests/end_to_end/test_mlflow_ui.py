"""The MLflow UI in a real browser: the sweep's parent run, its children, and a saliency picture of one of them."""

import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest
from mlflow.tracking import MlflowClient
from support.commands import ROOT

from search_spaces.strengths import PAPER_METHODS

pytestmark = pytest.mark.slow
WAIT = 60
"""Seconds within which a page must show what it is waited for."""


@pytest.fixture
def ui(tiny_sweep, free_port):
    """`make ui` in the sweep's folder would need a checkout there, so the command that it runs is read from it."""
    recipe = (ROOT / "Makefile").read_text().split("\nui:")[1].splitlines()[1].strip()
    program, *arguments = recipe.replace("$(MLFLOW_PORT)", str(free_port)).split()
    assert program == "$(BIN)/mlflow"
    command = [sys.executable, "-m", "mlflow", *arguments]
    with subprocess.Popen(
        command, cwd=tiny_sweep.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    ) as server:
        address = f"http://127.0.0.1:{free_port}"
        try:
            wait_for(address)
            yield address
        finally:
            os.killpg(server.pid, signal.SIGKILL)


def wait_for(address):
    deadline = time.monotonic() + WAIT
    while True:
        try:
            with urllib.request.urlopen(f"{address}/health", timeout=2):
                return
        except (urllib.error.URLError, OSError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


@pytest.fixture
def browser(tmp_path):
    from selenium import webdriver
    from selenium.webdriver.chrome.options import Options
    from selenium.webdriver.chrome.service import Service

    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    assert program, "chromium is missing: run tests/install_system_packages"
    assert driver, "chromedriver is missing: run tests/install_system_packages"
    options = Options()
    options.binary_location = program
    for flag in (
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--window-size=1600,1200",
        f"--user-data-dir={tmp_path / 'profile'}",
    ):
        options.add_argument(flag)
    window = webdriver.Chrome(options, Service(driver))
    yield window
    window.quit()


def until(browser, condition, message):
    """Wait for a condition; elements may be missing or replaced while the page builds itself up."""
    from selenium.common.exceptions import WebDriverException
    from selenium.webdriver.support.ui import WebDriverWait

    return WebDriverWait(browser, WAIT, ignored_exceptions=[WebDriverException]).until(condition, message)


def text(browser):
    """What the page shows as text."""
    from selenium.webdriver.common.by import By

    return browser.find_element(By.TAG_NAME, "body").text


def see(browser, what):
    """Wait until the page's text has `what`."""
    until(browser, lambda b: what in text(b), f"the page never showed {what!r}")


def test_the_ui_shows_the_parent_its_children_and_a_saliency_picture(ui, browser, tiny_sweep):
    from selenium.webdriver.common.by import By

    client = MlflowClient(tiny_sweep.tracking_uri)
    experiment = client.get_experiment_by_name("tiny").experiment_id
    child = client.search_runs([experiment], "tags.kind = 'trial' and params.method = 'actdiff'")[0]

    browser.get(f"{ui}/#/experiments/{experiment}/runs")
    cell = "//a[normalize-space()='tiny']/ancestor::div[@role='gridcell']"
    until(browser, lambda b: b.find_element(By.XPATH, cell), "the parent run is not in the list")
    assert child.info.run_name not in text(browser), "children are folded until asked for"
    browser.find_element(By.XPATH, f"{cell}//button").click()
    for method in PAPER_METHODS:
        until(browser, lambda b, method=method: f" {method} " in text(b), f"no run of {method} under the parent")

    browser.get(f"{ui}/#/experiments/{experiment}/runs/{child.info.run_id}")
    see(browser, "test_ood.auc")
    see(browser, "Parent run")

    browser.get(f"{ui}/#/experiments/{experiment}/runs/{child.info.run_id}/artifacts/attribution/saliency.png")
    see(browser, "saliency.png")
    until(
        browser,
        lambda b: [i for i in b.find_elements(By.TAG_NAME, "img") if wide(b, i) > 300],
        "no picture was shown",
    )


def wide(browser, image):
    """Width in pixels of an image as it was loaded."""
    return browser.execute_script("return arguments[0].complete ? arguments[0].naturalWidth : 0", image)
