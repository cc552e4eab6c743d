"""Who is asking, over the wire: tokens by published keys, cookies, other sites' pages, rotation."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from http.cookies import Morsel, SimpleCookie
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import jwt
import pytest
from flask import Flask

from adapters.jwt.tokens import HostProduct, JwtTokens
from domain.errors import Forbidden, TokenInvalid
from domain.identity import Principal, PrincipalKind
from entrypoints.http import auth
from tests.jwks_server import JwksServer, SigningKey, jwks_server
from tests.parley_process import Client, ParleyProcess, parse_events, running
from tests.waiting import eventually

_ISSUER, _AUDIENCE, _FRIEND = "https://login.example/realms/main", "parley-api", "https://app.example"

_KEY, _CURVE, _STRANGER = SigningKey("main"), SigningKey("curve", "ES256"), SigningKey("main")


def claims(**given: Any) -> dict[str, Any]:
    """The claims of a good token; None takes one away."""
    now = int(time.time())
    usual = {"iss": _ISSUER, "aud": _AUDIENCE, "sub": "alice", "iat": now, "exp": now + 600}
    return {name: value for name, value in (usual | given).items() if value is not None}


def settings_of(provider: JwksServer) -> dict[str, object]:
    return {
        "PARLEY_JWT_JWKS_URL": provider.url,
        "PARLEY_JWT_ISSUER": _ISSUER,
        "PARLEY_JWT_AUDIENCE": _AUDIENCE,
        "PARLEY_JWT_ROLES_CLAIM": "realm_access.roles",
    }


@pytest.fixture(scope="module")
def federated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ParleyProcess]:
    """A Parley that trusts an identity provider, stands behind one proxy, and has a friend on another site."""
    with (
        jwks_server(_KEY, _CURVE) as provider,
        running(
            tmp_path_factory.mktemp("federated"),
            **settings_of(provider),
            PARLEY_PROXIES=1,
            PARLEY_RATE_VISITORS="1000/hour",
            PARLEY_ALLOWED_ORIGINS=f"{_FRIEND}, http://localhost:3000",
        ) as process,
    ):
        yield process


@pytest.fixture
def federated_settings(tmp_path: Path) -> Iterator[tuple[JwksServer, dict[str, object]]]:
    """An identity provider of a test's own, and the settings of a Parley that trusts it."""
    with jwks_server(_KEY) as provider:
        yield provider, settings_of(provider)


@pytest.fixture
def browser(embedded: ParleyProcess) -> Iterator[Client]:
    """A client that keeps cookies and sends no bearer token."""
    client = Client(embedded.url)
    yield client
    client.http.close()


@pytest.fixture
def nobody(federated: ParleyProcess) -> Iterator[Client]:
    client = Client(federated.url)
    yield client
    client.http.close()


@pytest.fixture(scope="module")
def alice(embedded: ParleyProcess) -> str:
    """A user's token."""
    return embedded.user("alice").token


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def cookies_set(answer: httpx.Response) -> dict[str, Morsel[str]]:
    """The cookies that an answer sets, each with its attributes."""
    return {
        name: morsel
        for header in answer.headers.get_list("Set-Cookie")
        for name, morsel in SimpleCookie(header).items()
    }


def status(process: ParleyProcess, token: str) -> int:
    return httpx.get(f"{process.url}/api/v1/me", headers=bearer(token), timeout=20).status_code


