"""Runs the application: one process, one port."""

from __future__ import annotations

import socket
from collections.abc import Callable

import uvicorn

from glassbox.errors import BadInput
from glassbox.workshop.app import create_app
from glassbox.workshop.garbage import making_what_stays
from glassbox.workshop.logs import log_to_standard_error
from glassbox.workshop.settings import WorkshopSettings, address_of
from glassbox.workshop.state import Workshop

_SHUT_DOWN_WITHIN = 5  # seconds for answers that are being given


def serve(settings: WorkshopSettings, ready: Callable[[Workshop, str], None], *, log_level: str = "warning") -> None:
    """Serve until SIGINT or SIGTERM. ready: told the address once connections are taken.

    Raises BadInput if the port is taken or the workshop cannot be opened.
    """
    log_to_standard_error(log_level)
    listening = _listen(settings.host, settings.port)
    with making_what_stays():
        app = create_app(settings)
    address = address_of(settings.host, listening.getsockname()[1])
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_SHUT_DOWN_WITHIN,
        ws_max_size=64 * 1024,
        h11_max_incomplete_event_size=64 * 1024,
    )
    _Server(config, lambda: ready(app.state.workshop, address)).run(sockets=[listening])


class _Server(uvicorn.Server):
    """Tells when it has begun to answer: not before, so that an address is never told of what then fails."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if not self.should_exit:
            self._ready()


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(2048)
    except (OSError, OverflowError) as error:
        listening.close()
        raise BadInput(
            f"The workshop cannot listen on {host}, port {port}: {getattr(error, 'strerror', None) or error}.",
            "Choose another with --port (0 takes any free one) or --host, or stop the one that is there.",
        ) from error
    return listening
