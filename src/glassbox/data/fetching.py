"""Fetching a file from the web: the one way by which Glassbox reaches out to an address that a person named.

An address can be an attack on whoever fetches it: it may lead to a service that only this machine can reach, never end,
or never begin. So names are resolved here, everything that a name resolves to is checked, and the connection goes to
exactly the address that was checked, so that a name that changes its mind in between gains nothing. Redirects are
followed by hand and checked like first addresses. Size and time have one limit each for everything together. Proxies
are not used: behind one, nobody here could see where a connection leads.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import io
import re
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, field
from email.message import Message
from http import HTTPStatus
from typing import Any, BinaryIO, NamedTuple
from urllib.parse import SplitResult, quote, unquote, urljoin, urlsplit

import glassbox
from glassbox.data.public_addresses import Address, is_public, parse_address
from glassbox.errors import BadInput
from glassbox.workspace.faults import is_full_disk
from glassbox.workspace.names import shown

SECONDS = 60.0
MOST_REDIRECTS = 5
LONGEST_URL = 2000
PIECE = 2**16  # bytes
_REDIRECTS = {301, 302, 303, 307, 308}
_NOT_IN_A_URL = re.compile(r"[\x00-\x20\x7f\\]")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*", re.IGNORECASE)


def _resolve(host: str, port: int) -> list[str]:
    """Every address of a name, as the system knows it. Raises OSError."""
    return [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


@dataclass(frozen=True)
class Outside:
    """What may be reached, and how. Anything but the defaults is for tests, and for networks that need other ports."""

    ports: frozenset[int] = frozenset({80, 443})
    allows: Callable[[Address], bool] = is_public
    resolve: Callable[[str, int], list[str]] = _resolve
    trust: Callable[[], ssl.SSLContext] = field(default=ssl.create_default_context)


INTERNET = Outside()


class Fetched(NamedTuple):
    """What came: where from at last, the file's name there, the type that was told, size and hash of the content."""

    url: str
    name: str
    content_type: str
    size: int
    sha256: str


def fetch(
    url: str,
    into: BinaryIO,
    *,
    largest: int,
    seconds: float = SECONDS,
    outside: Outside = INTERNET,
    progress: Callable[[int, int | None], None] | None = None,
) -> Fetched:
    """Write what is at an http or https address into a file, at most `largest` bytes within `seconds` in all.

    progress: called with the bytes so far and, if it was told, their number; may raise to stop.

    Raises BadInput for an address that may not or cannot be fetched, for an answer that isn't the file, and for one
    that is too large or too slow; `into` may hold a part of it then.
    """
    clock = _Clock(seconds)
    asked = url
    with _faults_told(asked, seconds):
        for _ in range(MOST_REDIRECTS + 1):
            place = _checked(url)
            with _connected(place, outside, clock) as connection:
                answer = _asked(connection, place)
                if answer.status in _REDIRECTS and (target := answer.getheader("Location")):
                    url = _next(place, target)
                    continue
                if answer.status != HTTPStatus.OK:
                    raise BadInput(
                        f"{shown(url, 200)} answered {answer.status} {_plain(answer.reason)}.",
                        "Open the address in a browser, and give the one that leads to the file itself.",
                    )
                size, digest = _copy(answer, into, url, largest, progress)
                return Fetched(url, _name(answer, place), _plain(answer.getheader("Content-Type", "")), size, digest)
    raise BadInput(f"{shown(asked, 200)} leads on more than {MOST_REDIRECTS} times.", "Give the address where it ends.")


def fetch_bytes(url: str, *, largest: int, seconds: float = SECONDS, outside: Outside = INTERNET) -> bytes:
    """The same for what fits in memory."""
    buffer = io.BytesIO()
    fetch(url, buffer, largest=largest, seconds=seconds, outside=outside)
    return buffer.getvalue()


class _Place(NamedTuple):
    """A checked URL. host is as it goes to the resolver, into TLS and into the Host header."""

    url: str
    secure: bool
    host: str
    port: int
    target: str


def _checked(url: str) -> _Place:
    """Take a URL apart. Raises BadInput for whatever browsers, libraries and servers could read in different ways."""
    remedy = "Give an address such as https://example.org/tales.txt."
    if len(url) > LONGEST_URL or _NOT_IN_A_URL.search(url):
        raise BadInput(f"{shown(url)} isn't a web address: it is too long, or has signs that none has.", remedy)
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise BadInput(f"{shown(url, 200)} isn't a web address: {error}.", remedy) from None
    if parts.scheme not in ("http", "https"):
        raise BadInput(f"{shown(url, 200)} isn't an http or https address.", remedy)
    if "@" in parts.netloc:
        raise BadInput(
            f"The address of {shown(host)} has a name or a password in it, and would be kept with the run.",
            "Fetch the file by hand and give the file.",
        )
    secure = parts.scheme == "https"
    port = _usual_port(secure) if port is None else port
    return _Place(url, secure, _host(host, url, remedy), port, _target(parts))


