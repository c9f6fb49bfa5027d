"""The whole way through the API: register, find a time, book, approve, get into the room, change one's mind."""

from __future__ import annotations

from datetime import timedelta

from server.people.model import Role
from tests.web.conftest import NOW, PASSWORD, Client, World, hour, open_hours


async def registered(world: World, role: str, name: str, timezone: str) -> tuple[Client, dict[str, object]]:
    body = {
        "email": f"{name.lower()}@example.org", "password": PASSWORD, "name": name, "role": role, "timezone": timezone,
    }  # fmt: skip
    reply = await world.nobody.post("/auth/register", body)
    assert reply.status == 201, reply.text
    client = Client(world.http, world.base, token=reply.json["access_token"])
    return client, reply.json


async def test_from_registration_to_the_room_and_out_again(world: World) -> None:
    mentor, mentor_data = await registered(world, "mentor", "Mira", "Europe/Berlin")
    mentee, _ = await registered(world, "mentee", "Menno", "America/New_York")
    mentor_id = mentor_data["user"]["id"]  # type: ignore[index]

    # Both are who they said they are.
    me = (await mentee.get("/me")).json
    assert (me["name"], me["role"], me["timezone"]) == ("Menno", "mentee", "America/New_York")
    assert me["profile"] is None and "password" not in str(me)
    changed = await mentor.call(
        "PATCH", "/me", {"headline": "Databases", "topics": ["SQL"], "languages": ["en"], "price_tokens": 25}
    )
    assert changed.json["profile"]["price_tokens"] == 25

    # Her hours, his choice.
    await open_hours(mentor, timezone="Europe/Berlin")
    assert (await mentor.get("/me/availability")).json["weekly"][0] == {
        "weekday": 0, "start": "08:00", "end": "18:00",
    }  # fmt: skip
    cards = (await mentee.get("/mentors?q=data&max_price=30&language=en&topic=sql")).json
    assert [card["id"] for card in cards["items"]] == [mentor_id]
    assert cards["next_cursor"] is None and cards["items"][0]["next_slot"]["start"].endswith("Z")
    assert (await mentee.get("/mentors?max_price=24")).json["items"] == []
    assert (await mentee.get(f"/mentors/{mentor_id}")).json["headline"] == "Databases"
    slots = await mentee.get(f"/mentors/{mentor_id}/slots?from=2026-03-03&to=2026-03-03&tz=Europe/Berlin")
    starts = [slot["start"] for slot in slots.json["slots"]]
    assert starts[0] == "2026-03-03T07:00:00Z" and len(starts) == 10  # 08:00 in Berlin, ten hours
    assert (await mentee.get(f"/mentors/{mentor_id}/slots?from={NOW.isoformat()}")).status == 200

    # He books, the price is held.
    wanted = {"mentor_id": mentor_id, **hour(1, 10), "topic": "Indexes", "note": "B-trees?"}
    booked = await mentee.post("/bookings", wanted)
    assert booked.status == 201, booked.text
    booking = booked.json
    assert booked.headers["Location"] == f"/api/v1/bookings/{booking['id']}"
    assert booking["status"] == "requested" and booking["price_tokens"] == 25
    assert booking["mentor"] == {"id": mentor_id, "name": "Mira"} and booking["start"] == wanted["start"]
    assert (await mentee.get("/wallet")).json == {
        "balance_tokens": 75,
        "held_tokens": 25,
        "earnings_tokens": 0,
    }
    kinds = [t["kind"] for t in (await mentee.get("/wallet/transfers")).json["items"]]
    assert kinds == ["hold", "grant"]

    # The same hour again is in its own way.
    again = await mentee.post("/bookings", wanted)
    assert (again.status, again.json["code"]) == (409, "booking_conflict")
    clash = again.json["conflicts"][0]
    assert clash["kind"] == "booking" and clash["start"] == wanted["start"]

    # She agrees; there is a session, whose room is not open yet.
    approved = await mentor.post(f"/bookings/{booking['id']}/approve")
    assert (approved.status, approved.json["status"]) == (200, "approved")
    twice = await mentor.post(f"/bookings/{booking['id']}/approve")
    assert (twice.status, twice.json["code"]) == (409, "illegal_transition")
    session_id = booking["session_id"]
    session = (await mentee.get(f"/sessions/{session_id}")).json
    assert session["status"] == "scheduled" and session["outcome"] is None
    assert {p["role"] for p in session["participants"]} == {"mentor", "mentee"}
    assert [s["id"] for s in (await mentor.get("/sessions")).json["items"]] == [session_id]
    early = await mentee.post(f"/sessions/{session_id}/join")
    assert (early.status, early.json["code"]) == (409, "too_early")

    # Ten minutes before, it is.
    world.clock.jump_to(NOW + timedelta(days=1, hours=1) - timedelta(minutes=10))
    mentee = await signed_in_again(world, "menno@example.org")
    mentor = await signed_in_again(world, "mira@example.org")
    joined = await mentee.post(f"/sessions/{session_id}/join")
    assert joined.status == 200, joined.text
    assert joined.json["ws_url"] == f"{world.base.replace('http', 'ws')}/ws/sessions/{session_id}"
    assert (
        joined.json["ice_servers"] == []
        and joined.json["room_token"]
        and joined.json["expires_at"].endswith("Z")
    )
    attendance = (await mentee.get(f"/sessions/{session_id}/attendance")).json["items"]
    assert [(p["role"], p["present_seconds"], p["intervals"]) for p in attendance] == [
        ("mentor", 0, []),
        ("mentee", 0, []),
    ]
    assert (await mentee.get(f"/sessions/{session_id}/chat")).json == {"items": [], "more": False}

    # He cancels in time and has his tokens back.
    cancelled = await mentee.post(f"/bookings/{booking['id']}/cancel", {"reason": "A cold"})
    assert (cancelled.status, cancelled.json["status"]) == (200, "cancelled")
    assert cancelled.json["cancelation_reason"] == "A cold"
    assert (await mentee.get("/wallet")).json["balance_tokens"] == 100
    assert (await mentor.get(f"/sessions/{session_id}")).json["outcome"] == "cancelled"
    assert (await mentor.get("/bookings?status=cancelled")).json["items"][0]["id"] == booking["id"]
    assert (await mentor.get("/bookings?status=approved")).json["items"] == []
    assert (await mentor.get("/payslips")).json["items"] == []
    late = await mentee.post(f"/sessions/{session_id}/join")
    assert (late.status, late.json["code"]) == (409, "session_cancelled")


