"""The progress bar appears on a terminal, after a while."""

import io

import pytest

from analysis.commands import progress_bar


class Terminal(io.StringIO):
    def isatty(self):
        return True


def drawn(stream, patience):
    with progress_bar("correlations", stream, patience) as advance:
        advance(1, 4)
        advance(2, None)
    return stream.getvalue()


@pytest.mark.parametrize(("patience", "is_drawn"), [(0.0, True), (60.0, False)])
def test_a_terminal_has_the_bar_after_a_while(monkeypatch, patience, is_drawn):
    monkeypatch.setenv("TERM", "xterm")
    assert ("correlations" in drawn(Terminal(), patience)) == is_drawn


def test_a_file_has_no_bar():
    assert drawn(io.StringIO(), patience=0.0) == ""
