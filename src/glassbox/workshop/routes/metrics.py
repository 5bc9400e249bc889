"""What Prometheus scrapes."""

from __future__ import annotations

from fastapi import Response

from glassbox.workshop.access.guards import allows
from glassbox.workshop.metrics import CONTENT_TYPE
from glassbox.workshop.router import Router
from glassbox.workshop.state import CurrentWorkshop

router = Router(tags=["Health"])


@router.get(
    "/metrics",
    summary="Counts and times, for Prometheus",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
@allows("owner")
def get_metrics(workshop: CurrentWorkshop) -> Response:
    """For owners, also on one's own machine: it tells the names of models and how much they are asked. Prometheus sends
    an owner's key: `authorization: {credentials: KEY}`."""
    return Response(workshop.metrics.text(), headers={"Content-Type": CONTENT_TYPE})
