"""What the handlers of requests share: one `Workshop` for each app."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends
from fastapi.requests import HTTPConnection

from glassbox.errors import BadInput
from glassbox.workshop.accounts.audit import Audit
from glassbox.workshop.accounts.keys import ApiKeys
from glassbox.workshop.accounts.links import Links
from glassbox.workshop.accounts.login import Login
from glassbox.workshop.accounts.login_limits import LoginLimits
from glassbox.workshop.accounts.sessions import Sessions
from glassbox.workshop.accounts.users import Users
from glassbox.workshop.database import Database
from glassbox.workshop.gateway.gateway import Gateway
from glassbox.workshop.jobs.executor import Executor
from glassbox.workshop.jobs.launchers.catalogue import all_launchers
from glassbox.workshop.jobs.scheduler import Scheduler
from glassbox.workshop.jobs.slots import Slots, gpu_numbers, machine_memory
from glassbox.workshop.live.run_curves import RunCurves
from glassbox.workshop.live.watching import Watching
from glassbox.workshop.metrics import Metrics
from glassbox.workshop.resources import Resources
from glassbox.workshop.settings import DATABASE_VARIABLE, WorkshopSettings
from glassbox.workshop.tokenizer_cache import TokenizerCache
from glassbox.workshop.turns import Turns
from glassbox.workshop.uploads.uploads import Uploads
from glassbox.workspace import Workspace


class Workshop:
    """Opens the workspace and the database; `start` begins to work off the queue, `stop` ends that.

    Raises BadInput if something cannot be opened, or if others could reach a workshop that has no owner.
    """

    def __init__(self, settings: WorkshopSettings) -> None:
        self.settings = settings
        self.workspace = Workspace(settings.workspace)
        url = settings.database_url
        self.database = Database.in_folder(self.workspace.folder) if url is None else Database(url)
        self.users = Users(self.database)
        self.sessions = Sessions(self.database)
        self.login = Login(self.users, LoginLimits(self.database))
        self.keys = ApiKeys(self.database)
        self.links = Links(self.database)
        self.audit = Audit(self.database)
        self.metrics = Metrics()
        self.metrics.watch_jobs(self.database)
        self.gateway = Gateway(self.database, self.workspace, self.metrics.registry)
        self.watching = Watching()
        self.run_curves = RunCurves()
        self.tokenizers = TokenizerCache()
        self.uploads = Uploads(self.workspace.folder / "uploads", self.database)
        self.turns = Turns(at_once=max(1, settings.threads // 2))
        self.resources = Resources(self.workspace.folder)
        slots = Slots(settings.threads, settings.memory or machine_memory(), gpu_numbers(settings.gpus))
        launchers = all_launchers(
            self.workspace.folder, cpus=slots.threads, gpus=len(slots.gpus), ray_address=settings.ray_address
        )
        self.executor = Executor(self.workspace, self.database, launchers, slots)
        self.scheduler = Scheduler(self.executor)
        if settings.people == "one":
            if not settings.is_loopback:
                raise BadInput(
                    f"{settings.host} can be reached by others, and this workshop has no accounts.",
                    "Start it with --people many, once there is an owner: glassbox accounts add NAME --role owner.",
                )
            self.users.local()
        elif not self.users.has_owner():
            raise BadInput(
                "A workshop for many people needs an owner who can log in, and there is none.",
                f"Make one first: glassbox accounts add NAME --role owner (with the same ${DATABASE_VARIABLE}).",
            )

    def start(self) -> None:
        """Begin to look after runs and models."""
        self.scheduler.start()
        self.gateway.start()
        self.uploads.start()
        self.resources.start()

    def stop(self) -> None:
        """Let go of everything; runs go on by themselves, the processes of models end."""
        self.scheduler.stop()
        self.gateway.stop()
        self.uploads.stop()
        self.resources.stop()
        self.database.close()


def workshop_of(connection: HTTPConnection) -> Workshop:
    """The workshop of the app that answers."""
    return connection.app.state.workshop


async def _current(connection: HTTPConnection) -> Workshop:
    """Async, as every dependency that waits for nothing: FastAPI would send it to another thread otherwise."""
    return workshop_of(connection)


CurrentWorkshop = Annotated[Workshop, Depends(_current)]
"""For the parameters of endpoints."""
