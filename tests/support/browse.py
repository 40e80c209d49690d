"""Chromium without a screen. As a program, `browse.py URL SECONDS [TEXT]` prints a page once it contains TEXT."""

import re
import shutil
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By

FLAGS = (
    *("headless", "no-sandbox", "disable-gpu", "disable-quic", "disable-sync", "no-first-run"),
    *("disable-background-networking", "disable-component-update", "window-size=1600,1200"),
)


def chromium(profile: Path) -> webdriver.Chrome:
    """A new browser that keeps its console's messages; `profile` is an empty folder."""
    options = Options()
    options.binary_location = shutil.which("chromium") or ""
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    for flag in (*FLAGS, f"user-data-dir={profile}"):
        options.add_argument(f"--{flag}")
    return webdriver.Chrome(options, Service(shutil.which("chromedriver")))


def main(url: str, seconds: str, wanted: str = "") -> None:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        browser = chromium(Path(profile))
        try:
            browser.get(url)
            if "@" in url:
                # A page whose address has a password cannot fetch anything; the browser remembers the login.
                browser.get("about:blank")
                browser.get(re.sub("//.*@", "//", url))
            deadline, text = time.monotonic() + float(seconds), ""
            while time.monotonic() < deadline and not (wanted and wanted in text):
                time.sleep(0.3)
                with suppress(WebDriverException):
                    text = browser.find_element(By.TAG_NAME, "body").text
            print(text)
        finally:
            browser.quit()


if __name__ == "__main__":
    main(*sys.argv[1:])
