"""What every maker of tokens must do, and whose tokens Parley takes."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest

from adapters.jwt.jwks import JwksKeys
from adapters.jwt.keys import keys_in
from adapters.jwt.tokens import FixedKeys, HostProduct, JwtTokens
from application.ports.runtime import KeysUnavailable, Misconfigured, Tokens
from domain.errors import TokenExpired, TokenInvalid
from domain.identity import Principal, PrincipalKind
from tests.builders import ADMIN, ALICE, NOW
from tests.jwks_server import JwksServer, SigningKey, jwks_server

_VISITOR = Principal(PrincipalKind.VISITOR, "a-visitor")
_OWN, _HOST = "parleys-own-secret-of-32-characters", "the-host-products-secret-32-chars.."

_RSA, _OTHER_RSA = SigningKey("first"), SigningKey("second")


class Clock:
    def __init__(self) -> None:
        self.time = NOW

    def __call__(self) -> datetime:
        return self.time

    def elapsed(self) -> float:
        """The same time as seconds since the clock was made."""
        return (self.time - NOW).total_seconds()

    def forward(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def provider() -> Iterator[JwksServer]:
    with jwks_server(_RSA) as server:
        yield server


def claims(**given: Any) -> dict[str, Any]:
    """A user's claims; None takes one away."""
    usual = {"sub": "alice", "exp": int(NOW.timestamp()) + 3600}
    return {name: value for name, value in (usual | given).items() if value is not None}


def host_tokens(clock: Clock, **host: Any) -> JwtTokens:
    return JwtTokens([_OWN], HostProduct(**host), clock)


def segment(value: object) -> str:
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


def signed(header: object, payload: object, secret: str = _HOST) -> str:
    """A token as no library would make it, whose HS256 signature is right."""
    content = f"{segment(header)}.{segment(payload)}"
    return f"{content}.{segment(hmac.digest(secret.encode(), content.encode(), hashlib.sha256))}"


class TokensContract:
    @pytest.fixture
    def tokens(self, clock: Clock) -> Tokens:
        raise NotImplementedError

    @pytest.mark.parametrize("principal", [ALICE, ADMIN, _VISITOR])
    def test_a_token_speaks_for_whom_it_was_issued_until_it_ends(self, tokens: Tokens, principal: Principal) -> None:
        token, expires_at = tokens.issue(principal, timedelta(hours=1))

        known = tokens.verify(token)

        assert known.principal == principal
        assert known.expires_at == expires_at == NOW + timedelta(hours=1)

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
        return host_tokens(clock, secrets=[_HOST])

    def test_the_host_products_tokens_speak_for_users_whatever_they_claim(self, tokens: Tokens) -> None:
        token = jwt.encode(claims(kind="visitor", roles=["admin"]), _HOST, "HS256")

        assert tokens.verify(token).principal == Principal(PrincipalKind.USER, "alice", frozenset({"admin"}))

    def test_the_host_cannot_speak_as_parley_nor_parleys_secret_for_the_host(self, tokens: Tokens) -> None:
        for spoilt in (
            jwt.encode(claims(iss="parley", kind="user"), _HOST, "HS256"),
            jwt.encode(claims(kind="user"), _OWN, "HS256"),
        ):
            with pytest.raises(TokenInvalid):
                tokens.verify(spoilt)

    def test_nobody_speaks_for_parley_itself(self, tokens: Tokens) -> None:
        with pytest.raises(TokenInvalid, match="'parley'"):
            tokens.verify(jwt.encode(claims(sub="parley"), _HOST, "HS256"))
        with pytest.raises(TokenInvalid, match="'parley'"):
            tokens.verify(jwt.encode(claims(iss="parley", kind="user", sub="parley"), _OWN, "HS256"))
        with pytest.raises(TokenInvalid, match="'parley'"):
            tokens.issue(Principal(PrincipalKind.USER, "parley"), timedelta(hours=1))
        visitor = Principal(PrincipalKind.VISITOR, "parley")
        assert tokens.verify(tokens.issue(visitor, timedelta(hours=1))[0]).principal == visitor

    def test_without_a_secret_of_its_own_the_host_uses_parleys(self, clock: Clock) -> None:
        token = jwt.encode(claims(), _OWN, "HS256")

        assert host_tokens(clock).verify(token).principal == ALICE

    def test_a_users_token_does_not_speak_for_a_visitor_of_the_same_name(self, tokens: Tokens) -> None:
        token, _ = tokens.issue(Principal(PrincipalKind.USER, "a-visitor"), timedelta(hours=1))

        assert tokens.verify(token).principal.key != _VISITOR.key


