"""Run before MLflow's server starts: upgrades its tables, and makes its login, the sweeps' account, and a bucket.

    prepare.py VARIABLE [--bucket-only]     VARIABLE contains the location of the bucket: s3://BUCKET/PREFIX

May be repeated; waits for the S3 server.
"""

import os
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
# Checking a password is deliberately slow; all workers know a changed one after a minute.
auth_cache_ttl_seconds = 60
"""


def prepare_login(database: str) -> None:
    """Write the server's login settings, and create the account of the sweeps or change its password."""
    settings = Path(os.environ["MLFLOW_AUTH_CONFIG_PATH"])
    settings.touch(mode=0o600)
    settings.write_text(LOGIN.format(database=database))
    # The package reads these settings when it is imported.
    from mlflow.server.auth.sqlalchemy_store import SqlAlchemyStore

    users = SqlAlchemyStore()
    users.init_db(database)
    name, password = os.environ["MLFLOW_TRACKING_USERNAME"], os.environ["MLFLOW_TRACKING_PASSWORD"]
    # Sweeps own the experiments that they create and can read the others.
    change = users.update_user if users.has_user(name) else users.create_user
    change(name, password, is_admin=False)


def prepare_bucket(name: str) -> None:
    """Create a bucket if it does not exist; a bucket that this key cannot access is not changed."""
    s3, deadline = boto3.client("s3"), time.monotonic() + WAIT_SECONDS
    region = s3.meta.region_name
    place = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
    while True:
        try:
            try:
                s3.head_bucket(Bucket=name)
            except ClientError as error:
                if error.response["Error"]["Code"] == "404":
                    s3.create_bucket(Bucket=name, **place)
                elif error.response["Error"]["Code"] not in ("403", "301"):
                    raise
            print(f"bucket {name} exists")
            return
        except (BotoCoreError, ClientError) as error:
            if time.monotonic() > deadline:
                sys.exit(f"no bucket {name!r} after {WAIT_SECONDS} s: {error}")
            print(f"waiting for bucket {name}: {error}", flush=True)
            time.sleep(5)


def main() -> None:
    """Prepare; after any failure Kubernetes starts the container again."""
    prepare_bucket(urlsplit(os.environ[sys.argv[1]]).netloc)
    if "--bucket-only" in sys.argv:
        return
    database = os.environ["MLFLOW_BACKEND_STORE_URI"]
    # Takes seconds, and a bucket needs no MLflow.
    from mlflow.db import upgrade

    # In this process: the arguments of another one would show the password.
    upgrade.callback(database)
    prepare_login(database)


if __name__ == "__main__":
    main()
