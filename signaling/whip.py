"""WHIP (RFC 9725) and WHEP (draft-ietf-wish-whep) over HTTP: encoders publish into a room, players watch it."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Iterator
from uuid import UUID

from aiohttp import web as http

from media.api import Follow, MediaEvent, OfferError, PeerClosed, Publish, Purpose
from media.limits import SourceLimiter
from server.base.context import Context
from server.base.errors import (
    Conflict,
    FieldError,
    Forbidden,
    Invalid,
    NotFound,
    Refusal,
    TooMany,
    Unauthenticated,
    Unavailable,
)
from server.base.ids import new_id
from server.sessions.model import RoomPass
from server.turn import ice_servers
from signaling.admission import Admitted, Refused, admit, check_token
from signaling.counters import Counters
from signaling.doors import Doors
from signaling.messages import Close
from signaling.resources import Resource, Resources, make_tag, matches

SDP = "application/sdp"
FRAGMENT = "application/trickle-ice-sdpfrag"
KINDS = ("whip", "whep")
MAX_OFFER = 64 * 1024  # bytes; a Chromium offer of two m-lines has 8 KB, OBS's 2 KB
MAX_FRAGMENT = 32 * 1024
BODY_SECONDS = 10.0
OFFERS_PER_SECOND, OFFERS_AT_ONCE = 0.25, 6.0  # of one person, as on the socket
PATCHES_PER_SECOND, PATCHES_AT_ONCE = 2.0, 20.0
MAX_PEOPLE = 10_000  # whose rates are remembered
RETRY_SECONDS = 5

# Any page may be a client: what opens the door is the room token, which no browser adds by itself.
CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "Location, ETag, Link, Accept-Post, Accept-Patch, Retry-After",
}
PREFLIGHT = {
    "Access-Control-Allow-Methods": "POST, PATCH, DELETE, OPTIONS",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, If-Match",
    "Access-Control-Max-Age": "86400",
}


class OfferRefused(Refusal):
    http_status = 422
    title = "The offer cannot be taken"


class TooLarge(Refusal):
    http_status = 413
    title = "Too large"


class UnsupportedMediaType(Refusal):
    http_status = 415
    title = "Unsupported media type"


class RequestTimeout(Refusal):
    http_status = 408
    title = "Too slow"


class PreconditionFailed(Refusal):
    http_status = 412
    title = "Precondition failed"


class PreconditionRequired(Refusal):
    http_status = 428
    title = "Precondition required"


class Whip:
    """The handlers. A resource lives as long as its client at the SFU does: `on_media_event` tells of the end."""

    def __init__(self, ctx: Context, doors: Doors, counters: Counters) -> None:
        self._ctx = ctx
        self._doors = doors
        self._counters = counters
        self._resources = Resources()
        self._offers = SourceLimiter(OFFERS_PER_SECOND, OFFERS_AT_ONCE, MAX_PEOPLE)
        self._patches = SourceLimiter(PATCHES_PER_SECOND, PATCHES_AT_ONCE, MAX_PEOPLE)

    def add_routes(self, app: http.Application) -> None:
        for kind in KINDS:
            endpoint, resource = f"/{kind}/{{id}}", f"/{kind}/{{id}}/{{resource}}"
            app.router.add_post(endpoint, self.create)
            app.router.add_patch(resource, self.patch)
            app.router.add_delete(resource, self.delete)
            for path in (endpoint, resource):
                app.router.add_options(path, self.options)
        app.on_response_prepare.append(_dress)

    def on_media_event(self, event: MediaEvent) -> None:
        if isinstance(event, PeerClosed):
            self._resources.end(event.peer_id)

    async def options(self, _request: http.Request) -> http.Response:
        """The preflight of other people's pages; asks for no token (RFC 9725 section 4.7.1)."""
        return http.Response(status=204, headers=PREFLIGHT)

    async def create(self, request: http.Request) -> http.Response:
        """An SDP offer in, the answer out, and a resource that lives as long as the media do."""
        with self._counted():
            session_id, room_pass = self._who(request)
            kind = request.path.split("/")[1]
            _expect(request, SDP)
            offer = await _body(request, MAX_OFFER)
            _spend(self._offers, room_pass, OFFERS_PER_SECOND)
            admitted = await self._admit(request, session_id)
            purpose = Publish() if kind == "whip" else _followed(request, admitted)
            resource = Resource(str(new_id()), kind, session_id, room_pass.user_id)
            with _offer_errors():
                answer = await self._doors.open(session_id, admitted, resource.id, offer, purpose)
        self._resources.add(resource)
        response = http.Response(status=201, text=answer, content_type=SDP)
        response.headers["Location"] = f"/{kind}/{session_id}/{resource.id}"
        response.headers["ETag"] = resource.tag
        now = self._ctx.clock.now()
        for server in ice_servers(self._ctx.settings.turn, str(room_pass.user_id), now):
            for link in server.as_links():
                response.headers.add("Link", link)
        return response

    async def patch(self, request: http.Request) -> http.Response:
        """More candidates (204), or an ICE restart (200 with our new credentials and a new entity tag)."""
        with self._counted():
            resource = self._mine(request)
            if resource.over:
                raise NotFound("resource_over", "These media have ended: offer again.")
            _expect(request, FRAGMENT)
            condition = request.headers.get("If-Match")
            if condition is None:
                raise PreconditionRequired("if_match_required", "Say which ICE session is meant: If-Match.")
            fragment = await _body(request, MAX_FRAGMENT)
            _spend(self._patches, resource, PATCHES_PER_SECOND)
            # A restart comes with "*", because the client may not know the latest tag (RFC 9725 section 4.3.3).
            if condition.strip() != "*" and not matches(condition, resource.tag):
                raise PreconditionFailed("other_ice_session", "The ICE session has been restarted since.")
            with _offer_errors():
                answer = self._doors.patch(resource.session_id, resource.id, fragment)
        if answer is None:
            return http.Response(status=204)
        resource.tag = make_tag()
        return http.Response(text=answer, content_type=FRAGMENT, headers={"ETag": resource.tag})

    async def delete(self, request: http.Request) -> http.Response:
        """Leave. Whoever has left already may say so again."""
        with self._counted():
            resource = self._mine(request)
        if not resource.over:
            self._doors.close(resource.session_id, resource.id)
            self._resources.end(resource.id)
        return http.Response(status=200)

    # ------------------------------------------------------------ who may

    def _who(self, request: http.Request) -> tuple[UUID, RoomPass]:
        """The session in the path and the person in the token, before anything is read or asked of anybody."""
        try:
            session_id = UUID(request.match_info["id"])
        except ValueError:
            raise NotFound("session_not_found", "There is no such session.") from None
        try:
            return session_id, check_token(self._ctx, _bearer(request), session_id)
        except Refused as refused:
            raise _in_http(refused) from refused

    async def _admit(self, request: http.Request, session_id: UUID) -> Admitted:
        try:
            return await admit(self._ctx, _bearer(request), session_id)
        except Refused as refused:
            raise _in_http(refused) from refused

    def _mine(self, request: http.Request) -> Resource:
        session_id, room_pass = self._who(request)
        resource = self._resources.find(request.match_info["resource"])
        kind = request.path.split("/")[1]
        if resource is None or (resource.session_id, resource.kind) != (session_id, kind):
            raise NotFound("resource_not_found", "There is no such resource.")
        if resource.user_id != room_pass.user_id:
            raise Forbidden("not_your_resource", "Somebody else made this resource.")
        return resource

    @contextlib.contextmanager
    def _counted(self) -> Iterator[None]:
        try:
            yield
        except Refusal as refusal:
            self._counters.refusals[refusal.code] += 1
            raise