class TestPublishedKeys:
    @pytest.mark.parametrize(
        ("token", "roles"),
        [
            (lambda: _KEY.token(claims()), []),
            (lambda: _KEY.token(claims(), alg="RS512"), []),
            (lambda: _CURVE.token(claims()), []),
            (lambda: _KEY.token(claims(aud=["another", _AUDIENCE])), []),
            (lambda: _KEY.token(claims(realm_access={"roles": ["admin", "editor"]})), ["admin", "editor"]),
            (lambda: _KEY.token(claims(roles=["admin"])), []),
            (lambda: _KEY.token(claims(exp=int(time.time()) - 5)), []),
        ],
        ids=["RS256", "RS512", "ES256", "two audiences", "roles", "roles elsewhere", "clocks that differ"],
    )
    def test_a_token_of_the_identity_provider_speaks_for_its_user(
        self, nobody: Client, token: Callable[[], str], roles: list[str]
    ) -> None:
        me = nobody.data("GET", "/me", headers=bearer(token()))

        assert (me["kind"], me["id"], me["roles"]) == ("user", "alice", roles)

    @pytest.mark.parametrize(
        ("token", "code", "problem"),
        [
            (lambda: _KEY.token(claims())[:-6] + "AAAAAA", "token_invalid", "signature is wrong"),
            (lambda: _STRANGER.token(claims()), "token_invalid", "signature is wrong"),
            (lambda: _KEY.token(claims(), kid="other"), "token_invalid", "not signed with a key that Parley knows"),
            (lambda: jwt.encode(claims(), "", "none"), "token_invalid", "by an algorithm"),
            (lambda: jwt.encode(claims(), "s" * 32, "HS256"), "token_invalid", "not signed with a key"),
            (lambda: _KEY.token(claims(aud="another")), "token_invalid", "audience"),
            (lambda: _KEY.token(claims(aud=None)), "token_invalid", "audience"),
            (lambda: _KEY.token(claims(iss="https://elsewhere.example")), "token_invalid", "issuer"),
            (lambda: _KEY.token(claims(iss="parley")), "token_invalid", "not signed with a key"),
            (lambda: _KEY.token(claims(exp=int(time.time()) - 60)), "token_expired", "has expired"),
            (lambda: _KEY.token(claims(nbf=int(time.time()) + 60)), "token_invalid", "not yet valid"),
            (lambda: _KEY.token(claims(iat=int(time.time()) + 60)), "token_invalid", "in the future"),
            (lambda: _KEY.token(claims(), crit=["x"], x=1), "token_invalid", "malformed"),
            (lambda: _KEY.token(claims(sub=None)), "token_invalid", "'sub'"),
            (lambda: _KEY.token(claims(exp=None)), "token_invalid", "'exp'"),
            (lambda: _KEY.token(claims(realm_access={"roles": 7})), "token_invalid", "realm_access.roles"),
        ],
    )
    def test_any_other_token_is_refused_saying_what_is_wrong(
        self, nobody: Client, token: Callable[[], str], code: str, problem: str
    ) -> None:
        answer = nobody.call("GET", "/me", headers=bearer(token()))

        error = answer.json()["error"]
        assert (answer.status_code, error["error_code"]) == (401, code)
        assert problem in error["error_message"]
        assert answer.headers["WWW-Authenticate"] == f'Bearer error="{code}"'

    def test_visitors_and_tokens_from_the_command_line_are_parleys_own(self, federated: ParleyProcess) -> None:
        assert federated.visitor().data("GET", "/me")["kind"] == "visitor"
        assert federated.user("root", "admin").data("GET", "/me")["roles"] == ["admin"]

    def test_keys_rotate_and_a_withdrawn_one_ends_its_tokens(
        self, data_dir: Path, federated_settings: tuple[JwksServer, dict[str, object]]
    ) -> None:
        provider, settings = federated_settings
        before, successor = _KEY.token(claims()), SigningKey("successor")
        with running(data_dir, **settings) as parley:
            assert status(parley, before) == 200

            provider.publish(successor)
            eventually(lambda: status(parley, successor.token(claims())) == 200, within=30)

            assert status(parley, before) == 401

    def test_unknown_keys_do_not_become_a_flood_of_fetches(
        self, data_dir: Path, federated_settings: tuple[JwksServer, dict[str, object]]
    ) -> None:
        provider, settings = federated_settings
        forged = [_STRANGER.token(claims(), kid=f"unknown {number}") for number in range(200)]
        with running(data_dir, **settings) as parley, ThreadPoolExecutor(16) as pool:
            began = time.monotonic()
            answers = list(pool.map(lambda token: status(parley, token), forged))
            seconds = time.monotonic() - began

            assert set(answers) == {401}
            assert provider.fetches <= 2 + seconds / 10
            assert status(parley, _KEY.token(claims())) == 200

    def test_an_identity_provider_that_is_away_is_nobodys_bad_token(
        self, data_dir: Path, federated_settings: tuple[JwksServer, dict[str, object]]
    ) -> None:
        provider, settings = federated_settings
        provider.status = 503
        with running(data_dir, **settings) as parley:
            visitor = parley.visitor()
            unknown = httpx.get(f"{parley.url}/api/v1/me", headers=bearer(_KEY.token(claims())), timeout=20)

            assert unknown.status_code == 503
            assert unknown.json()["error"]["error_code"] == "keys_unavailable"
            assert int(unknown.headers["Retry-After"]) > 0
            assert visitor.data("GET", "/me")["kind"] == "visitor"

            provider.status = 200
            eventually(lambda: status(parley, _KEY.token(claims())) == 200)

            provider.status = 503
            assert status(parley, _KEY.token(claims(sub="bob"))) == 200

    def test_tokens_are_verified_with_the_key_of_a_file(self, data_dir: Path, tmp_path: Path) -> None:
        file = tmp_path / "key.pem"
        file.write_text(_KEY.pem)
        with running(data_dir, PARLEY_JWT_PUBLIC_KEY_FILE=file) as parley:
            assert status(parley, _KEY.token(claims())) == 200
            assert status(parley, _STRANGER.token(claims())) == 401
            assert status(parley, jwt.encode(claims(), _KEY.published()["n"], "HS256")) == 401


