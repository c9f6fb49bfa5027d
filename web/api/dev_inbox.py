"""The development inbox: what would have left, had a provider been configured."""

from __future__ import annotations

from server.base.errors import NotFound
from server.notifications import actions as notifications
from server.people.model import Role
from web.access import RoleIs
from web.api.endpoint import Call, endpoint
from web.schemas.base import NoQuery, Nothing
from web.schemas.money import InboxItemOut, InboxOut


async def inbox(call: Call[Nothing, NoQuery]) -> InboxOut:
    """The newest messages first; only in demo mode."""
    if not call.ctx.settings.demo:
        raise NotFound("not_found", "There is nothing here.")
    return InboxOut(
        items=[
            InboxItemOut(
                id=it.id,
                session_id=it.session_id,
                kind=it.kind,
                channel=it.channel,
                recipient=it.recipient,
                role=it.role,
                subject=it.subject,
                text=it.text,
                calendar=it.calendar,
                created_at=it.created_at,
            )
            for it in await notifications.inbox(call.ctx)
        ]
    )


ROUTES = (
    endpoint(
        "GET", "/dev/inbox.json", inbox, access=RoleIs.of(Role.ADMIN), summary="Development inbox", tag="Development",
        reply=InboxOut, base="",
    ),
)  # fmt: skip
