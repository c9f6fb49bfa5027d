"""Whether people come, over HTTP: by login, by the link in a mail, and on the pages of both."""

from __future__ import annotations

import re
from datetime import timedelta
from uuid import UUID

from jobs.outbox import drain
from jobs.reminders import remind
from server.booking.model import Status
from server.confirmations.tickets import Purpose, Ticket, Verb, write
from server.contact import choices
from server.contact.model import Change
from server.notifications.tongues import TONGUES
from server.people.model import Role
from tests.web.conftest import NOW, World, hour, open_hours, world
from web.wording import WORDS

__all__ = ["world"]


async def test_from_the_question_to_both_pages(world: World) -> None:
    root, mentor = await world.person(Role.ADMIN), await world.person(Role.MENTOR, name="Asha Rao")
    mentee = await world.person(Role.MENTEE, name="Jonas <b>Weber</b>", tokens=100)
    await open_hours(mentor)
    booked = (await mentee.post("/bookings", {**hour(1, 13), "mentor_id": str(mentor.id)})).json
    assert (await mentor.post(f"/bookings/{booked['id']}/approve")).status == 200
    session = booked["session_id"]
    path = f"/sessions/{session}/confirmation"
    assert (await mentee.get(path)).json == {"session_id": session, "people": []}
    early = await mentee.call("PUT", path, {"answer": "yes"})
    assert (early.status, early.json["code"]) == (409, "not_asked")
    seen = await mentee.get(f"//sessions/{session}")
    assert "Are you coming?" not in seen.text

    await drain(world.ctx)
    world.clock.jump_to(NOW + timedelta(days=1))
    assert await remind(world.ctx) == 2
    mentor, mentee, root = [await world.fresh(who) for who in (mentor, mentee, root)]
    assert [it["answer"] for it in (await root.get(path)).json["people"]] == [None, None]
    assert (await root.call("PUT", path, {"answer": "yes"})).status == 403
    bad = await mentee.call("PUT", path, {"answer": "maybe", "why": 1})
    assert (bad.status, sorted(it["field"] for it in bad.json["errors"])) == (422, ["answer", "why"])
    seen = await mentee.get(f"//sessions/{session}")
    assert "Are you coming?" in seen.text and seen.text.count(f"PUT /sessions/{session}/confirmation") == 3
    assert f"PUT /sessions/{session}/confirmation" in (await mentee.get("//dashboard")).text

    said = await mentee.call("PUT", path, {"answer": "yes"})
    [mine] = [it for it in said.json["people"] if it["user_id"] == str(mentee.id)]
    assert (mine["role"], mine["answer"], mine["channel"], mine["late"]) == ("mentee", "yes", "page", False)
    for where in ("//dashboard", f"//bookings/{booked['id']}", f"//sessions/{session}", "//bookings"):
        text = (await mentor.get(where)).text
        assert ("Jonas has confirmed, " in text) is (where != "//bookings"), where
        assert "<b>Weber" not in text

    revision = (await mentee.get(f"/bookings/{booked['id']}")).json["revision"]
    no = write(world.ctx.settings, Purpose.LINK, Ticket(UUID(session), mentee.id, revision, Verb.NO))
    shown = await world.nobody.get(f"//confirm/{no}")
    assert (
        shown.status == 200
        and "Can you not come?" in shown.text
        and "You have said that you are coming" in shown.text
    )
    assert (await mentee.get(path)).json == said.json  # looking does nothing
    for _ in range(2):
        done = await world.nobody.post(f"/confirmations/{no}")
        assert (done.status, done.json) == (200, {"session_id": session, "answer": "no", "late": False})
    shown = await world.nobody.get(f"//confirm/{no}")
    assert shown.text.count('href="/links/') == 2 and "The session still stands" in shown.text
    assert "Jonas cannot come, " in (await mentor.get(f"//sessions/{session}")).text

    await choices.change(world.ctx, mentee.id, Change(language="de"))
    german = (await world.nobody.get(f"//confirm/{no}")).text
    assert (
        'lang="de"' in german and "Noch ist nichts abgesagt." in german and "Das Gespräch absagen" in german
    )
    assert "The session still stands" not in german and " Uhr</time>" in german
    cancel = re.search(r'href="(/links/[^"]+)">Das Gespräch absagen', german)
    assert cancel is not None
    page = (await world.nobody.get("/" + cancel[1])).text
    assert (
        "Dieses Gespräch absagen?" in page
        and "Grund" in page
        and "Vereinbart" in page
        and "Reason" not in page
    )

    assert (await mentee.post(f"/bookings/{booked['id']}/cancel", {"reason": "ill"})).status == 200
    for refused in (
        await world.nobody.post(f"/confirmations/{no}"),
        await mentee.call("PUT", path, {"answer": "yes"}),
    ):
        assert (refused.status, refused.json["code"]) == (409, "session_cancelled")
    gone = await world.nobody.get(f"//confirm/{no}")
    assert (
        gone.status == 409 and "Dieses Gespräch ist abgesagt" in gone.text and "called off" not in gone.text
    )
    assert (await world.nobody.post("/confirmations/" + "A" * 71)).status == 404


def test_every_language_of_these_pages_has_the_same_words() -> None:
    fields = {
        language: {name: set(re.findall(r"\{(\w+)\}", text)) for name, text in words.items()}
        for language, words in WORDS.items()
    }
    assert set(fields) == set(TONGUES)
    for found in fields.values():
        assert {name: it for name, it in found.items() if name in fields["en"]} == fields["en"]
    only_german = set(fields["de"]) - set(fields["en"])
    assert only_german == {f"status_{it}" for it in Status} | {
        "session_cancelled",
        "session_begun",
        "session_moved",
    }


async def test_the_counters_are_there_from_the_start(world: World) -> None:
    async with world.http.post(f"{world.base}/webhooks/whatsapp", data=b"{}") as reply:
        assert reply.status == 404  # no number is configured: nothing to forge
    text = (await world.nobody.get("//metrics")).text
    assert 'visavis_webhook_rejected_total{channel="whatsapp"} 0.0' in text
    assert 'visavis_webhook_rejected_total{channel="sms"} 0.0' in text and "visavis_replies_total" in text
