"""The experiment that a deletion takes: the sweep's own, and no other of a similar name."""

import pytest
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from records.mirror import MirrorError, open_experiment
from records.mirror_deletion import SUFFIX, find_experiment


@pytest.mark.slow
def test_an_interrupted_deletion_is_found_again_under_its_own_name_only(tmp_path):
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    ids = {sweep: open_experiment(uri, sweep, tmp_path.as_uri()).experiment_id for sweep in ("aXb", "a_b")}
    MlflowClient(uri).rename_experiment(ids["aXb"], f"aXb{SUFFIX}2026-01-02 03:04:05)")
    assert find_experiment(uri, "aXb").experiment_id == ids["aXb"]
    MlflowClient(uri).delete_experiment(ids["a_b"])
    assert find_experiment(uri, "a_b") is None, "an underscore stands for itself"


def test_a_refused_login_says_what_to_check(monkeypatch):
    def refused(*_, **__):
        raise MlflowException("API request failed with error code 401 != 200. Response body: 'no'")

    monkeypatch.setattr(MlflowClient, "search_experiments", refused)
    with pytest.raises(MirrorError, match="it refuses the login; check MLFLOW_TRACKING_USERNAME"):
        find_experiment("http://127.0.0.1:9", "mine")
