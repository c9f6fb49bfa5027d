"""A short simulated night: everything is killed at least once, and the checker finds nothing. The long one is in
``make bench`` (``python -m tests.simulation``)."""

from __future__ import annotations

import random
from dataclasses import replace
from email import message_from_string
from email.message import EmailMessage

from tests.simulation.checker import Checker
from tests.simulation.day import HARSH, play
from tests.simulation.script import write


async def test_a_night_in_the_life() -> None:
    seed = random.SystemRandom().randrange(10**6)
    print(
        f"seed {seed}"
    )  # python -m tests.simulation --stories 16 --hours 5 --harsh --seed ... plays it again
    played = await play(write(seed, 16, 5), HARSH)
    report = Checker(played).check()
    print(played.house.killed, report.text)
    assert not report.faults, f"seed {seed}\n{report.text}"
    assert played.house.killed.get("worker", 0) >= 1
    assert report.figures["mails"] >= 50
    # It is not blind: a mail that never came, one that came more often than any kill explains, or one that we have
    # never written is named.
    mails = played.house.smtp.messages
    assert not played.strangers
    mails.append(
        replace(mails[0], message=message_from_string("Message-ID: <0@example.org>\n\n", EmailMessage))
    )
    assert any("do not know: 0 to" in fault for fault in Checker(played).check().faults)
    mails.pop()
    lost = mails.pop()
    assert Checker(played).check().faults
    mails += [lost] * 40
    assert Checker(played).check().faults
