"""All launchers by their names."""

from __future__ import annotations

from pathlib import Path

import pytest

from glassbox.errors import BadInput
from glassbox.workshop.jobs.launchers.catalogue import all_launchers
from glassbox.workshop.jobs.launchers.ray_cluster import RemoteRayCluster


def token_of(launchers: dict) -> str | None:
    return launchers["ray"]._cluster.ready().headers.get("authorization")


def test_there_are_three_and_none_of_them_starts_anything_by_itself(tmp_path: Path) -> None:
    launchers = all_launchers(tmp_path, cpus=2, gpus=0)
    assert [(name, launcher.name) for name, launcher in launchers.items()] == [
        (name, name) for name in ("local", "torchrun", "ray")
    ]
    for launcher in launchers.values():
        launcher.close()
    assert list(tmp_path.iterdir()) == []


def test_the_token_of_another_cluster_stands_where_ray_looks_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)

    def there() -> str | None:
        return token_of(all_launchers(tmp_path, cpus=1, gpus=0, ray_address="https://head:8265"))

    assert there() is None
    (tmp_path / "token").write_text("from-a-file\n")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "token"))
    assert there() == "Bearer from-a-file"
    monkeypatch.setenv("RAY_AUTH_TOKEN", "said-aloud")
    assert there() == "Bearer said-aloud"
    monkeypatch.delenv("RAY_AUTH_TOKEN")
    (tmp_path / "token").unlink()
    with pytest.raises(BadInput, match="token of the Ray cluster can't be read"):
        there()


def test_a_cluster_of_somebody_else_is_never_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = RemoteRayCluster("http://127.0.0.1:9")
    cluster.stop()
    assert cluster.connection() is cluster.ready()