class TestSigningIn:
    def test_a_token_is_kept_in_a_cookie_that_scripts_cannot_read_and_that_ends_with_it(
        self, embedded: ParleyProcess, browser: Client
    ) -> None:
        alice = embedded.user("alice", "editor")

        answer = browser.call("POST", "/login", headers=bearer(alice.token))

        cookie = cookies_set(answer)["parley_user"]
        assert answer.status_code == 200
        assert answer.json()["data"] == alice.data("GET", "/me")
        assert (cookie["httponly"], cookie["samesite"], cookie["path"], cookie["secure"]) == (True, "Lax", "/", "")
        assert 23 * 3600 < int(cookie["max-age"]) <= 24 * 3600
        me = browser.data("GET", "/me")
        assert (me["kind"], me["id"], me["roles"]) == ("user", "alice", ["editor"])

    def test_only_a_bearer_token_signs_in(self, browser: Client) -> None:
        browser.call("POST", "/visitors")

        answer = browser.call("POST", "/login")

        assert answer.status_code == 401
        assert answer.json()["error"]["error_code"] == "unauthenticated"
        assert "Set-Cookie" not in answer.headers

    def test_a_bad_token_signs_nobody_in(self, browser: Client, alice: str) -> None:
        answer = browser.call("POST", "/login", headers=bearer(alice + "x"))

        assert answer.status_code == 401
        assert "Set-Cookie" not in answer.headers

    def test_a_token_that_browsers_would_not_keep_is_refused(self, embedded: ParleyProcess, browser: Client) -> None:
        secret = (embedded.data_dir / "secret_key").read_text()
        token = jwt.encode({"sub": "alice", "exp": time.time() + 60, "more": "x" * 3000}, secret, "HS256")

        answer = browser.call("POST", "/login", headers=bearer(token))

        assert answer.status_code == 422
        assert list(answer.json()["error"]["details"]["fields"]) == ["Authorization"]
        assert "Set-Cookie" not in answer.headers

    def test_a_visitors_token_is_kept_in_the_visitors_cookie(self, embedded: ParleyProcess, browser: Client) -> None:
        answer = browser.call("POST", "/login", headers=bearer(embedded.visitor().token))

        assert list(cookies_set(answer)) == ["parley_visitor"]

    def test_signing_out_removes_both_cookies_whatever_is_in_them(self, browser: Client, alice: str) -> None:
        browser.call("POST", "/visitors")
        browser.call("POST", "/login", headers=bearer(alice))

        answer = browser.call("POST", "/logout")
        stale = browser.call("POST", "/logout", headers={"Cookie": "parley_user=stale"})

        for each in (answer, stale):
            assert each.status_code == 204
            assert {name: cookie["max-age"] for name, cookie in cookies_set(each).items()} == {
                "parley_user": "0",
                "parley_visitor": "0",
            }
        assert browser.call("GET", "/me").status_code == 401

    def test_a_bearer_token_is_taken_before_a_users_cookie_and_that_before_a_visitors(
        self, embedded: ParleyProcess, browser: Client, alice: str
    ) -> None:
        visitor = browser.data("POST", "/visitors")["id"]
        asking = [browser.data("GET", "/me")["id"]]
        browser.call("POST", "/login", headers=bearer(alice))
        asking.append(browser.data("GET", "/me")["id"])
        asking.append(browser.data("GET", "/me", headers=bearer(embedded.user("bob").token))["id"])

        assert asking == [visitor, "alice", "bob"]

    @pytest.mark.parametrize("header", ["Bearer x.y.z", "Bearer", "Basic YTpi", ""])
    def test_a_bad_bearer_token_is_not_replaced_by_a_good_cookie(self, browser: Client, header: str) -> None:
        browser.call("POST", "/visitors")

        assert browser.error("GET", "/me", headers={"Authorization": header})["error_code"] == "token_invalid"

    def test_a_visitor_is_known_by_its_cookie_whatever_else_is_stale(self, browser: Client) -> None:
        visitor = browser.data("POST", "/visitors")["id"]

        again = browser.data("POST", "/visitors", headers={"Authorization": "Bearer stale"})

        assert again["id"] == visitor

    def test_a_stale_cookie_is_named_and_not_replaced_by_the_next(
        self, embedded: ParleyProcess, browser: Client
    ) -> None:
        secret = (embedded.data_dir / "secret_key").read_text()
        expired = jwt.encode({"sub": "alice", "exp": 1}, secret, "HS256")
        visitor = browser.data("POST", "/visitors")
        cookies = {"Cookie": f"parley_user={expired}; parley_visitor={visitor['token']}"}

        error = browser.error("GET", "/me", headers=cookies)
        again = browser.call("POST", "/visitors", headers=cookies)

        assert (error["status_code"], error["error_code"]) == (401, "token_expired")
        assert error["details"] == {"cookie": "parley_user"}
        assert "parley_user is stale" in error["error_message"]
        assert (again.status_code, again.json()["data"]["id"]) == (200, visitor["id"])

    def test_a_user_who_becomes_a_visitor_again_is_still_the_same_one(self, browser: Client, alice: str) -> None:
        visitor = browser.data("POST", "/visitors")["id"]
        browser.call("POST", "/login", headers=bearer(alice))

        assert browser.data("POST", "/visitors")["id"] == visitor
        assert browser.data("GET", "/me")["id"] == "alice"

    def test_a_users_cookie_authenticates_an_event_stream(self, embedded: ParleyProcess, browser: Client) -> None:
        alice = embedded.user("alice")
        reply = alice.ask(alice.conversation(), "Hello")
        browser.call("POST", "/login", headers=bearer(alice.token))

        with browser.http.stream("GET", f"/replies/{reply}/events") as answer:
            events = list(parse_events(answer.iter_lines()))

        assert events[-1].event == "reply.completed"

    def test_nobody_is_told_who_they_are_without_a_token(self, browser: Client) -> None:
        assert browser.error("GET", "/me")["error_code"] == "unauthenticated"


