"""Fixtures of real servers, which start when the first test uses them and stop after the last test."""

import os

import pytest

from support.services import MlflowServer, PostgresServer, S3Server


@pytest.fixture(scope="session")
def s3_server():
    with S3Server() as server:
        yield server


@pytest.fixture
def s3_environment(s3_server, monkeypatch) -> S3Server:
    """The S3 server, with the AWS variables of its admin set, and no others."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in s3_server.variables().items():
        monkeypatch.setenv(name, value)
    return s3_server


@pytest.fixture
def bucket(s3_environment) -> str:
    """s3://… of a new empty bucket, with these variables set."""
    return f"s3://{s3_environment.make_bucket()}"


@pytest.fixture(scope="session")
def postgres_server():
    with PostgresServer() as server:
        yield server


@pytest.fixture(scope="session")
def mlflow_server(s3_server, postgres_server):
    with MlflowServer(s3_server, postgres_server) as server:
        yield server
