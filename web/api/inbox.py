"""One's own inbox: what Visavis has told, newest first, and what of it was read."""

from __future__ import annotations

from server.inbox import actions as inbox
from web.access import SignedIn
from web.api.endpoint import Call, LimitBy, by_caller, endpoint
from web.limits import INBOX_READS
from web.schemas.base import NoQuery, Nothing, PageQuery
from web.schemas.inbox import InboxMessageOut, InboxReadIn, InboxReadOut, MyInboxOut

TAG = "Inbox"


async def listed(call: Call[Nothing, PageQuery]) -> MyInboxOut:
    """The newest first. Programs that want to hear at once open the socket at /ws."""
    me = call.caller.user_id
    page = await inbox.page(call.ctx, me, call.query.cursor, call.query.limit)
    return MyInboxOut(
        items=[InboxMessageOut.of(item, call.ctx.settings.public_url) for item in page.items],
        next_cursor=page.next_cursor,
        unread=await inbox.unread(call.ctx, me),
    )


async def read(call: Call[InboxReadIn, NoQuery]) -> InboxReadOut:
    """Mark messages as read: those named, or all. Twice does no harm; ids that are not one's own are passed over."""
    me = call.caller.user_id
    if call.body.ids is not None:
        marked = await inbox.mark_read(call.ctx, me, call.body.ids)
    else:
        marked = await inbox.mark_all_read(call.ctx, me, call.body.until)
    return InboxReadOut(marked=marked, unread=await inbox.unread(call.ctx, me))


ROUTES = (
    endpoint(
        "GET", "/me/inbox", listed, access=SignedIn(), summary="One's inbox", tag=TAG, query=PageQuery,
        reply=MyInboxOut, limits=(LimitBy(INBOX_READS, by_caller),),
    ),
    endpoint(
        "POST", "/me/inbox/read", read, access=SignedIn(), summary="Mark messages as read", tag=TAG, body=InboxReadIn,
        reply=InboxReadOut, limits=(LimitBy(INBOX_READS, by_caller),),
    ),
)  # fmt: skip
