"""Fetching from the web: real servers on this machine, and every trick that an address can play."""

from __future__ import annotations

import datetime
import errno
import gzip
import hashlib
import io
import ipaddress
import socket
import ssl
import threading
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from glassbox.data.fetching import Fetched, Outside, fetch, fetch_bytes
from glassbox.data.public_addresses import Address, is_public
from glassbox.errors import BadInput

TEXT = "Es war einmal — once upon a time.\n".encode() * 10_000
BOMB = gzip.compress(b"\0" * 50_000_000)


class Web(BaseHTTPRequestHandler):
    """A small part of the web, with the worst of it."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        with suppress(ConnectionError):  # whoever asked may give up, which is often the point
            getattr(self, "get" + path.replace("/", "_").replace("%20", "_").replace(".", "_"), self.get_nothing)(query)

    def answer(self, body: bytes, **headers: str) -> None:
        self.send_response(200)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if "Content_Length" not in headers and "Transfer_Encoding" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def get_nothing(self, _: str) -> None:
        self.send_error(404)

    def get_tales_txt(self, _: str) -> None:
        self.answer(TEXT, Content_Type="text/plain; charset=utf-8")

    def get_header(self, query: str) -> None:
        self.answer(self.headers.get(query, "").encode())

    def get_named(self, query: str) -> None:
        self.answer(b"x", Content_Disposition=query.replace("%20", " ").replace("%22", '"').replace("%5C", "\\"))

    def get_away(self, query: str) -> None:
        self.send_response(302)
        self.send_header("Location", query)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def get_loop(self, query: str) -> None:
        self.get_away(f"/loop?{int(query or 0) + 1}")

    def get_chunked(self, _: str) -> None:
        body = b"".join(b"%x\r\n%s\r\n" % (len(TEXT[at : at + 999]), TEXT[at : at + 999]) for at in range(0, 9990, 999))
        self.answer(body + b"0\r\n\r\n", Transfer_Encoding="chunked")

    def get_chunked_short(self, _: str) -> None:
        self.answer(b"ff\r\nshort", Transfer_Encoding="chunked", Connection="close")
        self.close_connection = True

    def get_liar_more(self, _: str) -> None:
        self.answer(b"x" * 100, Content_Length="1000", Connection="close")
        self.close_connection = True

    def get_huge(self, _: str) -> None:
        self.answer(b"", Content_Length="1000000000000")

    def get_endless(self, _: str) -> None:
        self.answer(b"", Transfer_Encoding="none", Connection="close")
        self.close_connection = True
        while True:
            self.wfile.write(b"x" * 2**16)

    def get_packed(self, _: str) -> None:
        self.answer(gzip.compress(TEXT), Content_Encoding="gzip")

    def get_packed_short(self, _: str) -> None:
        self.answer(gzip.compress(TEXT)[:-9], Content_Encoding="gzip")

    def get_packed_wrongly(self, _: str) -> None:
        self.answer(b"not packed", Content_Encoding="gzip")

    def get_packed_otherwise(self, _: str) -> None:
        self.answer(zlib.compress(TEXT), Content_Encoding="br")

    def get_bomb(self, _: str) -> None:
        self.answer(BOMB, Content_Encoding="gzip")

    def get_slow_body(self, _: str) -> None:
        self.answer(b"", Content_Length="1000")
        for _number in range(300):
            self.wfile.write(b"x")
            time.sleep(0.02)

    def get_slow_head(self, _: str) -> None:
        for _number in range(300):
            self.wfile.write(b"H" if _number else b"HTTP/1.1 200 OK\r\nX: ")
            time.sleep(0.02)

    def get_no_http(self, _: str) -> None:
        self.wfile.write(b"SSH-2.0-OpenSSH\r\n\r\n")
        self.close_connection = True

    def get_long_head(self, _: str) -> None:
        self.answer(b"x", X_Long="x" * 100_000)

    def log_message(self, format: str, *args: object) -> None: ...


@pytest.fixture(scope="module")
def server() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Web)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def here(_: Address) -> bool:
    return True


@pytest.fixture
def outside(server: ThreadingHTTPServer) -> Outside:
    """As the internet, but every name leads to the server on this machine, and its port is a usual one."""
    return Outside(frozenset({server.server_port}), here, lambda host, port: ["127.0.0.1"])


@pytest.fixture
def site(server: ThreadingHTTPServer) -> str:
    return f"http://example.org:{server.server_port}"


def test_a_file_is_fetched_with_its_name_type_size_and_hash(outside: Outside, site: str) -> None:
    into = io.BytesIO()
    fetched = fetch(f"{site}/tales.txt#chapter-2", into, largest=len(TEXT), outside=outside)
    assert into.getvalue() == TEXT
    digest = hashlib.sha256(TEXT).hexdigest()
    expected = (f"{site}/tales.txt#chapter-2", "tales.txt", "text/plain; charset=utf-8", len(TEXT), digest)
    assert fetched == Fetched(*expected)


def test_progress_is_told_and_may_stop_it(outside: Outside, site: str) -> None:
    seen: list[tuple[int, int | None]] = []
    fetch(f"{site}/tales.txt", io.BytesIO(), largest=10**9, outside=outside, progress=lambda *told: seen.append(told))
    assert seen[-1] == (len(TEXT), len(TEXT))

    def stop(received: int, told: int | None) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(f"{site}/tales.txt", io.BytesIO(), largest=10**9, outside=outside, progress=stop)


def test_pieces_and_packed_files_come_whole(outside: Outside, site: str) -> None:
    assert fetch_bytes(f"{site}/chunked", largest=9990, outside=outside) == TEXT[:9990]
    assert fetch_bytes(f"{site}/packed", largest=len(TEXT), outside=outside) == TEXT


def test_the_server_hears_the_name_that_was_asked_for_and_nothing_about_us(outside: Outside, site: str) -> None:
    def header(name: str) -> bytes:
        return fetch_bytes(f"{site}/header?{name}", largest=1000, outside=outside)

    assert header("Host") == site.removeprefix("http://").encode()
    assert header("User-Agent").startswith(b"glassbox/")
    assert header("Cookie") == header("Authorization") == header("Referer") == b""


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        ("attachment;%20filename=%22a%20b.txt%22", "a b.txt"),
        ("attachment;%20filename=../../etc/passwd", "passwd"),
        ("attachment;%20filename=..%5Cboot.ini", "boot.ini"),
        ("attachment;%20filename*=UTF-8''m%C3%A4r.txt", "mär.txt"),
        ("attachment", "named"),
    ],
)
def test_a_file_name_is_a_label_and_never_a_path(outside: Outside, site: str, disposition: str, name: str) -> None:
    assert fetch(f"{site}/named?{disposition}", io.BytesIO(), largest=9, outside=outside).name == name


def test_redirects_are_followed_and_the_last_address_is_told(outside: Outside, site: str) -> None:
    fetched = fetch(f"{site}/away?/away?tales.txt", io.BytesIO(), largest=10**9, outside=outside)
    assert fetched.url == f"{site}/tales.txt"
    assert fetched.size == len(TEXT)


def test_redirects_in_a_circle_end(outside: Outside, site: str) -> None:
    with pytest.raises(BadInput, match=r"/loop' leads on more than 5 times"):
        fetch_bytes(f"{site}/loop", largest=10, outside=outside)


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("http://169.254.169.254/latest/meta-data/", "169.254.169.254 isn't on the public internet"),
        ("http://[::ffff:10.0.0.1]/", "isn't a web address"),
        ("http://0x7f.1/", "an address in an unusual form"),
        ("//router.example/", "router.example isn't on the public internet"),
        ("http://example.org:22/", "names the port 22"),
        ("file:///etc/passwd", "isn't an http or https address"),
        ("ftp://example.org/a", "isn't an http or https address"),
        ("http://me:secret@example.org/", "has a name or a password"),
    ],
)
def test_a_redirect_is_checked_like_a_first_address(
    server: ThreadingHTTPServer, site: str, target: str, reason: str
) -> None:
    outside = Outside(
        frozenset({80, server.server_port}),
        lambda address: is_public(address) or str(address) == "127.0.0.1",
        lambda host, port: {"example.org": ["127.0.0.1"], "router.example": ["192.168.0.1"]}.get(host, [host]),
    )
    with pytest.raises(BadInput, match=reason) as caught:
        fetch_bytes(f"{site}/away?{target}", largest=10, outside=outside)
    assert "secret" not in str(caught.value)


def test_from_https_nothing_leads_on_to_http(tls_outside: Outside, tls_site: str) -> None:
    with pytest.raises(BadInput, match=r"leads from https on to 'http://example\.org/"):
        fetch_bytes(f"{tls_site}/away?http://example.org/tales.txt", largest=10, outside=tls_outside)


HOSTILE_ADDRESSES = {
    "http://127.0.0.1/": "isn't on the public internet",
    "http://localhost/": "isn't on the public internet",
    "http://localhost./": "isn't on the public internet",
    "http://LOCALHOST/": "isn't on the public internet",
    "http://ｌｏｃａｌｈｏｓｔ/": "isn't on the public internet",
    "http://169.254.169.254/latest/meta-data/": "isn't on the public internet",
    "http://[::1]/": "isn't on the public internet",
    "http://[::]/": "isn't on the public internet",
    "http://0.0.0.0/": "isn't on the public internet",
    "http://[::ffff:127.0.0.1]/": "isn't on the public internet",
    "http://[::ffff:7f00:1]/": "isn't on the public internet",
    "http://[64:ff9b::7f00:1]/": "isn't on the public internet",
    "http://[fe80::1%25eth0]/": "no host",
    "http://[fd00::1]/": "isn't on the public internet",
    "http://2130706433/": "unusual form",
    "http://0x7f000001/": "unusual form",
    "http://0x7f.1/": "unusual form",
    "http://0177.0.0.1/": "unusual form",
    "http://127.1/": "unusual form",
    "http://1.2.3.4.5/": "unusual form",
    "http://１２７.0.0.1/": "unusual form|isn't on the public internet",
    "http://user@example.org/": "has a name or a password",
    "http://user:secret@example.org/": "has a name or a password",
    "http://example.org@127.0.0.1/": "has a name or a password",
    "http://@example.org/": "has a name or a password",
    "http://example.org\\@127.0.0.1/": "isn't a web address",
    "http://example.org /": "isn't a web address",
    "http://example.org/\r\nX: y": "isn't a web address",
    "http://exa\tmple.org/": "isn't a web address",
    "\x00http://example.org/": "isn't a web address",
    "http://example.org:22/": "names the port 22",
    "http://example.org:0/": "names the port 0",
    "http://example.org:99999/": "isn't a web address",
    "http://example.org:x/": "isn't a web address",
    "http://[::1/": "isn't a web address",
    "http:///path": "no host",
    "http://./": "no host",
    "http://a..b/": "no host",
    "http://" + "a" * 64 + ".org/": "no host",
    "http://" + "a" * 3000 + "/": "isn't a web address",
    "http://exa$mple/": "no host",
    "https:example.org": "no host",
    "//example.org/": "isn't an http or https",
    "example.org": "isn't an http or https",
    "": "isn't an http or https",
    "file:///etc/passwd": "isn't an http or https",
    "gopher://example.org/": "isn't an http or https",
    "jar:http://example.org!/": "isn't an http or https",
    "javascript:alert(1)": "isn't an http or https",
}


@pytest.mark.parametrize("url", HOSTILE_ADDRESSES)
def test_a_hostile_address_is_refused_before_anything_is_connected(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(*_: object, **__: object) -> None:
        raise AssertionError("connected")

    monkeypatch.setattr(socket, "create_connection", connect)
    with pytest.raises(BadInput, match=HOSTILE_ADDRESSES[url]) as caught:
        fetch_bytes(url, largest=10)
    assert "secret" not in str(caught.value)
    assert caught.value.remedy


@given(st.text(max_size=80))
def test_no_text_at_all_is_more_than_bad_input(text: str) -> None:
    nobody = Outside(resolve=lambda host, port: ["127.0.0.1"])
    for url in (text, f"http://{text}", f"https://example.org/{text}", f"http://example.org:{text}/"):
        with pytest.raises(BadInput):
            fetch_bytes(url, largest=10, outside=nobody)


def test_one_private_address_among_public_ones_is_enough_to_refuse() -> None:
    outside = Outside(resolve=lambda host, port: ["93.184.215.14", "2606:2800::1", "10.0.0.7"])
    with pytest.raises(BadInput, match=r"example\.org isn't on the public internet"):
        fetch_bytes("http://example.org/", largest=10, outside=outside)


def test_a_name_that_changes_its_mind_is_asked_once(server: ThreadingHTTPServer, site: str) -> None:
    asked: list[str] = []

    def rebinding(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["127.0.0.2"]

    def first_only(address: Address) -> bool:
        return address == ipaddress.ip_address("127.0.0.1")

    outside = Outside(frozenset({server.server_port}), first_only, rebinding)
    assert fetch_bytes(f"{site}/tales.txt", largest=len(TEXT), outside=outside) == TEXT
    assert asked == ["example.org"]
    with pytest.raises(BadInput, match="isn't on the public internet"):  # and again for each address it leads on to
        asked.clear()
        fetch_bytes(f"{site}/away?{site}/tales.txt", largest=len(TEXT), outside=outside)


def test_the_next_address_is_tried_where_one_does_not_answer(server: ThreadingHTTPServer, site: str) -> None:
    outside = Outside(frozenset({server.server_port}), here, lambda host, port: ["127.0.0.9", "127.0.0.1"])
    assert fetch_bytes(f"{site}/tales.txt", largest=len(TEXT), outside=outside) == TEXT


WRONG_ANSWERS = {
    "nothing": "/nothing' answered 404 Not Found",
    "liar_more": "could not be fetched: 100 of 1,000 bytes came",
    "chunked_short": "could not be fetched: the connection ended after",
    "huge": "sends more than 400,000 bytes",
    "endless": "sends more than 400,000 bytes",
    "tales.txt?": "sends more than 100 bytes",
    "bomb": "sends more than 400,000 bytes",
    "packed_short": "could not be fetched: it is packed wrongly",
    "packed_wrongly": "could not be fetched: it is packed wrongly",
    "packed_otherwise": "sends the file packed as 'br', unasked",
    "no_http": "could not be fetched: it doesn't speak HTTP as it should",
    "long_head": "could not be fetched: it doesn't speak HTTP as it should",
    "slow_body": "could not be fetched: it took more than 1 seconds",
    "slow_head": "could not be fetched: it took more than 1 seconds",
}


@pytest.mark.parametrize("path", WRONG_ANSWERS)
def test_a_wrong_answer_is_told_for_what_it_is(outside: Outside, site: str, path: str) -> None:
    seconds = 1 if path.startswith("slow") else 60
    with pytest.raises(BadInput, match=WRONG_ANSWERS[path]):
        fetch_bytes(f"{site}/{path}", largest=100 if "tales" in path else 400_000, seconds=seconds, outside=outside)


def test_a_bomb_takes_no_memory(outside: Outside, site: str) -> None:
    tracemalloc.start()
    with pytest.raises(BadInput, match="sends more than 20,000,000 bytes"), open("/dev/null", "wb") as nowhere:  # noqa: PTH123  (a device)
        fetch(f"{site}/bomb", nowhere, largest=20_000_000, outside=outside)
    assert tracemalloc.get_traced_memory()[1] < 4_000_000
    tracemalloc.stop()


def test_a_resolver_that_hangs_is_given_up() -> None:
    never = threading.Event()

    def hang(host: str, port: int) -> list[str]:
        never.wait(20)
        return []

    with pytest.raises(BadInput, match=r"it took more than 0\.1 seconds"):
        fetch_bytes("http://example.org/", largest=10, seconds=0.1, outside=Outside(resolve=hang))
    never.set()


def test_a_name_that_does_not_exist_and_a_closed_port_are_told() -> None:
    def unknown(host: str, port: int) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    with pytest.raises(BadInput, match="could not be fetched: Name or service not known"):
        fetch_bytes("http://example.org/", largest=10, outside=Outside(resolve=unknown))
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        outside = Outside(frozenset({port}), here, lambda host, port: ["127.0.0.1"])
        with pytest.raises(BadInput, match="could not be fetched: Connection refused"):
            fetch_bytes(f"http://example.org:{port}/", largest=10, outside=outside)


def test_a_full_disk_is_no_fault_of_the_address(outside: Outside, site: str) -> None:
    class Full(io.BytesIO):
        def write(self, _: object) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        fetch(f"{site}/tales.txt", Full(), largest=10**9, outside=outside)


# TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of example.org that signs itself, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "example.org")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("example.org")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "example.pem"
    form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    path.write_bytes(
        made.public_bytes(serialization.Encoding.PEM) + key.private_bytes(serialization.Encoding.PEM, *form)
    )
    return path


@pytest.fixture(scope="module")
def tls_server(certificate: Path) -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Web)
    server.daemon_threads = True
    server.handle_error = lambda request, client_address: None  # handshakes fail here on purpose
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def tls_site(tls_server: ThreadingHTTPServer) -> str:
    return f"https://example.org:{tls_server.server_port}"


@pytest.fixture
def tls_outside(tls_server: ThreadingHTTPServer, certificate: Path) -> Outside:
    def trust() -> ssl.SSLContext:
        return ssl.create_default_context(cafile=certificate)

    port = tls_server.server_port
    return Outside(frozenset({80, port}), here, lambda host, port: ["127.0.0.1"], trust)


def test_over_tls_the_certificate_is_that_of_the_name(tls_outside: Outside, tls_site: str) -> None:
    assert fetch_bytes(f"{tls_site}/tales.txt", largest=len(TEXT), outside=tls_outside) == TEXT
    for other in ("evil.example", "127.0.0.1"):
        with pytest.raises(BadInput, match="its certificate isn't trusted"):
            fetch_bytes(tls_site.replace("example.org", other), largest=10, outside=tls_outside)


def test_a_certificate_that_nobody_vouches_for_is_refused(
    tls_outside: Outside, tls_site: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    strangers = Outside(tls_outside.ports, here, tls_outside.resolve)
    with pytest.raises(BadInput, match=r"its certificate isn't trusted \(self.signed certificate\)"):
        fetch_bytes(f"{tls_site}/tales.txt", largest=10, outside=strangers)


@pytest.mark.parametrize("wrap", [lambda site: site.replace("http", "https")])
def test_a_server_without_tls_is_told(outside: Outside, site: str, wrap: Callable[[str], str]) -> None:
    with pytest.raises(BadInput, match="could not be fetched"):
        fetch_bytes(wrap(site), largest=10, outside=outside)
