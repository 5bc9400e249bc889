"""A name and a password become a person, or a refusal that doesn't say which of the two was wrong."""

from __future__ import annotations

from glassbox.workshop.accounts.login_limits import LoginLimits
from glassbox.workshop.accounts.passwords import check_password, hash_password, is_password
from glassbox.workshop.accounts.users import User, Users
from glassbox.workshop.problems import Forbidden, NotLoggedIn


class Login:
    """Tries passwords, and changes them."""

    def __init__(self, users: Users, limits: LoginLimits) -> None:
        self._users = users
        self._limits = limits

    def check(self, name: str, password: str, address: str) -> User:
        """Whose name and password these are. Raises NotLoggedIn, and TooMany after many that were wrong."""
        name = name.lower()
        self._limits.count(name, address)
        user = self._users.named(name)
        kept = None if user is None else self._users.password_hash(user.id)
        if not is_password(password, kept) or user is None:
            raise NotLoggedIn("The name or the password is wrong.", "Try again, or ask an owner for a new password.")
        self._limits.succeeded(name, address)
        return user

    def change(self, user: User, old: str, new: str, address: str, *, keep_session: str | None) -> None:
        """Raises Forbidden if the old one is wrong, TooMany, and BadInput for a new one that cannot be one."""
        check_password(new, user.name)
        try:
            self.check(user.name, old, address)
        except NotLoggedIn as error:
            raise Forbidden("The old password is wrong.", "Try again.") from error
        self._users.set_password(user.id, hash_password(new), keep_session=keep_session)
