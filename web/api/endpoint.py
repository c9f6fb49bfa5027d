"""One API route: reads and checks the input, calls a typed handler, writes the answer; and is data all the same."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Generic, TypeAlias, TypeVar
from uuid import UUID

from aiohttp import web as http
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, from_json

from server.base.context import Context
from server.base.db import Conn
from server.base.errors import FieldError, Invalid, NotFound, Refusal
from server.people.model import Principal
from web.access import Access
from web.context import context
from web.idempotency import Keep, once
from web.identity import caller
from web.limits import Limit, spend
from web.routing import Contract, Route, Surface
from web.schemas.base import NoQuery, Nothing

BASE = "/api/v1"
_CODES = {
    "missing": "required",
    "extra_forbidden": "unknown_field",
    "timezone_aware": "zone_required",
    "string_too_long": "too_long",
    "string_too_short": "too_short",
    "too_long": "too_many",
    "greater_than_equal": "out_of_range",
    "less_than_equal": "out_of_range",
}

B = TypeVar("B", bound=BaseModel)
Q = TypeVar("Q", bound=BaseModel)
R = TypeVar("R", bound=BaseModel | None)


class MalformedJson(Refusal):
    """The body is not JSON at all (400, where Invalid is 422)."""


class UnsupportedMediaType(Refusal):
    http_status = 415
    title = "Unsupported media type"


async def _not_kept(conn: Conn, value: BaseModel) -> None:
    """For routes without Idempotency-Key."""


@dataclass(frozen=True, slots=True)
class Call(Generic[B, Q]):
    """One call of an endpoint, its input checked."""

    request: http.Request
    body: B
    query: Q
    # A handler may add to it, e.g. Location.
    headers: dict[str, str] = field(default_factory=dict)
    # An idempotent handler calls it with its reply, in the transaction that did the work; `headers` are set by then.
    keep: Callable[[Conn, BaseModel], Awaitable[None]] = _not_kept

    @property
    def ctx(self) -> Context:
        return context(self.request)

    @property
    def caller(self) -> Principal:
        """Who calls; only where the access needs a sign-in."""
        return caller(self.request)

    def id(self, name: str = "id") -> UUID:
        """A path variable that names a thing. Raises NotFound for what is not a UUID: nothing has such a name."""
        try:
            return UUID(self.request.match_info[name])
        except ValueError:
            raise NotFound("not_found", "There is nothing here.") from None


@dataclass(frozen=True, slots=True)
class LimitBy:
    """A limit and what it is counted by, computed from the request and its checked body."""

    limit: Limit
    key: Callable[[http.Request, Any], tuple[str, ...]]


# Takes what was given (any JSON object), returns what the domain would say about it.
FaultFinder: TypeAlias = Callable[[Mapping[str, Any]], list[FieldError]]
_NO_REFUSALS: Mapping[int, tuple[str, ...]] = MappingProxyType({})


def by_caller(request: http.Request, _body: BaseModel) -> tuple[str, ...]:
    """For limits per person, whatever address they come from."""
    return (str(caller(request).user_id),)


def endpoint(
    method: str,
    path: str,
    handler: Callable[[Call[B, Q]], Awaitable[R]],
    *,
    access: Access,
    summary: str,
    tag: str,
    body: type[B] = Nothing,  # type: ignore[assignment]
    query: type[Q] = NoQuery,  # type: ignore[assignment]
    reply: type[BaseModel] | None,
    status: int = 200,
    refusals: Mapping[int, tuple[str, ...]] = _NO_REFUSALS,
    limits: tuple[LimitBy, ...] = (),
    idempotent: bool = False,
    faults: FaultFinder | None = None,
    base: str = BASE,
) -> Route:
    """Declare an API route. ``reply`` None means 204 without a body.

    ``faults`` adds the domain's own complaints when the shape is wrong already, so that all faults come at once.
    ``refusals`` lists the codes beyond what every route may answer (401, 403, 404, 422, 429), by status.
    """

    def answer(value: BaseModel | None, headers: Mapping[str, str]) -> http.Response:
        if value is None:
            return http.Response(status=204, headers=headers)
        return http.Response(
            status=status,
            body=value.model_dump_json(by_alias=True).encode(),
            content_type="application/json",
            headers=headers,
        )

    async def perform(call: Call[B, Q]) -> http.Response:
        return answer(await handler(call), call.headers)

    async def serve(request: http.Request) -> http.StreamResponse:
        raw = await request.read() if request.can_read_body else b""
        call = Call(request, _read_body(request, raw, body, faults), _read_query(request, query))
        for limit in limits:
            await spend(request, limit.limit, *limit.key(request, call.body))
        if idempotent:

            async def work(keep: Keep) -> http.Response:
                async def reply_kept(conn: Conn, value: BaseModel) -> None:
                    await keep(conn, answer(value, call.headers))

                return await perform(replace(call, keep=reply_kept))

            return await once(request, raw, work)
        return await perform(call)

    contract = Contract(
        reply=reply,
        status=204 if reply is None else status,
        body=None if body is Nothing else body,
        query=None if query is NoQuery else query,
        description=(handler.__doc__ or "").strip(),
        refusals=refusals,
        idempotent=idempotent,
    )
    return Route(method, base + path, serve, access, Surface.API, summary, tag, contract)


def _read_body(request: http.Request, raw: bytes, model: type[B], faults: FaultFinder | None) -> B:
    if not raw:
        raw = b"{}"
    elif request.content_type != "application/json":
        raise UnsupportedMediaType("unsupported_media_type", "Send application/json.")
    try:
        return model.model_validate_json(raw)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False)
    if any(fault["type"] == "json_invalid" for fault in found):
        raise MalformedJson("malformed_json", "The body is not valid JSON.")
    errors = field_errors(found)
    given = from_json(raw)
    if faults is not None and isinstance(given, dict):
        known = {fault.field for fault in errors}
        errors += [fault for fault in faults(given) if fault.field not in known]
    raise Invalid(errors)


def _read_query(request: http.Request, model: type[Q]) -> Q:
    try:
        return model.model_validate(dict(request.query))
    except ValidationError as error:
        raise Invalid(field_errors(error.errors(include_url=False, include_context=False))) from None


def field_errors(faults: list[ErrorDetails]) -> list[FieldError]:
    """pydantic's faults in the product's words: dotted field names, stable codes."""
    return [
        FieldError(
            field=".".join(str(part) for part in fault["loc"]) or "body",
            code=_CODES.get(fault["type"], fault["type"]),
            message=fault["msg"].removeprefix("Value error, "),
        )
        for fault in faults
    ]
