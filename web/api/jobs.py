"""The administrators' board over the API: how jobs and queues stand, and stepping in."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TypeAlias

from aiohttp import web as http

from server.base.errors import NotFound
from server.operations import actions as operations
from server.operations.model import Board, Card, DeadMessage, Deed, JobView, Run
from server.people.model import Role
from web.access import RoleIs
from web.api.endpoint import BASE, Call, LimitBy, by_caller, endpoint
from web.context import context
from web.limits import OPERATIONS
from web.routing import Contract, Route, Surface
from web.schemas.base import NoQuery, Nothing, Page, PageQuery
from web.schemas.jobs import (
    BoardOut,
    DeadKindOut,
    DeadMessageOut,
    DeedOut,
    DiscardIn,
    JobOut,
    QueuesOut,
    ReplayedOut,
    ReplayKindIn,
    RunOut,
    WaitingOut,
    WhyPausedIn,
)

TAG = "Administration"
LARGEST = 2**63  # of a bigint
# What the jobs say of themselves at an instant; handed in by whoever wires the process.
Catalogue: TypeAlias = Callable[[datetime], Sequence[Card]]
CATALOGUE: http.AppKey[Catalogue] = http.AppKey("catalogue of jobs", object)  # type: ignore[arg-type]


def _catalogue(
    call: Call[Nothing, NoQuery] | Call[WhyPausedIn, NoQuery] | Call[Nothing, PageQuery],
) -> Catalogue:
    return call.request.app[CATALOGUE]


def fact_id(request: http.Request) -> int:
    """The fact that a path names. Raises ``NotFound("dead_letter_not_found")``: nothing has such a name."""
    text = request.match_info["id"]
    if not (text.isascii() and text.isdigit() and len(text) < 20 and int(text) < LARGEST):
        raise NotFound("dead_letter_not_found", "There is no such dead letter.")
    return int(text)


def etagged(request: http.Request, body: str, kind: str) -> http.Response:
    """The answer, or 304 when the caller has it already. What tells the time of the request must not be in ``body``."""
    digest = hashlib.sha256(body.encode()).hexdigest()[:32]
    if request.if_none_match and any(tag.value == digest for tag in request.if_none_match):
        response = http.Response(status=304)
    else:
        response = http.Response(text=body, content_type=kind, charset="utf-8")
    response.etag = digest
    response.headers["Cache-Control"] = "no-cache, private"
    return response


def _run(it: Run) -> RunOut:
    return RunOut.model_validate(it, from_attributes=True)


def _job(it: JobView) -> JobOut:
    card = it.card
    return JobOut.model_validate(
        {
            "name": card.name,
            "summary": card.summary,
            "schedule": card.schedule,
            "zone": card.zone,
            "missed": card.missed,
            "time_limit_seconds": card.time_limit,
            "standing": it.standing.value,
            "next_run": card.next,
            "last": _run(it.last) if it.last else None,
            "paused_since": it.pause.since if it.pause else None,
            "paused_by": it.pause.by if it.pause else None,
            "requested_at": it.requested_at,
        }
    )


def _board(it: Board) -> BoardOut:
    queues = it.queues
    return BoardOut(
        jobs=[_job(view) for view in it.jobs],
        queues=QueuesOut(
            facts=queues.facts,
            oldest_fact=queues.oldest_fact,
            retried_facts=queues.retried_facts,
            messages=[WaitingOut.model_validate(m, from_attributes=True) for m in queues.messages],
            calendars_due=queues.calendars_due,
            reminders_due=queues.reminders_due,
        ),
        dead=[DeadKindOut.model_validate(kind, from_attributes=True) for kind in it.dead],
        last_sign=it.last_sign,
        worker_missing=it.worker_missing,
    )


def _message(it: DeadMessage) -> DeadMessageOut:
    return DeadMessageOut.model_validate(it, from_attributes=True)


def _deed(it: Deed) -> DeedOut:
    return DeedOut.model_validate(it, from_attributes=True)


async def board(request: http.Request) -> http.StreamResponse:
    found = await operations.board(context(request), request.app[CATALOGUE])
    return etagged(request, _board(found).model_dump_json(), "application/json")


async def runs(call: Call[Nothing, PageQuery]) -> Page[RunOut]:
    """Of one job, the newest tick first."""
    name, query = call.request.match_info["name"], call.query
    page = await operations.runs(call.ctx, _catalogue(call), name, query.cursor, query.limit)
    return Page(items=[_run(it) for it in page.items], next_cursor=page.next_cursor)


async def pause(call: Call[WhyPausedIn, NoQuery]) -> None:
    """Begin no tick of it until it is resumed; a run that goes on is finished. Twice is fine."""
    name = call.request.match_info["name"]
    await operations.pause(call.ctx, _catalogue(call), call.caller.user_id, name, call.body.reason)


async def resume(call: Call[Nothing, NoQuery]) -> None:
    """Ticks that were missed meanwhile are treated as the job declares (`missed`). Twice is fine."""
    name = call.request.match_info["name"]
    await operations.resume(call.ctx, _catalogue(call), call.caller.user_id, name)


async def run(call: Call[Nothing, NoQuery]) -> None:
    """A worker runs it once within seconds, also while it is paused. Asked twice before that, it runs once."""
    name = call.request.match_info["name"]
    await operations.run_now(call.ctx, _catalogue(call), call.caller.user_id, name)


async def audit(call: Call[Nothing, PageQuery]) -> Page[DeedOut]:
    """What administrators did about jobs and dead letters, the newest first."""
    page = await operations.audit(call.ctx, call.query.cursor, call.query.limit)
    return Page(items=[_deed(it) for it in page.items], next_cursor=page.next_cursor)


async def dead_messages(call: Call[Nothing, PageQuery]) -> Page[DeadMessageOut]:
    """Messages that were given up, the newest first."""
    page = await operations.dead_messages(call.ctx, call.query.cursor, call.query.limit)
    return Page(items=[_message(it) for it in page.items], next_cursor=page.next_cursor)


async def replay_message(call: Call[Nothing, NoQuery]) -> None:
    """Send it again from the start. One that was sent is no dead letter, so nothing leaves twice."""
    await operations.replay_message(call.ctx, call.caller.user_id, call.id())


async def discard_message(call: Call[DiscardIn, NoQuery]) -> None:
    """Never send it. What it was, and why, stays in the audit."""
    await operations.discard_message(call.ctx, call.caller.user_id, call.id(), call.body.reason)


async def discard_fact(call: Call[DiscardIn, NoQuery]) -> None:
    """Give its reactions up for good. The fact, its errors and the reason stay in the audit."""
    await operations.discard_fact(call.ctx, call.caller.user_id, fact_id(call.request), call.body.reason)


async def replay_kind(call: Call[ReplayKindIn, NoQuery]) -> ReplayedOut:
    """Replay all of one kind, up to 1000 in one go."""
    body = call.body
    return ReplayedOut(
        count=await operations.replay_kind(call.ctx, call.caller.user_id, body.what, body.kind, body.channel)
    )


_ADMIN = RoleIs.of(Role.ADMIN)
_LIMITS = (LimitBy(OPERATIONS, by_caller),)
_JOB = {404: ("unknown_job",)}
_LETTER = {404: ("dead_letter_not_found",)}

ROUTES = (
    Route(
        "GET", f"{BASE}/admin/jobs", board, _ADMIN, Surface.API, "How jobs and queues stand", TAG,
        Contract(
            BoardOut, 200,
            description="Poll it with `If-None-Match`: 304 while nothing has changed. It names no present instant.",
            headers={"ETag": "Of what is said."},
        ),
    ),
    endpoint(
        "GET", "/admin/jobs/{name}/runs", runs, access=_ADMIN, summary="Runs of a job", tag=TAG, query=PageQuery,
        reply=Page[RunOut], refusals=_JOB,
    ),
    endpoint(
        "POST", "/admin/jobs/{name}/pause", pause, access=_ADMIN, summary="Pause a job", tag=TAG, body=WhyPausedIn,
        reply=None, limits=_LIMITS, refusals=_JOB,
    ),
    endpoint(
        "POST", "/admin/jobs/{name}/resume", resume, access=_ADMIN, summary="Resume a job", tag=TAG, reply=None,
        limits=_LIMITS, refusals=_JOB,
    ),
    endpoint(
        "POST", "/admin/jobs/{name}/run", run, access=_ADMIN, summary="Run a job now", tag=TAG, reply=None,
        limits=_LIMITS, refusals=_JOB,
    ),
    endpoint(
        "GET", "/admin/job-audit", audit, access=_ADMIN, summary="What was done by hand", tag=TAG, query=PageQuery,
        reply=Page[DeedOut],
    ),
    endpoint(
        "GET", "/admin/dead-messages", dead_messages, access=_ADMIN, summary="Messages that were given up", tag=TAG,
        query=PageQuery, reply=Page[DeadMessageOut],
    ),
    endpoint(
        "POST", "/admin/dead-messages/{id}/replay", replay_message, access=_ADMIN, summary="Send it again", tag=TAG,
        reply=None, limits=_LIMITS, refusals=_LETTER,
    ),
    endpoint(
        "POST", "/admin/dead-messages/{id}/discard", discard_message, access=_ADMIN, summary="Never send it", tag=TAG,
        body=DiscardIn, reply=None, limits=_LIMITS, refusals=_LETTER,
    ),
    endpoint(
        "POST", "/admin/dead-letters/{id}/discard", discard_fact, access=_ADMIN, summary="Give it up", tag=TAG,
        body=DiscardIn, reply=None, limits=_LIMITS, refusals=_LETTER,
    ),
    endpoint(
        "POST", "/admin/dead-letters/replay", replay_kind, access=_ADMIN, summary="Replay all of a kind", tag=TAG,
        body=ReplayKindIn, reply=ReplayedOut, limits=_LIMITS,
    ),
)  # fmt: skip