class TestRotationOfSecrets:
    NEW = "a-new-secret-of-parleys-own-32-characters"

    def test_tokens_of_the_secret_before_stay_good(self, clock: Clock) -> None:
        token, _ = JwtTokens([_OWN], HostProduct(), clock).issue(_VISITOR, timedelta(hours=1))

        rotated = JwtTokens([self.NEW, _OWN], HostProduct(), clock)

        assert rotated.verify(token).principal == _VISITOR

    def test_new_tokens_are_signed_with_the_new_secret_and_name_it(self, clock: Clock) -> None:
        before, _ = JwtTokens([_OWN], HostProduct(), clock).issue(_VISITOR, timedelta(hours=1))

        token, _ = JwtTokens([self.NEW, _OWN], HostProduct(), clock).issue(_VISITOR, timedelta(hours=1))

        assert JwtTokens([self.NEW], HostProduct(), clock).verify(token).principal == _VISITOR
        assert jwt.get_unverified_header(token)["kid"] != jwt.get_unverified_header(before)["kid"]
        assert self.NEW not in token

    def test_a_secret_that_is_given_up_ends_its_tokens(self, clock: Clock) -> None:
        token, _ = JwtTokens([_OWN], HostProduct(), clock).issue(_VISITOR, timedelta(hours=1))

        with pytest.raises(TokenInvalid, match="not signed with a key that Parley knows"):
            JwtTokens([self.NEW], HostProduct(), clock).verify(token)

    @pytest.mark.parametrize("secrets", [[_OWN], [NEW, _OWN]])
    def test_tokens_from_before_keys_had_names_are_good(self, clock: Clock, secrets: Sequence[str]) -> None:
        token = jwt.encode(claims(iss="parley", kind="visitor", sub="a-visitor"), _OWN, "HS256")

        assert JwtTokens(secrets, HostProduct(), clock).verify(token).principal == _VISITOR

    def test_the_hosts_secret_rotates_too(self, clock: Clock) -> None:
        tokens = host_tokens(clock, secrets=["the-hosts-new-secret-of-32-characters", _HOST])

        assert tokens.verify(jwt.encode(claims(), _HOST, "HS256", {"kid": "whatever"})).principal == ALICE


