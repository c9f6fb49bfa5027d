"""Push messages to one's browsers: each switches itself on and off."""

from __future__ import annotations

from server.devices import actions as devices
from server.devices.store import Device
from web.access import SignedIn
from web.api.endpoint import Call, LimitBy, by_caller, endpoint
from web.limits import PUSH_WRITES
from web.schemas.base import NoQuery, Nothing
from web.schemas.push import PushDeviceOut, PushDevicesOut, PushEndpointIn, PushSubscriptionIn

TAG = "Messages"


def _out(device: Device) -> PushDeviceOut:
    return PushDeviceOut(id=device.id, label=device.label, created_at=device.created_at)


async def listed(call: Call[Nothing, NoQuery]) -> PushDevicesOut:
    """One's browsers that get push messages, and the key to subscribe with."""
    vapid = call.ctx.settings.vapid
    found = await devices.devices(call.ctx, call.caller.user_id)
    return PushDevicesOut(
        public_key=vapid.public_key if vapid is not None else None, items=[_out(device) for device in found]
    )


async def subscribe(call: Call[PushSubscriptionIn, NoQuery]) -> PushDeviceOut:
    """Get push messages in this browser. The same endpoint again changes nothing more than its keys and label; a
    browser that was somebody else's is one's own from now on."""
    body = call.body
    device = await devices.subscribe(
        call.ctx, call.caller.user_id, endpoint=body.endpoint, p256dh=body.keys.p256dh, auth=body.keys.auth,
        label=body.label,
    )  # fmt: skip
    return _out(device)


async def unsubscribe(call: Call[PushEndpointIn, NoQuery]) -> None:
    """No more push messages to this browser. Twice does no harm."""
    await devices.unsubscribe(call.ctx, call.caller.user_id, call.body.endpoint)


ROUTES = (
    endpoint(
        "GET", "/me/push-subscriptions", listed, access=SignedIn(), summary="One's browsers with push messages",
        tag=TAG, reply=PushDevicesOut, limits=(LimitBy(PUSH_WRITES, by_caller),),
    ),
    endpoint(
        "POST", "/me/push-subscriptions", subscribe, access=SignedIn(), summary="Push messages on", tag=TAG,
        body=PushSubscriptionIn, reply=PushDeviceOut, refusals={409: ("push_unavailable",)},
        limits=(LimitBy(PUSH_WRITES, by_caller),),
    ),
    endpoint(
        "DELETE", "/me/push-subscriptions", unsubscribe, access=SignedIn(), summary="Push messages off", tag=TAG,
        body=PushEndpointIn, reply=None, limits=(LimitBy(PUSH_WRITES, by_caller),),
    ),
)  # fmt: skip
