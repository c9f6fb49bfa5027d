"""Idempotency-Key: a repeated POST gets the first one's answer instead of doing it again.

The claim is a row of its own, committed before the work starts. What a write made is answered in the write's own
transaction (`Keep`): there is no moment at which the booking is there and its answer is not, so a process that dies
loses both or neither, and a repetition gets the first one's 201. A claim without an answer may be taken over by the
same request after STUCK_AFTER; whoever lost his claim so cannot commit any more. Refusals have changed nothing and are
written down after the work.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import TypeAlias
from uuid import UUID

from aiohttp import web as http

from server.base.context import Context
from server.base.db import Conn, Json
from server.base.errors import Conflict, FieldError, Invalid, Refusal, TooMany, Unavailable
from web import store
from web.context import context
from web.identity import caller
from web.problems import CONTENT_TYPE, of_refusal
from web.routing import template

HEADER = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"
STUCK_AFTER = timedelta(seconds=60)  # four times the longest statement
FORGOTTEN_AFTER = timedelta(hours=24)
# Writes down, in the transaction that did the work, what the request is going to be answered.
Keep: TypeAlias = Callable[[Conn, http.Response], Awaitable[None]]
_GOOD_KEY = re.compile(r"[\x21-\x7e]{1,200}")


class KeyReused(Refusal):
    http_status = 422
    title = "Idempotency key reused"


async def forget(conn: Conn, response: http.Response) -> None:
    """The `Keep` of a request without a key."""


async def once(
    request: http.Request, raw: bytes, perform: Callable[[Keep], Awaitable[http.Response]]
) -> http.StreamResponse:
    """Run ``perform`` unless the caller's Idempotency-Key was answered before; without a key, just run it.

    Successes and refusals (4xx) are kept; limits and failures of ours are not, so that a retry can succeed.
    Raises KeyReused ``idempotency_key_reused``, Conflict ``idempotency_in_progress``, Invalid for a bad key.
    """
    key = request.headers.get(HEADER)
    if key is None:
        return await perform(forget)
    if not _GOOD_KEY.fullmatch(key):
        raise Invalid([FieldError(HEADER, "bad_key", "A key is 1 to 200 visible ASCII characters.")])
    ctx, user_id, route = context(request), caller(request).user_id, f"{request.method} {template(request)}"
    digest = hashlib.sha256(f"{request.method} {request.path_qs}\n".encode() + raw).digest()
    now = ctx.clock.now()
    async with ctx.pool.acquire() as conn:
        kept = await store.claim_key(
            conn,
            user_id,
            key,
            route=route,
            request_hash=digest,
            now=now,
            stuck_before=now - STUCK_AFTER,
            forgotten_before=now - FORGOTTEN_AFTER,
        )
    if kept is not None:
        return _replay(kept, digest)

    async def keep(conn: Conn, response: http.Response) -> None:
        answer = _answer(response)
        if not await store.keep_answer(
            conn, user_id, key, claimed_at=now, status=response.status, response=answer
        ):
            raise Conflict("idempotency_in_progress", "Another request with this Idempotency-Key took over.")

    try:
        response = await perform(keep)
    except (TooMany, Unavailable):
        await _release(ctx, user_id, key, now)
        raise
    except Refusal as refusal:
        problem = of_refusal(refusal)
        answer: Json = {"body": problem.text(), "type": CONTENT_TYPE, "headers": {}}
        await _keep(ctx, user_id, key, now, problem.status, answer)
        raise
    except Exception:
        await _release(ctx, user_id, key, now)
        raise
    await _keep(ctx, user_id, key, now, response.status, _answer(response))
    return response


def _answer(response: http.Response) -> Json:
    headers = {name: value for name, value in response.headers.items() if name == "Location"}
    return {"body": response.text, "type": response.content_type, "headers": headers}


async def _keep(
    ctx: Context, user_id: UUID, key: str, claimed_at: datetime, status: int, answer: Json
) -> None:
    async with ctx.pool.acquire() as conn:
        await store.keep_answer(conn, user_id, key, claimed_at=claimed_at, status=status, response=answer)


async def _release(ctx: Context, user_id: UUID, key: str, claimed_at: datetime) -> None:
    async with ctx.pool.acquire() as conn:
        await store.release_key(conn, user_id, key, claimed_at=claimed_at)


def _replay(kept: store.KeptAnswer, digest: bytes) -> http.Response:
    if kept.request_hash != digest:
        raise KeyReused("idempotency_key_reused", "This Idempotency-Key was used for another request.")
    if kept.status is None or kept.response is None:
        raise Conflict(
            "idempotency_in_progress", "The first request with this Idempotency-Key is still running."
        )
    return http.Response(
        status=kept.status,
        text=kept.response["body"],
        content_type=kept.response["type"],
        headers={**kept.response["headers"], REPLAYED: "true"},
    )
