"""Looking into models and checkpoints, and laying two beside one another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from people import People
from safetensors.numpy import load_file, save_file
from shelf import TINY, Shelf

from glassbox.spec import weight_shapes
from glassbox.workshop.routes import tensors as routes
from glassbox.workspace import Run
from glassbox.workspace.saved_steps import step_folder

pytestmark = pytest.mark.one_database


def save_checkpoint(run: Run, step: int, weights: dict[str, np.ndarray], loss: float | None = None) -> Path:
    """As training saves it."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    from glassbox.training.checkpoints import Checkpoint, Checkpoints

    tensors = {name: torch.from_numpy(value) for name, value in weights.items()}
    checkpoints = Checkpoints(run.checkpoints, keep_last=10)
    return checkpoints.save(Checkpoint(step, {"weights": tensors, "optimizer": {"m": torch.zeros(3)}}, {}, loss))


def test_the_tensors_of_a_model_are_its_descriptions_weights(client: TestClient, shelf: Shelf):
    model = shelf.model()
    told = client.get("/api/tensors", params={"artifact": model.id}).json()
    shapes = weight_shapes(TINY)
    assert {one["name"]: tuple(one["shape"]) for one in told["tensors"]} == shapes
    assert told["numbers"] == sum(int(np.prod(shape)) for shape in shapes.values())
    assert (told["file"], told["files"], told["total"]) == ("model.safetensors", ["model.safetensors"], len(shapes))
    part = client.get("/api/tensors", params={"artifact": model.id, "text": "query", "offset": 1, "limit": 1}).json()
    assert [one["name"] for one in part["tensors"]] == ["blocks.1.attention.query"]
    assert part["total"] == 2


def test_statistics_of_a_tensor_are_numpys(client: TestClient, shelf: Shelf):
    model = shelf.model()
    name = "blocks.0.attention.query"
    told = client.get("/api/tensors/statistics", params={"artifact": model.id, "name": name, "bins": 8}).json()
    exact = load_file(model.folder / "model.safetensors")[name].astype(np.float64)
    assert told["mean"] == pytest.approx(exact.mean())
    assert told["deviation"] == pytest.approx(exact.std())
    assert told["counts"] == np.histogram(exact, 8)[0].tolist()
    assert (told["least"], told["largest"]) == (exact.min(), exact.max())


def test_numbers_that_are_not_finite_are_told_and_are_no_fault(client: TestClient, shelf: Shelf, tmp_path: Path):
    save_file({"a": np.array([1.0, np.nan, np.inf])}, tmp_path / "x")
    artifact = shelf.publish("model", files={"model.safetensors": (tmp_path / "x").read_bytes()})
    told = client.get("/api/tensors/statistics", params={"artifact": artifact.id, "name": "a"}).json()
    assert (told["not_finite"], told["mean"]) == (2, 1.0)
    pair = {"first": {"artifact": artifact.id}, "second": {"artifact": artifact.id}}
    told = client.post("/api/tensors/difference", json=pair).json()
    assert (told["norm"], told["tensors"][0]["changed"]) == (None, 0)  # inf - inf can't be said


def test_two_models_differ_as_much_as_numpy_says(client: TestClient, shelf: Shelf):
    first, second = shelf.model(seed=1), shelf.model(seed=2)
    pair = {"first": {"artifact": first.id}, "second": {"artifact": second.id}}
    told = client.post("/api/tensors/difference", json=pair).json()
    before, after = (load_file(one.folder / "model.safetensors") for one in (first, second))
    for one in told["tensors"]:
        x, y = before[one["name"]].astype(np.float64), after[one["name"]].astype(np.float64)
        assert one["norm"] == pytest.approx(np.linalg.norm(x - y))
        assert one["cosine"] == pytest.approx(float((x * y).sum() / np.linalg.norm(x) / np.linalg.norm(y)))
        assert abs((y - x)[tuple(one["at"])]) == pytest.approx(one["largest"])
    assert told["norm"] == pytest.approx(np.sqrt(sum(one["norm"] ** 2 for one in told["tensors"])))
    bigger = shelf.model(spec=TINY.replace(layers=3))
    told = client.post("/api/tensors/difference", json={**pair, "second": {"artifact": bigger.id}}).json()
    assert all(name.startswith("blocks.2.") for name in told["added"])
    assert told["removed"] == []


