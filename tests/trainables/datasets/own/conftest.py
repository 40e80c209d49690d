"""A cache folder for these tests alone, and one set of 200 images that many of them read."""

from pathlib import Path

import pytest
from support import own_images


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch) -> Path:
    """The user's cache folder, shared by these tests so that nothing is decoded twice."""
    folder = tmp_path_factory.getbasetemp() / "own-cache"
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    return folder


@pytest.fixture(scope="session")
def images(tmp_path_factory) -> Path:
    """A folder of 200 images in four formats; read only."""
    folder = tmp_path_factory.mktemp("images") / "set"
    own_images.make_folder(folder)
    return folder