class TestUpgrades:
    """A WebSocket cannot send headers from a browser, and no browser keeps another site's page from opening one."""

    @pytest.fixture
    def application(self) -> Any:
        """As much of an application as there has to be to know somebody."""
        return SimpleNamespace(tokens=JwtTokens(["s" * 32], HostProduct(), lambda: datetime.now(UTC)))

    def known(self, application: Any, **headers: str) -> str | None:
        """The id of whoever a request with these headers is known to come from."""
        flask = Flask(__name__)
        flask.config["ALLOWED_ORIGINS"] = {_FRIEND}
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        with flask.test_request_context("/ws/chat/", base_url="http://chat.example", headers=sent):
            found = auth.identify(application)
        return found.id if found is not None else None

    def token(self, application: Any, user: str = "alice") -> str:
        return str(application.tokens.issue(Principal(PrincipalKind.USER, user), timedelta(hours=1))[0])

    def test_a_websocket_may_offer_its_token_as_a_subprotocol(self, application: Any) -> None:
        token = self.token(application)

        for offered in (f"parley, bearer.{token}", f"bearer.{token},parley", f"Bearer.{token}"):
            assert self.known(application, Upgrade="websocket", Sec_WebSocket_Protocol=offered) == "alice"

    @pytest.mark.parametrize("offered", ["parley, bearer.", "bearer.x.y.z", "bearer.x.y.z, bearer.a.b.c"])
    def test_a_subprotocol_that_is_a_bad_token_is_refused_whatever_the_cookies_are(
        self, application: Any, offered: str
    ) -> None:
        cookie = f"parley_user={self.token(application)}"

        with pytest.raises(TokenInvalid):
            self.known(application, Upgrade="WebSocket", Sec_WebSocket_Protocol=offered, Cookie=cookie)

    def test_the_header_is_taken_before_the_subprotocol_and_that_before_a_cookie(self, application: Any) -> None:
        header, offered, cookie = (self.token(application, user) for user in ("header", "offered", "cookie"))
        headers = {"Upgrade": "websocket", "Cookie": f"parley_user={cookie}"}

        assert self.known(application, **headers) == "cookie"
        headers["Sec-WebSocket-Protocol"] = f"parley, bearer.{offered}"
        assert self.known(application, **headers) == "offered"
        headers["Authorization"] = f"Bearer {header}"
        assert self.known(application, **headers) == "header"

    def test_other_requests_have_no_subprotocol(self, application: Any) -> None:
        offered = f"parley, bearer.{self.token(application)}"

        assert self.known(application, Sec_WebSocket_Protocol=offered) is None

    def test_a_cookie_opens_none_for_another_sites_page(self, application: Any) -> None:
        headers = {"Upgrade": "websocket", "Cookie": f"parley_user={self.token(application)}"}

        for origin in ("http://chat.example", "https://chat.example", _FRIEND):
            assert self.known(application, **headers, Origin=origin) == "alice"
        for origin in ("https://elsewhere.example", "null", "http://chat.example:81"):
            with pytest.raises(Forbidden):
                self.known(application, **headers, Origin=origin)


