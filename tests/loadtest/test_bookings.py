"""What the tool does when the API answers otherwise than hoped: 429, an expired token, foreign addresses, refusals."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
from aiohttp import web as http
from aiohttp.test_utils import TestServer

from loadtest.bookings import Account, Api, Couple, Refused
from loadtest.options import LoadError


@dataclass
class Script:
    """A server that gives prepared answers in turn, and notes what it was asked and with which token."""

    answers: list[http.Response] = field(default_factory=list)
    asked: list[tuple[str, str]] = field(default_factory=list)
    url: str = ""

    async def answer(self, request: http.Request) -> http.Response:
        self.asked.append((request.path, request.headers.get("Authorization", "")))
        return self.answers.pop(0)


@pytest.fixture
async def script() -> AsyncIterator[Script]:
    script = Script()
    app = http.Application()
    app.router.add_route("*", "/{path:.*}", script.answer)
    async with TestServer(app) as server:
        script.url = f"http://127.0.0.1:{server.port}"
        yield script


def couple() -> Couple:
    return Couple("s1", (Account("u1", "old-1", "refresh-1"), Account("u2", "old-2", "refresh-2")))


def pass_to(url: str) -> http.Response:
    return http.json_response({"room_token": "token", "ws_url": url, "ice_servers": [], "expires_at": "-"})


async def test_429_is_waited_out(script: Script) -> None:
    busy = http.json_response({"code": "rate_limited"}, status=429, headers={"Retry-After": "0"})
    script.answers = [busy, pass_to("/ws/sessions/s1"), pass_to("ws://localhost/ws")]
    async with Api(script.url, own_server=False) as api:
        one, other = await api.tickets(couple())
    assert one.ws_url == f"{script.url}/ws/sessions/s1" and other.ws_url == "ws://localhost/ws"
    assert one.room_token == "token"


async def test_patience_ends(script: Script) -> None:
    script.answers = [
        http.json_response({"code": "rate_limited"}, status=429, headers={"Retry-After": "3600"})
    ]
    async with Api(script.url, own_server=False) as api:
        with pytest.raises(Refused) as caught:
            await api.tickets(couple())
    assert (caught.value.status, caught.value.code) == (429, "rate_limited")


async def test_an_expired_token_is_refreshed_once(script: Script) -> None:
    expired = {"code": "token_expired"}
    script.answers = [
        http.json_response(expired, status=401),
        http.json_response({"access_token": "new-1", "refresh_token": "refresh-1b"}),
        pass_to("/ws"),
        http.json_response(expired, status=401),
        http.json_response({"access_token": "new-2", "refresh_token": "refresh-2b"}),
        http.json_response(expired, status=401),
    ]
    people = couple()
    async with Api(script.url, own_server=False) as api:
        with pytest.raises(Refused, match="401"):
            await api.tickets(people)
    assert [token for path, token in script.asked if path.endswith("/join")] == [
        "Bearer old-1", "Bearer new-1", "Bearer old-2", "Bearer new-2",
    ]  # fmt: skip
    assert [person.refresh_token for person in people.people] == ["refresh-1b", "refresh-2b"]


async def test_a_socket_elsewhere_is_not_opened(script: Script) -> None:
    script.answers = [pass_to("wss://video.example.org/ws") for _ in range(3)]
    async with Api(script.url, own_server=False) as api:
        with pytest.raises(LoadError, match=r"video\.example\.org"):
            await api.tickets(couple())
    async with Api(script.url, own_server=True) as api:
        one, _ = await api.tickets(couple())
    assert one.ws_url == "wss://video.example.org/ws"


async def test_a_refusal_names_all_faults(script: Script) -> None:
    faults = [
        {"field": "start", "code": "x", "message": "Too early."},
        {"field": "end", "code": "x", "message": "Odd."},
    ]
    script.answers = [http.json_response({"code": "invalid", "detail": "No.", "errors": faults}, status=422)]
    async with Api(script.url, own_server=False) as api:
        with pytest.raises(Refused, match=r"422 invalid.*start: Too early.*end: Odd"):
            await api.tickets(couple())


async def test_an_answer_that_is_no_json_is_one_sentence(script: Script) -> None:
    script.answers = [http.Response(text="<html>", status=502)]
    async with Api(script.url, own_server=False) as api:
        with pytest.raises(LoadError, match="no usable answer"):
            await api.tickets(couple())