class TestPublicKeys:
    @pytest.mark.parametrize("algorithm", ["RS256", "RS384", "RS512", "ES256", "ES384", "EdDSA"])
    def test_each_algorithm_is_verified_with_a_published_key(
        self, clock: Clock, provider: JwksServer, algorithm: str
    ) -> None:
        key = SigningKey("mine", algorithm)
        provider.publish(_RSA, key)

        tokens = host_tokens(clock, keys=JwksKeys(provider.url))

        assert tokens.verify(key.token(claims())).principal == ALICE

    def test_keys_are_fetched_once_for_many_tokens(self, clock: Clock, provider: JwksServer) -> None:
        tokens = host_tokens(clock, keys=JwksKeys(provider.url, clock.elapsed))

        for number in range(20):
            tokens.verify(_RSA.token(claims(sub=f"user {number}")))
            clock.forward(14)

        assert provider.fetches == 1

    def test_keys_are_fetched_anew_after_five_minutes(self, clock: Clock, provider: JwksServer) -> None:
        tokens = host_tokens(clock, keys=JwksKeys(provider.url, clock.elapsed))
        tokens.verify(_RSA.token(claims()))

        clock.forward(301)
        tokens.verify(_RSA.token(claims()))

        assert provider.fetches == 2

    def test_callers_at_the_same_time_share_one_fetch(self, clock: Clock, provider: JwksServer) -> None:
        provider.open.clear()
        tokens = host_tokens(clock, keys=JwksKeys(provider.url))
        all_here = threading.Barrier(9)

        def verify(number: int) -> Principal:
            all_here.wait()
            return tokens.verify(_RSA.token(claims(sub=f"user {number}"))).principal

        with ThreadPoolExecutor(8) as pool:
            known = [pool.submit(verify, number) for number in range(8)]
            all_here.wait()
            provider.open.set()
            assert {each.result().id for each in known} == {f"user {number}" for number in range(8)}
        assert provider.fetches == 1

    def test_a_new_key_is_known_as_soon_as_a_token_names_it(self, clock: Clock, provider: JwksServer) -> None:
        tokens = host_tokens(clock, keys=JwksKeys(provider.url, clock.elapsed))
        tokens.verify(_RSA.token(claims()))
        provider.publish(_RSA, _OTHER_RSA)

        clock.forward(11)

        assert tokens.verify(_OTHER_RSA.token(claims())).principal == ALICE
        assert tokens.verify(_RSA.token(claims())).principal == ALICE

    def test_many_tokens_with_unknown_keys_do_not_make_many_fetches(self, clock: Clock, provider: JwksServer) -> None:
        tokens = host_tokens(clock, keys=JwksKeys(provider.url, clock.elapsed))
        tokens.verify(_RSA.token(claims()))

        clock.forward(11)
        for number in range(100):
            with pytest.raises(TokenInvalid, match="not signed with a key that Parley knows"):
                tokens.verify(_RSA.token(claims(), kid=f"unknown {number}"))

        assert provider.fetches == 2

    def test_a_withdrawn_key_ends_the_tokens_that_it_has_verified(self, clock: Clock, provider: JwksServer) -> None:
        tokens = host_tokens(clock, keys=JwksKeys(provider.url, clock.elapsed))
        token = _RSA.token(claims())
        tokens.verify(token)
        provider.publish(_OTHER_RSA)

        clock.forward(301)

        with pytest.raises(TokenInvalid):
            tokens.verify(token)

    def test_the_last_known_keys_hold_while_the_server_is_away(
        self, clock: Clock, provider: JwksServer, caplog: pytest.LogCaptureFixture
    ) -> None:
        tokens = host_tokens(clock, keys=JwksKeys(provider.url, clock.elapsed))
        token = _RSA.token(claims())
        tokens.verify(token)
        provider.status = 500

        with caplog.at_level(logging.INFO):
            for _ in range(5):
                clock.forward(400)
                assert tokens.verify(token).principal == ALICE

        assert caplog.text.count("the keys cannot be fetched: HTTP Error 500") == 1

    def test_whether_an_unknown_key_is_good_is_not_known_while_the_server_is_away(
        self, clock: Clock, provider: JwksServer
    ) -> None:
        tokens = host_tokens(clock, keys=JwksKeys(provider.url, clock.elapsed))
        tokens.verify(_RSA.token(claims()))
        provider.status = 500

        clock.forward(11)
        with pytest.raises(KeysUnavailable):
            tokens.verify(_OTHER_RSA.token(claims()))

        provider.status = 200
        provider.publish(_RSA, _OTHER_RSA)
        clock.forward(4)
        assert tokens.verify(_OTHER_RSA.token(claims())).principal == ALICE

    def test_a_server_that_hangs_takes_no_known_key_away(self, clock: Clock, provider: JwksServer) -> None:
        tokens = host_tokens(clock, keys=JwksKeys(provider.url, clock.elapsed))
        tokens.verify(_RSA.token(claims()))
        provider.status = 500
        clock.forward(301)
        tokens.verify(_RSA.token(claims()))

        provider.open.clear()
        clock.forward(4)

        assert tokens.verify(_RSA.token(claims(sub="bob"))).principal.id == "bob"
        assert not provider.open.is_set()

    @pytest.mark.parametrize(
        ("status", "body"),
        [
            (500, None),
            (302, b""),
            (200, b"<html>"),
            (200, b"[]"),
            (200, b"{}"),
            (200, b'{"keys": 7}'),
            (200, b"[" * 100_000),
            (200, b" " * 600_000),
            (200, b"\xff\xfe"),
        ],
    )
    def test_without_any_key_it_is_not_the_token_that_is_wrong(
        self, clock: Clock, provider: JwksServer, status: int, body: bytes | None
    ) -> None:
        provider.status, provider.body = status, body
        tokens = host_tokens(clock, keys=JwksKeys(provider.url))

        with pytest.raises(KeysUnavailable):
            tokens.verify(_RSA.token(claims()))

    def test_parleys_own_tokens_do_not_need_the_server(self, clock: Clock, provider: JwksServer) -> None:
        tokens = host_tokens(clock, keys=JwksKeys(provider.url))
        token, _ = tokens.issue(_VISITOR, timedelta(hours=1))

        assert tokens.verify(token).principal == _VISITOR
        assert provider.fetches == 0

    def test_keys_that_are_none_of_parleys_business_are_passed_over(self, clock: Clock, provider: JwksServer) -> None:
        strangers = [
            {"kty": "oct", "kid": "secret", "k": segment(_HOST.encode())},
            {"kty": "RSA", "kid": "broken", "n": "!", "e": "AQAB"},
            {"kty": "XYZ", "kid": "new"},
            {"kid": "nothing"},
            "no key",
            SigningKey("curve", "ES256").published(crv="P-521"),
            SigningKey("small", bits=1024).published(),
            _OTHER_RSA.published(use="enc"),
            _OTHER_RSA.published(key_ops=["encrypt"]),
            _OTHER_RSA.published(alg="RSA-OAEP"),
            _OTHER_RSA.published(alg=["RS256"]),
            _OTHER_RSA.private_jwk,
        ]
        provider.keys = [*strangers, _RSA.published()]  # type: ignore[list-item] # one is no object
        tokens = host_tokens(clock, keys=JwksKeys(provider.url, clock.elapsed))

        assert tokens.verify(_RSA.token(claims())).principal == ALICE
        with pytest.raises(TokenInvalid):
            tokens.verify(_OTHER_RSA.token(claims()))
        with pytest.raises(TokenInvalid):
            tokens.verify(jwt.encode(claims(), _HOST, "HS256", {"kid": "secret"}))

    def test_a_key_verifies_the_algorithm_it_is_published_for_and_no_other(
        self, clock: Clock, provider: JwksServer
    ) -> None:
        provider.keys = [_RSA.published(alg="RS512")]
        tokens = host_tokens(clock, keys=JwksKeys(provider.url, clock.elapsed))

        assert tokens.verify(_RSA.token(claims(), alg="RS512")).principal == ALICE
        with pytest.raises(TokenInvalid):
            tokens.verify(_RSA.token(claims(), alg="RS256"))

    def test_a_token_that_names_no_key_is_tried_with_those_that_fit(self, clock: Clock, provider: JwksServer) -> None:
        curve, nameless = SigningKey("curve", "ES256"), SigningKey()
        provider.publish(_RSA, curve, nameless)
        tokens = host_tokens(clock, keys=JwksKeys(provider.url))

        assert tokens.verify(nameless.token(claims())).principal == ALICE
        assert tokens.verify(curve.token(claims(), kid=None)).principal == ALICE
        assert tokens.verify(nameless.token(claims(), kid="whatever")).principal == ALICE

    def test_a_key_without_a_name_is_replaced_as_soon_as_its_successor_signs(
        self, clock: Clock, provider: JwksServer
    ) -> None:
        first, second = SigningKey(), SigningKey()
        provider.publish(first)
        tokens = host_tokens(clock, keys=JwksKeys(provider.url, clock.elapsed))
        tokens.verify(first.token(claims()))
        provider.publish(second)

        clock.forward(11)

        assert tokens.verify(second.token(claims())).principal == ALICE