_SAME_SITE = [
    {},
    {"Origin": "{scheme}://{host}"},
    {"Origin": "https://{host}"},
    {"Sec-Fetch-Site": "same-origin"},
    {"Sec-Fetch-Site": "none"},
    {"Origin": "{scheme}://{host}", "Sec-Fetch-Site": "same-origin"},
]

_OTHER_SITES = [
    {"Origin": "null"},
    {"Origin": ""},
    {"Origin": "https://elsewhere.example"},
    {"Origin": "http://{name}:1"},
    {"Origin": "http://sub.{host}"},
    {"Origin": "http://{host}.elsewhere.example"},
    {"Origin": "http://elsewhere.example/{host}"},
    {"Origin": "http://{host}/"},
    {"Origin": "file://{host}"},
    {"Origin": "{host}"},
    {"Origin": "http://["},
    {"Origin": "http://elsewhere.example", "Sec-Fetch-Site": "same-origin"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "whatever"},
]


def page(headers: dict[str, str], process: ParleyProcess, host: str | None = None, scheme: str = "http") -> Any:
    """What a browser says about a page of this process, or one of another site."""
    host = host or process.url.removeprefix("http://")
    name = host.partition(":")[0]
    return {key: value.format(host=host, name=name, scheme=scheme) for key, value in headers.items()}


class TestOtherSites:
    ACTS = (("POST", "/rooms", {"name": "Room"}), ("POST", "/logout", None), ("POST", "/visitors", None))

    @pytest.mark.parametrize("headers", _SAME_SITE, ids=str)
    def test_a_page_of_this_very_host_may_act_with_a_cookie(
        self, embedded: ParleyProcess, browser: Client, headers: dict[str, str], alice: str
    ) -> None:
        for method, path, body in self.ACTS:
            browser.call("POST", "/visitors")
            assert browser.call(method, path, body, headers=page(headers, embedded)).is_success, path
        signed_in = page(headers, embedded) | bearer(alice)
        assert browser.call("POST", "/login", headers=signed_in).is_success

    @pytest.mark.parametrize("headers", _OTHER_SITES, ids=str)
    def test_another_sites_page_cannot_act_with_a_cookie_nor_set_or_remove_one(
        self, embedded: ParleyProcess, browser: Client, headers: dict[str, str], alice: str
    ) -> None:
        browser.call("POST", "/visitors")

        answers = [
            browser.call(method, path, body, headers=page(headers, embedded)) for method, path, body in self.ACTS
        ]
        signed_in = page(headers, embedded) | bearer(alice)
        answers.append(browser.call("POST", "/login", headers=signed_in))

        for answer in answers:
            assert answer.status_code == 403
            assert answer.json()["error"]["error_code"] == "forbidden"
            assert "Set-Cookie" not in answer.headers
        assert browser.data("GET", "/rooms")["total"] == 0

    @pytest.mark.parametrize("headers", _OTHER_SITES, ids=str)
    def test_a_bearer_token_acts_from_anywhere_for_no_page_sends_it_unasked(
        self, embedded: ParleyProcess, headers: dict[str, str]
    ) -> None:
        visitor = embedded.visitor()

        assert visitor.call("POST", "/rooms", {"name": "x"}, headers=page(headers, embedded)).status_code == 201

    def test_reading_with_a_cookie_is_no_act(self, browser: Client) -> None:
        browser.call("POST", "/visitors")

        assert browser.call("GET", "/rooms", headers={"Origin": "https://elsewhere.example"}).status_code == 200

    def test_a_page_that_the_settings_name_may_act(self, nobody: Client) -> None:
        for origin in (_FRIEND, "http://localhost:3000"):
            answer = nobody.call("POST", "/visitors", headers={"Origin": origin, "Sec-Fetch-Site": "cross-site"})
            assert answer.is_success
        for origin in ("http://app.example", "https://app.example:8443", "https://sub.app.example"):
            assert nobody.call("POST", "/visitors", headers={"Origin": origin}).status_code == 403