def _usual_port(secure: bool) -> int:
    return 443 if secure else 80


def _host(host: str, url: str, remedy: str) -> str:
    host = host.removesuffix(".")
    if "%" not in host and (address := parse_address(host)):  # fe80::1%eth0 is of this machine's own network
        return str(address)
    try:
        name = host.encode("idna").decode("ascii")
    except UnicodeError:
        name = ""
    if not name or not re.fullmatch(r"[A-Za-z0-9._-]+", name):
        raise BadInput(f"{shown(url, 200)} has no host that could be found.", remedy)
    if _NUMBER.fullmatch(name.rpartition(".")[2]):
        raise BadInput(f"The host {shown(name)} is an address in an unusual form.", "Write it as four plain numbers.")
    return name.lower()


def _target(parts: SplitResult) -> str:
    """What is asked of the server: the path and the query, with signs that aren't ASCII as UTF-8."""
    target = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
    return quote(target, safe="/%:@!$&'()*+,;=~-._?")


def _next(place: _Place, target: str) -> str:
    url = urljoin(place.url, target.strip())
    if place.secure and not url.lower().startswith("https:"):
        raise BadInput(
            f"{shown(place.url, 200)} leads from https on to {shown(url, 200)}, where anybody could change the file.",
            "Fetch the file by hand and look at it.",
        )
    return url


class _Clock:
    """What is left of the time for everything together."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """Raises TimeoutError when there is none left."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left


def _addresses(place: _Place, outside: Outside, clock: _Clock) -> list[str]:
    """What the host resolves to. Raises BadInput if a single one of it isn't public."""
    if place.port not in outside.ports:
        raise BadInput(
            f"{shown(place.url, 200)} names the port {place.port}; files are fetched from "
            f"{' and '.join(map(str, sorted(outside.ports)))} only.",
            "Fetch the file by hand and give the file.",
        )
    found = _in_time(lambda: outside.resolve(place.host, place.port), clock)
    addresses = [parse_address(one) for one in found]
    if not addresses or not all(address is not None and outside.allows(address) for address in addresses):
        raise BadInput(
            f"{place.host} isn't on the public internet, but this machine or one of a private network.",
            "Give an address that everybody can reach, or fetch the file by hand and give the file.",
        )
    return found


def _in_time(resolve: Callable[[], list[str]], clock: _Clock) -> list[str]:
    """The system's resolver takes no limit of time, so it is waited for from outside."""
    found: list[list[str]] = []
    faults: list[Exception] = []

    def work() -> None:
        try:
            found.append(resolve())
        except Exception as error:
            faults.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(clock.left())
    if faults:
        raise faults[0]
    if not found:
        raise TimeoutError
    return found[0]


@contextlib.contextmanager
def _connected(place: _Place, outside: Outside, clock: _Clock) -> Generator[http.client.HTTPConnection]:
    """A connection to an address that was checked, under the name that was asked for. Raises OSError."""
    raw = _socket(place, _addresses(place, outside, clock), clock)
    try:
        if place.secure:
            raw.settimeout(clock.left())
            raw = outside.trust().wrap_socket(raw, server_hostname=place.host)
        connection = http.client.HTTPConnection(place.host, place.port)
        connection.auto_open = 0  # never by itself: it would resolve the name again
        connection.sock = _TimedSocket(raw, clock)
        yield connection
    finally:
        raw.close()


def _socket(place: _Place, addresses: list[str], clock: _Clock) -> socket.socket:
    """Connected to the first address that answers."""
    for address in addresses[:-1]:
        with contextlib.suppress(OSError):
            return socket.create_connection((address, place.port), timeout=clock.left() / 2)
    return socket.create_connection((addresses[-1], place.port), timeout=clock.left())


class _TimedSocket:
    """The part of a socket that `http.client` uses; every wait ends when the clock does."""

    def __init__(self, raw: socket.socket, clock: _Clock) -> None:
        self._raw, self._clock = raw, clock

    def sendall(self, data: bytes) -> None:
        self._raw.settimeout(self._clock.left())
        self._raw.sendall(data)

    def makefile(self, _mode: str) -> BinaryIO:
        return io.BufferedReader(_TimedReader(self._raw, self._clock))

    def close(self) -> None:
        """Whoever opened it closes it: `http.client` would do so while the answer is still to be read."""


