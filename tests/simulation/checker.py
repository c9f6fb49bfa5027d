"""Says what is wrong with a played day, from the script alone: it calls nothing of the product's rules.

A message *must* be there when the workers rested at an instant at which it was due; it *may* be there when they only
passed by; anything else *must not*. What left the house is taken from the mail server and the providers, not from our
own books; our books only say which session a message was about.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from jobs.periodic import JOBS
from jobs.worker import SENDERS
from tests.simulation.day import TOKENS, Played, message_id
from tests.simulation.house import WORKERS, Kill
from tests.simulation.script import LENGTH, OUTCOMES, PAYDAY, PRICE, Conduct, Person, Story

TIERS = (timedelta(hours=4), timedelta(minutes=30), timedelta(minutes=5))
STEPS = (timedelta(minutes=3), timedelta(minutes=10))
MINUTE = timedelta(minutes=1)
TOLERANCE = timedelta(minutes=11)
FEE_PERCENT = 20
UNDER_WAY = {"worker": SENDERS, "postgres": SENDERS * WORKERS}  # messages, when it is killed
READ_LATE = 2.0  # seconds from a sender's death until the driver has read its last message
NEVER = datetime.max.replace(tzinfo=UTC)
# A mail's subject says what it is; the first that fits counts.
SUBJECTS = (
    ("requested", r"asks for a session on"),
    ("rejected", r"cannot meet you on"),
    ("proposed", r"asks for another time"),
    ("moved", r"^New time for"),
    ("approved", r"^Confirmed: "),
    ("cancelled", r"^Cancelled: "),
    ("reminder 4:00:00", r"^Later today: "),
    ("reminder 0:05:00", r"^Join now: "),
    ("reminder 0:30:00", r"^Your session with .* starts at"),
    ("nudge 0:03:00", r"has begun$"),
    ("nudge 0:10:00", r"is waiting for you$"),
    ("conduct", r"^Please come, or|^You cannot (book|be booked)"),
    ("after", r"did not take place|^How was it|is settled$|^We missed you|did not come$|^You missed your session"),
    ("payslip", r"^Your payslip"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Wish:
    """A message about a story to one side: at least and at most how often."""

    what: str
    role: str
    least: int
    most: int


@dataclass(slots=True)
class Report:
    faults: list[str] = field(default_factory=list)
    figures: dict[str, int] = field(default_factory=dict)

    @property
    def text(self) -> str:
        figures = ", ".join(f"{value} {name}" for name, value in self.figures.items())
        return "\n".join(
            [figures, *self.faults[:40], *([f"... {len(self.faults)} faults"] if self.faults else [])]
        )


class Checker:
    def __init__(self, played: Played) -> None:
        self._played = played
        self._script = played.script
        self._rests = played.rests
        self.report = Report()

    def check(self) -> Report:
        sent = self._mails()
        for story in self._script.stories:
            if story.number in self._played.refused:
                for key in [key for key in sent if key[0] == story.topic]:
                    if key[1] == "after" or key[1].startswith(("nudge", "reminder 0")):
                        self._fault(f"{story.topic} was refused, and yet: {sent[key]} x {key}")
                    del sent[key]
                continue
            for wish in self._wishes(story):
                count = sent.pop((story.topic, wish.what, wish.role), 0)
                if not wish.least <= count <= wish.most:
                    wanted = f"{wish.what} to the {wish.role}, not {wish.least}..{wish.most}"
                    self._fault(f"{story.topic}: {count} x {wanted}: {story}")
        for (topic, what, role), count in sent.items():
            if what not in ("payslip", "conduct"):
                self._fault(f"{topic}: {count} x {what} to the {role}, which nobody expected")
        self._payslips(sent)
        self._outages()
        self._telephones()
        self._operators()
        self._verdicts()
        self._money()
        self._jobs()
        if any(self._played.dead):
            self._fault(f"given up: {self._played.dead} (reactions, messages)")
        return self.report

    def _fault(self, text: str) -> None:
        self.report.faults.append(text)

    # ------------------------------------------------------------------ mails

    def _mails(self) -> Counter[tuple[str, str, str]]:
        """How often what about which story went to which side, repetitions of one and the same message left out."""
        rows = {str(row["id"]): row for row in self._played.messages if row["channel"] == "email"}
        sent: Counter[tuple[str, str, str]] = Counter()
        ids: Counter[str] = Counter()
        taken: list[tuple[str, float]] = []
        for mail in self._played.house.smtp.messages:
            name = message_id(mail.message)
            ids[name] += 1
            taken.append((name, mail.taken_at))
            row = rows.get(name)
            if row is None:
                near = [
                    (kill.what, round(kill.since - mail.taken_at, 2)) for kill in self._played.house.kills
                ]
                had = "no" if name in self._played.strangers else "a"
                self._fault(
                    f"a mail that our books do not know: {name} to {mail.rcpt_tos}: {mail.message['Subject']};"
                    f" seconds until kills: {sorted(near, key=lambda it: abs(it[1]))[:3]};"
                    f" it had {had} row at the rest after it"
                )
                continue
            if mail.rcpt_tos != (row["address"],):
                self._fault(f"{name} went to {mail.rcpt_tos}, not to {row['address']}")
            if ids[name] == 1:
                subject = " ".join(str(mail.message["Subject"]).split())
                what = next((what for what, pattern in SUBJECTS if re.search(pattern, subject)), subject)
                sent[row["topic"] or row["address"], what, row["role"]] += 1
        for name, row in rows.items():
            if row["status"] not in ("sent", "lapsed"):
                self._fault(f"mail {name} is {row['status']}: {row['error']}")
            if (row["status"] == "sent") != (ids[name] > 0):
                self._fault(f"mail {name} is {row['status']} and was taken {ids[name]} times")
        self._repetitions("mails", taken)
        return sent

    def _repetitions(self, of: str, taken: Sequence[tuple[str, float]]) -> None:
        """The one window that remains: a message that was on its way when its sender, or PostgreSQL, was killed. So
        between the one time and the other there was a kill, and of each not more are left than were on their way."""
        kills = [kill for kill in self._played.house.kills if kill.what != "redis"]
        before: dict[str, float] = {}
        blamed: Counter[Kill] = Counter()
        for name, at in taken:
            if name in before:
                # What the dead had handed over may be read a moment later.
                between = (
                    kill for kill in kills if before[name] - READ_LATE <= kill.until and kill.since <= at
                )
                if (kill := next(between, None)) is None:
                    self._fault(f"one of the {of} was taken twice, and nothing was killed: {name}")
                else:
                    blamed[kill] += 1
            before[name] = at
        self.report.figures[of] = len(before)
        self.report.figures[f"{of} repeated"] = len(taken) - len(before)
        for kill, count in blamed.items():
            if count > UNDER_WAY[kill.what]:
                self._fault(f"{count} of the {of} were repeated after a kill of {kill.what}")

    def _wishes(self, story: Story) -> Iterator[Wish]:
        """Everything that may be said about a story."""
        answered = story.approved_at or story.rejected_at or NEVER
        yield self._once("requested", "mentor", story.booked_at, answered)
        if story.rejected_at is not None:
            yield Wish("rejected", "mentee", 1, 1)
        if story.move_at is not None:
            assert story.moved_at is not None
            yield self._once("proposed", "mentee", story.move_at, story.moved_at)
        for role in ("mentor", "mentee"):
            if story.approved_at is not None:
                yield self._once("approved", role, story.approved_at, story.cancelled_at or NEVER)
            if story.moved_at is not None:
                yield self._once("moved", role, story.moved_at, story.cancelled_at or NEVER)
            if story.cancelled_at is not None:
                yield Wish("cancelled", role, 1, 1)
            for lead in TIERS:
                yield self._reminder(story, role, lead)
            if story.held:
                yield Wish("after", role, 1, 1)
                for step in STEPS:
                    yield self._nudge(story, role, step)

    def _nudge(self, story: Story, role: str, step: timedelta) -> Wish:
        """Whoever does not come is written to: in any case after 3 minutes, and after 10 if the other one is there."""
        absent = {
            Conduct.MENTOR_ONLY: ("mentee",),
            Conduct.MENTEE_ONLY: ("mentor",),
            Conduct.NOBODY: ("mentor", "mentee"),
        }.get(story.conduct, ())
        what, start = f"nudge {step}", story.final_start
        alone = story.conduct is not Conduct.NOBODY
        if role not in absent or (step != min(STEPS) and not alone):
            return Wish(what, role, 0, 0)
        troubled = any(o.since < start + LENGTH and o.until > start for o in self._script.outages)
        if troubled:  # later, by the time lost: perhaps, but never while it lasts
            return Wish(what, role, 0, 1)
        if step == min(STEPS):
            return Wish(what, role, int(self._rested(start + step + MINUTE, start + max(STEPS))), 1)
        return Wish(what, role, int(self._rested(start + step + MINUTE, start + timedelta(minutes=43))), 1)

    def _outages(self) -> None:
        """Nobody is written to about being late while it is we who are away."""
        for row in self._played.messages:
            at = row["created_at"]
            if row["kind"] == "no_show_nudge" and any(
                o.since + MINUTE < at < o.until + MINUTE for o in self._script.outages
            ):
                self._fault(f"{row['topic']}: a nudge at {at}, in an outage")

    def _once(self, what: str, role: str, since: datetime, until: datetime) -> Wish:
        return Wish(what, role, int(self._rested(since, until)), 1)

    def _rested(self, since: datetime, until: datetime) -> bool:
        """Whether the workers rested at an instant in [since, until)."""
        position = bisect_left(self._rests, since)
        return position < len(self._rests) and self._rests[position] < until

    def _reminder(self, story: Story, role: str, lead: timedelta) -> Wish:
        least = most = 0
        for agreed in story.agreements:
            due = agreed.start - lead
            if due < agreed.since:  # its time had come before; the shortest of all is then due at once
                if lead != min(TIERS) or any(agreed.start - other >= agreed.since for other in TIERS):
                    continue
                due = agreed.since
            if due >= agreed.until:
                continue
            most += 1
            until = min(agreed.until, agreed.start, due + TOLERANCE)
            least += self._surely(due, until, min(agreed.until, agreed.start))
        return Wish(f"reminder {lead}", role, least, most)

    def _surely(self, due: datetime, written_until: datetime, sent_until: datetime) -> bool:
        """Whether it was surely written at a rest before the one, and surely left before the other."""
        position = bisect_left(self._rests, due)
        if position == len(self._rests) or self._rests[position] >= written_until:
            return False
        calm = None  # since when nothing has been in the way; after trouble a breaker or a pause may be
        for rest in self._rests[max(0, position - 3) :]:
            if rest >= sent_until:
                return False
            if rest in self._played.troubled:
                calm = None
                continue
            calm = calm or rest
            if rest >= self._rests[position] and not self._troubled_shortly_before(rest):
                return True
        return False

    def _troubled_shortly_before(self, rest: datetime) -> bool:
        return any(rest - timedelta(minutes=45) < t <= rest for t in self._played.troubled)

    def _payslips(self, sent: Counter[tuple[str, str, str]]) -> None:
        """The period of the 26th: whoever earned before midnight has one payslip."""
        midnight = PAYDAY
        if self._script.end < midnight + timedelta(minutes=20):
            return
        for mentor in self._script.mentors:
            ends = [
                story.final_start + LENGTH
                for story in self._script.stories
                if story.mentor == mentor.number
                and self._earning(story)
                and story.number not in self._played.refused
            ]
            count = sent[mentor.email, "payslip", "mentor"]
            surely = any(end + timedelta(minutes=30) < midnight for end in ends)
            perhaps = any(end < midnight + timedelta(minutes=30) for end in ends)
            if not int(surely) <= count <= int(perhaps):
                self._fault(f"{mentor.name} has {count} payslips")

    # ------------------------------------------------------------- telephones

    def _telephones(self) -> None:
        """Every row of ours was taken as often as its state says, and tells what the provider told."""
        fakes = self._played.house.fakes
        whatsapps = [
            (body["biz_opaque_callback_data"], at)
            for body, at in zip(fakes.taken, fakes.taken_at, strict=True)
            if "messaging_product" in body
        ]
        self._repetitions("whatsapps", whatsapps)
        taken = Counter(name for name, _ in whatsapps)
        for row in self._played.messages:
            if row["channel"] != "whatsapp":
                continue
            name = str(row["id"])
            told = self._played.receipts.get(row["provider_message_id"] or "", set())
            expected = "delivered" if "delivered" in told else "failed" if "failed" in told else "sent"
            if row["status"] == "lapsed":
                expected = "lapsed"
            if row["status"] != expected or (taken[name] == 0) != (expected == "lapsed"):
                self._fault(f"whatsapp {name} is {row['status']}, was taken {taken[name]} times, told {told}")
        people = {("mentor", p.number): p for p in self._script.mentors}
        people |= {("mentee", p.number): p for p in self._script.mentees}
        written = Counter(
            (row["topic"], row["role"], row["channel"])
            for row in self._played.messages
            if row["kind"] == "reminder" and row["status"] != "lapsed"
        )
        for story in self._script.stories:
            if story.number in self._played.refused:
                continue
            for role, number in (("mentor", story.mentor), ("mentee", story.mentee)):
                self._reminders_by_telephone(story, people[role, number], written)

    def _reminders_by_telephone(
        self, story: Story, person: Person, written: Counter[tuple[Any, Any, Any]]
    ) -> None:
        """As many as by mail, for those who gave a number; none for the others."""
        wishes = [self._reminder(story, person.role, lead) for lead in TIERS]
        for channel, number in (("whatsapp", person.whatsapp), ("sms", person.sms)):
            count = written[story.topic, person.role, channel]
            # Twilio takes one a second, ten at once: on a clock that stands still some wait, and may lapse.
            least = sum(w.least for w in wishes) if number is not None and channel == "whatsapp" else 0
            most = sum(w.most for w in wishes) if number is not None else 0
            if not least <= count <= most:
                self._fault(
                    f"{story.topic}: {count} reminders by {channel} to the {person.role}, not {least}..{most}"
                )

    # -------------------------------------------------------------- operators

    def _operators(self) -> None:
        """Two hours before, operators hear once who has not said that they come, and of each answer after that."""
        fakes = self._played.house.fakes
        texts = [
            (body["text"], at)
            for body, at in zip(fakes.taken, fakes.taken_at, strict=True)
            if set(body) == {"text"}
        ]
        self._repetitions("ops messages", texts)
        told = Counter[tuple[str, str]]()
        for text in {text for text, _ in texts}:
            found = re.search(r"/sessions/([0-9a-f-]{36})", text)
            told[found[1] if found else "", text[1:3]] += 1
        for story in self._script.stories:
            if story.number in self._played.refused or not story.agreements:
                continue
            name = str(self._played.sessions[story.number])
            for what, (least, most) in zip(("No", "Am"), self._unanswered(story), strict=True):
                count = told.pop((name, what), 0)
                if not least <= count <= most:
                    self._fault(
                        f"{story.topic}: operators heard {count} x {what}, not {least}..{most}: {story}"
                    )
        for (name, what), count in told.items():
            if name not in {str(self._played.sessions.get(number)) for number in self._played.refused}:
                self._fault(f"operators heard {count} x {what} of {name}, which nobody expected")

    def _unanswered(self, story: Story) -> tuple[tuple[int, int], tuple[int, int]]:
        """(least, most) of that answers are missing, and of answers that came after that."""
        missing = [0, 0]
        late = [0, 0]
        last = len(story.agreements) - 1
        for number, agreed in enumerate(story.agreements):
            due = agreed.start - TIERS[0]
            if due < agreed.since or due >= agreed.until:
                continue
            asked = self._rested(due, min(agreed.until, due + TOLERANCE))
            times = [when for _, when in story.answers if when < agreed.until] if number == last else []
            deadline = agreed.start - timedelta(hours=2)
            if deadline >= agreed.until or (len(times) == 2 and max(times) < deadline):
                continue
            missing[1] += 1
            late[1] += sum(when >= deadline for when in times)
            # Noticed for sure at a rest before the last answer, and told for sure when nothing happens until then.
            noticed = bisect_left(self._rests, deadline + MINUTE)
            if noticed == len(self._rests) or not asked:
                continue
            rest = self._rests[noticed]
            if rest < agreed.until and rest < agreed.start and (len(times) < 2 or rest < max(times)):
                missing[0] += 1
                late[0] += sum(when > rest for when in times)
        return (missing[0], missing[1]), (late[0], late[1])

    # ----------------------------------------------------- verdicts and money

    def _verdicts(self) -> None:
        for story in self._script.stories:
            if story.number in self._played.refused:
                continue
            expected = OUTCOMES[story.conduct] if story.held else "cancelled" if story.cancelled_at else None
            got = self._played.verdicts.get(story.topic)
            if got != expected:
                self._fault(f"{story.topic}: {got}, not {expected}: {story}")
            self.report.figures[str(got)] = self.report.figures.get(str(got), 0) + 1
        self.report.figures["refused"] = len(self._played.refused)

    @staticmethod
    def _earning(story: Story) -> int:
        paid = story.conduct in (Conduct.BOTH, Conduct.RELOADS, Conduct.MENTOR_ONLY)
        return PRICE * (100 - FEE_PERCENT) // 100 if paid and story.held else 0

    def _money(self) -> None:
        """Wallets, earnings paid out or not, fees; nothing is held any more, and all of it is zero."""
        balances = self._played.balances
        if sum(balances.values()) != 0:
            self._fault(f"the accounts sum up to {sum(balances.values())}")
        paid: Counter[str] = Counter()
        earned = 0
        for story in self._script.stories:
            if story.number not in self._played.refused and (earning := self._earning(story)):
                paid[self._script.mentees[story.mentee].email] += PRICE
                earned += earning
        for mentee in self._script.mentees:
            if balances.get(("wallet", mentee.email), 0) != TOKENS - paid[mentee.email]:
                self._fault(f"{mentee.name} has {balances.get(('wallet', mentee.email))} tokens")
            if balances.get(("held", mentee.email), 0) != 0:
                self._fault(f"{mentee.name} has tokens held")
        of = Counter[str]()
        for (kind, _), balance in balances.items():
            of[kind] += balance
        if of["earnings"] + of["payouts"] != earned or of["fees"] != sum(paid.values()) - earned:
            self._fault(
                f"earnings {of['earnings']}, payouts {of['payouts']}, fees {of['fees']}, not {earned}"
            )

    # ------------------------------------------------------------------- jobs

    def _jobs(self) -> None:
        """Every minute of a job is a run, or was passed over by one that says so; none has failed for good."""
        last = self._rests[-1].replace(second=0, microsecond=0)
        for name, job in JOBS.items():
            runs = [row for row in self._played.runs if row["job"] == name and not row["by_hand"]]
            if not runs:
                self._fault(f"{name} never ran")
                continue
            unknown = [row for row in runs if row["result"] is None]
            failed = [row for row in runs if row["result"] == "failed"]
            if unknown or runs[-1]["result"] not in ("ok", "skipped"):
                self._fault(f"{name}: not through, e.g. {dict((unknown or runs)[-1])}")
            # A run fails when its process or its database is killed under it; the next one does what it left.
            self.report.figures["runs failed"] = self.report.figures.get("runs failed", 0) + len(failed)
            if len(failed) > sum(self._played.house.killed.values()):
                self._fault(f"{name}: {len(failed)} runs failed, e.g. {dict(failed[0])}")
            if job.schedule.text == "every minute":
                first = runs[0]["scheduled_for"]
                minutes = (last - first) // timedelta(minutes=1) + 1
                told = sum(1 + row["missed_ticks"] for row in runs) - runs[0]["missed_ticks"]
                if told != minutes:
                    self._fault(f"{name}: {told} ticks told of {minutes}")
            self.report.figures["runs"] = self.report.figures.get("runs", 0) + len(runs)
