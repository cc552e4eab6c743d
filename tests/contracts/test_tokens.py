"""What every maker of tokens must do."""

from __future__ import annotations

from datetime import datetime, timedelta

import jwt
import pytest

from adapters.jwt.tokens import JwtTokens
from application.ports.runtime import Tokens
from domain.errors import TokenExpired, TokenInvalid
from domain.identity import Principal, PrincipalKind
from tests.builders import ADMIN, ALICE, NOW

_VISITOR = Principal(PrincipalKind.VISITOR, "a-visitor")
_OWN, _HOST = "parleys-own-secret-of-32-characters", "the-host-products-secret-32-chars.."


class Clock:
    def __init__(self) -> None:
        self.time = NOW

    def __call__(self) -> datetime:
        return self.time


@pytest.fixture
def clock() -> Clock:
    return Clock()


class TokensContract:
    @pytest.fixture
    def tokens(self, clock: Clock) -> Tokens:
        raise NotImplementedError

    @pytest.mark.parametrize("principal", [ALICE, ADMIN, _VISITOR])
    def test_a_token_speaks_for_whom_it_was_issued(self, tokens: Tokens, principal: Principal) -> None:
        token, expires_at = tokens.issue(principal, timedelta(hours=1))

        assert tokens.verify(token) == principal
        assert expires_at == NOW + timedelta(hours=1)

    def test_a_token_ends_also_when_it_was_good_before(self, tokens: Tokens, clock: Clock) -> None:
        token, expires_at = tokens.issue(ALICE, timedelta(hours=1))
        tokens.verify(token)

        clock.time = expires_at + timedelta(seconds=11)

        with pytest.raises(TokenExpired):
            tokens.verify(token)

    @pytest.mark.parametrize("spoil", [lambda token: token[:-4] + "AAAA", lambda token: "x" + token, lambda _: ""])
    def test_a_token_that_was_tampered_with_is_refused(self, tokens: Tokens, spoil) -> None:  # type: ignore[no-untyped-def]
        token, _ = tokens.issue(ALICE, timedelta(hours=1))

        with pytest.raises(TokenInvalid):
            tokens.verify(spoil(token))


class TestJwtTokens(TokensContract):
    @pytest.fixture
    def tokens(self, clock: Clock) -> Tokens:
        return JwtTokens(_OWN, _HOST, clock)

    def test_the_host_products_tokens_speak_for_users_whatever_they_claim(self, tokens: Tokens) -> None:
        claims = {"sub": "alice", "exp": NOW + timedelta(hours=1), "kind": "visitor", "roles": ["admin"]}

        principal = tokens.verify(jwt.encode(claims, _HOST, "HS256"))

        assert principal == Principal(PrincipalKind.USER, "alice", frozenset({"admin"}))

    def test_the_host_cannot_speak_as_parley_nor_parleys_secret_for_the_host(self, tokens: Tokens) -> None:
        claims = {"sub": "alice", "exp": NOW + timedelta(hours=1), "kind": "user"}

        for spoilt in (jwt.encode({**claims, "iss": "parley"}, _HOST, "HS256"), jwt.encode(claims, _OWN, "HS256")):
            with pytest.raises(TokenInvalid):
                tokens.verify(spoilt)

    def test_a_users_token_does_not_speak_for_a_visitor_of_the_same_name(self, tokens: Tokens) -> None:
        token, _ = tokens.issue(Principal(PrincipalKind.USER, "a-visitor"), timedelta(hours=1))

        assert tokens.verify(token).key != _VISITOR.key
