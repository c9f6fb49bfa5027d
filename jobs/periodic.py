"""The periodic jobs: what runs when, and how to run one by hand at any instant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from jobs import confirmations
from jobs.outbox import Drained, drain
from jobs.reminders import remind
from jobs.retention import retain
from jobs.runner import Job, run_tick
from jobs.schedule import BUSINESS, Daily, EveryHours, EveryMinute, Monthly
from server.attendance import actions as attendance
from server.base.context import Context
from server.base.errors import NotFound
from server.booking import actions as bookings
from server.calendars import actions as calendars
from server.calendars.work import work_due
from server.exports import actions as exports
from server.integrations.channels import Channels
from server.journey import actions as journey
from server.meetinglog import actions as meetinglog
from server.notifications.delivery import deliver_due
from server.notifications.model import Delivery
from server.notifications.retry import another_round
from server.payroll import actions as payroll
from server.payroll.model import CLOSING_DAY


async def settle(ctx: Context) -> int:
    """End the presence of lost server processes, then give every session that is over its verdict."""
    return await attendance.close_orphans(ctx) + await attendance.settle_due(ctx)


async def close_payroll(ctx: Context) -> int:
    return int(await payroll.close_period(ctx) is not None)


async def renew_calendars(ctx: Context) -> int:
    """Look at calendars whose push channel ends soon, and at those nobody has looked at for long."""
    await calendars.make_neglected_due(ctx)
    return await work_due(ctx)


JOBS: Mapping[str, Job] = {
    job.name: job
    for job in (
        Job(
            "reminders",
            EveryMinute(),
            "remind both people of their session, some time before it (VISAVIS_REMINDERS)",
            50,
            remind,
        ),
        Job(
            "confirmations",
            EveryMinute(),
            "tell operators who has not said two hours before whether they come",
            50,
            confirmations.sweep,
        ),
        # Every minute, not only hourly: the money and the follow-up should not wait when a session is over.
        Job("session_status", EveryMinute(), "settle sessions that are over", 50, settle),
        Job(
            "no_show", EveryMinute(), "notice who is missing after the grace", 50, attendance.suspect_no_shows
        ),
        Job(
            "booking_expiry",
            EveryMinute(),
            "put away holds, requests and proposals that nobody answered in time",
            50,
            bookings.expire_due,
        ),
        Job(
            "calendar_renewal",
            EveryMinute(),
            "renew push channels of connected calendars, and look at calendars that were not heard of",
            300,
            renew_calendars,
        ),
        # Five minutes after midnight: sessions that ended before it are settled by then.
        # A missed 26th needs no run of its own: closing looks for every period that has ended.
        Job(
            "payroll",
            Monthly(CLOSING_DAY, 0, 5),
            "close the period and issue payslips",
            600,
            close_payroll,
            zone=BUSINESS,
        ),
        # What a provider's outage has killed does not care which tick finds it.
        Job(
            "mail_retry",
            EveryHours(5),
            "give messages another round that a provider's outage has killed",
            60,
            another_round,
        ),
        # At six, when the sessions of the month's last evening have their verdict. A missed tick needs no run of its
        # own: the job writes the report of every month that has none. The same goes for days and exports.
        Job(
            "mentee_journey",
            Monthly(1, 6, 0),
            "report what became of each mentee's sessions in the month before",
            300,
            journey.report_due,
            zone=BUSINESS,
        ),
        Job(
            "transaction_export",
            Daily(0, 30),
            "write the ledger's transfers of the day before to a file",
            300,
            exports.export_due,
            zone=BUSINESS,
        ),
        # Any tick will do for what is missing, so one is enough for a week of missed ones.
        Job(
            "partitions",
            Daily(2, 40),
            "make the meeting log's partitions ahead, detach and drop old ones",
            120,
            meetinglog.maintain,
        ),
        Job("retention", Daily(3, 20), "remove what is older than declared", 300, retain),
    )
}


@dataclass(frozen=True, slots=True)
class JobReport:
    """What running a job by hand did."""

    job: str
    at: datetime
    rows: int
    error: str | None
    drained: Drained
    delivery: Delivery

    @property
    def ok(self) -> bool:
        return self.error is None

    @property
    def text(self) -> str:
        at = self.at.isoformat().replace("+00:00", "Z")
        if self.error is not None:
            return f"{self.job} at {at} failed: {self.error}"
        handled, sent = self.drained.handled, self.delivery.sent
        done = f"{self.job} at {at}: {self.rows} rows, {handled} facts handled, {sent} mails sent"
        if left := self.drained.postponed + self.delivery.postponed:
            done += f", {left} to be tried again"
        return f"{done}, {self.delivery.dead} mails refused" if self.delivery.dead else done


async def run_job(ctx: Context, channels: Channels, name: str, at: datetime) -> JobReport:
    """Run a job once, by hand, at ``at`` (which ``ctx.clock`` tells too), and what follows from it: reactions, mails.

    Waits for the same job in a worker. Running it twice changes nothing more. Raises ``NotFound("unknown_job")``, and
    ``Conflict("job_running")`` when the other runner takes too long.
    """
    job = JOBS.get(name)
    if job is None:
        raise NotFound("unknown_job", f"No job is called {name!r}. There are: {', '.join(JOBS)}.")
    run = await run_tick(ctx, job, at, by_hand=True)
    drained = await drain(ctx)
    delivery = await deliver_due(ctx, channels)
    rows, error = (run.rows, run.error) if run else (0, None)
    return JobReport(name, at, rows, error, drained, delivery)
