"""Every refusal in one form: RFC 9457 problem documents for programs, error pages for people."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, TypeAlias

import asyncpg
import structlog
from aiohttp import web as http
from aiohttp.typedefs import Handler, Middleware
from redis.exceptions import RedisError

from server.base.errors import FieldError, Invalid, Refusal, TooMany, Unauthenticated, Unavailable
from web.routing import Surface, declaration

log = structlog.get_logger(__name__)

CONTENT_TYPE = "application/problem+json"
REQUEST_ID: http.RequestKey[str] = http.RequestKey("request id", str)
_PROGRAM_PATHS = ("/api/", "/ws", "/whip/", "/whep/", "/dev/inbox.json", "/healthz", "/readyz", "/metrics")


@dataclass(frozen=True, slots=True)
class Problem:
    """One refusal. ``code`` is stable, ``detail`` a sentence for people, ``errors`` the faults of single fields."""

    status: int
    code: str
    title: str
    detail: str
    errors: tuple[FieldError, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """The members of the problem document (RFC 9457 section 3); extensions never displace them."""
        document: dict[str, Any] = dict(self.extra)
        document |= {
            "type": f"urn:visavis:problem:{self.code}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
        }
        if self.errors:
            document["errors"] = [
                {"field": e.field, "code": e.code, "message": e.message} for e in self.errors
            ]
        return document

    def text(self) -> str:
        """The document as JSON."""
        return json.dumps(self.document(), default=_plain)


def _plain(value: object) -> str:
    """Instants and ids that a refusal carries beside its sentence."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return str(value)


ErrorPage: TypeAlias = Callable[[http.Request, Problem], Awaitable[http.StreamResponse]]
ERROR_PAGE: http.AppKey[ErrorPage] = http.AppKey("error page", object)  # type: ignore[arg-type]

_HTTP_CODES = {
    400: ("bad_request", "The request could not be understood."),
    404: ("not_found", "There is nothing here."),
    405: ("method_not_allowed", "This address does not answer that method."),
    411: ("length_required", "The request must say how long it is."),
    413: ("body_too_large", "The request is larger than 1 MiB."),
    415: ("unsupported_media_type", "Send application/json."),
    417: ("expectation_failed", "The Expect header is not understood."),
}


def of_refusal(refusal: Refusal) -> Problem:
    """The problem that a refusal of the domain is."""
    headers: dict[str, str] = {}
    errors: tuple[FieldError, ...] = ()
    match refusal:
        case TooMany():
            headers["Retry-After"] = str(refusal.retry_after)
        case Unavailable():
            headers["Retry-After"] = "5"
        case Unauthenticated():
            headers["WWW-Authenticate"] = "Bearer"  # RFC 9110 section 11.6.1
        case Invalid():
            errors = refusal.errors
        case _:
            headers = {}
    return Problem(
        refusal.http_status, refusal.code, refusal.title, refusal.detail, errors, refusal.extra, headers
    )


def of_http(error: http.HTTPException) -> Problem:
    """The problem that aiohttp's own refusal is (404, 405, 413 ...)."""
    status = HTTPStatus(error.status)
    code, detail = _HTTP_CODES.get(
        error.status, (status.phrase.lower().replace(" ", "_"), status.description)
    )
    headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
    return Problem(error.status, code, status.phrase, detail or status.phrase, headers=headers)


def of_exception(error: Exception, request_id: str) -> Problem:
    """The problem for everything nobody foresaw; says nothing about the inside. Logged here, once."""
    match error:
        case asyncpg.CharacterNotInRepertoireError() | asyncpg.UntranslatableCharacterError():
            return Problem(
                422, "invalid_input", Invalid.title, "A text holds a character that cannot be stored."
            )
        case (
            RedisError()
            | asyncpg.PostgresConnectionError()
            | asyncpg.TooManyConnectionsError()
            | asyncpg.OperatorInterventionError()
            | ConnectionError()
            | TimeoutError()
        ):
            log.warning("a store does not answer", request_id=request_id, error=repr(error))
            retry = {"Retry-After": "2"}
            return Problem(503, "unavailable", "Unavailable", "Please retry in a moment.", headers=retry)
        case _:
            log.error("unexpected error", request_id=request_id, exc_info=error)
            return Problem(
                500,
                "internal_error",
                "Internal error",
                "Something went wrong on our side. Quote the request id when you report it.",
                extra={"request_id": request_id},
            )


def surface_of(request: http.Request) -> Surface:
    """In which form this request wants its refusals, also when no route matched."""
    route = declaration(request)
    if route is not None:
        return route.surface
    return Surface.API if request.path.startswith(_PROGRAM_PATHS) else Surface.PAGE


async def answer(request: http.Request, problem: Problem) -> http.StreamResponse:
    """Write ``problem`` in the form the caller reads."""
    response: http.StreamResponse
    if surface_of(request) is not Surface.PAGE:
        response = http.Response(
            status=problem.status, body=problem.text().encode(), content_type=CONTENT_TYPE
        )
    else:
        response = await _page(request, problem)
    response.headers.update(problem.headers)
    return response


async def _page(request: http.Request, problem: Problem) -> http.StreamResponse:
    render = request.app.get(ERROR_PAGE)
    if render is not None:
        try:
            return await render(request, problem)
        except Exception as error:
            log.exception("the error page failed", request_id=request.get(REQUEST_ID, ""), error=repr(error))
    return http.Response(status=problem.status, text=f"{problem.status} {problem.title}\n{problem.detail}\n")


def middleware() -> Middleware:
    """Turn whatever a handler raises into an answer."""

    @http.middleware
    async def problems(request: http.Request, handler: Handler) -> http.StreamResponse:
        try:
            return await handler(request)
        except http.HTTPException as error:
            if error.status < 400:
                raise
            problem = of_http(error)
        except Refusal as refusal:
            problem = of_refusal(refusal)
        except Exception as error:  # noqa: BLE001 - the outermost rim: logged in of_exception, answered with 500
            problem = of_exception(error, request.get(REQUEST_ID, ""))
        return await answer(request, problem)

    return problems
