"""WHIP and WHEP in the API's description; signalling answers them (signaling/whip.py)."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from aiohttp import web as http

from web.access import RoomToken
from web.routing import Contract, Surface, declare
from web.schemas.sessions import WhepQuery

TAG = "WHIP and WHEP"
SDP = "application/sdp"
FRAGMENT = "application/trickle-ice-sdpfrag"

_CREATED: Mapping[str, str] = MappingProxyType(
    {
        "Location": "The resource of this client: PATCH it for ICE, DELETE it to leave.",
        "ETag": "The ICE session, for `If-Match`.",
        "Link": 'STUN and TURN servers with `rel="ice-server"`, where there are any.',
    }
)
_TOKEN = ("room_token_missing", "room_token_invalid", "room_token_expired")
_OFFERS: Mapping[int, tuple[str, ...]] = MappingProxyType(
    {
        401: _TOKEN,
        403: ("room_token_foreign",),
        404: ("session_not_found",),
        408: ("body_too_slow",),
        409: ("session_over",),
        413: ("body_too_large",),
        415: ("unsupported_media_type",),
        422: ("bad_sdp", "no_media", "no_bundle", "no_rtcp_mux", "no_mid_extension", "no_ice", "no_fingerprint",
              "bad_setup", "no_common_codec", "too_many_sections", "too_many_streams"),
        429: ("rate_limited",),
        503: ("unavailable", "room_full", "server_full"),
    }
)  # fmt: skip
_RESOURCE: Mapping[int, tuple[str, ...]] = MappingProxyType(
    {
        401: _TOKEN,
        403: ("room_token_foreign", "not_your_resource"),
        404: ("session_not_found", "resource_not_found"),
    }
)
_PATCHES: Mapping[int, tuple[str, ...]] = MappingProxyType(
    {
        **_RESOURCE,
        404: (*_RESOURCE[404], "resource_over"),
        408: ("body_too_slow",),
        412: ("other_ice_session",),
        413: ("body_too_large", "sdp_too_long"),
        415: ("unsupported_media_type",),
        422: ("bad_sdp",),
        428: ("if_match_required",),
        429: ("rate_limited", "too_many_restarts"),
    }
)


def declare_doors(app: http.Application) -> None:
    """Declare all of it, so that the gate lets it pass and the reference shows it."""
    publish = Contract(
        None, 201, sends=SDP, replies=SDP, headers=_CREATED, refusals=_OFFERS,
        description=(
            "RFC 9725: an encoder's SDP offer in, the answer out. Whoever publishes is present in the session, beside"
            " the room's socket or without it; a new publication ends the same person's former one."
        ),
    )  # fmt: skip
    watch = Contract(
        None, 201, sends=SDP, replies=SDP, headers=_CREATED, query=WhepQuery,
        refusals={**_OFFERS, 409: ("session_over", "too_many_views")},
        description=(
            "draft-ietf-wish-whep: a player's SDP offer in, the answer out. Watching alone is not attendance."
        ),
    )  # fmt: skip
    patch = Contract(
        None, 204, sends=FRAGMENT, refusals=_PATCHES,
        description=(
            "Further ICE candidates, with `If-Match: <ETag>`: 204. An ICE restart (another `ice-ufrag`, with"
            " `If-Match: *`): 200 with the server's new credentials in the same format, and a new `ETag`."
        ),
    )  # fmt: skip
    leave = Contract(None, 200, refusals=_RESOURCE, description="Leave. A second time does no harm.")
    preflight = Contract(None, 204, description="For pages of other origins (CORS); needs no token.")
    for kind, what, offer in (("whip", "Publish", publish), ("whep", "Watch", watch)):
        endpoint, resource = f"/{kind}/{{id}}", f"/{kind}/{{id}}/{{resource}}"
        for method, path, summary, contract in (
            ("POST", endpoint, f"{what} by {kind.upper()}", offer),
            ("OPTIONS", endpoint, "Preflight", preflight),
            ("PATCH", resource, "Trickle candidates or restart ICE", patch),
            ("DELETE", resource, "Leave", leave),
            ("OPTIONS", resource, "Preflight", preflight),
        ):
            declare(
                app, method, path, access=RoomToken(), surface=Surface.API, summary=summary, tag=TAG,
                contract=contract,
            )  # fmt: skip
