"""The gateway: a keeper for each deployment, the connections to their processes, quotas and usage."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import AsyncGenerator
from pathlib import Path

import httpx
from prometheus_client import CollectorRegistry

from glassbox.workshop.database import Database
from glassbox.workshop.gateway.commands import check_engine
from glassbox.workshop.gateway.deployments import Deployment, Deployments, Setup
from glassbox.workshop.gateway.keeper import Condition, Keeper
from glassbox.workshop.gateway.model_metrics import ModelMetrics
from glassbox.workshop.gateway.quotas import Quotas
from glassbox.workshop.gateway.target import Patience, Target
from glassbox.workshop.gateway.usage import Entry, UsageLog
from glassbox.workshop.gateway.vllm_process import forget_export
from glassbox.workshop.visible import Visible
from glassbox.workspace import Artifact, Workspace

_TIMEOUT = httpx.Timeout(600, connect=5)
"""Seconds: a long answer that isn't streamed comes in one piece; whether its process lives is seen by its keeper."""
_LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=64, keepalive_expiry=3)
"""A connection isn't used again shortly before its process, after 5 seconds, closes it."""


class Gateway:
    """Begins with `start`; `connected` is for as long as requests are answered; `stop` ends all processes.

    registry: where models are counted.
    """

    def __init__(self, database: Database, workspace: Workspace, registry: CollectorRegistry) -> None:
        self.deployments = Deployments(database)
        self.quotas = Quotas(database)
        self.usage = UsageLog(database)
        self._workspace = workspace
        self.patience = Patience()
        self._keepers: dict[str, Keeper] = {}
        self._lock = threading.Lock()
        self._client: httpx.AsyncClient | None = None
        self._metrics = ModelMetrics(registry, self.conditions)

    def start(self) -> None:
        """Serve what was served: at once what never sleeps, the rest when it is asked for."""
        self.usage.start()
        for deployment in self.deployments.all():
            self._keeper(deployment)

    def stop(self) -> None:
        """End all processes, and write down what is left of the usage."""
        with self._lock:
            keepers = list(self._keepers.values())
            self._keepers.clear()
        for keeper in keepers:
            keeper.begin_to_close()
        for keeper in keepers:
            keeper.close()
        self.usage.close()

    @contextlib.asynccontextmanager
    async def connected(self) -> AsyncGenerator[None]:
        """The pool of connections to the processes."""
        async with httpx.AsyncClient(timeout=_TIMEOUT, limits=_LIMITS, trust_env=False) as client:
            self._client = client
            try:
                yield
            finally:
                self._client = None

    @property
    def client(self) -> httpx.AsyncClient:
        assert self._client is not None, "requests are answered between the application's start and its end"
        return self._client

    # What a person does

    def deploy(self, user: str, name: str, model: Artifact, setup: Setup) -> Deployment:
        """Serve a model under a public name, beginning now, so that it is soon known whether it can be.

        Raises BadInput for an engine that isn't installed, Conflict if the name is taken.
        """
        check_engine(setup.engine)
        deployment = self.deployments.add(user, name, model, setup)
        self._keeper(deployment).want(deployment.target())
        return deployment

    def go_on(self, deployment: Deployment) -> Deployment:
        """Start it, or try again what has failed; nothing if it answers already."""
        wanted = self.deployments.want(deployment.id, "running")
        keeper = self._keeper(wanted)
        if keeper.condition().state not in ("ready", "starting"):
            keeper.want(wanted.target())
        return wanted

    def halt(self, deployment: Deployment) -> Deployment:
        """Stop it, until somebody starts it."""
        wanted = self.deployments.want(deployment.id, "stopped")
        self._keeper(wanted).want(None)
        return wanted

    def update(self, deployment: Deployment, model: Artifact, user: str) -> Deployment:
        """Serve another model under the same name. What answers goes on until the new one does."""
        changed = self.deployments.add_version(deployment.id, model, user)
        return self.change_version(changed, changed.versions[0].number)

    def change_version(self, deployment: Deployment, number: int) -> Deployment:
        """Serve another of its versions. Raises NotFound for one that there never was."""
        target = deployment.target(number)
        if deployment.wanted == "stopped":
            self.deployments.switch(deployment.id, number, None)
            return self.deployments.get(deployment.id)
        self._keeper(deployment).want(target)
        return deployment

    def delete(self, deployment: Deployment) -> None:
        """End it for good."""
        with self._lock:
            keeper = self._keepers.pop(deployment.id, None)
        self.deployments.delete(deployment.id)
        if keeper is not None:
            keeper.close()
        still = self.deployments.artifacts()
        for artifact in {version.artifact for version in deployment.versions} - still:
            forget_export(self._workspace, artifact)

    # What requests need

    def reach(self, name: str, seen: Visible) -> Keeper | None:
        """Who looks after the deployment of that name; None if it is stopped.

        Raises NotFound if there is none, or none that this person sees.
        """
        identity, wanted = self.deployments.asked_for(name, seen)
        if wanted == "stopped":
            return None
        keeper = self._keepers.get(identity)
        if keeper is None or keeper.target is None:
            return self.keeper(self.deployments.get(identity))
        return keeper

    def keeper(self, deployment: Deployment) -> Keeper:
        """Who looks after it. A deployment that another workshop on this database has stopped is stopped here too."""
        keeper = self._keeper(deployment)
        if (deployment.wanted == "stopped") != (keeper.target is None):
            keeper.want(None if deployment.wanted == "stopped" else deployment.target(), start=False)
        return keeper

    def condition(self, deployment: Deployment) -> Condition:
        """How it is."""
        return self.keeper(deployment).condition()

    def conditions(self) -> list[tuple[str, Condition]]:
        """The name of each one, and how it is."""
        return [(one.name, self.condition(one)) for one in self.deployments.all()]

    def note(self, entry: Entry) -> None:
        """A request has ended."""
        self.usage.note(entry)
        self.quotas.note(entry)
        self._metrics.request(entry)

    def _keeper(self, deployment: Deployment) -> Keeper:
        with self._lock:
            keeper = self._keepers.get(deployment.id)
            if keeper is None:
                target = deployment.target() if deployment.wanted == "running" else None
                folder: Path = self._workspace.folder
                keeper = self._keepers[deployment.id] = Keeper(target, folder, _Notes(self.deployments), self.patience)
            return keeper


class _Notes:
    """What keepers write down."""

    def __init__(self, deployments: Deployments) -> None:
        self._deployments = deployments

    def answers(self, target: Target, card: str | None) -> None:
        self._deployments.switch(target.deployment, target.version, card)

    def refused(self, target: Target, problem: str) -> None:
        self._deployments.refuse(target.deployment, target.version, problem)
