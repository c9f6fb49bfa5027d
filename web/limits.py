"""Rate limits: counters in Redis that say 429 with Retry-After, and let everybody pass when Redis is away."""

from __future__ import annotations

import hashlib
import math
import time
from dataclasses import dataclass

import structlog
from aiohttp import web as http
from redis.asyncio import Redis
from redis.exceptions import RedisError

from server import proxies
from server.base.errors import TooMany
from web.context import STORES, context

log = structlog.get_logger(__name__)

REST = 2.0  # seconds in which a Redis that failed is not asked again

# One step, so that a counter can never be left without its expiry.
_COUNT = """
local n = redis.call('INCR', KEYS[1])
if n == 1 then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
return {n, redis.call('PTTL', KEYS[1])}
"""


@dataclass(frozen=True, slots=True)
class Limit:
    """``tries`` per ``seconds`` (a fixed window that starts with the first try) for each key it is spent on."""

    name: str
    tries: int
    seconds: int


# 10 wrong guesses a minute at one account from one address; a class of 200 behind one router is not in the way.
LOGIN = Limit("login", tries=10, seconds=60)
# A person mistypes a few times; a school's router registers hundreds.
REGISTER = Limit("register", tries=5, seconds=60)
REGISTER_BY_ADDRESS = Limit("register-address", tries=1000, seconds=3600)
# A client refreshes every 15 minutes; 600 a minute are 9,000 clients behind one router.
REFRESH = Limit("refresh", tries=600, seconds=60)
# A mail has a handful of links; guessing one is hopeless long before this.
LINKS = Limit("links", tries=60, seconds=60)
# A person books, approves and moves a few sessions a minute.
BOOKING_WRITES = Limit("booking-writes", tries=30, seconds=60)
# A queue worked through by keyboard: two decisions a second.
MODERATION = Limit("moderation", tries=120, seconds=60)
# A person ticks boxes, and thinks better of it.
SETTINGS_WRITES = Limit("settings-writes", tries=60, seconds=60)
# A number, its code, a slip or two; how many codes leave is counted in the database (server/contact/model.py).
NUMBER_WRITES = Limit("number-writes", tries=20, seconds=60)
# Each sends a mail somewhere, or checks a password.
ADDRESS_MAILS = Limit("address-mails", tries=10, seconds=3600)
# Whoever writes a text looks at it a few times; each test costs what a message costs.
TEST_MESSAGES = Limit("test-messages", tries=20, seconds=3600)
# Nobody connects more calendars than this in a minute; each try leaves a row for 15 minutes.
CALENDAR_CONNECTS = Limit("calendar-connects", tries=10, seconds=60)
# A busy calendar tells of each change; a forged push costs a MAC and no more. By channel where it says one of ours:
CALENDAR_PUSHES = Limit("calendar-pushes", tries=60, seconds=60)
# Services call from a few addresses for everybody: 100 pushes a second are 10,000 calendars at work.
CALENDAR_PUSHES_BY_ADDRESS = Limit("calendar-pushes-address", tries=6000, seconds=60)

# An operator clears a list of dead letters by hand, one click each.
OPERATIONS = Limit("operations", tries=120, seconds=60)
# Providers report for everybody from a few addresses, a post for each receipt: 100 a second are as many as WhatsApp's
# number may send (80 a second), and a forged post costs a MAC and no more.
WEBHOOKS = Limit("webhooks", tries=6000, seconds=60)
# A page without its socket asks once a minute; a person with ten of them who clicks through a list stays below.
INBOX_READS = Limit("inbox-reads", tries=120, seconds=60)
# A browser switches itself on once, and looks at each visit of the settings.
PUSH_WRITES = Limit("push-writes", tries=30, seconds=60)


async def count(redis: Redis, limit: Limit, *parts: str) -> int | None:
    """Count one try for the key that ``parts`` name: None while it is within the limit, else seconds to wait."""
    tries, millis_left = await redis.eval(_COUNT, 1, _key(limit, parts), str(limit.seconds * 1000))  # type: ignore[misc]
    return None if tries <= limit.tries else max(1, math.ceil(millis_left / 1000))


def address(request: http.Request) -> str:
    """The caller's network address: the socket's, or what our own proxies say (`VISAVIS_TRUSTED_PROXIES`)."""
    trusted = context(request).settings.trusted_proxies
    return proxies.caller(request.remote, request.headers.getall("X-Forwarded-For", ()), trusted)


async def forgive(request: http.Request, limit: Limit, *parts: str) -> None:
    """Forget the tries of a key, e.g. after a login that succeeded: only failures count against a person."""
    try:
        await request.app[STORES].redis.delete(_key(limit, parts))
    except (RedisError, OSError, TimeoutError) as error:
        log.warning("a limit was not forgiven: redis does not answer", limit=limit.name, error=repr(error))


def _key(limit: Limit, parts: tuple[str, ...]) -> str:
    digest = hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:32]
    return f"limit:{limit.name}:{digest}"


async def spend(request: http.Request, limit: Limit, *parts: str) -> None:
    """Count one try; pages call it before they act, e.g. ``spend(request, LOGIN, address(request), email)``.

    Raises TooMany ``rate_limited``. Without Redis everybody passes and a line is logged: a limit protects against
    abuse, and its failure must not lock everybody out.
    """
    stores = request.app[STORES]
    if time.monotonic() < stores.resting_until:
        stores.uncounted.inc()
        return
    try:
        wait = await count(stores.redis, limit, *parts)
    except (RedisError, OSError, TimeoutError) as error:
        stores.resting_until = time.monotonic() + REST
        stores.uncounted.inc()
        log.warning("rate limits are off: redis does not answer", limit=limit.name, error=repr(error))
        return
    if wait is not None:
        raise TooMany("rate_limited", f"Too many tries. Wait {wait} s and try again.", retry_after=wait)
