"""Artifacts over HTTP: found, looked at, verified, noted, deleted; each by whom it is for."""

from __future__ import annotations

from fastapi.testclient import TestClient
from people import People
from shelf import Shelf


def test_a_member_finds_their_own_and_what_is_shared_and_an_educator_everything(people: People, shelf: Shelf):
    mine, theirs, shared = shelf.publish(), shelf.publish(owner="another"), shelf.publish(owner="another")
    by_hand = shelf.publish(owner=None)
    shelf.share(shared, "another")
    seen = people.client("member").get("/api/artifacts").json()["artifacts"]
    assert [(one["id"], one["mine"]) for one in seen] == [(shared.id, False), (mine.id, True)]
    everything = [one["id"] for one in people.client("educator").get("/api/artifacts").json()["artifacts"]]
    assert everything == [by_hand.id, shared.id, theirs.id, mine.id]
    for path in (theirs.id, f"named/corpus/{theirs.reference}", f"{theirs.id}/versions", f"{theirs.id}/lineage"):
        answer = people.client("member").get(f"/api/artifacts/{path}")
        assert (answer.status_code, answer.json()["title"]) == (404, "Not Found")
    named = people.client("member").get("/api/artifacts/named/corpus/tales").json()
    assert named["id"] == shared.id  # the newest of them is by hand, which isn't theirs to see


def test_pages_neither_repeat_nor_hide_what_is_added_or_deleted_meanwhile(client: TestClient, shelf: Shelf):
    made = [shelf.publish(name=f"tales-{number}") for number in range(7)]
    first = client.get("/api/artifacts", params={"limit": 3}).json()
    shelf.publish(name="late")
    shelf.workspace.delete_artifact("corpus", made[4].reference)
    second = client.get("/api/artifacts", params={"limit": 3, "cursor": first["next"]}).json()
    third = client.get("/api/artifacts", params={"limit": 3, "cursor": second["next"]}).json()
    pages = [[one["name"] for one in page["artifacts"]] for page in (first, second, third)]
    assert pages == [["tales-6", "tales-5", "tales-4"], ["tales-3", "tales-2", "tales-1"], ["tales-0"]]
    assert third["next"] is None


def test_a_cursor_that_no_page_gave_is_told(client: TestClient):
    for cursor in ("x", "bnVsbA", "WzEsMl0", "W3RydWUsIngiXQ", "é", "A" * 500):
        answer = client.get("/api/artifacts", params={"cursor": cursor})
        assert (answer.status_code, "cursor" in answer.json()["detail"]) == (422, True), cursor


def test_kind_name_and_text_narrow_the_list(client: TestClient, shelf: Shelf):
    shelf.publish("corpus", "plays")
    model = shelf.publish("model", "plays", stage="pretrain")
    shelf.publish("model", "poems")

    def found(**query: str) -> int:
        return len(client.get("/api/artifacts", params=query).json()["artifacts"])

    assert (found(kind="model"), found(name="plays"), found(kind="model", name="plays")) == (2, 2, 1)
    assert (found(text="PLAY"), found(text=model.manifest.run or ""), found(text="nothing")) == (2, 1, 0)
    assert client.get("/api/artifacts", params={"kind": "secret"}).status_code == 404


def test_one_artifact_tells_all_about_itself(client: TestClient, shelf: Shelf):
    corpus = shelf.publish()
    shards = shelf.publish("shards", parents=[corpus], facts={"tokens": 12}, files={"a/b.bin": b"12"})
    for path in (shards.id, "named/shards/tales", "named/shards/tales:1"):
        told = client.get(f"/api/artifacts/{path}").json()
        assert told["facts"] == {"tokens": 12}
        assert [(one["path"], one["bytes"]) for one in told["files"]] == [("a/b.bin", 2)]
        assert [one["id"] for one in told["parents"]] == [corpus.id]
        assert told["hash"] == shards.manifest.hash


def test_all_versions_of_a_name_are_listed_newest_first(client: TestClient, shelf: Shelf):
    first = shelf.publish()
    shelf.publish()
    shelf.publish("model", "tales")
    told = client.get(f"/api/artifacts/{first.id}/versions").json()["artifacts"]
    assert [one["reference"] for one in told] == ["tales:2", "tales:1"]


