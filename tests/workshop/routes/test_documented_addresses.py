"""docs/api.md names requests that there are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from fastapi import FastAPI

pytestmark = pytest.mark.one_database

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "api.md"


def test_every_request_in_the_document_is_in_the_api(app: FastAPI):
    named = re.findall(r"`(GET|POST|PUT|DELETE) (/\S+)`", DOCUMENT.read_text(encoding="utf-8"))
    there = {(method.upper(), path) for path, methods in app.openapi()["paths"].items() for method in methods}
    assert len(named) > 40
    assert [request for request in named if request not in there] == []


def test_every_endpoint_says_what_it_does_and_every_number_has_a_bound(app: FastAPI):
    """Of the requests in the document: a summary, a description, and no list or text without an end."""
    document = DOCUMENT.read_text(encoding="utf-8")
    for path, methods in app.openapi()["paths"].items():
        for method, operation in methods.items():
            if f"`{method.upper()} {path}`" not in document:
                continue
            assert operation.get("summary") and operation.get("description"), (method, path)
            assert "200" in operation["responses"] or "201" in operation["responses"] or "204" in operation["responses"]
            for parameter in operation.get("parameters", []):
                schema = parameter["schema"]
                for one in schema.get("anyOf", [schema]):
                    if one.get("type") == "string" and "enum" not in one:
                        assert "maxLength" in one, (method, path, parameter["name"])
                    if one.get("type") in ("integer", "number"):
                        assert {"maximum", "exclusiveMaximum"} & one.keys(), (method, path, parameter["name"])
