"""Accounts, logins and refresh tokens on a real database."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from server.base.clock import SteppedClock
from server.base.context import Context
from server.base.errors import Conflict, Invalid, NotFound, Unauthenticated
from server.base.ids import new_id
from server.people import actions, passwords, tokens
from server.people.model import Principal, Role, User

PASSWORD = "visavis-demo"


async def register(ctx: Context, **change: str) -> User:
    fields = {
        "email": "bo@example.com",
        "password": PASSWORD,
        "name": "Bo",
        "role": "mentee",
        "timezone": "Europe/Berlin",
    }
    return await actions.register(ctx, **{**fields, **change})


async def test_a_registered_person_can_log_in_whatever_the_case_of_the_address(ctx: Context) -> None:
    user = await register(ctx, email=" Bo@Demo.Visavis.TEST ", name=" Bo Ek ")
    assert (user.email, user.name, user.role) == ("Bo@demo.visavis.test", "Bo Ek", Role.MENTEE)
    assert user.created_at == ctx.clock.now()
    assert await actions.authenticate(ctx, "bo@demo.visavis.test", PASSWORD) == user
    assert await actions.get_user(ctx, user.id) == user


async def test_a_mentor_has_a_profile_from_the_start(ctx: Context) -> None:
    ada = await register(ctx, role="mentor", name="Ada")
    profile = await actions.profile(ctx, ada.id)
    assert (profile.name, profile.timezone, profile.price_tokens, profile.topics) == (
        "Ada",
        "Europe/Berlin",
        10,
        (),
    )
    bo = await register(ctx, email="bo2@example.com")
    with pytest.raises(NotFound):
        await actions.profile(ctx, bo.id)


async def test_an_address_is_registered_once_also_at_the_same_time(ctx: Context) -> None:
    results = await asyncio.gather(
        *(register(ctx, email=email) for email in ("bo@example.com", "BO@example.com", "bo@EXAMPLE.com")),
        return_exceptions=True,
    )
    assert sum(isinstance(result, User) for result in results) == 1
    refusals = [result for result in results if isinstance(result, Conflict)]
    assert [refusal.code for refusal in refusals] == ["email_taken", "email_taken"]
    assert await ctx.pool.fetchval("SELECT count(*) FROM users") == 1


async def test_all_faults_of_a_registration_come_at_once(ctx: Context) -> None:
    with pytest.raises(Invalid) as refused:
        await register(ctx, email="bo@", password="short", name=" ", role="admin", timezone="Europe/Atlantis")
    assert {(error.field, error.code) for error in refused.value.errors} == {
        ("email", "bad_email"),
        ("password", "too_short"),
        ("name", "required"),
        ("role", "bad_role"),
        ("timezone", "unknown_timezone"),
    }


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"email": "a@b@example.com"}, "bad_email"),
        ({"email": "bo@example.com\r\nBcc: eve@example.com"}, "bad_email"),
        ({"email": "Bo <bo@example.com>"}, "bad_email"),
        ({"email": "x" * 5000 + "@example.com"}, "bad_email"),
        ({"email": "bo\x00@example.com"}, "bad_email"),
        ({"password": "x" * 9}, "too_short"),
        ({"password": "x" * 201}, "too_long"),
        ({"password": "\ud800" * 12}, "bad_characters"),
        ({"name": "x" * 101}, "too_long"),
        ({"name": "Bo\r\nSubject: hello"}, "bad_characters"),
        ({"name": "Bo\x00"}, "bad_characters"),
        ({"name": "\udfff"}, "bad_characters"),
        ({"role": "root"}, "bad_role"),
        ({"timezone": "europe/berlin"}, "unknown_timezone"),
        ({"timezone": ""}, "unknown_timezone"),
        ({"timezone": "posixrules"}, "unknown_timezone"),
        ({"timezone": "/etc/localtime"}, "unknown_timezone"),
    ],
)
async def test_bad_fields_are_named(ctx: Context, change: dict[str, str], code: str) -> None:
    with pytest.raises(Invalid) as refused:
        await register(ctx, **change)
    assert [(error.field, error.code) for error in refused.value.errors] == [(next(iter(change)), code)]


@pytest.mark.parametrize("password", ["x" * 10, "ü" * 200])
async def test_the_shortest_and_the_longest_password_work(ctx: Context, password: str) -> None:
    user = await register(ctx, password=password)
    assert await actions.authenticate(ctx, user.email, password) == user


async def test_wrong_credentials_of_every_kind_get_the_same_answer(ctx: Context) -> None:
    user = await register(ctx)
    gone = await register(ctx, email="gone@example.com")
    await ctx.pool.execute("UPDATE users SET disabled_at = $2 WHERE id = $1", gone.id, ctx.clock.now())
    answers = set()
    for email, password in (
        (user.email, "another password"),
        (user.email, ""),
        (user.email, PASSWORD + "x" * 200),
        (user.email, "\ud800"),
        ("nobody@example.com", PASSWORD),
        ("not an address", PASSWORD),
        (gone.email, PASSWORD),
    ):
        with pytest.raises(Unauthenticated) as refused:
            await actions.authenticate(ctx, email, password)
        answers.add((refused.value.code, refused.value.detail))
    assert [code for code, _ in answers] == ["bad_credentials"]


async def test_nobodys_password_costs_what_everybodys_costs() -> None:
    """The stand-in for unknown addresses has today's parameters, and nothing opens it."""
    assert not passwords.outdated(passwords._NOBODYS)
    assert passwords._NOBODYS.split("$")[1:4] == (await passwords.hash_password(PASSWORD)).split("$")[1:4]
    assert "m=19456,t=2,p=1" in passwords._NOBODYS
    assert not await passwords.password_fits(None, "nobody's password")


