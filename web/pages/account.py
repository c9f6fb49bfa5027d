"""Coming in and going out: the front page, registration, login, logout, the style guide."""

from __future__ import annotations

from urllib.parse import urlsplit
from uuid import UUID

from aiohttp import web as http

from server.availability import actions as availability
from server.base.errors import Conflict, Invalid, Refusal, TooMany, Unauthenticated
from server.contact import address as contact
from server.ledger import actions as ledger
from server.people import actions as people
from server.people.model import Role, User
from web.access import Public
from web.context import context
from web.identity import log_in, log_out, visitor
from web.limits import LOGIN, REGISTER, REGISTER_BY_ADDRESS, address, forgive, spend
from web.pages.directory import card_views
from web.pages.render import render
from web.pages.views import Person
from web.routing import page

HOME = "/dashboard"
FEATURED = 3  # mentors on the front page


def safe_next(target: str) -> str:
    """A path of ours to go to after the login; anything else (another host, a scheme, ``//host``) becomes HOME."""
    try:
        parts = urlsplit(target)
    except ValueError:
        return HOME
    ours = target.startswith("/") and not target.startswith(("//", "/\\")) and not parts.netloc
    return target if ours and target.isprintable() and parts.path not in ("/login", "/logout") else HOME


async def landing(request: http.Request) -> http.StreamResponse:
    if visitor(request) is not None:
        raise http.HTTPSeeOther(HOME)
    featured = await availability.directory(context(request), available_within=7 * 86_400, limit=FEATURED)
    return await render(request, "landing.html", mentors=await card_views(context(request), featured.items))


async def login_form(request: http.Request) -> http.StreamResponse:
    target = safe_next(request.query.get("next", HOME))
    if visitor(request) is not None:
        raise http.HTTPSeeOther(target)
    return await _login_page(request, target, {}, {})


async def login(request: http.Request) -> http.StreamResponse:
    form = await _texts(request)
    email, password, target = (
        form.get("email", ""),
        form.get("password", ""),
        safe_next(form.get("next", HOME)),
    )
    values = {"email": email}
    missing = {name: "Fill this in." for name in ("email", "password") if not form.get(name, "").strip()}
    if missing:
        return await _login_page(request, target, values, missing, status=422)
    try:
        await spend(request, LOGIN, address(request), email.strip().casefold())
        user = await people.authenticate(context(request), email, password)
    except (Unauthenticated, TooMany) as refusal:
        return await _login_page(
            request, target, values, {}, error=refusal.detail, status=refusal.http_status
        )
    await forgive(request, LOGIN, address(request), email.strip().casefold())
    await log_in(request, user)
    raise http.HTTPSeeOther(target)


async def _login_page(
    request: http.Request,
    target: str,
    values: dict[str, str],
    errors: dict[str, str],
    *,
    error: str = "",
    status: int = 200,
) -> http.Response:
    return await render(
        request, "login.html", status=status, next=target, values=values, errors=errors, error=error
    )


async def register_form(request: http.Request) -> http.StreamResponse:
    if visitor(request) is not None:
        raise http.HTTPSeeOther(HOME)
    return await render(
        request, "register.html", values={"role": request.query.get("role", "")}, errors={}, error=""
    )


async def register(request: http.Request) -> http.StreamResponse:
    form = await _texts(request)
    given = {name: form.get(name, "") for name in ("email", "password", "name", "role", "timezone")}
    try:
        user = await _register(request, given)
    except Refusal as refusal:
        errors: dict[str, str] = {}
        error = ""
        match refusal:
            case Invalid():
                errors = {fault.field: fault.message for fault in refusal.errors}
            case Conflict(code="email_taken"):
                errors = {"email": refusal.detail}
            case _:
                error = refusal.detail
        return await render(
            request, "register.html", status=refusal.http_status, values=given, errors=errors, error=error
        )
    await log_in(request, user)
    raise http.HTTPSeeOther("/settings" if user.role is Role.MENTOR else HOME)


async def _register(request: http.Request, given: dict[str, str]) -> User:
    ctx = context(request)
    await spend(request, REGISTER, address(request), given["email"].strip().casefold())
    await spend(request, REGISTER_BY_ADDRESS, address(request))
    user = await contact.register(ctx, **given)
    await ledger.open_wallet(ctx, user.id)
    return user


async def logout(request: http.Request) -> http.StreamResponse:
    await log_out(request)
    raise http.HTTPSeeOther("/")


async def design(request: http.Request) -> http.StreamResponse:
    names = (
        "Amara Okafor",
        "Jonas Weber",
        "Mei-Lin Tan",
        "Sofia Rossi",
        "Kwame",
        "Ines Duarte",
        "Ravi Iyer",
        "Ada",
    )
    samples = [Person(UUID(int=number), name) for number, name in enumerate(names)]
    return await render(request, "design.html", people=samples)


async def _texts(request: http.Request) -> dict[str, str]:
    """The text fields of a form; a file where a text belongs counts as missing."""
    return {name: value for name, value in (await request.post()).items() if isinstance(value, str)}


ROUTES = (
    page("GET", "/", landing, access=Public(), summary="Front page"),
    page("GET", "/login", login_form, access=Public()),
    page("POST", "/login", login, access=Public()),
    page("GET", "/register", register_form, access=Public()),
    page("POST", "/register", register, access=Public()),
    page("POST", "/logout", logout, access=Public()),
    page("GET", "/design", design, access=Public(), summary="Living style guide"),
)
