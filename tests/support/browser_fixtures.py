"""The fixture `browser`: a headless Chromium, driven by selenium, for the tests of one module."""

import shutil

import pytest


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    from support.browse import chromium

    for program in ("chromium", "chromedriver"):
        assert shutil.which(program), f"{program} is missing: run tests/install_system_packages"
    window = chromium(tmp_path_factory.mktemp("profile"))
    yield window
    window.quit()
