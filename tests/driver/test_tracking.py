"""A sweep that is not mirrored asks MLflow for nothing."""

import io

import pytest
from rich.console import Console

from driver.upkeep.tracking import check_tracking_uri, open_tracking, ui_command


@pytest.mark.parametrize("by_variable", [True, False])
def test_none_is_no_database_and_no_warning(by_variable, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    if by_variable:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", "none")
    tracking, said = check_tracking_uri(None if by_variable else "none"), io.StringIO()
    assert open_tracking(tracking, "large", Console(file=said)) is None
    assert (said.getvalue(), list(tmp_path.iterdir())) == ("", [])
    assert "--sync" in ui_command(tracking)