def test_a_damaged_artifact_is_listed_with_its_problem_and_hides_no_other(client: TestClient, shelf: Shelf):
    whole, damaged = shelf.publish(), shelf.publish()
    (damaged.folder / "manifest.json").write_text("{")
    told = client.get("/api/artifacts").json()["artifacts"]
    assert sorted((one["id"] or "", one["problem"] is None) for one in told) == [("", False), (whole.id, True)]


def test_a_broken_id_is_answered_like_one_that_there_is_not(client: TestClient):
    broken = ("%ff%fe", "..%2f..%2fetc", "%00", "a" * 100, "named/corpus/%ff", "named/corpus/a:0")
    for path in broken:
        assert client.get(f"/api/artifacts/{path}").status_code in (400, 404), path


def test_verifying_reads_every_byte(client: TestClient, shelf: Shelf):
    artifact = shelf.publish()
    assert client.post(f"/api/artifacts/{artifact.id}/verify").json() == {"intact": True, "differences": []}
    (artifact.folder / "text.txt").write_bytes(b"once upon a tide")
    told = client.post(f"/api/artifacts/{artifact.id}/verify").json()
    assert told["differences"] == ["text.txt has other content than when it was published"]


def test_only_its_owner_writes_a_note_and_who_sees_it_reads_it(people: People, shelf: Shelf):
    artifact = shelf.publish()
    shelf.share(artifact)
    address = f"/api/artifacts/{artifact.id}/note"
    assert people.client("member").put(address, json={"text": "for *Ada*"}).json() == {"text": "for *Ada*"}
    assert people.client("another").put(address, json={"text": "mine now"}).status_code == 403
    assert people.client("another").get(f"/api/artifacts/{artifact.id}").json()["note"] == "for *Ada*"
    assert people.client("member").put(address, json={"text": "x" * 20_001}).status_code == 422


def test_what_is_needed_is_not_deleted_and_other_peoples_names_are_not_told(people: People, shelf: Shelf):
    corpus = shelf.publish()
    shelf.publish("shards", "mine", parents=[corpus])
    secret = shelf.publish("shards", "secret-plan", parents=[corpus], owner="another")
    answer = people.client("member").delete(f"/api/artifacts/{corpus.id}")
    assert answer.status_code == 409
    assert "shards mine:1, 1 more" in answer.json()["detail"]
    assert "secret-plan" not in answer.text
    forced = people.client("member").delete(f"/api/artifacts/{corpus.id}", params={"force": True})
    assert forced.status_code == 403
    assert people.client("owner").delete(f"/api/artifacts/{corpus.id}", params={"force": True}).status_code == 204
    assert people.client("another").delete(f"/api/artifacts/{secret.id}").status_code == 204
    assert people.client("owner").get(f"/api/artifacts/{corpus.id}").status_code == 404


def test_what_a_run_reads_now_is_not_deleted(people: People, shelf: Shelf):
    corpus = shelf.publish()
    run = shelf.workspace.runs.create("tokenize", name="x", settings={}, inputs={"corpus": corpus})
    attempt = shelf.workspace.runs.begin(run)
    try:
        answer = people.client("member").delete(f"/api/artifacts/{corpus.id}")
        assert (answer.status_code, "1 of other people" in answer.json()["detail"]) == (409, True)
        assert run.id in people.client("owner").delete(f"/api/artifacts/{corpus.id}").json()["detail"]
    finally:
        attempt.end("cancelled")


def test_a_member_deletes_nothing_of_others(people: People, shelf: Shelf):
    shared = shelf.publish(owner="another")
    shelf.share(shared, "another")
    assert people.client("member").delete(f"/api/artifacts/{shared.id}").status_code == 403
    hidden = shelf.publish(owner="another")
    assert people.client("member").delete(f"/api/artifacts/{hidden.id}").status_code == 404


def test_a_number_is_never_given_twice(client: TestClient, shelf: Shelf):
    assert client.delete(f"/api/artifacts/{shelf.publish().id}").status_code == 204
    assert shelf.publish().reference == "tales:2"
