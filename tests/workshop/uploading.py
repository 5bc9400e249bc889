"""Brings a text as somebody's browser does."""

from __future__ import annotations

from fastapi.testclient import TestClient


def brought(client: TestClient, content: bytes) -> str:
    """The id of the upload `tales.jsonl`, whole."""
    described = {"Upload-Length": str(len(content)), "Upload-Metadata": "filename dGFsZXMuanNvbmw="}  # tales.jsonl
    place = client.post("/api/uploads", headers=described).headers["Location"]
    headers = {"Content-Type": "application/offset+octet-stream", "Upload-Offset": "0"}
    assert client.patch(place, content=content, headers=headers).status_code == 204
    return place.rpartition("/")[2]
