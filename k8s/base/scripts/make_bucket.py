"""Make the sweep's bucket where it is not there yet; waits for the S3 server."""

import os
import time
from urllib.parse import urlsplit

import boto3
from botocore.exceptions import BotoCoreError, ClientError

WAIT_SECONDS = 300
bucket = urlsplit(os.environ["SWEEP_STORAGE"]).netloc
client = boto3.client("s3")
deadline = time.monotonic() + WAIT_SECONDS
while True:
    try:
        if bucket not in {found["Name"] for found in client.list_buckets()["Buckets"]}:
            client.create_bucket(Bucket=bucket)
        print(f"bucket {bucket} is there")
        break
    except (BotoCoreError, ClientError) as error:
        if time.monotonic() > deadline:
            raise SystemExit(f"no bucket {bucket!r} after {WAIT_SECONDS} s: {error}") from error
        print(f"waiting for the S3 server: {error}")
        time.sleep(5)
