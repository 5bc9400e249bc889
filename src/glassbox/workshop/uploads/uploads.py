"""Uploads by their ids: begin, receive, look into, delete. Whose an upload is, the caller has asked before."""

from __future__ import annotations

import contextlib
import json
import logging
import queue
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, cast

from sqlalchemy import delete, select, update
from sqlalchemy.orm import defer

from glassbox.data.inspection import Inspection
from glassbox.data.sources.file_kinds import FIRST_BYTES, file_name, plain_name
from glassbox.errors import BadInput
from glassbox.workshop.database import Database
from glassbox.workshop.database.tables import JobRow, OwnerRow, ShareRow, UploadRow
from glassbox.workshop.problems import Conflict, NotFound, TooLarge
from glassbox.workshop.uploads.check_process import CheckRequest
from glassbox.workshop.uploads.checking import Checker, CheckFault, Stopped
from glassbox.workshop.uploads.limits import UploadLimits
from glassbox.workshop.uploads.received import Received, Receiving
from glassbox.workshop.uploads.refusals import NoRoom

State = Literal["receiving", "checking", "ready", "refused"]
_SWEPT_EVERY = 600.0  # seconds
_log = logging.getLogger("glassbox.workshop.uploads")


@dataclass(frozen=True)
class Upload:
    """A file on its way, or one that came whole. `file` is its name in our folder once it did."""

    id: str
    user: str
    label: str
    content_type: str
    length: int
    offset: int
    sha256: str | None
    state: State
    file: str | None
    created: float
    expires: float | None
    problem: str | None
    remedy: str | None
    inspection: Inspection | None


