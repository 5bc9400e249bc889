"""How a workshop is set up: where it keeps things, whom it answers, what it may use."""

from __future__ import annotations

import ipaddress
import os
import socket
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

DATABASE_VARIABLE = "GLASSBOX_DATABASE_URL"


class WorkshopSettings(BaseModel):
    """Everything that is decided before the workshop starts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    workspace: Path = Field(description="The folder of artifacts and runs.")
    database_url: str | None = Field(None, description="PostgreSQL's address; None keeps records in the workspace.")
    host: str = Field("127.0.0.1", description="The address that it listens on.")
    port: int = Field(8000, ge=0, le=65535, description="The port; 0 takes any free one.")
    names: tuple[str, ...] = Field((), description="Host names, beside this machine's own, that it answers to.")
    people: Literal["one", "many"] = Field("one", description="one: whoever sits here; many: accounts with passwords.")
    threads: int = Field(default_factory=lambda: os.cpu_count() or 1, ge=1, description="CPU threads for runs.")
    memory: int | None = Field(None, ge=1, description="Bytes for runs; None takes what the machine has.")
    gpus: int = Field(0, ge=0, description="GPUs for runs.")
    ray_address: str | None = Field(None, description="A Ray cluster's dashboard; None starts one here when needed.")

    @property
    def is_loopback(self) -> bool:
        """Can only this machine reach it?"""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def address_of(host: str, port: int) -> str:
    """What to write into a browser. Where every address of the machine is listened on, its name stands for them."""
    if host in ("0.0.0.0", "::"):
        host = socket.gethostname()
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
