"""Every operation of the API, asked with what its description allows and with what it doesn't: no fault, no surprise.

More by hand:  GLASSBOX_SCHEMA_EXAMPLES=50 python -m pytest tests/workshop/test_schemathesis.py
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from http import HTTPStatus
from pathlib import Path

import pytest
import schemathesis
from access_examples import PARAMETERS
from fastapi import FastAPI
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from people import ADDRESS, People
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)

from glassbox.workshop.access.guards import SESSION_COOKIE
from glassbox.workshop.accounts.actor import Role
from glassbox.workshop.app import create_app
from glassbox.workshop.gateway.deployments import MOST
from glassbox.workshop.settings import WorkshopSettings

EXAMPLES = int(os.environ.get("GLASSBOX_SCHEMA_EXAMPLES", "2"))
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
MODES = schemathesis.GenerationMode


@schemathesis.serializer("application/offset+octet-stream")
def _as_it_is(_context: schemathesis.SerializationContext, value: object) -> dict[str, object]:
    return {"data": value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")}


@pytest.fixture
def app(own_workspace: Path, database_url: str | None) -> Iterator[FastAPI]:
    """A workshop in which only the machine is looked at: runs wait, and no model is served."""
    made = create_app(WorkshopSettings(workspace=own_workspace, database_url=database_url))
    made.state.workshop.resources.start()
    yield made
    made.state.workshop.stop()


class Browser:
    """Logs in again when an example has logged it out, shut it out or taken its role."""

    def __init__(self, app: FastAPI, role: Role) -> None:
        self.people, self.role, self.sent = People(app), role, 0
        self.client = TestClient(app, base_url=ADDRESS, raise_server_exceptions=False)

    def something_real(self, parameters: Iterable[str]) -> dict[str, str]:
        """Something of the member's for each parameter of a path that has a name for it."""
        gateway = self.people.workshop.gateway
        if len(deployed := gateway.deployments.all()) > MOST // 2:  # there may be so many, and each example makes one
            for deployment in deployed:
                gateway.delete(deployment)
        return {name: PARAMETERS[name](self.people) for name in parameters if name in PARAMETERS}

    def send(self, case: schemathesis.Case) -> schemathesis.Response:
        workshop, user = self.people.workshop, self.people.user(self.role)
        workshop.users.enable(user.id)
        workshop.users.set_role(user.id, self.role)
        self.client.cookies.set(SESSION_COOKIE, workshop.sessions.open(user.id, "schemathesis"))
        arguments = case.as_transport_kwargs(base_url=ADDRESS)
        arguments.pop("cookies", None)
        answer = self.client.request(**arguments, follow_redirects=False)
        self.sent += 1
        return schemathesis.Response.from_any(answer)


@pytest.mark.slow
@pytest.mark.parametrize("role", ["owner", "member"])
@pytest.mark.parametrize("mode", [MODES.POSITIVE, MODES.NEGATIVE], ids=["allowed", "forbidden"])
def test_no_request_that_the_description_allows_or_forbids_surprises_the_workshop(
    app: FastAPI, role: Role, mode: schemathesis.GenerationMode
):
    browser, complaints = Browser(app, role), []
    schema = schemathesis.openapi.from_dict(app.openapi())
    for operation in (found.ok() for found in schema.get_all_operations()):
        try:
            _try_examples(browser, operation, mode)
        except (Exception, FailureGroup) as error:  # every operation is tried, whatever is wrong with one
            complaints.append(f"{operation.label}: {type(error).__name__}: {str(error)[:1500]}")
    print(f"{browser.sent} requests")
    assert complaints == [], "\n\n".join(complaints)


def _try_examples(browser: Browser, operation: schemathesis.APIOperation, mode: schemathesis.GenerationMode) -> None:
    @seed(1)
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(operation.as_strategy(generation_mode=mode), st.booleans())
    def try_one(case: schemathesis.Case, about_something_real: bool) -> None:
        if about_something_real and mode is MODES.POSITIVE:
            case.path_parameters.update(browser.something_real(case.path_parameters))
        answer = browser.send(case)
        is_unread = answer.status_code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE
        is_about_mistakes = operation.path.endswith("/validate")  # answers 200, and says what is wrong
        rejects = mode is MODES.NEGATIVE and not is_unread and not is_about_mistakes
        checks = [*CHECKS, negative_data_rejection] if rejects else CHECKS
        case.validate_response(answer, checks=checks)

    try_one()
