"""Who may call a route: a closed set of declarations, and the one function that enforces them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from server.base.errors import Forbidden, Unauthenticated
from server.people.model import Principal, Role

EVERY_ROLE: frozenset[Role] = frozenset(Role)


@dataclass(frozen=True, slots=True)
class Public:
    """Anybody, signed in or not."""


@dataclass(frozen=True, slots=True)
class SignedIn:
    """Anybody with a login or an access token."""


@dataclass(frozen=True, slots=True)
class RoleIs:
    """Only people with one of these roles: ``RoleIs.of(Role.MENTOR)``."""

    roles: frozenset[Role]

    @classmethod
    def of(cls, *roles: Role) -> RoleIs:
        return cls(frozenset(roles))


@dataclass(frozen=True, slots=True)
class Owner:
    """Only people to whom the thing named in the path belongs (and administrators where the action says so).

    The gate checks sign-in and role; the ownership itself is decided by the action, in the transaction that reads
    the thing, and answers 404 (a stranger does not learn that it exists) or 403.
    """

    thing: str
    roles: frozenset[Role] = EVERY_ROLE

    @classmethod
    def of(cls, thing: str, *roles: Role) -> Owner:
        return cls(thing, frozenset(roles) or EVERY_ROLE)


@dataclass(frozen=True, slots=True)
class RoomToken:
    """A room token, checked by the handler itself (in the first socket message, or as a WHIP bearer)."""


@dataclass(frozen=True, slots=True)
class LoginOrHello:
    """Whoever is signed in: by the login's cookie, a bearer token, or a token in the first socket message, which the
    handler itself reads."""


Access: TypeAlias = Public | SignedIn | RoleIs | Owner | RoomToken | LoginOrHello


def roles_of(access: Access) -> frozenset[Role]:
    """The roles that pass the gate; ownership may still say no."""
    match access:
        case Public() | SignedIn() | RoomToken() | LoginOrHello():
            return EVERY_ROLE
        case RoleIs(roles) | Owner(_, roles):
            return roles


def needs_sign_in(access: Access) -> bool:
    return not isinstance(access, Public | RoomToken | LoginOrHello)


def admit(access: Access, principal: Principal | None) -> None:
    """Let ``principal`` pass.

    Raises Unauthenticated ``sign_in_required`` without one, Forbidden ``role_required`` with the wrong role.
    """
    if not needs_sign_in(access):
        return
    if principal is None:
        raise Unauthenticated("sign_in_required", "Sign in to do this.")
    if principal.role not in roles_of(access):
        wanted = " or ".join(sorted(roles_of(access)))
        raise Forbidden("role_required", f"Only a {wanted} can do this.")


def words(access: Access) -> str:
    """The declaration as a reader of the reference sees it."""
    match access:
        case Public():
            return "Anybody."
        case SignedIn():
            return "Anybody who is signed in."
        case RoleIs(roles):
            return f"Signed in as {' or '.join(sorted(roles))}."
        case Owner(thing, roles) if roles == EVERY_ROLE:
            return f"The people to whom the {thing} belongs."
        case Owner(thing, roles):
            return f"The {' or '.join(sorted(roles))} to whom the {thing} belongs."
        case RoomToken():
            return "The holder of a room token."
        case LoginOrHello():
            return "Anybody who is signed in, by login or by an access token in the first message."
