"""Identifiers rise, and are what RFC 9562 says."""

from __future__ import annotations

import time
from uuid import RFC_4122

from server.base.ids import new_id


def test_ids_rise_and_are_of_version_seven() -> None:
    before = time.time_ns() // 1_000_000
    made = [new_id() for _ in range(20_000)]
    assert made == sorted(made)
    assert len(set(made)) == len(made)
    assert {(one.version, one.variant) for one in made} == {(7, RFC_4122)}
    assert before <= made[0].int >> 80 <= time.time_ns() // 1_000_000 + 1
