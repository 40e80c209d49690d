"""The first command of a sweep, killed while it starts, makes MLflow's database, and trains its first trial."""

import pytest
from support.first_seconds import Moment, kill_first, run_again

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    "moment", [Moment(4), *(Moment(seconds, of_database=True) for seconds in (0, 1, 2.5))], ids=str
)
def test_after_a_kill_the_second_command_does_all(moment, tmp_path):
    kill_first(tmp_path, moment)
    assert run_again(tmp_path) == []
