"""What people write back by WhatsApp: traced to a session, understood, acted on, and answered, each exactly once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from jobs import store as job_store
from jobs.confirmations import QUESTION, buttons_for
from jobs.meetings import Meeting, load_meeting, load_person
from server.base.context import Context
from server.base.db import Conn
from server.base.errors import Refusal
from server.base.facts import decode
from server.base.store import StoredFact
from server.booking.model import Status
from server.confirmations import actions as confirmations
from server.confirmations.model import Answer
from server.confirmations.store import Ahead
from server.confirmations.tickets import Purpose, Ticket, Verb, read, write
from server.confirmations.words import in_the_face_of, understand
from server.integrations.channel import Button
from server.notifications import actions as notifications
from server.notifications import replies, store
from server.notifications.model import Kind, ReplyReceived
from server.notifications.replies import Chain
from server.notifications.store import Reply
from server.people.model import User
from server.sessions import actions as sessions
from server.sessions.links import links_for

NAMED: Final = 3  # sessions in a question, as many as there are buttons
QUOTED: Final = 500  # characters of a text that operators read
EARLIER: Final = -1  # a revision no booking has
REASON: Final = "Cancelled by an answer to our question whether they come."


@dataclass(frozen=True, slots=True)
class Meant:
    """Whom and what a reply is about; ``verb`` None: it says something else. ``revision`` is the question's, where it
    is known."""

    user_id: UUID
    session_id: UUID
    verb: Verb | None
    revision: int | None = None
    again: bool = False  # it does not say what it answers, and the last thing we asked was whether to cancel


async def hear_reply(conn: Conn, ctx: Context, fact: StoredFact) -> None:
    """One reply, from its number to our answer. What was said by nobody whose number it is, is ignored and counted."""
    reply = await store.reply(conn, decode(ReplyReceived, fact.data).event_id)
    owners = await store.owners(conn, reply.channel, reply.sender)
    if not owners:
        await store.settle_reply(conn, reply.id, "stranger", None)
        return
    chain = await replies.chain_of(conn, reply)
    ticket = read(ctx.settings, Purpose.BUTTON, reply.body)
    if ticket is not None:
        asked = chain.answered.recipient_id if chain.answered else None
        if ticket.user_id not in owners or asked not in (None, ticket.user_id):
            await store.settle_reply(conn, reply.id, "stranger", None)
            return
        await _act(conn, ctx, reply, Meant(ticket.user_id, ticket.session_id, ticket.verb, ticket.revision))
        return
    verb = understand(reply.body)
    if chain.about is not None and chain.about.session_id is not None:
        await _about(conn, ctx, reply, chain, owners, verb)
    elif chain.answered is not None and chain.answered.kind != Kind.REPLY:
        # Thanks for a payslip are no answer to a question about a session.
        await _pass_on(conn, ctx, reply, await load_person(conn, min(owners)), None)
    else:
        await _without_context(conn, ctx, reply, owners, verb)


async def _about(
    conn: Conn, ctx: Context, reply: Reply, chain: Chain, owners: frozenset[UUID], verb: Verb | None
) -> None:
    """A text that answers a message of ours about a session."""
    about, answered = chain.about, chain.answered
    assert about is not None and answered is not None and about.session_id is not None  # noqa: S101 - the caller looked
    if about.recipient_id is None or about.recipient_id not in owners:
        await store.settle_reply(conn, reply.id, "stranger", None)
        return
    verb = in_the_face_of(verb, _verbs(ctx, answered.buttons))
    agreed = await job_store.agreed_session(conn, about.session_id)
    # What was written before the session got its present time asked about another one.
    stale = agreed is not None and about.created_at < agreed.agreed_at
    revision = EARLIER if stale else None
    await _act(conn, ctx, reply, Meant(about.recipient_id, about.session_id, verb, revision))


async def _without_context(
    conn: Conn, ctx: Context, reply: Reply, owners: frozenset[UUID], verb: Verb | None
) -> None:
    """A text that answers nothing: it is about the one session we have asked about, else we ask which."""
    ahead = await confirmations.asked_ahead_in(conn, ctx, owners)
    if verb is None or not ahead:
        person = await load_person(conn, ahead[0].user_id if len(ahead) == 1 else min(owners))
        if verb is None:
            await _pass_on(conn, ctx, reply, person, ahead[0].session_id if len(ahead) == 1 else None)
        else:
            await _say(conn, ctx, reply, person, None, "nothing")
            await store.settle_reply(conn, reply.id, "nothing_asked", None)
    elif len(ahead) > 1:
        await _ask_which(conn, ctx, reply, ahead, verb)
    else:
        [it] = ahead
        last = await store.last_buttons(conn, reply.channel, it.user_id, it.session_id)
        again = Verb.CANCEL_NOW in _verbs(ctx, last)
        await _act(conn, ctx, reply, Meant(it.user_id, it.session_id, verb, again=again))


def _verbs(ctx: Context, buttons: Sequence[Button]) -> frozenset[Verb]:
    tickets = (read(ctx.settings, Purpose.BUTTON, button.payload) for button in buttons)
    return frozenset(ticket.verb for ticket in tickets if ticket is not None)


async def _act(conn: Conn, ctx: Context, reply: Reply, meant: Meant) -> None:
    """Do what it says in a savepoint, and say what has become of it; a refusal is said, too."""
    meeting = await load_meeting(conn, ctx, meant.session_id)
    person = await load_person(conn, meant.user_id)
    if meant.verb is None:
        await _pass_on(conn, ctx, reply, person, meeting)
        return
    if meant.again and meant.verb in (Verb.YES, Verb.CANCEL):
        # A bare "yes" after "really cancel?" may mean either: neither is done.
        meant = Meant(meant.user_id, meant.session_id, Verb.CANCEL, meant.revision)
    try:
        async with conn.transaction():
            said, verbs, extra = await _do(conn, ctx, reply, meant, meeting)
    except Refusal as refusal:
        said, verbs, extra = "refused", (), {"detail": refusal.detail, "refusal": refusal.code}
    await _say(conn, ctx, reply, person, meeting, said, verbs=verbs, **extra)
    await store.settle_reply(conn, reply.id, said, meant.session_id)


async def _do(
    conn: Conn, ctx: Context, reply: Reply, meant: Meant, meeting: Meeting
) -> tuple[str, Sequence[Verb], dict[str, Any]]:
    """(what to say, with which buttons, and what the text needs). Raises what the steps raise."""
    booking = meeting.booking
    fee = booking.cancellation_fee(booking.party(meant.user_id), ctx.clock.now())
    match meant.verb:
        case Verb.YES | Verb.NO | Verb.MOVE:
            done = await confirmations.answer_in(
                conn, ctx, meant.user_id, meant.session_id, Answer(meant.verb.value), reply.channel,
                revision=meant.revision, said_at=reply.said_at,
            )  # fmt: skip
            if done.overtaken:
                return "overtaken", (), {"standing": (done.previous or done.answer).value}
            verbs = (Verb.CANCEL, Verb.MOVE) if meant.verb is Verb.NO else ()
            return meant.verb.value, verbs, {"fee": fee, "late": done.late and done.changed}
        case Verb.CANCEL | Verb.CANCEL_NOW | Verb.KEEP:
            await _still_open(conn, ctx, meant, meeting)
            if meant.verb is Verb.KEEP:
                return "kept", QUESTION, {}
            if meant.verb is Verb.CANCEL:
                return "really", (Verb.CANCEL_NOW, Verb.KEEP), {"fee": fee}
            await sessions.cancel_in(conn, ctx, meant.user_id, booking.id, REASON)
            return "cancelled", (), {"fee": fee}
    raise AssertionError("every verb has its case")


async def _still_open(conn: Conn, ctx: Context, meant: Meant, meeting: Meeting) -> None:
    """Raises as an answer to the question would: nobody cancels a time he was not asked about."""
    session = await sessions.session_in(conn, meant.session_id)
    current = meeting.occasion.revision
    revision = current if meant.revision is None else meant.revision
    confirmations.open_for_answers(session, revision, current, ctx.clock.now())


async def _ask_which(conn: Conn, ctx: Context, reply: Reply, ahead: Sequence[Ahead], verb: Verb) -> None:
    """One question that names the sessions, soonest first, with a button for each."""
    person = await load_person(conn, ahead[0].user_id)
    buttons = []
    for it in ahead[:NAMED]:
        reach = await notifications.reach_in(conn, await load_person(conn, it.user_id))
        title = f"{it.start.astimezone(reach.zone):%H:%M} {it.other_name}"
        ticket = Ticket(it.session_id, it.user_id, it.revision, verb)
        buttons.append(Button(title, write(ctx.settings, Purpose.BUTTON, ticket)))
    named = [{"name": it.other_name, "start": it.start, "end": it.end} for it in ahead[:NAMED]]
    await _say(conn, ctx, reply, person, None, "which", tuple(buttons), named=named)
    await store.settle_reply(conn, reply.id, "asked_which", None)


async def _pass_on(
    conn: Conn, ctx: Context, reply: Reply, person: User, about: Meeting | UUID | None
) -> None:
    """What we do not understand a person reads, once; and whoever wrote it is told so."""
    meeting = await load_meeting(conn, ctx, about) if isinstance(about, UUID) else about
    link = meeting.occasion.url if meeting else f"{ctx.settings.public_url}/bookings"
    session_id = meeting.occasion.session_id if meeting else None
    await notifications.tell_ops_in(
        conn, ctx, kind=Kind.REPLY_UNCLEAR, dedup_key=f"reply:{reply.id}", session_id=session_id, link=link,
        values={
            "writer": person.name, "address": reply.sender, "said": reply.body[:QUOTED],
            "start": meeting.occasion.start if meeting else None,
            "end": meeting.occasion.end if meeting else None,
        },
    )  # fmt: skip
    await _say(conn, ctx, reply, person, meeting, "passed_on")
    await store.settle_reply(conn, reply.id, "passed_on", session_id)


async def _say(
    conn: Conn, ctx: Context, reply: Reply, person: User, meeting: Meeting | None, said: str,
    buttons: Sequence[Button] = (), verbs: Sequence[Verb] = (), **extra: Any,
) -> None:  # fmt: skip
    """Answer the reply where it came from, in the reader's language; ``verbs`` are buttons about the meeting."""
    reach = await notifications.reach_in(conn, person)
    if meeting is not None and verbs:
        it = meeting.occasion
        buttons = buttons_for(ctx.settings, it.session_id, person.id, it.revision, verbs, reach.language)
    mentor = meeting is not None and meeting.people["mentor"].id == person.id
    other = meeting.people["mentee" if mentor else "mentor"].name if meeting else ""
    can = links_for(ctx.settings, meeting.booking, person.id, ctx.clock.now()) if meeting else {}
    session_page = meeting is not None and meeting.status is Status.APPROVED
    link = meeting.occasion.url if meeting and session_page else f"{ctx.settings.public_url}/bookings"
    await replies.answer_in(
        conn, ctx, reply, recipient=person, reach=reach,
        role="mentor" if person.role == "mentor" else "mentee", link=link,
        session_id=meeting.occasion.session_id if meeting else None, buttons=buttons,
        values={
            "said": said, "other": other, "late": False, "fee": 0, "standing": "", "refusal": "", "detail": "",
            "named": [],
            "start": meeting.occasion.start if meeting else None,
            "end": meeting.occasion.end if meeting else None,
            "move_link": can.get("move", link), **extra,
        },
    )  # fmt: skip