class Uploads:
    """Keeps the bytes in `folder` and the rest in the database; `start` begins to look into what came."""

    def __init__(self, folder: Path, database: Database, limits: UploadLimits | None = None) -> None:
        self.limits = limits or UploadLimits()
        self.received = Received(folder)
        self.checker = Checker()
        self._database = database
        self._to_check: queue.Queue[str | None] = queue.Queue()
        self._worker: threading.Thread | None = None

    # What a person does

    def begin(self, user: str, *, label: str, length: int, content_type: str = "", sha256: str | None = None) -> Upload:
        """A new upload of `length` bytes. Raises TooLarge over a quota, and NoRoom where the disk is too small."""
        if length > self.limits.largest:
            raise TooLarge(
                f"An upload has at most {self.limits.largest:,} bytes, and {length:,} were announced.",
                "Bring it in parts, or pack it with gzip.",
            )
        upload = secrets.token_hex(16)
        with _disk_told():
            self.received.create(upload)
        try:
            self._enter(upload, user, label, length, content_type, sha256)
        except BaseException:
            self.received.remove(upload)
            raise
        if length == 0:
            self._complete(upload)
        return self.get(upload)

    def _enter(self, upload: str, user: str, label: str, length: int, content_type: str, sha256: str | None) -> None:
        """Two who begin at once can't both take the last bytes of a quota: there is one writer at a time."""
        now = time.time()
        with self._database.writing() as session:
            rows = list(session.execute(select(UploadRow.id, UploadRow.user, UploadRow.length, UploadRow.state)))
            self._check_quotas(user, length, [(row[1], row[2]) for row in rows])
            self._check_disk(length, [(row[0], row[2]) for row in rows if row[3] == "receiving"])
            session.add(
                UploadRow(
                    id=upload,
                    user=user,
                    label=label,
                    content_type=content_type,
                    length=length,
                    sha256=sha256,
                    state="receiving",
                    created=now,
                    touched=now,
                )
            )
            session.add(OwnerRow(kind="upload", id=upload, user=user))

    def get(self, upload: str) -> Upload:
        """Raises NotFound."""
        with self._database.reading() as session:
            row = session.get(UploadRow, upload)
        if row is None:
            raise NotFound("upload", upload)
        return self._upload(row, row.inspection)

    def list(self) -> list[Upload]:
        """All of everybody, newest first, without what is in them."""
        query = select(UploadRow).options(defer(UploadRow.inspection)).order_by(UploadRow.created.desc(), UploadRow.id)
        with self._database.reading() as session:
            return [self._upload(row, None) for row in session.scalars(query)]

    @contextlib.contextmanager
    def receive(self, upload: str, offset: int) -> Generator[Receiving]:
        """Go on with an upload: write, then keep. What was kept when the block is left counts.

        Raises Conflict at another offset, Locked while somebody else sends, NoRoom where the disk takes no more.
        """
        found = self.get(upload)
        if found.state != "receiving":
            raise Conflict("This upload is whole already.", "Begin another one.")
        with _disk_told(), self.received.receive(upload, offset) as receiving:
            try:
                yield receiving
            finally:
                if receiving.kept == found.length:
                    self._complete(upload)
                elif receiving.kept > offset:
                    self._touch(upload)

    def delete(self, upload: str) -> None:
        """Take it away, whole or not."""
        with self._database.writing() as session:
            session.execute(delete(UploadRow).where(UploadRow.id == upload))
            session.execute(delete(OwnerRow).where(OwnerRow.kind == "upload", OwnerRow.id == upload))
            session.execute(delete(ShareRow).where(ShareRow.kind == "upload", ShareRow.id == upload))
        self.received.remove(upload)

    def path(self, upload: str) -> Path:
        """Where a whole one lies, whatever is in it. Raises NotFound, and BadInput for one on its way."""
        found = self.get(upload)
        if found.file is None:
            raise BadInput(
                f"Of the upload {found.label!r} {found.offset:,} bytes of {found.length:,} came.", "Finish it first."
            )
        return self.received.path(upload, found.file)

    def needed_by(self, upload: Upload) -> list[str]:
        """The runs in the queue, or at work, whose settings name its file."""
        place = json.dumps(f"/{upload.id}/{upload.file}")[1:-1]
        with self._database.reading() as session:
            jobs = session.execute(select(JobRow.run, JobRow.record).where(JobRow.state != "ended"))
            return sorted(run for run, record in jobs if place in record)

    # Looking into what came

    def start(self) -> None:
        """Go on with what was left when the server ended, and look into what comes."""
        for upload in self._left_whole():
            self._complete(upload)
        with self._database.reading() as session:
            for upload in session.scalars(select(UploadRow.id).where(UploadRow.state == "checking")):
                self._to_check.put(upload)
        self._worker = threading.Thread(target=self._work, name="uploads", daemon=True)
        self._worker.start()

    def stop(self) -> None:
        """What isn't looked into by now is when the server starts again."""
        self.checker.stop()
        self._to_check.put(None)
        if self._worker is not None:
            self._worker.join()

    def sweep(self, now: float | None = None) -> None:
        """Delete what nobody goes on with, and folders that belong to nothing."""
        before = (time.time() if now is None else now) - self.limits.abandoned_after
        with self._database.reading() as session:
            known = {row.id: row for row in session.scalars(select(UploadRow))}
        for row in known.values():
            if row.state == "receiving" and row.touched < before:
                _log.info("deleted an upload that nobody went on with", extra={"fields": {"upload": row.id}})
                self.delete(row.id)
        for upload in self.received.ids():
            if upload not in known and self.received.age(upload) > self.limits.abandoned_after:
                self.received.remove(upload)

    def _work(self) -> None:
        swept = 0.0
        while True:
            if time.monotonic() - swept > _SWEPT_EVERY or not swept:
                swept = time.monotonic()
                self._quietly(self.sweep)
            try:
                upload = self._to_check.get(timeout=_SWEPT_EVERY)
            except queue.Empty:
                continue
            if upload is None:
                return
            self._quietly(partial(self._check, upload))

    @staticmethod
    def _quietly(work: Callable[[], None]) -> None:
        """One fault must not end the thread that looks into everybody's files."""
        try:
            work()
        except Stopped:
            return
        except Exception:
            _log.exception("a fault while looking after uploads")

    def _check(self, upload: str) -> None:
        found = self.get(upload)
        if found.state != "checking" or found.file is None:
            return
        request = CheckRequest(path=self.received.path(upload, found.file), sha256=found.sha256)
        try:
            inspection = self.checker.check(request)
        except BadInput as error:
            self._settle(upload, "refused", problem=error.problem, remedy=error.remedy)
        except CheckFault:
            problem = "The workshop failed to look into this file, which is a fault of its own."
            self._settle(upload, "refused", problem=problem, remedy="Try to collect it all the same, and report it.")
        else:
            self._settle(upload, "ready", inspection=inspection.model_dump_json())

    # The states

    def _complete(self, upload: str) -> None:
        """All bytes came: give the file its name, and have it looked into. Done twice, it is done once."""
        found = self.get(upload)
        if found.state != "receiving":
            return
        beginning = self.received.beginning(upload, FIRST_BYTES)
        try:
            name, refusal = file_name(found.label, beginning), None
        except BadInput as error:
            name, refusal = plain_name(found.label), error
        self.received.finish(upload, name)
        if refusal is not None:
            self._settle(upload, "refused", file=name, problem=refusal.problem, remedy=refusal.remedy)
            return
        self._settle(upload, "checking", file=name)
        self._to_check.put(upload)

    def _settle(self, upload: str, state: State, **values: str) -> None:
        changes = {key: value.replace("\x00", "\ufffd") for key, value in values.items()}  # PostgreSQL has no NUL
        with self._database.writing() as session:
            session.execute(update(UploadRow).where(UploadRow.id == upload).values(state=state, **changes))

    def _touch(self, upload: str) -> None:
        with self._database.writing() as session:
            session.execute(update(UploadRow).where(UploadRow.id == upload).values(touched=time.time()))

    def _left_whole(self) -> list[str]:
        """Those whose last byte came right before a kill."""
        with self._database.reading() as session:
            rows = session.execute(select(UploadRow.id, UploadRow.length).where(UploadRow.state == "receiving"))
            return [row[0] for row in rows if self.received.offset(row[0]) == row[1]]

    def _upload(self, row: UploadRow, inspection: str | None) -> Upload:
        receiving = row.state == "receiving"
        return Upload(
            id=row.id,
            user=row.user,
            label=row.label,
            content_type=row.content_type,
            length=row.length,
            offset=self.received.offset(row.id) if receiving else row.length,
            sha256=row.sha256,
            state=cast("State", row.state),
            file=row.file,
            created=row.created,
            expires=row.touched + self.limits.abandoned_after if receiving else None,
            problem=row.problem,
            remedy=row.remedy,
            inspection=None if inspection is None else Inspection.model_validate_json(inspection),
        )

    # Quotas

    def _check_quotas(self, user: str, length: int, held: list[tuple[str, int]]) -> None:
        own = [size for owner, size in held if owner == user]
        remedy = "Delete uploads that you don't need any more."
        if len(own) >= self.limits.uploads_per_person:
            raise TooLarge(f"You have {len(own):,} uploads, which is all that a person may have.", remedy)
        if sum(own) + length > self.limits.per_person:
            raise TooLarge(
                f"Your uploads have {sum(own):,} bytes of {self.limits.per_person:,}; {length:,} more are too many.",
                remedy,
            )
        if sum(size for _, size in held) + length > self.limits.in_all:
            raise TooLarge("The uploads of everybody together have reached the workshop's limit.", "Ask an owner.")

    def _check_disk(self, length: int, on_their_way: list[tuple[str, int]]) -> None:
        """What others were promised counts as taken."""
        promised = sum(size - self.received.offset(upload) for upload, size in on_their_way)
        place = self.received.folder
        free = shutil.disk_usage(place if place.is_dir() else place.parent).free
        if promised + length + self.limits.free_disk > free:
            raise NoRoom(
                f"The workshop's disk has no room for {length:,} more bytes.", "Ask an owner to free some of it."
            )


@contextlib.contextmanager
def _disk_told() -> Generator[None]:
    """A disk that takes no more is told as such; an upload that was deleted meanwhile isn't there."""
    try:
        yield
    except FileNotFoundError as error:
        raise Conflict("The upload was deleted meanwhile.", "Begin another one.") from error
    except OSError as error:
        raise NoRoom(
            f"The workshop's disk refused the bytes: {error.strerror or error}. What it confirmed before is kept.",
            "Ask an owner to free some of it, then go on.",
        ) from error
