"""A space by its registered name, or from the user's Python file."""

import runpy
from pathlib import Path

from driver import UserError
from search_spaces import SPACES, Space
from trainables.core.errors import did_you_mean


def check_space(name: str) -> None:
    """Raise UserError unless `name` is a registered space or an existing file NAME.py."""
    choices = ", ".join(sorted(SPACES))
    if not name.endswith(".py"):
        if name not in SPACES:
            raise UserError(
                f"unknown space {name!r}; {did_you_mean(name, SPACES)}choose from {choices} (see --list-spaces), or "
                "give a file NAME.py"
            )
    elif not Path(name).is_file():
        raise UserError(f"there is no space file {name!r}; choose from {choices} or give a file NAME.py")


def find_space(name: str) -> Space:
    """The space registered as `name`; for NAME.py, the return value of the file's function NAME."""
    check_space(name)
    if not name.endswith(".py"):
        return SPACES[name]()
    function_name = Path(name).stem
    try:
        function = runpy.run_path(name).get(function_name)
    except Exception as error:
        raise UserError(f"space file {name!r} cannot be run: {type(error).__name__}: {error}") from error
    if not callable(function):
        raise UserError(f"space file {name!r} has no function {function_name!r}; it must be named for the file")
    try:
        space = function()
    except Exception as error:
        raise UserError(f"{function_name}() in {name!r} raised {type(error).__name__}: {error}") from error
    if not isinstance(space, Space) or not space.trials:
        raise UserError(f"{function_name}() in {name!r} must return a search_spaces.Space with at least one trial")
    missing = {"dataset", "method"} - set(space.trials[0]).intersection(*space.trials)
    if missing:
        raise UserError(f"space file {name!r}: every trial needs {', '.join(sorted(missing))}")
    return space