class _TimedReader(io.RawIOBase):
    def __init__(self, raw: socket.socket, clock: _Clock) -> None:
        self._raw, self._clock = raw, clock

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._raw.settimeout(self._clock.left())
        return self._raw.recv_into(buffer)


def _asked(connection: http.client.HTTPConnection, place: _Place) -> http.client.HTTPResponse:
    name = f"[{place.host}]" if ":" in place.host else place.host
    usual = place.port == _usual_port(place.secure)
    connection.putrequest("GET", place.target, skip_host=True, skip_accept_encoding=True)
    connection.putheader("Host", name if usual else f"{name}:{place.port}")
    connection.putheader("User-Agent", f"glassbox/{glassbox.__version__}")
    connection.putheader("Accept-Encoding", "identity")
    connection.putheader("Connection", "close")
    connection.endheaders()
    return connection.getresponse()


def _copy(
    answer: http.client.HTTPResponse,
    into: BinaryIO,
    url: str,
    largest: int,
    progress: Callable[[int, int | None], None] | None,
) -> tuple[int, str]:
    """Size and SHA-256 of what was written."""
    told = answer.length  # None without a length, also where a transfer coding makes a length meaningless
    if told is not None and told > largest:
        raise _too_large(url, largest)
    pieces = _received(answer, told, progress)
    coding = _plain(answer.getheader("Content-Encoding", "")).lower()
    if coding in ("gzip", "x-gzip"):
        pieces = _unpacked(pieces)
    elif coding not in ("", "identity"):
        raise BadInput(f"{shown(url, 200)} sends the file packed as {shown(coding)}, unasked.", "Fetch it by hand.")
    digest = hashlib.sha256()
    written = 0
    for piece in pieces:
        written += len(piece)
        if written > largest:
            raise _too_large(url, largest)
        digest.update(piece)
        into.write(piece)
    return written, digest.hexdigest()


def _received(
    answer: http.client.HTTPResponse, told: int | None, progress: Callable[[int, int | None], None] | None
) -> Generator[bytes]:
    received = 0
    while piece := answer.read(PIECE):
        received += len(piece)
        yield piece
        if progress:
            progress(received, told)
    if told is not None and received < told:
        raise OSError(f"{received:,} of {told:,} bytes came")


def _unpacked(pieces: Iterable[bytes]) -> Generator[bytes]:
    """Some servers pack although nobody asked. Unpacked in small pieces, so that a bomb is seen before it fills memory.

    Raises zlib.error.
    """
    packed = zlib.decompressobj(wbits=31)
    for piece in pieces:
        rest = piece
        while rest and not packed.eof:
            yield packed.decompress(rest, PIECE)
            rest = packed.unconsumed_tail
    yield packed.flush()
    if not packed.eof:
        raise zlib.error("it ends too early")


def _name(answer: http.client.HTTPResponse, place: _Place) -> str:
    """What the file is called, as the server says or as the address ends. A label, never a path."""
    header = Message()
    header["Content-Disposition"] = answer.getheader("Content-Disposition", "")
    told = header.get_filename() or unquote(place.target.partition("?")[0], errors="replace")
    return _plain(re.split(r"[/\\]", told.rstrip("/"))[-1]) or place.host


def _plain(text: str) -> str:
    """A server's words, fit for a sentence."""
    return "".join(letter if letter.isprintable() else " " for letter in text).strip()[:200]


def _too_large(url: str, largest: int) -> BadInput:
    return BadInput(f"{shown(url, 200)} sends more than {largest:,} bytes.", "Fetch the file by hand and look at it.")


@contextlib.contextmanager
def _faults_told(url: str, seconds: float) -> Generator[None]:
    """Whatever a network, a certificate or a server can do wrong becomes BadInput; full disks stay what they are."""
    try:
        yield
        return
    except TimeoutError:
        reason = f"it took more than {seconds:g} seconds"
    except ssl.SSLCertVerificationError as error:
        reason = f"its certificate isn't trusted ({error.verify_message.rstrip('.')})"
    except http.client.IncompleteRead as error:
        reason = f"the connection ended after {len(error.partial):,} bytes of a piece"
    except http.client.HTTPException as error:
        reason = f"it doesn't speak HTTP as it should ({type(error).__name__})"
    except zlib.error:
        reason = "it is packed wrongly"
    except OSError as error:
        if is_full_disk(error):
            raise
        reason = _plain(error.strerror or str(error)) or type(error).__name__
    raise BadInput(
        f"{shown(url, 200)} could not be fetched: {reason}.", "Check the address and the network, and try again."
    ) from None
