"""Credentials do not leave the process."""

import pytest

from records.secrets import printable, scrub

ENVIRONMENT = {
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG",
    "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7",
    "MLFLOW_TRACKING_PASSWORD": "correct-horse",
    "MLFLOW_TRACKING_PASSWORD_2": "correct-horse-battery",
    "SOME_TOKEN": "ab",
    "DEPLOY_KEY": "deploy-it",
    "DB_PWD": "Pä/ss word%1",
    "AUTH_HEADER": "Basic-abcdef",
    "DATABASE_URL": "postgresql://me:in-a-url@db/x?password=in-a-query",
    "PWD": "/home/me",
    "SSH_AUTH_SOCK": "/run/agent",
    "RAY_AUTH_MODE": "disabled",
    "PATH": "/usr/bin:/bin",
}
UNCHANGED = (
    *("http://[::1]:5000/a@b", "https://host/a:b@c", "s3://bucket/me@host/sweeps", "file:///home/me@host/x"),
    "sqlite:////data/a:b@c/mlflow.db",
    "http://h/#/experiments/1/runs?orderByKey=a&viewStateShareKey=sweeps",
    "disabled in /home/me by /run/agent",
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
        ("no host user: http://user:12345/6@host", "no host user: http://***@host"),
        ("http://host:5000/path?x=a@b", "http://***@b"),
        ("postgresql://h:5432/db?user=u&password=SE@CRET&x=1", "postgresql://h:5432/db?user=u&password=***&x=1"),
        ("url: /api?token=abc&x=1 (refused)", "url: /api?token=***&x=1 (refused)"),
        (
            "https://h/k?X-Amz-Credential=a%2Fb&X-Amz-Signature=c",
            "https://h/k?X-Amz-Credential=***&X-Amz-Signature=***",
        ),
        (
            "https://h/k?AWSAccessKeyId=a&Signature=b&Expires=1",
            "https://h/k?AWSAccessKeyId=***&Signature=***&Expires=1",
        ),
        ("https://h/k?sv=1&sig=a;api-key=b&p%61ssword=c", "https://h/k?sv=1&sig=***&p%61ssword=***"),
        ("deploy-it, Basic-abcdef, in-a-url, in-a-query", "***, ***, ***, ***"),
        ("Pä/ss word%1 P%C3%A4%2Fss%20word%251 P%c3%a4/ss+word%251", "*** *** ***"),
        ("wJalrXUtnFEMI%2FK7MDENG", "***"),
        *((text, text) for text in ("a mail to me@host, /usr/bin:/bin, ab", *UNCHANGED)),
    ],
)
def test_secrets_are_replaced_and_nothing_else(text, clean, monkeypatch):
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    assert scrub(text) == clean


def test_no_character_of_a_name_commands_the_terminal():
    hostile = "\x1b[2J\x1b]0;title\x07\x9b31m\r\x08\x7f\u202egnp.\u2028\udcff"
    assert printable(hostile) == "␛[2J␛]0;title␇�31m␍␈��gnp.��"
    printable(hostile).encode()
    plain = "λ=10 ± 0.1\u00a0% Käse 😀 می\u200cخواهم\n\t"
    assert printable(plain) == plain
