"""The fixture `browser`: a headless Chromium, driven by selenium, for the tests of one module."""

import shutil

import pytest

FLAGS = (
    *("headless", "no-sandbox", "disable-gpu", "disable-quic", "disable-sync", "no-first-run"),
    *("disable-background-networking", "disable-component-update", "window-size=1600,1200"),
)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """It keeps its console's messages."""
    from selenium import webdriver

    for program in ("chromium", "chromedriver"):
        assert shutil.which(program), f"{program} is missing: run tests/install_system_packages"
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    for flag in (*FLAGS, f"user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(f"--{flag}")
    window = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
    yield window
    window.quit()
