"""All launchers by their names, as a server uses them."""

from __future__ import annotations

import os
from pathlib import Path

from glassbox.errors import BadInput
from glassbox.workshop.jobs.launchers.interface import Launcher
from glassbox.workshop.jobs.launchers.local import LocalLauncher
from glassbox.workshop.jobs.launchers.ray import RayLauncher
from glassbox.workshop.jobs.launchers.ray_cluster import LocalRayCluster, RayCluster, RemoteRayCluster
from glassbox.workshop.jobs.launchers.torchrun import TorchrunLauncher


def all_launchers(workspace: Path, *, cpus: int, gpus: int, ray_address: str | None = None) -> dict[str, Launcher]:
    """local, torchrun and ray.

    cpus, gpus: what a Ray cluster of this machine may give to runs; it is started with the first of them.
    ray_address: of another cluster's dashboard, whose token stands where Ray itself looks for it: in RAY_AUTH_TOKEN or
    in the file that RAY_AUTH_TOKEN_PATH names.

    Raises BadInput for an address that is none, and a token that cannot be read.
    """
    cluster: RayCluster
    if ray_address is None:
        cluster = LocalRayCluster(workspace / "ray", cpus=cpus, gpus=gpus)
    else:
        cluster = RemoteRayCluster(ray_address, _token())
    launchers: list[Launcher] = [LocalLauncher(), TorchrunLauncher(), RayLauncher(cluster)]
    return {launcher.name: launcher for launcher in launchers}


def _token() -> str | None:
    if token := os.environ.get("RAY_AUTH_TOKEN"):
        return token
    if path := os.environ.get("RAY_AUTH_TOKEN_PATH"):
        try:
            return Path(path).read_text().strip()
        except OSError as error:
            raise BadInput(
                f"The token of the Ray cluster can't be read from {path}: {error.strerror}.",
                "Mend RAY_AUTH_TOKEN_PATH, or give the token in RAY_AUTH_TOKEN.",
            ) from error
    return None
