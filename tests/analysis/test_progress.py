"""The progress bar appears on a terminal, after a while."""

import io

import pytest

from analysis.commands import progress_bar


class Terminal(io.StringIO):
    def isatty(self):
        return True


KINDS = [(Terminal(), 0.0, True), (Terminal(), 60.0, False), (io.StringIO(), 0.0, False)]


@pytest.mark.parametrize(("stream", "patience", "is_drawn"), KINDS)
def test_only_a_terminal_has_the_bar_and_after_a_while(monkeypatch, stream, patience, is_drawn):
    monkeypatch.setenv("TERM", "xterm")
    with progress_bar("correlations", stream, patience) as advance:
        advance(1, 4)
        advance(2, None)
    assert ("correlations" in stream.getvalue()) == is_drawn
