"""The progress bar shows itself to people, late, and to nobody else."""

import io

from analysis.progress import progress_bar


class Terminal(io.StringIO):
    def isatty(self):
        return True


def drawn(stream, patience):
    with progress_bar("correlations", stream, patience) as advance:
        advance(1, 4)
        advance(2, None)
    return stream.getvalue()


def test_a_terminal_sees_it(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    assert "correlations" in drawn(Terminal(), patience=0.0)


def test_what_is_soon_done_shows_nothing(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    assert "correlations" not in drawn(Terminal(), patience=60.0)


def test_a_file_gets_nothing():
    assert drawn(io.StringIO(), patience=0.0) == ""
