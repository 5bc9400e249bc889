"""The application: doors, guard, routes. `create_app` makes it, uvicorn serves it (`serve.py`).

Every route is in `ROUTERS`, every one of them stands behind the guard, and the documents at `/openapi.json` and `/docs`
are routes like any other.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator

from fastapi import Depends, FastAPI
from fastapi.routing import APIRoute
from starlette.middleware.gzip import GZipMiddleware

import glassbox
from glassbox.workshop.access.doors import Doors
from glassbox.workshop.access.guards import guard
from glassbox.workshop.access.headers import SecurityHeaders
from glassbox.workshop.access.noting import Noting
from glassbox.workshop.access.sizes import Sizes
from glassbox.workshop.measuring import Measuring
from glassbox.workshop.problems import Faults, ProblemDetails, tell_problems
from glassbox.workshop.requests import Requests
from glassbox.workshop.routes import (
    artifact_files,
    artifacts,
    audit,
    comparison,
    corpora,
    deployments,
    documentation,
    downloads,
    engines,
    health,
    keys,
    lineage,
    live,
    metrics,
    openai,
    own_specs,
    pages,
    people,
    prices,
    profile,
    resources,
    run_actions,
    runs,
    sessions,
    shared,
    sharing,
    specs,
    stages,
    tensors,
    tokenizer_measures,
    tokenizers,
    traces,
    uploads,
    usage,
)
from glassbox.workshop.settings import WorkshopSettings
from glassbox.workshop.state import Workshop

ROUTERS = (
    openai.router,  # first: routes are tried in this order, and models are what is asked most
    pages.router,
    documentation.router,
    health.router,
    sessions.router,
    profile.router,
    keys.router,
    people.router,
    audit.router,
    stages.router,
    runs.router,
    run_actions.router,
    live.router,
    comparison.router,
    sharing.router,
    shared.router,
    artifacts.router,
    artifact_files.router,
    lineage.router,
    tensors.router,
    uploads.router,
    corpora.router,
    downloads.router,
    tokenizers.router,
    tokenizer_measures.router,
    specs.router,
    own_specs.router,
    engines.router,
    prices.router,
    resources.router,
    deployments.router,
    metrics.router,
    traces.router,
    usage.router,
)

_PROBLEM = {"model": ProblemDetails, "description": "What was expected, what came, and what to do."}


def create_app(settings: WorkshopSettings) -> FastAPI:
    """The workshop's application. Raises BadInput if the workshop cannot be opened."""
    workshop = Workshop(settings)

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncGenerator[None]:
        workshop.start()
        try:
            async with workshop.gateway.connected():
                yield
        finally:
            workshop.stop()

    app = FastAPI(
        title="Glassbox workshop",
        summary="Build a language model from raw text to chat on one machine, and see every number in it.",
        description=documentation.DESCRIPTION,
        version=glassbox.__version__,
        lifespan=lifespan,
        dependencies=[Depends(guard)],
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        generate_unique_id_function=_operation_id,
        responses={"4XX": _PROBLEM, "5XX": _PROBLEM},
    )
    app.state.workshop = workshop
    tell_problems(app)
    for router in ROUTERS:
        app.include_router(router)
    documentation.describe(app)
    # The last one added is the first to see a request.
    app.add_middleware(Sizes)
    app.add_middleware(Faults)
    app.add_middleware(Noting, workshop=workshop)
    app.add_middleware(GZipMiddleware, minimum_size=2000, compresslevel=4)  # 9 takes five times as long, for 1 % less
    app.add_middleware(Doors, names=(*settings.names, settings.host))
    app.add_middleware(SecurityHeaders)
    app.add_middleware(Measuring, metrics=workshop.metrics)
    app.add_middleware(Requests)
    return app


def _operation_id(route: APIRoute) -> str:
    """`start_run`: the name of the function, so that generated clients read well."""
    return route.name
