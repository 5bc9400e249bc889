"""Under /v1 everything that goes wrong is told in OpenAI's shape, whoever finds it: clients expect no other."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from http import HTTPStatus
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from glassbox.errors import BadInput
from glassbox.serving.protocol.errors import ApiError, from_bad_input, from_validation
from glassbox.workshop.database.database import DatabaseAway
from glassbox.workshop.problems import Problem
from glassbox.workshop.requests import request_id

_log = logging.getLogger("glassbox.workshop.models")
_CODES = {
    HTTPStatus.UNAUTHORIZED: "invalid_api_key",
    HTTPStatus.FORBIDDEN: "not_allowed",
    HTTPStatus.NOT_FOUND: "not_found",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "request_too_large",
}


class OpenAiRoute(APIRoute):
    """A route whose guard, body and endpoint are refused in OpenAI's words."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()
        body = None if self.body_field is None else self.body_field.field_info.annotation

        async def answer(request: Request) -> Response:
            try:
                return await handler(request)
            except ApiError as error:
                return told(error)
            except RequestValidationError:
                return told(await _invalid(request, body))
            except (Problem, BadInput, DatabaseAway, HTTPException) as error:
                return told(as_api_error(error))
            except Exception as error:
                _log.exception("fault: %s", type(error).__name__)
                return told(_fault())

        return answer


def told(error: ApiError) -> Response:
    """An error as an answer."""
    return JSONResponse(error.body.model_dump(), error.status, error.headers)


def as_api_error(error: Problem | BadInput | DatabaseAway | HTTPException) -> ApiError:
    """What the workshop refuses, in OpenAI's shape."""
    if isinstance(error, BadInput):
        return from_bad_input(error)
    if isinstance(error, DatabaseAway):
        message = "The workshop's database doesn't answer at the moment. Try again in a few seconds."
        return ApiError(503, message, type="server_error", code="database_away", retry_after=2)
    if isinstance(error, HTTPException):
        limit = " The body is too large. Send less at once." if error.status_code == 413 else ""
        message = f"{HTTPStatus(error.status_code).phrase}.{limit}"
        return ApiError(error.status_code, message, code=_CODES.get(HTTPStatus(error.status_code)))
    kind = "server_error" if error.status >= 500 else "invalid_request_error"
    told = ApiError(error.status, f"{error.detail} {error.remedy}", type=kind, code=_CODES.get(error.status))
    told.headers |= error.headers
    return told


async def _invalid(request: Request, body: Any) -> ApiError:
    """What is wrong with a request, in the words of the process that it was meant for."""
    if isinstance(body, type) and issubclass(body, BaseModel):
        try:
            body.model_validate_json(await request.body())
        except ValidationError as error:
            return from_validation(error)
    return ApiError(400, "The request cannot be read. Send JSON, as application/json.", code="invalid_request")


def _fault() -> ApiError:
    message = f"Something went wrong inside the workshop. Its log tells more under {request_id()}."
    return ApiError(500, message, type="server_error", code="fault")