def _bearer(request: http.Request) -> str:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Unauthenticated("room_token_missing", "Send the room token: Authorization: Bearer ...")
    return token.strip()


def _in_http(refused: Refused) -> Refusal:
    """What a socket would be closed for."""
    match refused.close:
        case Close.FOREIGN:
            return Forbidden(refused.code, refused.detail)
        case Close.NO_SESSION:
            return NotFound(refused.code, refused.detail)
        case Close.OVER:
            return Conflict(refused.code, refused.detail)
        case _:
            return Unauthenticated(refused.code, refused.detail)


@contextlib.contextmanager
def _offer_errors() -> Iterator[None]:
    try:
        yield
    except OfferError as error:
        match error.code:
            case "sdp_too_long":
                raise TooLarge(error.code, error.detail) from error
            case "no_peer":
                raise NotFound("resource_over", "These media have ended: offer again.") from error
            case "too_many_restarts":
                raise TooMany(error.code, error.detail, RETRY_SECONDS) from error
            case "room_full" | "server_full" | "closed":
                raise Unavailable(error.code, error.detail) from error
            case _:
                raise OfferRefused(error.code, error.detail) from error


def _expect(request: http.Request, media_type: str) -> None:
    if request.content_type != media_type:
        raise UnsupportedMediaType("unsupported_media_type", f"Send {media_type}.")


async def _body(request: http.Request, limit: int) -> str:
    """The body as text, of which no more than ``limit`` bytes are ever read."""
    parts = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.content.iter_chunked(8192):
                parts += chunk
                if len(parts) > limit:
                    raise TooLarge("body_too_large", f"No more than {limit} bytes are read here.")
    except TimeoutError:
        raise RequestTimeout("body_too_slow", f"The body must come within {BODY_SECONDS:g} s.") from None
    try:
        return parts.decode()
    except UnicodeDecodeError:
        raise OfferRefused("bad_sdp", "The body is not UTF-8.") from None


def _spend(limiter: SourceLimiter, who: RoomPass | Resource, per_second: float) -> None:
    key, now = f"{who.session_id}/{who.user_id}", asyncio.get_running_loop().time()
    if not limiter.allowed(key, now):
        raise TooMany("rate_limited", "Too fast. Try again in a moment.", math.ceil(1 / per_second))
    limiter.charge(key, now)


def _followed(request: http.Request, admitted: Admitted) -> Purpose:
    """Whom a player wants to see: ``?participant=`` one of the session's people, else whoever speaks."""
    given = request.query.get("participant", "")
    if not given:
        return Follow(None)
    found = next((user_id for user_id, _, _ in admitted.people if str(user_id) == given.lower()), None)
    if found is None:
        raise Invalid([FieldError("participant", "unknown", "is the id of nobody in this session")])
    return Follow(str(found))


async def _dress(request: http.BaseRequest, response: http.StreamResponse) -> None:
    """Headers of every answer here, refusals included."""
    parts = request.path.split("/")
    if len(parts) not in (3, 4) or parts[1] not in KINDS:
        return
    response.headers.update(CORS)
    response.headers["Accept-Post" if len(parts) == 3 else "Accept-Patch"] = (
        SDP if len(parts) == 3 else FRAGMENT
    )
    if response.status == 503:
        response.headers.setdefault("Retry-After", str(RETRY_SECONDS))
