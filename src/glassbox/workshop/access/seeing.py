"""The workspace as the one who asks sees it, for the parameters of endpoints."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends

from glassbox.workshop.access.guards import CurrentActor
from glassbox.workshop.state import CurrentWorkshop
from glassbox.workshop.visible import Visible


async def _visible(workshop: CurrentWorkshop, actor: CurrentActor) -> Visible:
    return Visible(workshop.workspace, workshop.database, actor)


Seen = Annotated[Visible, Depends(_visible)]
