"""Before MLflow's server starts: its tables brought up to date, its login, the sweeps' account, and a bucket.

    prepare.py VARIABLE [--bucket-only]     VARIABLE holds the location whose bucket is made: s3://BUCKET/PREFIX

May be repeated; waits for the S3 server.
"""

import os
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import boto3
from botocore.exceptions import BotoCoreError, ClientError

WAIT_SECONDS = 300
LOGIN = """[mlflow]
default_permission = READ
database_uri = {database}
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
# Checking a password is slow on purpose; a changed one is known to all workers after a minute.
auth_cache_ttl_seconds = 60
"""


def prepare_login(database: str) -> None:
    """Write the server's settings of its login, and make the account of the sweeps or change its password."""
    settings = Path(os.environ["MLFLOW_AUTH_CONFIG_PATH"])
    settings.touch(mode=0o600)
    settings.write_text(LOGIN.format(database=database))
    # Not before: the package reads these settings when it is imported.
    from mlflow.server.auth.sqlalchemy_store import SqlAlchemyStore

    users = SqlAlchemyStore()
    users.init_db(database)
    name, password = os.environ["MLFLOW_TRACKING_USERNAME"], os.environ["MLFLOW_TRACKING_PASSWORD"]
    # Sweeps own the experiments that they make, read the others, and administer nothing.
    change = users.update_user if users.has_user(name) else users.create_user
    change(name, password, is_admin=False)


def prepare_bucket(name: str) -> None:
    """Make a bucket that is not there; one that this key may not see is left to its owner."""
    deadline = time.monotonic() + WAIT_SECONDS
    while (problem := _missing(boto3.client("s3"), name)) is not None:
        if time.monotonic() > deadline:
            sys.exit(f"no bucket {name!r} after {WAIT_SECONDS} s: {problem}")
        print(f"waiting for bucket {name}: {problem}", flush=True)
        time.sleep(5)
    print(f"bucket {name} is there, or another's")


def _missing(s3, name: str) -> Exception | None:
    """Why a bucket could be neither seen nor made; None if it is there."""
    try:
        s3.head_bucket(Bucket=name)
    except ClientError as error:
        if error.response["Error"]["Code"] in ("403", "301"):
            return None
        if error.response["Error"]["Code"] != "404":
            return error
    except BotoCoreError as error:
        return error
    else:
        return None
    region = s3.meta.region_name
    place = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
    try:
        s3.create_bucket(Bucket=name, **place)
    except (BotoCoreError, ClientError) as error:
        return error
    return None


def main() -> None:
    """Prepare; any failure ends the container, which Kubernetes starts again."""
    prepare_bucket(urlsplit(os.environ[sys.argv[1]]).netloc)
    if "--bucket-only" in sys.argv:
        return
    database = os.environ["MLFLOW_BACKEND_STORE_URI"]
    subprocess.run([sys.executable, "-m", "mlflow", "db", "upgrade", database], check=True)
    prepare_login(database)


if __name__ == "__main__":
    main()