class TestKeyFile:
    def test_tokens_are_verified_with_each_key_of_the_file(self, clock: Clock, tmp_path: Path) -> None:
        curve = SigningKey(algorithm="ES256")
        file = tmp_path / "keys.pem"
        file.write_text(f"The old one\n{_RSA.pem}and the new one\n{curve.pem}")

        tokens = host_tokens(clock, keys=FixedKeys(keys_in(file)))

        assert tokens.verify(_RSA.token(claims())).principal == ALICE
        assert tokens.verify(curve.token(claims())).principal == ALICE
        with pytest.raises(TokenInvalid):
            tokens.verify(_OTHER_RSA.token(claims()))

    @pytest.mark.parametrize(
        ("content", "problem"),
        [
            ("", "holds no public key"),
            ("é", "holds no public key"),
            ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "holds a private key"),
            ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "holds a certificate"),
            ("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "that cannot be read"),
            (SigningKey(bits=1024).pem, "neither RSA"),
        ],
        ids=["empty", "no text", "private", "certificate", "broken", "small"],
    )
    def test_a_file_without_a_key_that_will_do_is_refused(self, tmp_path: Path, content: str, problem: str) -> None:
        file = tmp_path / "keys.pem"
        file.write_text(content)

        with pytest.raises(Misconfigured, match=problem):
            keys_in(file)

    def test_a_file_that_is_not_there_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(Misconfigured, match="cannot be read: No such file"):
            keys_in(tmp_path / "keys.pem")