async def test_a_hash_with_old_parameters_is_renewed_at_login(ctx: Context) -> None:
    from argon2 import PasswordHasher

    user = await register(ctx)
    weak = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)
    await ctx.pool.execute("UPDATE users SET password_hash = $2 WHERE id = $1", user.id, weak)
    await actions.authenticate(ctx, user.email, PASSWORD)
    stored = await ctx.pool.fetchval("SELECT password_hash FROM users WHERE id = $1", user.id)
    assert not passwords.outdated(stored)
    assert await actions.authenticate(ctx, user.email, PASSWORD) == user


async def test_a_mentor_describes_herself(ctx: Context) -> None:
    ada = await register(ctx, role="mentor")
    changed = await actions.update_me(
        ctx,
        ada.id,
        name="Ada L.",
        timezone="Asia/Kathmandu",
        headline=" Compilers ",
        bio="Line one\nline two",
        topics=["Rust", "rust", " ", "type  theory"],
        languages=["EN", "pt-BR"],
        price_tokens=0,
    )
    assert (changed.name, changed.timezone) == ("Ada L.", "Asia/Kathmandu")
    profile = await actions.profile(ctx, ada.id)
    assert (profile.headline, profile.bio) == ("Compilers", "Line one\nline two")
    assert (profile.topics, profile.languages) == (("Rust", "type theory"), ("en", "pt-br"))
    assert profile.price_tokens == 0
    await actions.update_me(ctx, ada.id, topics=[])
    assert (await actions.profile(ctx, ada.id)) == replace(profile, topics=())


async def test_bad_changes_are_named_all_at_once_and_change_nothing(ctx: Context) -> None:
    ada, bo = await register(ctx, role="mentor", email="ada@example.com"), await register(ctx)
    with pytest.raises(Invalid) as refused:
        await actions.update_me(
            ctx,
            ada.id,
            name="",
            timezone="Nowhere",
            headline="x" * 151,
            bio="\x07",
            topics=["x" * 51],
            languages=["english!"],
            price_tokens=-1,
        )
    assert [(error.field, error.code) for error in refused.value.errors] == [
        ("name", "required"),
        ("timezone", "unknown_timezone"),
        ("headline", "too_long"),
        ("bio", "bad_characters"),
        ("topics", "too_long"),
        ("languages", "bad_language"),
        ("price_tokens", "out_of_range"),
    ]
    with pytest.raises(Invalid) as refused:
        await actions.update_me(ctx, bo.id, name="Bob", price_tokens=1, topics=[])
    assert {(error.field, error.code) for error in refused.value.errors} == {
        ("price_tokens", "mentors_only"),
        ("topics", "mentors_only"),
    }
    assert (await actions.get_user(ctx, bo.id)).name == "Bo"
    with pytest.raises(NotFound):
        await actions.update_me(ctx, new_id(), name="Nobody")


