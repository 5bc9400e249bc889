"""How often a password may be tried. Tries are kept in the database: a restart forgets none of them.

Only tries that fail count, within a quarter of an hour:

- 10 from one address for one name: whoever mistypes gets far with that;
- 50 from one address for any names: a class behind one address does, a list of names doesn't;
- 100 for one name from anywhere: many machines together get no further than 10,000 guesses a day.

So nobody can lock a person out from one machine. Sessions and keys that are open go on.
"""

from __future__ import annotations

import ipaddress
import math
import time

from sqlalchemy import ColumnElement, delete, select

from glassbox.workshop.database import Database
from glassbox.workshop.database.tables import LoginAttemptRow
from glassbox.workshop.problems import TooMany

WINDOW = 15 * 60.0  # seconds
FROM_ONE_ADDRESS_FOR_ONE_NAME = 10
FROM_ONE_ADDRESS = 50
FOR_ONE_NAME = 100


class LoginLimits:
    """Counts tries before they are made, so that many at once don't slip through together."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def count(self, name: str, address: str) -> None:
        """Note that someone tries. Raises TooMany, which says when the next try is taken."""
        now, name, network = time.time(), name[:64], _network(address)
        by_name, by_network = LoginAttemptRow.name == name, LoginAttemptRow.address == network
        with self._database.writing() as session:
            session.execute(delete(LoginAttemptRow).where(LoginAttemptRow.time < now - WINDOW))

            def wait(which: ColumnElement[bool], limit: int) -> float:
                newest = select(LoginAttemptRow.time).where(which).order_by(LoginAttemptRow.time.desc())
                times = session.scalars(newest.limit(limit)).all()
                return times[-1] + WINDOW - now if len(times) == limit else 0.0

            seconds = max(
                wait(by_name & by_network, FROM_ONE_ADDRESS_FOR_ONE_NAME),
                wait(by_network, FROM_ONE_ADDRESS),
                wait(by_name, FOR_ONE_NAME),
            )
            if seconds <= 0:
                session.add(LoginAttemptRow(name=name, address=network, time=now))
        if seconds > 0:
            minutes = math.ceil(seconds / 60)
            raise TooMany(
                "Too many passwords were tried that were wrong.",
                f"Try again in {minutes} {'minute' if minutes == 1 else 'minutes'}, or ask an owner for a new one.",
                seconds=seconds,
            )

    def succeeded(self, name: str, address: str) -> None:
        """The password was right: what was mistyped before it counts no more."""
        mine = (LoginAttemptRow.name == name[:64]) & (LoginAttemptRow.address == _network(address))
        with self._database.writing() as session:
            session.execute(delete(LoginAttemptRow).where(mine))


def _network(address: str) -> str:
    """An IPv4 address, or the /64 of an IPv6 one: whoever has one address of it has all of them."""
    try:
        known = ipaddress.ip_address(address)
    except ValueError:
        return address[:64]
    if isinstance(known, ipaddress.IPv6Address):
        if known.ipv4_mapped is not None:
            return str(known.ipv4_mapped)
        return str(ipaddress.ip_network((known.packed, 64), strict=False))
    return str(known)