class TestForgery:
    """No algorithm is taken for another, whatever a token says about itself."""

    @pytest.fixture
    def both(self, clock: Clock, provider: JwksServer) -> JwtTokens:
        return host_tokens(clock, secrets=[_HOST], keys=JwksKeys(provider.url))

    @pytest.fixture
    def by_public_key(self, clock: Clock, provider: JwksServer) -> JwtTokens:
        return host_tokens(clock, keys=JwksKeys(provider.url))

    def test_a_public_key_is_no_secret(self, both: JwtTokens, by_public_key: JwtTokens) -> None:
        for secret in (_RSA.pem, _RSA.pem.strip(), json.dumps(_RSA.published()), _RSA.published()["n"]):
            for kid in ({}, {"kid": "first"}):
                forged = signed({"alg": "HS256", "typ": "JWT", **kid}, claims(), secret)
                for tokens in (both, by_public_key):
                    with pytest.raises(TokenInvalid):
                        tokens.verify(forged)

    @pytest.mark.parametrize(
        "algorithm", ["none", "None", "NONE", "nOnE", "", None, 7, ["HS256"], {}, "hs256", "HS512"]
    )
    def test_what_is_signed_by_another_algorithm_or_not_at_all_is_refused(
        self, both: JwtTokens, algorithm: object
    ) -> None:
        header = {"alg": algorithm, "typ": "JWT", "kid": "first"}

        for forged in (signed(header, claims()), f"{segment(header)}.{segment(claims())}."):
            with pytest.raises(TokenInvalid):
                both.verify(forged)

    def test_where_keys_are_published_and_no_secret_is_shared_hs256_is_parleys_own(
        self, by_public_key: JwtTokens
    ) -> None:
        for secret in (_OWN, _HOST):
            with pytest.raises(TokenInvalid):
                by_public_key.verify(jwt.encode(claims(), secret, "HS256"))

    def test_where_only_a_secret_is_shared_no_public_key_counts(self, clock: Clock) -> None:
        with pytest.raises(TokenInvalid):
            host_tokens(clock, secrets=[_HOST]).verify(_RSA.token(claims()))

    def test_a_published_key_cannot_speak_as_parley(self, both: JwtTokens) -> None:
        with pytest.raises(TokenInvalid):
            both.verify(_RSA.token(claims(iss="parley", kind="visitor", sub="a-visitor")))

    def test_another_key_under_a_known_name_is_refused(self, both: JwtTokens) -> None:
        with pytest.raises(TokenInvalid, match="signature is wrong"):
            both.verify(_OTHER_RSA.token(claims(), kid="first"))

    def test_a_key_that_comes_with_the_token_proves_nothing(self, both: JwtTokens) -> None:
        with pytest.raises(TokenInvalid):
            both.verify(_OTHER_RSA.token(claims(), kid=None, jwk=_OTHER_RSA.published()))

    @pytest.mark.parametrize(
        "header",
        [
            {"alg": "HS256", "crit": ["exp"]},
            {"alg": "HS256", "crit": []},
            {"alg": "HS256", "b64": False},
            {"alg": "HS256", "b64": False, "crit": ["b64"]},
            {"alg": "HS256", "kid": 7},
            {"alg": "HS256", "kid": ["a"]},
            {"typ": "JWT"},
            ["HS256"],
            "HS256",
            None,
            b"\xff",
            b"[" * 3000,
        ],
    )
    def test_an_absurd_header_is_refused(self, both: JwtTokens, header: object) -> None:
        with pytest.raises(TokenInvalid):
            both.verify(signed(header, claims()))

    @pytest.mark.parametrize(
        "payload", [["alice"], "alice", 7, None, b"\xff", b"{", b"[" * 3000, b'{"exp": ' + b"1" * 4500 + b"}"]
    )
    def test_an_absurd_payload_is_refused(self, both: JwtTokens, payload: object) -> None:
        with pytest.raises(TokenInvalid):
            both.verify(signed({"alg": "HS256"}, payload))

    @pytest.mark.parametrize("token", ["", ".", "..", "a.b", "a.b.c.d.e", "é.é.é", "\ud800", "a b.c.d"])
    def test_what_is_no_token_at_all_is_refused(self, both: JwtTokens, token: str) -> None:
        with pytest.raises(TokenInvalid):
            both.verify(token)

    def test_a_token_longer_than_8_kb_is_not_even_read(self, both: JwtTokens) -> None:
        with pytest.raises(TokenInvalid, match="longer than 8192 characters"):
            both.verify(jwt.encode(claims(more="x" * 7000), _HOST, "HS256"))


