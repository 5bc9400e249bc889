"""The body of one request on its way to the disk, piece by piece, with a checksum if one was sent."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
from collections.abc import AsyncIterator, Callable
from typing import Any

from fastapi.concurrency import contextmanager_in_threadpool
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from glassbox.errors import BadInput
from glassbox.workshop.problems import TooLarge
from glassbox.workshop.uploads.received import KEPT_EVERY, Receiving
from glassbox.workshop.uploads.refusals import TooSlow
from glassbox.workshop.uploads.uploads import Upload, Uploads

WRITTEN_AT_ONCE = 2**20  # bytes
_GO_ON = "Ask for the offset, and go on there."
ALGORITHMS: dict[str, Callable[[], Any]] = {
    "sha1": lambda: hashlib.sha1(usedforsecurity=False),
    "md5": lambda: hashlib.md5(usedforsecurity=False),
    "sha256": hashlib.sha256,
    "sha512": hashlib.sha512,
}


def from_base64(text: str, where: str) -> bytes:
    """Raises BadInput for what isn't Base64."""
    try:
        return base64.b64decode(text.encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error):
        raise BadInput(f"Base64 was expected in {where}, and {text[:40]!r} came.", "Encode it in Base64.") from None


class Checksum:
    """What the bytes of one request should have."""

    def __init__(self, algorithm: str, expected: bytes) -> None:
        self._digest = ALGORITHMS[algorithm]()
        self._expected = expected

    @classmethod
    def parse(cls, header: str | None) -> Checksum | None:
        """Raises BadInput for what isn't an algorithm of ours and Base64."""
        if header is None:
            return None
        algorithm, _, value = header.strip().partition(" ")
        if algorithm not in ALGORITHMS:
            raise BadInput(
                f"The checksum algorithm {algorithm[:40]!r} isn't known here.", f"Use one of {', '.join(ALGORITHMS)}."
            )
        return cls(algorithm, from_base64(value.strip(), "Upload-Checksum"))

    def update(self, data: bytes | bytearray) -> None:
        self._digest.update(data)

    def is_right(self) -> bool:
        return hmac.compare_digest(self._digest.digest(), self._expected)


class Incoming:
    """The body of one PATCH on its way to the disk, in pieces of a megabyte: so much is in memory, never more."""

    def __init__(self, uploads: Uploads, upload: Upload, offset: int, checksum: Checksum | None) -> None:
        self._uploads, self._upload, self._offset, self._checksum = uploads, upload, offset, checksum
        self._room = upload.length - offset
        self._pending = bytearray()
        self.kept = offset

    async def take(self, pieces: AsyncIterator[bytes]) -> bool:
        """Write all pieces; False if their checksum is wrong, and nothing counts. Raises as `Uploads.receive` does."""
        held = self._uploads.receive(self._upload.id, self._offset)
        async with contextmanager_in_threadpool(held) as receiving:
            try:
                await self._write_all(pieces, receiving)
            except ClientDisconnect:
                await run_in_threadpool(self._keep_what_came, receiving)
                raise TooSlow("The connection ended before all bytes came.", _GO_ON) from None
            except TimeoutError:
                await run_in_threadpool(self._keep_what_came, receiving)
                raise TooSlow(f"Nothing came for {self._uploads.limits.silence:g} seconds.", _GO_ON) from None
            if self._checksum is not None and not self._checksum.is_right():
                return False
            await run_in_threadpool(receiving.keep)
            self.kept = receiving.kept
            return True

    async def _write_all(self, pieces: AsyncIterator[bytes], receiving: Receiving) -> None:
        while True:
            async with asyncio.timeout(self._uploads.limits.silence):
                piece = await anext(pieces, None)
            if piece is None:
                break
            self._room -= len(piece)
            if self._room < 0:
                raise TooLarge("More bytes came than the upload has room for.", "Send no more than its length.")
            self._pending += piece
            if len(self._pending) >= WRITTEN_AT_ONCE:
                await run_in_threadpool(self._write, receiving)
        await run_in_threadpool(self._write, receiving)

    def _write(self, receiving: Receiving) -> None:
        receiving.write(self._pending)
        if self._checksum is not None:
            self._checksum.update(self._pending)
        elif receiving.offset - receiving.kept >= KEPT_EVERY:
            receiving.keep()
        self._pending.clear()

    def _keep_what_came(self, receiving: Receiving) -> None:
        if self._checksum is None:
            self._write(receiving)
            receiving.keep()