class TestBehindProxies:
    def visitors_left(self, client: Client, forwarded_for: str) -> int:
        """How many more visitors the address may become that a request seems to come from."""
        answer = httpx.post(f"{client.http.base_url}visitors", headers={"X-Forwarded-For": forwarded_for})
        remaining = re.search(r'"welcome_visitor";r=(\d+)', answer.headers["RateLimit"])
        assert remaining is not None
        return int(remaining[1])

    def test_without_proxies_nobody_can_say_that_a_request_came_over_https(self, browser: Client) -> None:
        for name, value in (
            ("X-Forwarded-Proto", "https"),
            ("X-Forwarded-Protocol", "ssl"),
            ("X-Forwarded-Ssl", "on"),
            ("Forwarded", "proto=https"),
        ):
            cookie = cookies_set(browser.call("POST", "/visitors", headers={name: value}))["parley_visitor"]
            assert cookie["secure"] == ""

    def test_without_proxies_nobody_can_say_that_another_host_was_asked(self, browser: Client) -> None:
        headers = {"X-Forwarded-Host": "chat.example", "Origin": "https://chat.example"}

        assert browser.call("POST", "/visitors", headers=headers).status_code == 403

    def test_the_proxy_says_over_what_a_request_came_and_cookies_are_for_that_alone(self, nobody: Client) -> None:
        for scheme, secure in (("http", ""), ("https", True)):
            answer = nobody.call("POST", "/visitors", headers={"X-Forwarded-Proto": scheme})
            assert cookies_set(answer)["parley_visitor"]["secure"] == secure

    def test_what_stands_before_the_proxys_own_word_is_not_believed(self, nobody: Client) -> None:
        answer = nobody.call("POST", "/visitors", headers={"X-Forwarded-Proto": "https, http"})

        assert cookies_set(answer)["parley_visitor"]["secure"] == ""

    def test_the_proxy_says_which_host_was_asked(self, nobody: Client) -> None:
        forwarded = {"X-Forwarded-Host": "chat.example", "X-Forwarded-Proto": "https"}

        for origin, allowed in (
            ("https://chat.example", True),
            ("http://chat.example", False),
            ("https://elsewhere.example", False),
        ):
            answer = nobody.call("POST", "/visitors", headers={**forwarded, "Origin": origin})
            assert answer.is_success == allowed, origin

    def test_the_proxy_says_which_address_a_request_came_from(self, nobody: Client) -> None:
        first = self.visitors_left(nobody, "192.0.2.1")

        assert self.visitors_left(nobody, "192.0.2.1") == first - 1
        assert self.visitors_left(nobody, "192.0.2.2") == first
        assert self.visitors_left(nobody, "192.0.2.3, 192.0.2.1") == first - 2

    def test_settings_say_that_cookies_are_for_https_alone_and_that_no_proxy_is_there(self, data_dir: Path) -> None:
        with running(data_dir, PARLEY_COOKIE_SECURE="true", PARLEY_RATE_VISITORS="1000/hour") as parley:
            answer = httpx.post(f"{parley.url}/api/v1/visitors")
            gone = httpx.post(f"{parley.url}/api/v1/logout")
            client = parley.visitor()
            left = [self.visitors_left(client, address) for address in ("192.0.2.1", "192.0.2.2", "127.0.0.1")]

        assert left == [997, 996, 995]
        for cookie in (*cookies_set(answer).values(), *cookies_set(gone).values()):
            assert cookie["secure"] is True


