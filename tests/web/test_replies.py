"""Replies by WhatsApp, from a signed post to our answer: traced, understood, done once, in whatever order they come."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from jobs.confirmations import buttons_for, sweep
from jobs.outbox import drain
from jobs.reminders import remind
from server.booking.model import Booking, Status
from server.confirmations import actions as confirmations
from server.confirmations.tickets import Verb
from server.contact import choices
from server.contact.model import Change
from server.integrations.channels import make_channels
from server.notifications.delivery import deliver_due
from server.people.model import User
from server.sessions import actions as sessions
from tests.support.reach import give_number
from tests.web.test_webhooks import Scene, scene

__all__ = ["scene"]

START = datetime(2026, 3, 3, 10, 0, tzinfo=UTC)
MENTOR, MENTEE, STRANGER = "15550100001", "15550100002", "15550100003"


@dataclass(slots=True)
class Talk:
    """What people write to us, and what we write to them."""

    scene: Scene
    booking: Booking
    ids: Any = field(default_factory=itertools.count)

    async def settle(self) -> None:
        """Reactions, then deliveries, until nothing is left."""
        await drain(self.scene.story.ctx)
        await deliver_due(self.scene.story.ctx, make_channels(self.scene.story.ctx.settings))
        await drain(self.scene.story.ctx)

    async def go(self, minutes: float) -> None:
        self.scene.story.clock.set(START + timedelta(minutes=minutes))
        await remind(self.scene.story.ctx)
        await sweep(self.scene.story.ctx)
        await self.settle()

    def message(
        self, text: str, context: str | None = None, *, number: str = MENTEE, payload: str = "", said: int = 0
    ) -> dict[str, Any]:
        """As Meta posts it; ``said`` is seconds from now."""
        at = int(self.scene.story.clock.now().timestamp()) + said
        message: dict[str, Any] = {"from": number, "id": f"wamid.in{next(self.ids)}", "timestamp": str(at)}
        if payload:
            message |= {"type": "button", "button": {"payload": payload, "text": text}}
        else:
            message |= {"type": "text", "text": {"body": text}}
        if context is not None:
            message["context"] = {"id": context}
        return message

    async def post(self, *messages: dict[str, Any]) -> None:
        self.scene.fakes.wrote |= {message["from"] for message in messages}
        assert await self.scene.whatsapp({"messages": list(messages)}) == 200

    async def hears(self, text: str, context: str | None = None, **how: Any) -> dict[str, Any]:
        """Post it; what we answered."""
        before = len(self.scene.fakes.taken)
        await self.post(self.message(text, context, **how))
        await self.settle()
        answers = [it for it in self.scene.fakes.taken[before:] if it.get("type") in ("text", "interactive")]
        assert all(it["to"] == how.get("number", MENTEE) for it in answers) and len(answers) <= 1
        return answers[0] if answers else {}

    async def sent(self, kind: str, who: User, nth: int = -1) -> tuple[str, dict[str, str]]:
        """The name of our newest message of that kind to the person, and its buttons by title."""
        rows = await self.scene.story.ctx.pool.fetch(
            "SELECT provider_message_id, buttons FROM notifications WHERE kind = $1 AND recipient_id = $2"
            " AND channel = 'whatsapp' AND provider_message_id IS NOT NULL ORDER BY created_at, id",
            kind, who.id,
        )  # fmt: skip
        return rows[nth]["provider_message_id"], {it["title"]: it["payload"] for it in rows[nth]["buttons"]}

    async def says(self, who: User) -> str | None:
        sid = self.booking.session_id
        found = (await confirmations.of_sessions(self.scene.story.ctx, [sid]))[sid].of(who.id)
        return found.answer.value if found and found.answer else None

    async def results(self) -> list[str]:
        rows = await self.scene.story.ctx.pool.fetch(
            "SELECT coalesce(result, 'waiting') FROM provider_events WHERE kind = 'reply' ORDER BY received_at, id"
        )
        return [row[0] for row in rows]

    async def count(self, sql: str) -> int:
        number: int = await self.scene.story.ctx.pool.fetchval(f"SELECT count(*) FROM {sql}")
        return number


def words(answer: dict[str, Any]) -> str:
    return str(answer["text"]["body"] if answer["type"] == "text" else answer["interactive"]["body"]["text"])


def pressed(answer: dict[str, Any]) -> dict[str, str]:
    return {it["reply"]["title"]: it["reply"]["id"] for it in answer["interactive"]["action"]["buttons"]}


@pytest.fixture
async def talk(scene: Scene) -> Talk:
    """Both were asked four hours before, by WhatsApp, too."""
    story = scene.story
    async with story.ctx.pool.acquire() as conn:
        await give_number(conn, story.mentor.id, "whatsapp", f"+{MENTOR}", story.clock.now())
        await give_number(conn, story.mentee.id, "whatsapp", f"+{MENTEE}", story.clock.now())
    talk = Talk(scene, await story.session(START))
    await talk.go(-240)
    return talk


async def test_a_quick_reply_counts_once_however_often_it_is_posted(talk: Talk) -> None:
    mentee = talk.scene.story.mentee
    asked, buttons = await talk.sent("reminder", mentee)
    assert list(buttons) == ["Yes, I am coming", "No", "Another time"]
    yes = talk.message("Yes", asked, payload=buttons["Yes, I am coming"])
    before = len(talk.scene.fakes.taken)
    await asyncio.gather(*(talk.post(yes) for _ in range(20)))
    await asyncio.gather(*(drain(talk.scene.story.ctx) for _ in range(3)))
    await talk.settle()
    [answer] = talk.scene.fakes.taken[before:]
    assert (answer["type"], answer["to"], answer["context"]) == ("text", MENTEE, {"message_id": yes["id"]})
    assert words(answer).startswith("Thanks, noted: you are meeting Asha Rao at 11:00 (Europe/Berlin")
    assert await talk.says(mentee) == "yes"
    assert await talk.count("facts WHERE kind = 'confirmation_answered'") == 1


async def test_no_offers_cancel_and_cancel_asks_once_more(talk: Talk) -> None:
    story = talk.scene.story
    asked, buttons = await talk.sent("reminder", story.mentee)
    answer = await talk.hears("No", asked, payload=buttons["No"])
    assert await talk.says(story.mentee) == "no" and list(pressed(answer)) == ["Cancel", "Another time"]
    offered, _ = await talk.sent("reply", story.mentee)
    answer = await talk.hears("Cancel", offered, payload=pressed(answer)["Cancel"])
    assert list(pressed(answer)) == ["Yes, cancel it", "Keep it"]
    really, _ = await talk.sent("reply", story.mentee)
    answer = await talk.hears("yes")  # to what? nothing is cancelled on a guess
    assert words(answer).startswith("Really cancel") and await talk.says(story.mentee) == "no"
    answer = await talk.hears("ja", really)
    assert words(answer).startswith("Cancelled. Asha Rao is told.")
    row = await story.ctx.pool.fetchrow(
        "SELECT status, cancelled_by, cancelation_reason FROM bookings WHERE id = $1", talk.booking.id
    )
    assert row is not None and (row["status"], row["cancelled_by"]) == ("cancelled", story.mentee.id)
    assert "answer to our question" in row["cancelation_reason"]
    answer = await talk.hears("Yes", asked, payload=buttons["Yes, I am coming"])
    assert words(answer).startswith("This session was called off")


async def test_keeping_it_asks_again(talk: Talk) -> None:
    story = talk.scene.story
    answer = await talk.hears("cancel", number=MENTOR)
    really, _ = await talk.sent("reply", story.mentor)
    answer = await talk.hears("no", really, number=MENTOR)
    assert words(answer).startswith("Nothing is cancelled.") and len(pressed(answer)) == 3
    await talk.hears("Yes", payload=pressed(answer)["Yes, I am coming"], number=MENTOR)
    assert await talk.says(story.mentor) == "yes"
    assert await talk.count("bookings WHERE status = 'approved'") == 1


async def test_a_reply_to_a_later_message_or_to_a_reply_goes_back_to_the_session(talk: Talk) -> None:
    story = talk.scene.story
    await talk.go(-30)
    later, _ = await talk.sent("reminder", story.mentee)
    await talk.hears("Nein!", later)
    assert await talk.says(story.mentee) == "no"
    ours, _ = await talk.sent("reply", story.mentee)
    first = talk.message("What do you mean?", ours)
    await talk.post(first)
    await talk.settle()
    await talk.hears("ok", first["id"])  # quotes his own message
    assert await talk.says(story.mentee) == "yes"
    assert await talk.results() == ["no", "passed_on", "yes"]


async def test_a_reply_may_be_faster_than_our_own_note(talk: Talk) -> None:
    """The message has left, and its answer is here before we have written down its name."""
    story = talk.scene.story
    asked, buttons = await talk.sent("reminder", story.mentee)
    await story.ctx.pool.execute(
        "UPDATE notifications SET status = 'retrying', provider_message_id = NULL WHERE provider_message_id = $1",
        asked,
    )
    name = f"wamid.{len(talk.scene.fakes.taken) + 1}"
    await talk.post(talk.message("Yes", name, payload=buttons["Yes, I am coming"]))
    await drain(story.ctx)
    assert await talk.says(story.mentee) is None and await talk.results() == ["waiting"]
    await talk.settle()
    assert await talk.says(story.mentee) == "yes" and await talk.results() == ["yes"]


async def test_what_answers_nothing_we_know_waits_a_little_and_is_heard(talk: Talk) -> None:
    await talk.post(talk.message("yes", "wamid.lost"))
    await talk.go(-239)
    assert await talk.results() == ["waiting"]
    await talk.go(-237)
    assert await talk.says(talk.scene.story.mentee) == "yes"


async def test_reordered_replies_end_with_what_was_said_last(talk: Talk) -> None:
    mentee = talk.scene.story.mentee
    asked, _ = await talk.sent("reminder", mentee)
    talk.scene.story.clock.step(timedelta(minutes=5))
    await talk.hears("no", asked, said=-60)
    answer = await talk.hears("yes", asked, said=-120)
    assert await talk.says(mentee) == "no"
    assert words(answer).startswith("What you said later has reached us first, and stands: no")
    await talk.hears("yes", asked, said=10**6)  # a telephone that lives in the future
    assert await talk.says(mentee) == "yes"
    await talk.hears("no", asked)
    assert await talk.says(mentee) == "no"


async def test_nobody_answers_for_somebody_else(talk: Talk) -> None:
    story = talk.scene.story
    asked, buttons = await talk.sent("reminder", story.mentee)
    yes = buttons["Yes, I am coming"]
    forged = yes[:-2] + ("AA" if yes[-2:] != "AA" else "BB")
    for number in (STRANGER, MENTOR):
        assert await talk.hears("Yes", asked, payload=yes, number=number) == {}
        assert await talk.hears("yes", asked, number=number) == {}
    mine = buttons_for(story.ctx.settings, talk.booking.session_id, story.mentor.id, 1, [Verb.YES])[0].payload
    assert await talk.hears("Yes", asked, payload=mine) == {}
    assert await talk.results() == ["stranger"] * 5
    assert await talk.says(story.mentee) is await talk.says(story.mentor) is None
    await talk.hears(
        "Yes", asked, payload=forged
    )  # it is his number, but nothing we have written: somebody looks
    assert (await talk.results())[-1] == "passed_on" and await talk.says(story.mentee) is None
    await story.ctx.pool.execute("UPDATE destinations SET ended_at = now(), ended_reason = 'removed'")
    assert await talk.hears("Yes", asked, payload=yes) == {}


async def test_other_words_are_passed_on_once(talk: Talk) -> None:
    story = talk.scene.story
    asked, _ = await talk.sent("reminder", story.mentee)
    question = talk.message("Can my sister join? <b>", asked)
    for _ in range(3):
        await talk.post(question)
        await talk.settle()
    [answer] = [it for it in talk.scene.fakes.taken if it.get("type") == "text"]
    assert "somebody of our team reads it" in words(answer)
    [told] = [it["text"] for it in talk.scene.fakes.taken if set(it) == {"text"}]
    assert "Jonas Weber wrote by WhatsApp" in told and "Can my sister join? &lt;b&gt;" in told
    assert f"/sessions/{talk.booking.session_id}" in told
    assert await talk.results() == ["passed_on"]


async def test_without_context_it_is_the_only_session_or_we_ask_which(talk: Talk) -> None:
    story = talk.scene.story
    await talk.hears("Yes please")
    assert await talk.says(story.mentee) == "yes"
    second = await story.session(START + timedelta(hours=1))
    await talk.go(-180)
    answer = await talk.hears("no")
    assert words(answer).startswith(
        "Which session do you mean? Asha Rao, Tuesday, 3 March 2026, 11:00; Asha Rao"
    )
    assert await talk.says(story.mentee) == "yes"
    choice = pressed(answer)
    assert list(choice) == ["11:00 Asha Rao", "12:00 Asha Rao"]
    which, _ = await talk.sent("reply", story.mentee)
    await talk.hears("12:00 Asha Rao", which, payload=choice["12:00 Asha Rao"])
    assert await talk.says(story.mentee) == "yes"
    assert await Talk(talk.scene, second).says(story.mentee) == "no"


async def test_a_reply_to_what_was_said_before_a_move_is_no_answer(talk: Talk) -> None:
    story = talk.scene.story
    asked, buttons = await talk.sent("reminder", story.mentee)
    end = START + timedelta(hours=7)
    await sessions.reschedule(
        story.ctx, story.mentor.id, talk.booking.id, start=end - timedelta(hours=1), end=end, reason="ill"
    )
    story.clock.step(timedelta(minutes=1))
    moved = await sessions.approve(story.ctx, story.mentee.id, talk.booking.id)
    assert moved.status is Status.APPROVED
    await talk.settle()
    await talk.go(120)
    for how in ({"payload": buttons["No"]}, {}):
        answer = await talk.hears("No", asked, **how)
        assert words(answer).startswith("This was about another time")
    assert await talk.says(story.mentee) is None
    now, _ = await talk.sent("reminder", story.mentee)
    await talk.hears("Yes", now)
    assert await talk.says(story.mentee) == "yes"


async def test_a_late_reply_says_that_it_amends(talk: Talk) -> None:
    asked, buttons = await talk.sent("reminder", talk.scene.story.mentee)
    await talk.go(-120)
    answer = await talk.hears("Yes", asked, payload=buttons["Yes, I am coming"])
    assert "Our team had been told that you have not answered" in words(answer)
    subjects = [body["text"].split("\n")[0] for body in talk.scene.fakes.taken if set(body) == {"text"}]
    assert [subject[:19] for subject in subjects] == ["*No answer: Jonas W", "*Amended: now yes ("]


async def test_our_answer_is_free_text_only_within_a_day(talk: Talk) -> None:
    asked, _ = await talk.sent("reminder", talk.scene.story.mentee)
    assert await talk.hears("yes", asked, said=-86_400) == {}
    assert await talk.says(talk.scene.story.mentee) == "yes"


async def test_whoever_reads_german_is_answered_in_german(talk: Talk) -> None:
    story = talk.scene.story
    await choices.change(story.ctx, story.mentee.id, Change(language="de"))
    await sessions.reschedule(
        story.ctx, story.mentor.id, talk.booking.id, start=START + timedelta(hours=2), end=START + timedelta(hours=3),
        reason="",
    )  # fmt: skip
    await sessions.approve(story.ctx, story.mentee.id, talk.booking.id)
    await talk.settle()
    await talk.go(-120)  # asked anew, in German
    asked, buttons = await talk.sent("reminder", story.mentee)
    assert list(buttons) == ["Ja, ich komme", "Nein", "Andere Zeit"]
    answer = await talk.hears("leider nicht", asked)
    assert words(answer).startswith(
        "Notiert: Sie können Asha Rao um 13:00 Uhr nicht treffen. Möchten Sie absagen"
    )
    assert list(pressed(answer)) == ["Absagen", "Andere Zeit"]
    really = await talk.hears("Absagen", payload=pressed(answer)["Absagen"])
    assert words(really).startswith("Das Gespräch mit Asha Rao um 13:00 Uhr wirklich absagen?")
    assert list(pressed(really)) == ["Ja, absagen", "Nicht absagen"]
    assert words(await talk.hears("Ja", payload=pressed(really)["Ja, absagen"])).startswith("Abgesagt. ")
    late = words(await talk.hears("ja", asked))
    assert late.startswith("Dieses Gespräch ist abgesagt, es gibt also nichts mehr zu beantworten.")
