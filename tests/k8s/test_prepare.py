"""What runs before MLflow's server starts: the password is in no process's arguments."""

import subprocess
import sys

import pytest
from support.commands import ROOT, environment

from records.database import check_database

PROGRAM = """
import sys
started = ("subprocess.Popen", "os.exec", "os.posix_spawn")
sys.addaudithook(lambda event, facts: event in started and print(event, facts))
import prepare
prepare.prepare_bucket = lambda name: None
prepare.main()
"""


@pytest.mark.slow
def test_the_tables_and_the_account_are_made_and_the_address_is_no_argument(tmp_path):
    database = f"sqlite:///{tmp_path}/SECRET.db"
    variables = {
        "PYTHONPATH": str(ROOT / "k8s/services/common/scripts"),
        "MLFLOW_ARTIFACTS": "s3://mlflow/artifacts",
        "MLFLOW_BACKEND_STORE_URI": database,
        "MLFLOW_AUTH_CONFIG_PATH": str(tmp_path / "login.ini"),
        "MLFLOW_TRACKING_USERNAME": "sweeps",
        "MLFLOW_TRACKING_PASSWORD": "a-long-password",
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "signs-cookies",
    }
    for _ in range(2):
        command = [sys.executable, "-c", PROGRAM, "MLFLOW_ARTIFACTS"]
        ran = subprocess.run(command, env=environment(**variables), capture_output=True, text=True, cwd=tmp_path)
        assert ran.returncode == 0, ran.stderr
        assert "SECRET" not in ran.stdout + ran.stderr
    check_database(database)
    assert (tmp_path / "login.ini").stat().st_mode & 0o777 == 0o600
