"""Servers that answer, but not as S3 does: one error that names the endpoint, and nothing is taken for written."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from records.s3_storage import S3Storage
from records.storage_interface import StorageAwayError, StorageError, TooLargeError

pytestmark = pytest.mark.slow
PAGE = b"<html><head><title>Welcome</title></head><body>Sign in<br>now</body></html>"
XML_PAGE = b"<?xml version='1.0'?><html><body>Sign in</body></html>"
LISTING = "<ListBucketResult><IsTruncated>false</IsTruncated><Contents>{}</Contents></ListBucketResult>"
ENTITIES = '<!ENTITY a "aaaaaaaaaa">' + "".join(
    f'<!ENTITY {new} "{f"&{old};" * 10}">' for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
HTML, MOVED = {"Content-Type": "text/html"}, {"Location": "http://127.0.0.1:9/"}
NOT_S3 = {
    "a page": (200, PAGE, HTML),
    "a page that is XML": (200, XML_PAGE, HTML),
    "nothing": (200, b"", {}),
    "no content": (204, b"", {}),
    "a page, failing": (500, PAGE, HTML),
    "an error with 200": (200, b"<Error><Code>InternalError</Code></Error>", {}),
    "more announced than sent": (200, b"x", {"Content-Length": "100", "ETag": '"a"'}),
    "a negative length": (200, b"x", {"Content-Length": "-5", "ETag": '"a"'}),
    "entities in entities": (200, f"<!DOCTYPE l [{ENTITIES}]><l>&i;</l>".encode(), {}),
}
REFUSED = {
    "a page, not found": (404, PAGE, HTML),
    "moved": (301, b"", MOVED),
    "found elsewhere": (302, PAGE, MOVED),
    "temporarily elsewhere": (307, PAGE, MOVED),
    "a length in words": (200, b"x", {"Content-Length": "long", "ETag": '"a"'}),
}
ACTIONS = {
    "read": lambda storage: storage.read("x"),
    "write": lambda storage: storage.write("x", b"1"),
    "create": lambda storage: storage.create("x", b"1"),
    "replace": lambda storage: storage.replace("x", b"1", b"2"),
    "names": lambda storage: storage.names(""),
    "tags": lambda storage: storage.entity_tags(),
    "check": lambda storage: storage.check(),
}


class Handler(BaseHTTPRequestHandler):
    answer: tuple[int, bytes, dict[str, str]]

    def handle_one_request(self):
        self.close_connection = True
        if not self.rfile.readline(2**16).strip():
            return
        length = 0
        while header := self.rfile.readline(2**16).strip().lower():
            if header.startswith(b"content-length:"):
                length = int(header.partition(b":")[2])
        self.rfile.read(length)
        status, body, headers = self.answer
        lines = {"Content-Length": str(len(body)), "Connection": "close"} | headers
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        self.wfile.write(f"HTTP/1.1 {status} X\r\n{head}\r\n".encode() + body)


@pytest.fixture
def server(monkeypatch) -> Iterator[type[Handler]]:
    """A server that answers every request with `answer`, and the variables for it."""
    with ThreadingHTTPServer(("127.0.0.1", 0), type("Answers", (Handler,), {})) as server:
        server.handle_error = lambda *_: None
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        variables = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}", "AWS_DEFAULT_REGION": "us-east-1"}
        for name, value in (variables | {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}).items():
            monkeypatch.setenv(name, value)
        yield server.RequestHandlerClass
        server.shutdown()


@pytest.mark.parametrize("case", [*NOT_S3, *REFUSED])
def test_an_answer_that_is_not_s3s_is_an_error_for_every_action(case, server):
    server.answer = (NOT_S3 | REFUSED)[case]
    storage = S3Storage("s3://bucket/prefix", retry_seconds=0)
    for name, action in ACTIONS.items():
        with pytest.raises(StorageError) as caught:
            action(storage)
        assert isinstance(caught.value, StorageAwayError) or case in REFUSED, name
        assert "s3://bucket/prefix" in str(caught.value)
        assert "\n" not in str(caught.value)
        assert "AWS_" in str(caught.value)


def test_the_error_says_that_it_is_no_s3_server_or_that_it_redirects(server):
    storage = S3Storage("s3://bucket/prefix", retry_seconds=0)
    server.answer = NOT_S3["a page"]
    with pytest.raises(StorageAwayError, match=r"http://127.* answers, but not as S3 does, tried for 0 s; check AWS_E"):
        storage.read("x")
    server.answer = REFUSED["moved"]
    with pytest.raises(StorageError, match=r"http://127.* redirects every request; set AWS_ENDPOINT_URL to the addr"):
        storage.write("x", b"1")


@pytest.mark.parametrize(
    "listed",
    [
        "",
        "<Key>prefix/x</Key>",
        "<Key>prefix/x</Key><ETag>1</ETag><Size>many</Size><LastModified>2026-01-02T03:04:05Z</LastModified>",
        "<Key>prefix/x</Key><ETag>1</ETag><Size>1</Size><LastModified>yesterday</LastModified>",
    ],
)
def test_a_listing_without_its_facts_is_an_error(listed, server):
    server.answer = (200, LISTING.format(listed).encode(), {})
    for action in ("names", "tags"):
        with pytest.raises(StorageError, match="cannot list s3://bucket/prefix"):
            ACTIONS[action](S3Storage("s3://bucket/prefix", retry_seconds=0))


@pytest.mark.parametrize(("announced", "largest"), [(10**13, []), (1001, [1000])])
def test_an_object_too_large_is_not_read(announced, largest, server):
    server.answer = (200, b"x" * 1001, {"Content-Length": str(announced), "ETag": '"a"'})
    with pytest.raises(TooLargeError, match=r"s3://bucket/prefix/x has .* MiB; at most .* MiB are read"):
        S3Storage("s3://bucket/prefix", retry_seconds=0).read("x", *largest)
