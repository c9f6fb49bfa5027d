"""Whether people come: the question in a reminder, its links and buttons, and what operators hear of the answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from jobs.meetings import Meeting, load_meeting
from server.base.context import Context
from server.base.db import Conn
from server.base.facts import decode
from server.base.store import StoredFact
from server.booking.model import Status
from server.confirmations import actions as confirmations
from server.confirmations.model import ConfirmationAnswered, ConfirmationMissing, Question
from server.confirmations.tickets import Purpose, Ticket, Verb, link, write
from server.integrations.channel import Button
from server.notifications import actions as notifications
from server.notifications import replies
from server.notifications.model import Draft, Kind
from server.notifications.reach import LANGUAGE, Reach
from server.notifications.tongues import tongue_of
from server.settings import Settings

QUESTION: Final = (Verb.YES, Verb.NO, Verb.MOVE)


def buttons_for(
    settings: Settings,
    session_id: UUID,
    user_id: UUID,
    revision: int,
    verbs: Sequence[Verb],
    language: str = LANGUAGE,
) -> tuple[Button, ...]:
    """Their payloads come back from a telephone, so they are signed, for one person and one time of one session. Their
    titles show under an answer; under a reminder WhatsApp shows those of the template that Meta has approved."""
    titles = tongue_of(language).buttons
    return tuple(
        Button(titles[verb], write(settings, Purpose.BUTTON, Ticket(session_id, user_id, revision, verb)))
        for verb in verbs
    )


def links_of(settings: Settings, session_id: UUID, user_id: UUID, revision: int) -> dict[str, str]:
    """The three links of a mail, by answer."""
    return {verb.value: link(settings, Ticket(session_id, user_id, revision, verb)) for verb in QUESTION}


def question_of(meeting: Meeting) -> Question:
    """What both are asked in the reminder that `ask` writes."""
    it = meeting.occasion
    return Question(it.session_id, it.revision, it.start, tuple(who.id for who in meeting.people.values()))


def ask(
    ctx: Context,
    meeting: Meeting,
    reaches: Mapping[UUID, Reach],
    key: str,
    template: str,
    expires_at: datetime,
) -> list[Draft]:
    """Remind both and ask whether they come."""
    session_id, revision = meeting.occasion.session_id, meeting.occasion.revision
    return [
        draft
        for role, person in meeting.people.items()
        for draft in meeting.drafts(
            ctx, reaches, role, Kind.REMINDER, key, template=template, expires_at=expires_at,
            values={"confirm": links_of(ctx.settings, session_id, person.id, revision)},
            buttons=buttons_for(
                ctx.settings, session_id, person.id, revision, QUESTION, reaches[person.id].language
            ),
        )
    ]  # fmt: skip


async def sweep(ctx: Context) -> int:
    """Hand on replies to messages nobody knows, and note who has not answered two hours before."""
    return await replies.hand_over_late(ctx) + await confirmations.note_missing(ctx)


async def tell_unanswered(conn: Conn, ctx: Context, fact: StoredFact) -> None:
    """Operators hear once per session that somebody has not said whether they come."""
    missing = decode(ConfirmationMissing, fact.data)
    meeting = await load_meeting(conn, ctx, missing.session_id)
    if meeting.status is not Status.APPROVED or _since(meeting, missing.revision):
        return  # nobody need come at that time any more
    silent = [who for who in _named(meeting) if who["id"] in missing.users]
    await _tell_ops(
        conn, ctx, meeting, Kind.CONFIRMATION_MISSING, f"{missing.session_id}:{missing.revision}",
        {"silent": silent},
    )  # fmt: skip


async def tell_late_answer(conn: Conn, ctx: Context, fact: StoredFact) -> None:
    """Operators, who were told that an answer is missing, hear of each that comes after all: also when the session
    has been called off or moved since, for they may be ringing people up."""
    said = decode(ConfirmationAnswered, fact.data)
    if not said.late:
        return
    meeting = await load_meeting(conn, ctx, said.session_id)
    [who] = [it for it in _named(meeting) if it["id"] == said.user_id]
    values = {
        "who": who,
        "answer": said.answer.value,
        "previous": said.previous.value if said.previous else "",
        "since": _since(meeting, said.revision),
    }
    await _tell_ops(conn, ctx, meeting, Kind.CONFIRMATION_AMENDED, f"fact:{fact.id}", values)


def _named(meeting: Meeting) -> list[dict[str, Any]]:
    """Both, as a text names them."""
    return [{"id": it.id, "name": it.name, "role": role} for role, it in meeting.people.items()]


def _since(meeting: Meeting, revision: int) -> str:
    """What became of a time since people were asked about it; empty while it stands."""
    if meeting.status in (Status.CANCELLED, Status.REJECTED, Status.EXPIRED):
        return "cancelled"
    return "" if meeting.occasion.revision == revision else "moved"


async def _tell_ops(
    conn: Conn, ctx: Context, meeting: Meeting, kind: Kind, key: str, values: Mapping[str, Any]
) -> None:
    it = meeting.occasion
    await notifications.tell_ops_in(
        conn, ctx, kind=kind, dedup_key=key, session_id=it.session_id, link=it.url,
        values={"mentor": it.mentor, "mentee": it.mentee, "start": it.start, "end": it.end, **values},
    )  # fmt: skip
