"""Runs the application: one process, one port."""

from __future__ import annotations

import socket
from collections.abc import Callable

import uvicorn

from glassbox.errors import BadInput
from glassbox.workshop.app import create_app
from glassbox.workshop.logs import log_to_standard_error
from glassbox.workshop.settings import WorkshopSettings
from glassbox.workshop.state import Workshop

_SHUT_DOWN_WITHIN = 5  # seconds for answers that are being given


def serve(settings: WorkshopSettings, ready: Callable[[Workshop, str], None], *, log_level: str = "warning") -> None:
    """Serve until SIGINT or SIGTERM. ready: told the address once connections are taken.

    Raises BadInput if the port is taken or the workshop cannot be opened.
    """
    log_to_standard_error(log_level)
    listening = _listen(settings.host, settings.port)
    app = create_app(settings)
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    address = f"http://{host}:{listening.getsockname()[1]}"
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_SHUT_DOWN_WITHIN,
        ws_max_size=64 * 1024,
        h11_max_incomplete_event_size=64 * 1024,
    )
    ready(app.state.workshop, address)
    uvicorn.Server(config).run(sockets=[listening])


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
