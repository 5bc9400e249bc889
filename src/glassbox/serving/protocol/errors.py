"""Errors as OpenAI's API gives them: `{"error": {"message", "type", "param", "code"}}` with a status code."""

from __future__ import annotations

from pydantic import BaseModel, ValidationError

from glassbox.errors import BadInput
from glassbox.workspace.names import shown

LONGEST_MESSAGE = 1000
_TYPES = ("str", "int", "float", "bool")


class ErrorDetail(BaseModel):
    """message: what is wrong and what to do. param: the field that it is about. code: a word for programs."""

    message: str
    type: str
    param: str | None = None
    code: str | None = None


class ErrorBody(BaseModel):
    error: ErrorDetail


class ApiError(Exception):
    """An answer that isn't one. retry_after: seconds after which it may go better."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        type: str = "invalid_request_error",
        param: str | None = None,
        code: str | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.body = ErrorBody(error=ErrorDetail(message=message, type=type, param=param, code=code))
        self.headers = {} if retry_after is None else {"retry-after": str(retry_after)}


def from_bad_input(error: BadInput, *, param: str | None = None, code: str | None = None) -> ApiError:
    """What a person can put right: 400."""
    return ApiError(400, f"{error.problem} {error.remedy}", param=param, code=code)


def shutting_down(error: Exception) -> ApiError:
    """What came too late: 503."""
    return ApiError(503, f"{error} Ask another server.", type="server_error", code="shutting_down")


def from_validation(error: ValidationError) -> ApiError:
    """The first thing that is wrong with a request's body: 400, naming the field."""
    first = error.errors(include_url=False, include_context=False)[0]
    param = _field(first["loc"])
    if first["type"] == "json_invalid":
        return ApiError(400, f"The body isn't JSON: {first['msg']}.", code="invalid_json")
    if first["type"] == "extra_forbidden":
        return ApiError(
            400, f"There is no field called {shown(param or '')}. Leave it out.", param=param, code="unknown_parameter"
        )
    if first["type"] == "unsupported":
        message = f"This server doesn't support {param} with this value. Leave it out."
        return ApiError(400, message, param=param, code="unsupported_parameter")
    if first["type"] == "missing":
        return ApiError(400, f"The field {param} is missing.", param=param, code="missing_required_parameter")
    came = repr(first["input"])
    came = came if len(came) <= 100 else f"{came[:100]}…"
    said = f"{first['msg'][:1].lower()}{first['msg'][1:]}"
    message = f"{param or 'The body'}: {said}; {came} came."[:LONGEST_MESSAGE]
    return ApiError(400, message, param=param, code="invalid_value")


def _field(place: tuple[str | int, ...]) -> str | None:
    """The field that an error is about, `messages.0.content`, without the names that pydantic gives to alternatives."""
    names = [str(part) for part in place[:1]]
    names += [str(part) for part in place[1:] if isinstance(part, int) or (part.isidentifier() and part not in _TYPES)]
    return ".".join(names) or None
