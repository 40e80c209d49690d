"""Credentials do not leave the process."""

import pytest

from records.secrets import scrub

ENVIRONMENT = {
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG",
    "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7",
    "MLFLOW_TRACKING_PASSWORD": "correct-horse",
    "MLFLOW_TRACKING_PASSWORD_2": "correct-horse-battery",
    "SOME_TOKEN": "ab",
    "PATH": "/usr/bin:/bin",
}
UNCHANGED = (
    *("http://[::1]:5000/a@b", "https://host/a:b@c", "s3://bucket/me@host/sweeps", "file:///home/me@host/x"),
    "sqlite:////data/a:b@c/mlflow.db",
)


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("key wJalrXUtnFEMI/K7MDENG refused", "key *** refused"),
        ("AKIAIOSFODNN7 at s3://bucket", "*** at s3://bucket"),
        ("correct-horse-battery, correct-horse", "***, ***"),
        ("postgresql://user:pa55@host:5432/db", "postgresql://***@host:5432/db"),
        ("http://token@host/x and https://a:b@c", "http://***@host/x and https://***@c"),
        ("postgresql://mlflow:ab/cd+ef@db/mlflow", "postgresql://***@db/mlflow"),
        ("postgresql://mlflow:12/cd@db/mlflow", "postgresql://***@db/mlflow"),
        ("mysql+pymysql://u:p@ss@db:3306/x refused", "mysql+pymysql://***@db:3306/x refused"),
        ("postgresql://me@corp.org:a/b@c@db/x", "postgresql://***@db/x"),
        ("https://u:a/b?c#d@host/mlflow", "https://***@host/mlflow"),
        ("redis://:pa/55@host", "redis://***@host"),
        ("http://token@host:5000/path/a@b", "http://***@host:5000/path/a@b"),
        *((text, text) for text in ("a mail to me@host, /usr/bin:/bin, ab", "http://host:5000/path?x=a@b", *UNCHANGED)),
    ],
)
def test_secrets_are_replaced_and_nothing_else(text, clean, monkeypatch):
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    assert scrub(text) == clean