class TestCors:
    def preflight(self, client: Client, origin: str, path: str = "/rooms") -> httpx.Response:
        headers = {
            "Origin": origin,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,content-type,idempotency-key",
        }
        return client.call("OPTIONS", path, headers=headers)

    def test_a_friends_preflight_is_answered_without_a_token(self, nobody: Client) -> None:
        answer = self.preflight(nobody, _FRIEND)

        assert answer.status_code == 204
        assert answer.headers["Access-Control-Allow-Origin"] == _FRIEND
        assert answer.headers["Access-Control-Allow-Credentials"] == "true"
        assert answer.headers["Access-Control-Allow-Headers"] == "authorization,content-type,idempotency-key"
        assert {"GET", "POST", "PUT", "PATCH", "DELETE"} <= set(
            answer.headers["Access-Control-Allow-Methods"].split(", ")
        )

    def test_a_strangers_preflight_gives_no_leave(self, nobody: Client) -> None:
        for origin in ("https://elsewhere.example", "null", "https://app.example.elsewhere.example"):
            answer = self.preflight(nobody, origin)
            assert not answer.is_success
            assert not [name for name in answer.headers if name.startswith("access-control-")]

    def test_every_answer_can_be_read_by_a_friend_errors_too(self, federated: ParleyProcess, nobody: Client) -> None:
        token = bearer(federated.visitor().token)
        answers = {
            200: nobody.call("GET", "/rooms", headers={"Origin": _FRIEND, **token}),
            201: nobody.call("POST", "/rooms", {"name": "x"}, headers={"Origin": _FRIEND, **token}),
            401: nobody.call("GET", "/rooms", headers={"Origin": _FRIEND}),
            404: nobody.call("GET", "/nothing", headers={"Origin": _FRIEND, **token}),
            405: nobody.call("PUT", "/rooms", {}, headers={"Origin": _FRIEND, **token}),
            422: nobody.call("POST", "/rooms", {}, headers={"Origin": _FRIEND, **token}),
        }

        for expected, answer in answers.items():
            assert answer.status_code == expected
            assert answer.headers["Access-Control-Allow-Origin"] == _FRIEND
            assert answer.headers["Access-Control-Allow-Credentials"] == "true"
            assert {
                "X-Request-ID",
                "Location",
                "Retry-After",
                "RateLimit",
                "RateLimit-Policy",
                "Idempotent-Replayed",
            } == set(answer.headers["Access-Control-Expose-Headers"].split(", "))
            assert "Origin" in answer.headers["Vary"]

    def test_a_friend_can_read_a_stream(self, federated: ParleyProcess) -> None:
        visitor = federated.visitor()
        reply = visitor.ask(visitor.conversation(), "Hello")

        headers = {"Origin": _FRIEND, **bearer(visitor.token)}
        with visitor.http.stream("GET", f"/replies/{reply}/events", headers=headers) as answer:
            assert answer.headers["Access-Control-Allow-Origin"] == _FRIEND
            assert list(parse_events(answer.iter_lines()))[-1].event == "reply.completed"

    def test_a_stranger_cannot_read_answers(self, federated: ParleyProcess) -> None:
        answer = federated.visitor().call("GET", "/rooms", headers={"Origin": "https://elsewhere.example"})

        assert not [name for name in answer.headers if name.startswith("access-control-")]
        assert "Origin" in answer.headers["Vary"]

    def test_without_the_setting_there_is_no_word_of_it(self, embedded: ParleyProcess, browser: Client) -> None:
        answers = [
            embedded.visitor().call("GET", "/rooms", headers={"Origin": _FRIEND}),
            self.preflight(browser, _FRIEND),
        ]

        for answer in answers:
            assert not [name for name in answer.headers if name.startswith("access-control-")]
            assert "Vary" not in answer.headers


class TestRotation:
    def test_a_new_secret_logs_nobody_out_until_the_old_one_is_given_up(self, data_dir: Path) -> None:
        old, new = "the old secret of thirty-two characters", "the new secret of thirty-two characters"
        with running(data_dir, PARLEY_SECRET_KEY=old) as parley:
            before = parley.visitor()
            room = before.room("Kept")

            parley.terminate()
            parley.settings |= {"PARLEY_SECRET_KEY": new, "PARLEY_SECRET_KEY_FALLBACKS": f"{'x' * 32},{old}"}
            parley.start()
            after = parley.visitor()
            assert before.data("GET", f"/rooms/{room}")["name"] == "Kept"

            parley.terminate()
            parley.settings["PARLEY_SECRET_KEY_FALLBACKS"] = ""
            parley.start()
            assert before.error("GET", "/me")["error_code"] == "token_invalid"
            assert after.data("GET", "/me")["kind"] == "visitor"
