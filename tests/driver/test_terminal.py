"""Messages in a terminal of 80 columns and in a file."""

import io
import shlex

import pytest
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from driver.run_sweep import _show
from driver.terminal import Terminal, say
from driver.upkeep.finish import Outcome
from driver.view.progress import Progress

SENTENCE = (
    "It depends on what varies between the models. Seeds: it depends, 0.18 (−0.25 to 0.55). Settings: yes, 0.80 (0.78 "
    "to 0.81). Given validation AUC: undecided, 0.30 (0.12 to 0.46)."
)
LINK = "http://127.0.0.1:5000/#/experiments/1/runs?searchFilter=&orderByKey=attributes.start_time&compareRunsMode=TABLE"
REPORT = f"/home/somebody/{'a long way down/' * 5}report/report.html"


@pytest.fixture(params=[True, False], ids=["terminal", "file"])
def terminal(request):
    return request.param


@pytest.fixture
def printed(terminal):
    """Lines of what `write` prints to a console."""

    def printed(write):
        console = Console(file=io.StringIO(), width=80, force_terminal=terminal, color_system=None, highlight=False)
        write(console)
        return console.file.getvalue().splitlines()

    return printed


def test_the_end_of_a_sweep_can_be_read_and_copied(printed, terminal):
    outcome = Outcome(REPORT, SENTENCE, completed=1, failed=0, diverged=0, more=f"Not decided here: {SENTENCE}")
    progress = Progress(Console(quiet=True), 1)
    lines = printed(lambda console: _show(outcome, progress, f"{LINK}   (served by make ui)", console))
    if not terminal:
        one_line_each = ["", SENTENCE, "", f"Not decided here: {SENTENCE}", "", f"Report     {REPORT}"]
        assert lines == [*one_line_each, f"MLflow UI  {LINK}   (served by make ui)"]
        return
    assert lines[-5:] == ["Report", REPORT, "MLflow UI", LINK, "(served by make ui)"]
    sentences = lines[:-5]
    assert max(map(len, sentences)) <= 80
    assert " ".join(sentences).split() == f"{SENTENCE} Not decided here: {SENTENCE}".split(), "broken between words"
    assert len(sentences) < 12, "lines are filled"


@pytest.mark.parametrize("place", ["sweeps/a/report.html", "x" * 69])
def test_a_message_that_fits_is_one_line(place, printed):
    assert printed(lambda console: say(console, "Report     ", place=place)) == [f"Report     {place}"]


def test_a_command_is_one_line_to_copy(printed, terminal):
    command = f"python -m analysis --sweep mine --storage {shlex.quote(REPORT)}"
    lead = "A report on the trials so far, at any time:"
    lines = printed(lambda console: say(console, f"{lead} ", place=command))
    assert lines == ([lead, command] if terminal else [f"{lead} {command}"])


def test_a_path_in_a_message_stays_whole_and_brackets_are_no_markup(printed, terminal):
    path = f"/data/[bold]/{'x' * 90}.png"
    message = f"set aside {path}: not a record of this sweep"
    lines = printed(lambda console: say(console, message, "yellow"))
    assert lines == (["set aside", f"{path}:", "not a record of this sweep"] if terminal else [message])


@pytest.mark.parametrize("color", [None, "truecolor"])
def test_only_rich_commands_the_terminal(color, terminal):
    """In a message, a table, the progress view and a status; a password in an address is not shown either."""
    console = Terminal(file=io.StringIO(), width=80, force_terminal=terminal, color_system=color)
    plain = Terminal(file=io.StringIO(), width=80, force_terminal=terminal, color_system=color)
    for shown, hostile in ((console, "\x1b]0;owned\x07\x9b2J\udcff"), (plain, "abcdefghijklmn")):
        table = Table(f"a {hostile}")
        table.add_row(hostile)
        say(shown, f"no data: {hostile}", "red", place=f"http://me:SECRET@host/{hostile}?token=SECRET")
        shown.print(table, Text(hostile, "bold"), hostile)
        with Live(Group(Text(hostile), table), console=shown, transient=True):
            pass
    text = console.file.getvalue()
    assert text.count("\x1b") == plain.file.getvalue().count("\x1b")
    assert text.count("\x07") + text.count("\x9b") + text.count("\udcff") + text.count("SECRET") == 0
    assert "␛]0;owned�2J�" in text
