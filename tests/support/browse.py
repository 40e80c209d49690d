"""Print what a page shows in Chromium: browse.py URL SECONDS [TEXT], at most so long, until TEXT is there."""

import re
import shutil
import sys
import tempfile
import time

from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By

url, seconds, *wanted = sys.argv[1:]
options = Options()
options.binary_location = shutil.which("chromium") or ""
with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
    for flag in (
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-sync",
        "--window-size=1600,1200",
        f"--user-data-dir={profile}",
    ):
        options.add_argument(flag)
    browser = webdriver.Chrome(options, Service(shutil.which("chromedriver")))
    try:
        browser.get(url)
        if "@" in url:
            # The browser keeps a page whose address has a password from fetching anything; it remembers the login.
            browser.get("about:blank")
            browser.get(re.sub("//.*@", "//", url))
        deadline, text = time.monotonic() + float(seconds), ""
        while time.monotonic() < deadline and not (wanted and wanted[0] in text):
            try:
                text = browser.find_element(By.TAG_NAME, "body").text
            except WebDriverException:
                text = ""
            time.sleep(0.3)
        print(text)
    finally:
        browser.quit()