async def test_an_administrator_is_made_by_command_only(ctx: Context) -> None:
    admin = await actions.create_admin(ctx, "root@example.com", PASSWORD)
    assert admin.role is Role.ADMIN
    assert await actions.authenticate(ctx, "root@example.com", PASSWORD) == admin
    with pytest.raises(Conflict):
        await actions.create_admin(ctx, "ROOT@example.com", PASSWORD)
    with pytest.raises(Invalid):
        await actions.create_admin(ctx, "root", "short")


# ---------------------------------------------------------------- tokens


async def test_a_refresh_token_works_once_and_its_reuse_ends_the_family(ctx: Context) -> None:
    user = await register(ctx)
    first = await actions.issue_tokens(ctx, user)
    other = await actions.issue_tokens(ctx, user)
    again, second = await actions.refresh(ctx, first.refresh_token)
    assert again == user
    assert second.refresh_token != first.refresh_token
    _, third = await actions.refresh(ctx, second.refresh_token)
    for token in (first.refresh_token, third.refresh_token, second.refresh_token):
        with pytest.raises(Unauthenticated) as refused:
            await actions.refresh(ctx, token)
        assert refused.value.code == "bad_refresh_token"
    await actions.refresh(ctx, other.refresh_token)  # another login is another family


async def test_of_two_refreshes_at_once_one_wins_and_the_family_ends(ctx: Context) -> None:
    pair = await actions.issue_tokens(ctx, await register(ctx))
    results = await asyncio.gather(
        *(actions.refresh(ctx, pair.refresh_token) for _ in range(5)), return_exceptions=True
    )
    won = [result for result in results if not isinstance(result, BaseException)]
    assert len(won) == 1
    assert all(isinstance(r, Unauthenticated) for r in results if isinstance(r, BaseException))
    with pytest.raises(Unauthenticated):
        await actions.refresh(ctx, won[0][1].refresh_token)


async def test_logging_out_ends_the_family_and_nonsense_is_nothing_to_end(ctx: Context) -> None:
    user = await register(ctx)
    pair = await actions.issue_tokens(ctx, user)
    _, pair = await actions.refresh(ctx, pair.refresh_token)
    await actions.logout(ctx, pair.refresh_token)
    await actions.logout(ctx, "nonsense \ud800")
    with pytest.raises(Unauthenticated):
        await actions.refresh(ctx, pair.refresh_token)


async def test_refresh_tokens_age_and_die_with_the_account(ctx: Context, clock: SteppedClock) -> None:
    user = await register(ctx)
    old, young = await actions.issue_tokens(ctx, user), await actions.issue_tokens(ctx, user)
    clock.step(actions.REFRESH_LIFE - timedelta(seconds=1))
    _, young = await actions.refresh(ctx, young.refresh_token)
    clock.step(timedelta(seconds=1))
    with pytest.raises(Unauthenticated):
        await actions.refresh(ctx, old.refresh_token)
    await ctx.pool.execute("UPDATE users SET disabled_at = $1", clock.now())
    with pytest.raises(Unauthenticated):
        await actions.refresh(ctx, young.refresh_token)


async def test_refresh_tokens_are_not_in_the_database(ctx: Context) -> None:
    pair = await actions.issue_tokens(ctx, await register(ctx))
    stored = await ctx.pool.fetchval("SELECT token_hash FROM refresh_tokens")
    assert len(stored) == 32
    assert pair.refresh_token.encode() not in stored


async def test_access_tokens_tell_who_is_calling_for_a_quarter_of_an_hour(
    ctx: Context, clock: SteppedClock
) -> None:
    user = await register(ctx)
    pair = await actions.issue_tokens(ctx, user)
    assert pair.expires_in == 900
    clock.step(timedelta(seconds=899))
    assert tokens.read_access_token(ctx.settings, pair.access_token, clock.now()) == Principal(
        user.id, Role.MENTEE
    )
    with pytest.raises(Unauthenticated) as refused:
        tokens.read_access_token(ctx.settings, pair.access_token, clock.step(timedelta(seconds=1)))
    assert refused.value.code == "token_expired"
