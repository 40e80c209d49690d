"""Folders of decoded images: complete or absent, made once, with several errors in one and a bar on a terminal."""

import io
import os
import shutil
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from trainables.core.errors import ConfigurationError
from trainables.core.files import cache_folder
from trainables.datasets import decoding

FORM = ["test", 1]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return cache_folder("decoded")


def write(folder: Path) -> None:
    decoding.allocated(folder / "numbers.npy", np.uint8, (4, 3))[:] = 7


def test_it_is_written_once_and_says_how_long_that_took(cache):
    def slowly(folder):
        time.sleep(0.2)
        write(folder)

    folder = decoding.decoded_folder(FORM, slowly)
    assert folder != decoding.decoded_folder([*FORM, 2], write)
    shutil.rmtree(decoding.decoded_folder([*FORM, 2], write))
    assert decoding.decoded_folder(FORM, lambda _: pytest.fail("again")) == folder
    np.testing.assert_array_equal(decoding.mapped(folder / "numbers.npy"), np.full((4, 3), 7, np.uint8))
    assert 0.2 <= decoding.seconds(folder) < 10
    assert decoding.size(folder) == sum(path.stat().st_size for path in folder.iterdir()) > 12
    assert list(cache.iterdir()) == [folder]


def test_a_decoder_that_stops_leaves_nothing_that_is_read(cache, monkeypatch):
    def killed(folder):
        write(folder)
        raise KeyboardInterrupt

    with monkeypatch.context() as no_cleaning:
        no_cleaning.setattr(shutil, "rmtree", lambda *_, **__: None)
        with pytest.raises(KeyboardInterrupt):
            decoding.decoded_folder(FORM, killed)
    (left,) = cache.iterdir()
    assert left.name.startswith(".")
    os.utime(left, (0, 0))
    folder = decoding.decoded_folder(FORM, write)
    assert list(cache.iterdir()) == [folder]


def test_the_first_of_several_processes_wins(cache):
    def overtaken(folder):
        write(folder)
        (decoding.decoded_folder(FORM, write) / "first").touch()

    assert (decoding.decoded_folder(FORM, overtaken) / "first").exists()
    assert len(list(cache.iterdir())) == 1


def test_a_full_disk_is_explained(small_disk, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(small_disk))
    with pytest.raises(ConfigurationError, match=r"cannot write decoded images to .*No space .*set XDG_CACHE_HOME"):
        decoding.decoded_folder(FORM, lambda folder: decoding.allocated(folder / "x.npy", np.uint8, (2**21,)))
    assert not list(cache_folder("decoded").iterdir())


def test_the_first_problems_are_reported_together_in_order():
    def decode(i):
        if i % 2:
            raise ConfigurationError(f"bad {i}")

    decoding.decode_all(lambda _: None, 3, "")
    with pytest.raises(ConfigurationError, match=r"^bad 1; bad 3; bad 5; and \d more$"):
        decoding.decode_all(decode, 1000, "")
    with pytest.raises(ZeroDivisionError):
        decoding.decode_all(lambda i: 1 / i, 3, "")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stderr", "patience", "shown"), [(Terminal, 0, True), (Terminal, 9, False), (io.StringIO, 0, False)]
)
def test_a_terminal_shows_the_progress_of_long_work_alone(stderr, patience, shown, monkeypatch):
    monkeypatch.setattr(decoding, "PATIENCE", patience)
    monkeypatch.setattr(sys, "stderr", stderr())
    monkeypatch.setenv("TERM", "xterm")
    assert list(decoding.tracked(iter("abc"), 3, "Decoding images")) == ["a", "b", "c"]
    assert ("Decoding images" in sys.stderr.getvalue()) == shown
    if not shown:
        assert sys.stderr.getvalue() == ""