async def signed_in_again(world: World, email: str) -> Client:
    reply = await world.nobody.post("/auth/login", {"email": email, "password": PASSWORD})
    assert reply.status == 200, reply.text
    return Client(world.http, world.base, token=reply.json["access_token"])


async def test_rejecting_and_moving(world: World) -> None:
    mentor = await world.person(Role.MENTOR)
    mentee = await world.person(Role.MENTEE, tokens=100)
    await open_hours(mentor)
    first = (await mentee.post("/bookings", {"mentor_id": str(mentor.id), **hour(1, 10)})).json
    rejected = await mentor.post(f"/bookings/{first['id']}/reject", {"reason": "Away"})
    assert rejected.json["status"] == "rejected"

    second = (await mentee.post("/bookings", {"mentor_id": str(mentor.id), **hour(1, 11)})).json
    await mentor.post(f"/bookings/{second['id']}/approve")
    moved = await mentee.post(f"/bookings/{second['id']}/reschedule", {**hour(2, 12), "reason": "Train"})
    assert moved.status == 200, moved.text
    assert (moved.json["status"], moved.json["is_reschedule"], moved.json["start"]) == (
        "approved", False, hour(1, 11)["start"],
    )  # fmt: skip
    assert moved.json["proposal"] == {
        **hour(2, 12), "by": str(mentee.id), "reason": "Train", "expires_at": hour(1, 11)["start"],
    }  # fmt: skip
    accepted = (await mentor.post(f"/bookings/{second['id']}/approve")).json
    assert (accepted["status"], accepted["is_reschedule"], accepted["start"]) == (
        "approved", True, hour(2, 12)["start"],
    )  # fmt: skip
    assert (accepted["reschedule_reason"], accepted["proposal"]) == ("Train", None)
    assert accepted["revision"] > second["revision"]


async def test_terms_are_set_and_hold_from_the_next_booking_on(world: World) -> None:
    mentor = await world.person(Role.MENTOR)
    mentee = await world.person(Role.MENTEE, tokens=100)
    await open_hours(mentor)
    terms = {
        "instant_approval": True, "free_until_hours": 24, "late_fee_percent": 50, "no_show_fee_percent": 80,
    }  # fmt: skip
    assert (await mentor.call("PUT", "/me/booking-terms", terms)).json == terms
    assert (await mentor.get("/me/booking-terms")).json == terms
    bad = await mentor.call("PUT", "/me/booking-terms", {**terms, "late_fee_percent": 101})
    assert (bad.status, bad.json["errors"][0]["field"]) == (422, "late_fee_percent")
    made = (await mentee.post("/bookings", {"mentor_id": str(mentor.id), **hour(3, 10)})).json
    assert made["status"] == "approved"
    assert made["cancellation"]["late_fee_percent"] == 50
    assert made["cancellation"]["free_until"] == hour(2, 10)["start"]
    kept = await mentee.post("/bookings", {"mentor_id": str(mentor.id), **hour(3, 12), "hold": True})
    assert (kept.status, kept.json["status"]) == (201, "hold")
    paid = await mentee.post(f"/bookings/{kept.json['id']}/confirm")
    assert (paid.status, paid.json["status"]) == (200, "approved")


async def test_tokens_are_renewed_once_and_a_stolen_one_ends_the_family(world: World) -> None:
    _, data = await registered(world, "mentee", "Rita", "UTC")
    first = data["refresh_token"]
    renewed = await world.nobody.post("/auth/refresh", {"refresh_token": first})
    assert renewed.status == 200 and renewed.json["user"]["name"] == "Rita"
    assert (await world.nobody.post("/auth/refresh", {"refresh_token": first})).status == 401
    after_theft = await world.nobody.post("/auth/refresh", {"refresh_token": renewed.json["refresh_token"]})
    assert (after_theft.status, after_theft.json["code"]) == (401, "bad_refresh_token")

    again = await world.nobody.post("/auth/login", {"email": "RITA@example.org", "password": PASSWORD})
    assert again.status == 200
    out = await world.nobody.post("/auth/logout", {"refresh_token": again.json["refresh_token"]})
    assert out.status == 204
    gone = await world.nobody.post("/auth/refresh", {"refresh_token": again.json["refresh_token"]})
    assert gone.status == 401


async def test_lists_are_paged_without_loss_or_repetition(world: World) -> None:
    mentor = await world.person(Role.MENTOR)
    mentee = await world.person(Role.MENTEE, tokens=100)
    await open_hours(mentor)
    made = {
        (await mentee.post("/bookings", {"mentor_id": str(mentor.id), **hour(1, at)})).json["id"]
        for at in range(9, 14)
    }
    seen: list[str] = []
    cursor = ""
    for _ in range(10):
        page = (await mentee.get(f"/bookings?limit=2{cursor}")).json
        assert len(page["items"]) <= 2
        seen += [item["id"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert len(seen) == 5 and set(seen) == made
