"""The database is an index: it can be lost, and it never stands in the way of a second process."""

from __future__ import annotations

import sqlite3
import threading
import time

import pytest

from glassbox.errors import BadInput
from glassbox.workspace import Workspace
from glassbox.workspace.database import Database
from glassbox.workspace.tables import VERSION


def lose(workspace):
    for path in workspace.folder.glob("workspace.db*"):
        path.unlink()


def test_it_is_in_wal_mode_with_foreign_keys_on(tmp_path):
    with Database(tmp_path / "workspace.db").reading() as session:
        connection = session.connection()
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar_one() == "wal"
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar_one() == 1


def test_a_lost_database_is_filled_again_from_the_folder(workspace, publish):
    corpus = publish("corpus", "plays")
    publish("tokenizer", "plays", parents=(corpus,))
    run = workspace.runs.create("split", name="plays", settings={}, inputs={"corpus": corpus})
    artifacts, runs = workspace.artifacts.list(), workspace.runs.list()
    assert len(artifacts) == 2
    lose(workspace)
    fresh = Workspace(workspace.folder)
    assert fresh.artifacts.list() == artifacts
    assert fresh.runs.list() == runs
    assert [entry.kind for entry in fresh.artifacts.children(corpus.id)] == ["tokenizer"]
    assert [entry.id for entry in fresh.runs.readers_of(corpus)] == [run.id]


def test_folders_that_were_removed_by_hand_are_forgotten(workspace, publish):
    corpus = publish("corpus", "plays")
    publish("model", "plays", parents=(corpus,))
    assert len(workspace.artifacts.list()) == 2
    corpus.folder.rename(workspace.folder / "elsewhere")
    assert [entry.kind for entry in workspace.artifacts.list()] == ["model"]


def test_an_older_database_is_filled_anew(workspace, publish):
    publish("corpus", "plays")
    workspace.artifacts.list()
    with sqlite3.connect(workspace.folder / "workspace.db") as connection:
        connection.execute("DELETE FROM artifacts")
        connection.execute("PRAGMA user_version = 0")
    connection.close()
    assert [entry.reference for entry in Workspace(workspace.folder).artifacts.list()] == ["plays:1"]


def test_a_newer_database_is_left_alone(workspace):
    workspace.artifacts.list()
    with sqlite3.connect(workspace.folder / "workspace.db") as connection:
        connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    connection.close()
    with pytest.raises(BadInput, match="newer Glassbox") as caught:
        Workspace(workspace.folder).artifacts.list()
    assert "Upgrade" in caught.value.remedy
    with sqlite3.connect(workspace.folder / "workspace.db") as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (VERSION + 1,)
    connection.close()


def test_a_file_that_is_no_database_is_named_with_what_to_do(workspace, publish):
    publish("corpus", "plays")
    lose(workspace)
    path = workspace.folder / "workspace.db"
    path.write_bytes(b"not a database at all, " * 1000)
    with pytest.raises(BadInput, match=r"workspace\.db cannot be used") as caught:
        workspace.artifacts.list()
    assert "Move that file away" in caught.value.remedy
    assert path.read_bytes().startswith(b"not a database")
    path.unlink()
    assert len(Workspace(workspace.folder).artifacts.list()) == 1


def test_artifacts_can_be_published_and_read_without_a_database(workspace, publish):
    (workspace.folder / "workspace.db").mkdir()
    artifact = publish("corpus", "plays")
    assert workspace.artifacts.get("corpus", "plays") == artifact
    with pytest.raises(BadInput, match=r"workspace\.db cannot be used"):
        workspace.artifacts.list()


def test_a_writer_waits_for_another_instead_of_failing(tmp_path):
    database = Database(tmp_path / "workspace.db")
    order = []

    def hold():
        with database.writing():
            order.append("first in")
            entered.set()
            time.sleep(0.3)
            order.append("first out")

    with database.reading():
        pass
    entered = threading.Event()
    thread = threading.Thread(target=hold)
    thread.start()
    entered.wait()
    with database.writing():
        order.append("second in")
    thread.join()
    assert order == ["first in", "first out", "second in"]


def test_a_write_that_is_broken_off_leaves_no_trace(tmp_path):
    database = Database(tmp_path / "workspace.db")
    with pytest.raises(ZeroDivisionError), database.writing() as session:
        session.connection().exec_driver_sql(
            "INSERT INTO runs (id, stage, name, state, attempt, created, stamp) VALUES ('a', '', '', '', 0, 0, '')"
        )
        raise ZeroDivisionError
    with database.reading() as session:
        assert session.connection().exec_driver_sql("SELECT count(*) FROM runs").scalar_one() == 0


def test_two_processes_may_make_the_database_at_the_same_moment(workspace, start_python):
    code = "print(len(workspace.artifacts.list()), len(workspace.runs.list()))"
    processes = [start_python(code) for _ in range(4)]
    for process in processes:
        out, err = process.communicate(timeout=60)
        assert out.strip() == "0 0", err


def test_a_full_disk_is_said_in_those_words(workspace, publish, monkeypatch):
    publish("corpus", "plays")
    real = sqlite3.connect

    def small(*arguments, **keywords):
        connection = real(*arguments, **keywords)
        connection.execute("PRAGMA max_page_count = 1")
        return connection

    monkeypatch.setattr(sqlite3.dbapi2, "connect", small)
    with pytest.raises(BadInput, match="is full"), workspace.runs._database.writing() as session:
        session.connection().exec_driver_sql(
            "INSERT INTO runs (id, stage, name, state, attempt, created, stamp, problem)"
            f" VALUES ('a', '', '', '', 0, 0, '', '{'x' * 100_000}')"
        )
    monkeypatch.undo()
    assert [entry.reference for entry in workspace.artifacts.list()] == ["plays:1"]
    assert workspace.runs.list() == []