class TestClaims:
    @pytest.fixture
    def tokens(self, clock: Clock) -> JwtTokens:
        return host_tokens(clock, secrets=[_HOST], issuer="https://login.example", audience="parley-api")

    def verified(self, tokens: JwtTokens, **given: Any) -> Principal:
        usual = {"iss": "https://login.example", "aud": "parley-api"}
        return tokens.verify(jwt.encode(claims(**(usual | given)), _HOST, "HS256")).principal

    @pytest.mark.parametrize("audience", ["parley-api", ["parley-api"], ["other", "parley-api"]])
    def test_a_token_for_parley_by_its_issuer_is_good(self, tokens: JwtTokens, audience: object) -> None:
        assert self.verified(tokens, aud=audience) == ALICE

    @pytest.mark.parametrize("audience", [None, "other", "parley", "parley-api2", [], ["other"], [["parley-api"]], {}])
    def test_a_token_for_something_else_is_refused(self, tokens: JwtTokens, audience: object) -> None:
        with pytest.raises(TokenInvalid, match="audience"):
            self.verified(tokens, aud=audience)

    @pytest.mark.parametrize("issuer", [None, "https://login.example/", "https://elsewhere.example", "Parley"])
    def test_a_token_of_another_issuer_is_refused(self, tokens: JwtTokens, issuer: object) -> None:
        with pytest.raises(TokenInvalid, match="issuer"):
            self.verified(tokens, iss=issuer)

    def test_parleys_own_tokens_need_neither(self, tokens: JwtTokens) -> None:
        token, _ = tokens.issue(_VISITOR, timedelta(hours=1))

        assert tokens.verify(token).principal == _VISITOR

    @pytest.mark.parametrize("name", ["nbf", "iat"])
    def test_a_token_is_good_from_its_time_on_give_or_take_what_clocks_differ_by(
        self, tokens: JwtTokens, clock: Clock, name: str
    ) -> None:
        begin = {name: int(NOW.timestamp()) + 60}

        clock.forward(49)
        with pytest.raises(TokenInvalid, match=r"not yet valid|in the future"):
            self.verified(tokens, **begin)

        clock.forward(2)
        assert self.verified(tokens, **begin) == ALICE

    def test_a_token_ends_at_its_time_give_or_take_what_clocks_differ_by(self, clock: Clock) -> None:
        tokens = JwtTokens([_OWN], HostProduct(), clock, leeway=60)
        token = jwt.encode(claims(), _OWN, "HS256")

        clock.forward(3600 + 59)
        assert tokens.verify(token).principal == ALICE

        clock.forward(1)
        with pytest.raises(TokenExpired):
            tokens.verify(token)

    @pytest.mark.parametrize("name", ["exp", "nbf", "iat"])
    @pytest.mark.parametrize("time", ["tomorrow", "4102444800", True, [], -1, 1e300, 10**400, 4102444800000])
    def test_a_time_that_is_none_is_refused(self, tokens: JwtTokens, name: str, time: object) -> None:
        content = claims(iss="https://login.example", aud="parley-api") | {name: time}

        with pytest.raises(TokenInvalid, match=name):
            tokens.verify(signed({"alg": "HS256"}, content))

    @pytest.mark.parametrize("missing", ["sub", "exp"])
    def test_what_a_token_lacks_is_named(self, tokens: JwtTokens, missing: str) -> None:
        with pytest.raises(TokenInvalid, match=missing):
            self.verified(tokens, **{missing: None})

    @pytest.mark.parametrize(
        ("path", "given", "roles"),
        [
            ("roles", {}, set()),
            ("roles", {"roles": ["admin", "editor"]}, {"admin", "editor"}),
            ("roles", {"roles": "admin editor"}, {"admin", "editor"}),
            ("roles", {"roles": ""}, set()),
            ("scope", {"scope": "openid admin", "roles": ["editor"]}, {"openid", "admin"}),
            ("realm_access.roles", {"realm_access": {"roles": ["admin"]}}, {"admin"}),
            ("realm_access.roles", {"realm_access": "admin"}, set()),
            ("realm_access.roles", {"roles": ["admin"]}, set()),
            ("https://app.example/roles", {"https://app.example/roles": ["admin"]}, {"admin"}),
        ],
    )
    def test_roles_are_found_where_the_setting_says(
        self, clock: Clock, path: str, given: dict[str, Any], roles: set[str]
    ) -> None:
        tokens = host_tokens(clock, secrets=[_HOST], roles_claim=path)

        assert tokens.verify(jwt.encode(claims(**given), _HOST, "HS256")).principal.roles == roles

    @pytest.mark.parametrize("roles", [7, {"admin": True}, ["admin", 7], [["admin"]], True])
    def test_roles_that_are_none_are_refused(self, tokens: JwtTokens, roles: object) -> None:
        with pytest.raises(TokenInvalid, match="roles"):
            self.verified(tokens, roles=roles)