def test_the_checkpoints_of_a_run_are_listed_looked_into_and_compared(client: TestClient, shelf: Shelf):
    run = shelf.run("member", "pretrain")
    weights = {"a": np.arange(4, dtype=np.float32), "b": np.ones((2, 2), np.float32)}
    save_checkpoint(run, 100, weights, 2.5)
    save_checkpoint(run, 200, {**weights, "a": weights["a"] * 2})
    told = client.get(f"/api/runs/{run.id}/checkpoints").json()
    assert [(one["step"], one["validation_loss"], one["problem"]) for one in told] == [
        (100, 2.5, None),
        (200, None, None),
    ]
    assert told[0]["files"] == ["optimizer.safetensors", "weights.safetensors"]
    query: dict[str, Any] = {"run": run.id, "step": 100}
    assert [one["name"] for one in client.get("/api/tensors", params=query).json()["tensors"]] == ["a", "b"]
    optimizer = client.get("/api/tensors", params={**query, "file": "optimizer.safetensors"}).json()
    assert [one["name"] for one in optimizer["tensors"]] == ["m"]
    pair = {"first": query, "second": {**query, "step": 200}}
    found = client.post("/api/tensors/difference", json=pair).json()
    assert {one["name"]: one["changed"] for one in found["tensors"]} == {"a": 3, "b": 0}
    assert client.get("/api/tensors", params={**query, "step": 300}).status_code == 404


def test_a_damaged_checkpoint_is_listed_as_damaged(client: TestClient, shelf: Shelf):
    run = shelf.run("member", "pretrain")
    folder = step_folder(run.checkpoints, 5)
    folder.mkdir(parents=True)
    (folder / "weights.safetensors").write_bytes(b"short")
    assert "no state.json" in client.get(f"/api/runs/{run.id}/checkpoints").json()[0]["problem"]
    (folder / "state.json").write_text("{}")
    assert "cannot be read" in client.get(f"/api/runs/{run.id}/checkpoints").json()[0]["problem"]
    answer = client.get("/api/tensors", params={"run": run.id, "step": 5})
    assert answer.status_code == 422
    assert str(shelf.workspace.folder) not in answer.text


def test_what_is_to_be_looked_into_is_named_once(client: TestClient):
    for query in [
        {},
        {"artifact": "x", "run": "y"},
        {"artifact": "x", "run": "y", "step": 1},
        {"run": "y"},
        {"step": 3},
        {"run": "y", "step": -1},
        {"run": "y", "step": 10**30},
    ]:
        assert client.get("/api/tensors", params=query).status_code == 422


def test_only_files_of_tensors_are_looked_into(client: TestClient, shelf: Shelf):
    model = shelf.model()
    for file in ["spec.json", "../1/model.safetensors", "/etc/passwd", "manifest.json"]:
        assert client.get("/api/tensors", params={"artifact": model.id, "file": file}).status_code == 404


def test_of_several_files_one_has_to_be_named_and_of_none_there_is_none(
    client: TestClient, shelf: Shelf, tmp_path: Path
):
    save_file({"a": np.ones(2)}, tmp_path / "x")
    content = (tmp_path / "x").read_bytes()
    several = shelf.publish("adapter", files={"one.safetensors": content, "two.safetensors": content})
    answer = client.get("/api/tensors", params={"artifact": several.id})
    assert (answer.status_code, "one.safetensors, two.safetensors" in answer.json()["remedy"]) == (422, True)
    assert client.get("/api/tensors", params={"artifact": shelf.publish().id}).status_code == 422
    unknown = client.get(
        "/api/tensors/statistics", params={"artifact": several.id, "file": "one.safetensors", "name": "?"}
    )
    assert unknown.status_code == 422


def test_what_would_take_too_long_to_read_is_refused(client: TestClient, shelf: Shelf, monkeypatch: pytest.MonkeyPatch):
    model = shelf.model()
    monkeypatch.setattr(routes, "LARGEST", 10)
    pair = {"first": {"artifact": model.id}, "second": {"artifact": model.id}}
    assert client.post("/api/tensors/difference", json=pair).status_code == 413


def test_neither_models_nor_checkpoints_of_others_can_be_compared_with(people: People, shelf: Shelf):
    mine, theirs = shelf.model(), shelf.model("another")
    run = shelf.run("another", "pretrain")
    save_checkpoint(run, 1, {"a": np.ones(1, np.float32)})
    client = people.client("member")
    for hidden in ({"artifact": theirs.id}, {"run": run.id, "step": 1}):
        for pair in (
            {"first": {"artifact": mine.id}, "second": hidden},
            {"first": hidden, "second": {"artifact": mine.id}},
        ):
            assert client.post("/api/tensors/difference", json=pair).status_code == 404
        assert client.get("/api/tensors", params=hidden).status_code == 404
        assert client.get("/api/tensors/statistics", params={**hidden, "name": "a"}).status_code == 404
    assert client.get(f"/api/runs/{run.id}/checkpoints").status_code == 404
