"""Projects and documents over HTTP: kept, read in, shown to whom they are for."""

from __future__ import annotations

import json
import socket
import time
import uuid
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlsplit

import jwt
import pytest

from entrypoints.http.documents import DocumentOut
from entrypoints.http.projects import ProjectOut
from entrypoints.http.schemas import DeletionOut
from tests.http.test_openapi import fits
from tests.parley_process import Client, ParleyProcess
from tests.waiting import eventually

TEXT = b"# Harbours\n\nThe old harbour of Genoa was built by Renzo Piano.\n"


@pytest.fixture
def user(parley: ParleyProcess) -> Client:
    return signed_in(parley)


@pytest.fixture
def stranger(parley: ParleyProcess) -> Client:
    return signed_in(parley)


@pytest.fixture
def admin(parley: ParleyProcess) -> Client:
    return signed_in(parley, "admin")


def signed_in(parley: ParleyProcess, *roles: str) -> Client:
    """Somebody whom nobody knows yet."""
    secret = (parley.data_dir / "secret_key").read_text().strip()
    claims = {"sub": str(uuid.uuid4()), "roles": roles, "exp": int(time.time()) + 3600}
    client = Client(parley.url, jwt.encode(claims, secret, "HS256"))
    parley.clients.append(client)
    return client


def a_project(client: Client, name: str = "Notes", **given: object) -> str:
    return str(client.data("POST", "/projects", {"name": name, **given})["id"])


def uploaded(client: Client, project: str, content: bytes = TEXT, name: str = "genoa.md", **fields: str) -> str:
    """The id of a document that was sent as a form."""
    form = {"project_id": project, **fields}
    sent = client.call("POST", "/documents", data=form, files={"file": (name, content)})
    assert sent.status_code == 202, sent.text
    return str(sent.json()["data"]["id"])


def settled(client: Client, document: str) -> dict[str, Any]:
    """The document once nothing is at work on it any more."""

    def look() -> dict[str, Any] | None:
        shown: dict[str, Any] = client.data("GET", f"/documents/{document}")
        return shown if shown["progress"] is None else None

    return eventually(look)


class TestProjects:
    def test_a_project_is_opened_read_changed_and_listed(self, user: Client) -> None:
        answer = user.call("POST", "/projects", {"name": " Über Häfen! ", "metadata": {"n": 1}})
        opened = answer.json()["data"]
        assert answer.status_code == 201
        assert answer.headers["Location"] == f"/api/v1/projects/{opened['id']}"
        assert (opened["name"], opened["key"], opened["visibility"]) == ("Über Häfen!", "uber-hafen", "private")
        fits(ProjectOut, opened)

        changes = {"name": "Ports", "key": "ports", "description": "All of them.", "metadata": {}}
        changed = user.data("PATCH", f"/projects/{opened['id']}", changes)

        fits(ProjectOut, changed)
        assert {name: changed[name] for name in changes} == changes
        assert user.data("GET", f"/projects/{opened['id']}") == changed
        assert user.data("GET", "/projects")["items"] == [changed]

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({}, "name"),
            ({"name": " "}, "name"),
            ({"name": "x" * 101}, "name"),
            ({"name": "x", "key": "Not A Key"}, "key"),
            ({"name": "x", "key": ""}, "key"),
            ({"name": "x", "visibility": "secret"}, "visibility"),
            ({"name": "x", "description": "x" * 2001}, "description"),
            ({"name": "x", "metadata": {"big": "x" * 20_000}}, "metadata"),
            ({"name": "x", "owner": "user:bob"}, "owner"),
        ],
    )
    def test_what_breaks_a_rule_is_named(self, user: Client, body: dict[str, object], field: str) -> None:
        error = user.error("POST", "/projects", body)

        assert (error["status_code"], list(error["details"]["fields"])) == (422, [field])

    def test_a_key_is_an_owners_once(self, user: Client, stranger: Client) -> None:
        first = a_project(user, key="handbook")
        a_project(stranger, key="handbook")
        second = a_project(user, "Handbook")

        taken = user.error("POST", "/projects", {"name": "x", "key": "handbook"})
        changed = user.error("PATCH", f"/projects/{second}", {"key": "handbook"})

        assert user.data("GET", f"/projects/{second}")["key"] == "handbook-2"
        for error in taken, changed:
            assert (error["status_code"], error["error_code"]) == (409, "project_exists")
            assert error["details"]["id"] == first

    @pytest.mark.parametrize("key", ["", "Not A Key", "x" * 61, "\ud800", None, 7])
    def test_a_project_is_called_by_no_key_that_is_none(self, user: Client, key: object) -> None:
        project = a_project(user, key="handbook")
        body = json.dumps({"key": key})

        error = user.call(
            "PATCH", f"/projects/{project}", content=body, headers={"Content-Type": "application/json"}
        ).json()["error"]

        assert (error["status_code"], list(error["details"]["fields"])) == (422, ["key"])
        assert user.data("GET", f"/projects/{project}")["key"] == "handbook"

    def test_only_admins_make_projects_public(self, user: Client, admin: Client) -> None:
        private = a_project(user)

        assert user.error("POST", "/projects", {"name": "x", "visibility": "public"})["status_code"] == 403
        assert user.error("PATCH", f"/projects/{private}", {"visibility": "public"})["status_code"] == 403
        assert admin.data("PATCH", f"/projects/{private}", {"visibility": "public"})["visibility"] == "public"
        assert user.data("PATCH", f"/projects/{private}", {"visibility": "private"})["visibility"] == "private"

    def test_a_private_project_is_its_owners_and_a_public_one_is_everybodys_to_read(
        self, user: Client, stranger: Client, admin: Client, visitor: Client
    ) -> None:
        private = a_project(user)
        public = a_project(admin, "For all", visibility="public")
        document = uploaded(admin, public)
        settled(admin, document)

        for client in stranger, visitor:
            assert client.error("GET", f"/projects/{private}")["status_code"] == 403
            assert client.error("GET", f"/documents?project_id={private}")["status_code"] == 403
            assert client.error("PATCH", f"/projects/{public}", {"name": "Mine"})["status_code"] == 403
            assert client.error("DELETE", f"/documents/{document}")["status_code"] == 403
            assert client.error("POST", f"/documents/{document}/ingest")["status_code"] == 403
            assert not client.data("GET", f"/projects/{public}")["is_own"]
            assert client.data("GET", f"/documents/{document}")["status"] == "ready"
            assert client.data("GET", f"/documents?project_id={public}")["total"] == 1
            assert client.call("GET", f"/documents/{document}/content").content == TEXT
            visible = client.data("GET", "/projects?visible=true&limit=100&sort_by=created_at")["items"]
            assert public in [project["id"] for project in visible]
            assert private not in [project["id"] for project in visible]
            assert client.data("GET", "/projects")["total"] == 0
        assert admin.data("GET", f"/projects/{private}")["name"] == "Notes"

    def test_visitors_keep_nothing(self, visitor: Client, admin: Client) -> None:
        public = a_project(admin, "For all", visibility="public")

        assert visitor.error("POST", "/projects", {"name": "x"})["status_code"] == 403
        assert visitor.error("POST", "/documents", {"project_id": public, "text": "x"})["status_code"] == 403

    def test_a_deleted_project_is_gone_with_its_documents_until_it_is_restored(self, user: Client) -> None:
        project = a_project(user)
        kept, gone = uploaded(user, project, name="kept.md"), uploaded(user, project, name="gone.md")
        settled(user, kept)
        user.data("DELETE", f"/documents/{gone}")

        deletion = user.data("DELETE", f"/projects/{project}")

        fits(DeletionOut, deletion)
        assert (deletion["subject"], deletion["document_count"]) == ("project", 1)
        assert user.error("GET", f"/projects/{project}")["error_code"] == "project_not_found"
        assert user.error("GET", f"/documents/{kept}")["error_code"] == "document_not_found"
        assert user.error("POST", "/documents", {"project_id": project, "text": "x"})["status_code"] == 404
        assert user.error("POST", f"/documents/{gone}/restore")["error_code"] == "project_deleted"
        assert user.data("GET", "/documents")["total"] == 0
        restored = user.data("POST", f"/projects/{project}/restore")
        assert restored["document_count"] == 1
        assert user.data("GET", f"/documents/{kept}")["status"] == "ready"
        assert user.error("POST", f"/projects/{project}/restore")["error_code"] == "not_deleted"
        assert user.data("POST", f"/documents/{gone}/restore")["name"] == "gone.md"


class TestDocuments:
    def test_a_form_with_a_file_is_a_document_that_is_read_in(self, user: Client) -> None:
        project = a_project(user)

        form = {"project_id": project, "title": "Genoa", "metadata": '{"tags": ["ü"]}'}
        answer = user.call(
            "POST", "/documents", data=form, files={"file": ("genoa.md", TEXT, "text/markdown; charset=utf-8")}
        )

        document = answer.json()["data"]
        assert answer.status_code == 202
        assert answer.headers["Location"] == f"/api/v1/documents/{document['id']}"
        assert (document["status"], document["progress"]) == ("queued", {"done": 0, "total": 0})
        fits(DocumentOut, document)
        ready = settled(user, document["id"])
        fits(DocumentOut, ready)
        assert (ready["status"], ready["error"]) == ("ready", None)
        assert (ready["name"], ready["title"], ready["size"]) == ("genoa.md", "Genoa", len(TEXT))
        assert (ready["media_type"], ready["metadata"]) == ("text/markdown", {"tags": ["ü"]})
        assert ready["passage_count"] == user.data("GET", f"/projects/{project}")["passage_count"] == 1
        assert ready["ingested_at"]

    def test_a_text_in_json_is_a_document_too(self, user: Client) -> None:
        project = a_project(user)
        body = {
            "project_id": project,
            "text": "# Häfen\n\nGenua.",
            "media_type": "text/markdown",
            "title": "Über Häfen",
        }

        named = user.data("POST", "/documents", {"project_id": project, "text": "Plain.", "name": "plain.txt"})
        titled = user.data("POST", "/documents", body)
        bare = user.data(
            "POST", "/documents", {"project_id": project, "text": "<p>Bare</p>", "media_type": "text/html"}
        )

        assert settled(user, named["id"])["media_type"] == "text/plain"
        assert (titled["name"], settled(user, titled["id"])["media_type"]) == ("Über-Häfen.md", "text/markdown")
        assert bare["name"].endswith(".html")
        content = user.call("GET", f"/documents/{titled['id']}/content")
        assert content.content == "# Häfen\n\nGenua.".encode()

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({"text": "x"}, "project_id"),
            ({"project_id": "abc", "text": "x"}, "project_id"),
            ({"project_id": "{project}"}, "file"),
            ({"project_id": "{project}", "text": "x", "file": "y"}, "file"),
            ({"project_id": "{project}", "text": ""}, "text"),
            ({"project_id": "{project}", "text": "\ud800"}, "text"),
            ({"project_id": "{project}", "text": "x", "media_type": "application/pdf"}, "media_type"),
            ({"project_id": "{project}", "text": "x", "name": ""}, "name"),
            ({"project_id": "{project}", "text": "x", "name": "x" * 201}, "name"),
            ({"project_id": "{project}", "text": "x", "name": "a\r\nX-Evil: 1"}, "name"),
            ({"project_id": "{project}", "text": "x", "name": "\x1b[2J"}, "name"),
            ({"project_id": "{project}", "text": "x", "title": "a\x00b"}, "title"),
            ({"project_id": "{project}", "text": "x", "metadata": {"big": "x" * 20_000}}, "metadata"),
            ({"project_id": "{project}", "text": "x", "owner": "me"}, "owner"),
        ],
    )
    def test_what_breaks_a_rule_in_json_is_named(self, user: Client, body: dict[str, object], field: str) -> None:
        project = a_project(user)
        sent = json.dumps(body).replace("{project}", project)

        answer = user.call("POST", "/documents", content=sent, headers={"Content-Type": "application/json"})

        error = answer.json()["error"]
        assert (error["status_code"], list(error["details"]["fields"])) == (422, [field])
        assert user.data("GET", "/documents")["total"] == 0

    @pytest.mark.parametrize(
        ("fields", "files", "field"),
        [
            ({}, [("title", (None, "No file"))], "file"),
            ({}, [("file", ("a.md", b""))], "file"),
            ({}, [("other", ("a.md", b"x"))], "other"),
            ({}, [("file", ("a.md", b"x")), ("file", ("b.md", b"x"))], "file"),
            ({"more": "x"}, [("file", ("a.md", b"x"))], "more"),
            ({"metadata": "["}, [("file", ("a.md", b"x"))], "metadata"),
            ({"metadata": "[1]"}, [("file", ("a.md", b"x"))], "metadata"),
            ({"media_type": "no type"}, [("file", ("a.md", b"x"))], "media_type"),
            ({}, [("file", ("a.md", b"x", "x" * 300 + "/y"))], "media_type"),
            ({"title": " "}, [("file", ("a.md", b"x"))], "title"),
        ],
    )
    def test_what_breaks_a_rule_in_a_form_is_named(
        self, user: Client, fields: dict[str, str], files: list[Any], field: str
    ) -> None:
        form = {"project_id": a_project(user), **fields}

        error = user.error("POST", "/documents", data=form, files=files)

        assert error["status_code"] == 422
        assert field in error["details"]["fields"]
        assert user.data("GET", "/documents")["total"] == 0

    @pytest.mark.parametrize(
        ("name", "content", "code"),
        [
            ("a.pdf", b"Just text.", "document_type_mismatch"),
            ("a.md", b"\x89PNG\r\n\x1a\n....", "document_type_mismatch"),
            ("a.pdf", b"%PDF-1.7\nbroken", "document_broken"),
            ("a.txt", b" \n\n ", "document_empty"),
            ("a.exe", b"MZ\x90\x00 and so on", "document_type_unknown"),
        ],
    )
    def test_what_cannot_be_read_says_why(self, user: Client, name: str, content: bytes, code: str) -> None:
        document = settled(user, uploaded(user, a_project(user), content, name))

        assert (document["status"], document["error"]["code"], document["passage_count"]) == ("failed", code, 0)
        fits(DocumentOut, document)

    def test_a_name_is_a_projects_once(self, user: Client) -> None:
        project, other = a_project(user), a_project(user)
        first = uploaded(user, project)
        uploaded(user, other)

        error = user.error("POST", "/documents", data={"project_id": project}, files={"file": ("genoa.md", b"x")})

        assert (error["status_code"], error["error_code"]) == (409, "document_exists")
        assert error["details"]["id"] == first
        user.data("DELETE", f"/documents/{first}")
        again = uploaded(user, project)
        assert user.error("POST", f"/documents/{first}/restore")["details"]["id"] == again

    def test_new_content_takes_the_place_of_the_old(self, user: Client) -> None:
        document = uploaded(user, a_project(user))
        before = settled(user, document)

        form = user.call("PUT", f"/documents/{document}/content", files={"file": ("other.md", b"# New\n\nText.\n")})
        meanwhile = form.json()["data"]
        after = settled(user, document)
        text = user.call("PUT", f"/documents/{document}/content", {"text": "# Newer\n", "media_type": "text/markdown"})
        last = settled(user, document)

        assert (form.status_code, text.status_code) == (202, 202)
        assert (meanwhile["status"], meanwhile["name"]) == ("ready", "genoa.md")
        assert (after["size"], after["error"]) == (len(b"# New\n\nText.\n"), None)
        assert after["ingested_at"] > before["ingested_at"]
        assert user.call("GET", f"/documents/{document}/content").content == b"# Newer\n"
        assert last["version"] > after["version"]
        user.data("PUT", f"/documents/{document}/content", {"text": "# Newer\n"})
        assert user.data("GET", f"/documents/{document}") == last

    def test_a_file_is_downloaded_as_what_it_is_only_when_it_was_read_in(self, user: Client) -> None:
        document = uploaded(user, a_project(user))
        path = f"/documents/{document}/content"

        settled(user, document)
        read = user.call("GET", path)
        user.call("PUT", path, files={"file": ("genoa.md", b"\x89PNG\r\n\x1a\n", "text/markdown")})
        refused = settled(user, document)
        unread = user.call("GET", path)

        assert read.headers["Content-Type"].startswith("text/markdown")
        assert refused["error"]["code"] == "document_type_mismatch"
        assert unread.content == b"\x89PNG\r\n\x1a\n"
        assert unread.headers["Content-Type"] == "application/octet-stream"

    def test_a_document_is_changed_and_read_in_again(self, user: Client) -> None:
        document = uploaded(user, a_project(user))
        before = settled(user, document)

        changed = user.data("PATCH", f"/documents/{document}", {"title": "Ports", "metadata": {"a": 1}})
        again = user.call("POST", f"/documents/{document}/ingest")

        assert (changed["title"], changed["metadata"], changed["name"]) == ("Ports", {"a": 1}, "genoa.md")
        assert again.status_code == 202
        after = settled(user, document)
        assert (after["title"], after["status"]) == ("Ports", "ready")
        assert after["ingested_at"] > before["ingested_at"]

    def test_documents_are_listed_by_project_or_all_ones_own(self, user: Client) -> None:
        project, other = a_project(user), a_project(user)
        for name in "b.md", "a.md":
            uploaded(user, project, name=name)
        uploaded(user, other, name="c.md")

        def names(query: str) -> list[str]:
            return [document["name"] for document in user.data("GET", f"/documents?{query}")["items"]]

        assert names(f"project_id={project}&sort_by=name&order=asc") == ["a.md", "b.md"]
        assert names("sort_by=name&order=desc") == ["c.md", "b.md", "a.md"]
        assert names("sort_by=name&order=asc&limit=1&offset=1") == ["b.md"]
        assert user.error("GET", "/documents?sort_by=size")["status_code"] == 422
        assert user.error("GET", f"/documents?project_id={uuid.uuid4()}")["status_code"] == 404

    @pytest.mark.parametrize(
        "name",
        [
            "r\u00e9sum\u00e9.html",
            'a "quoted"; x=1.html',
            "..\\..\\up.html",
            "/etc/passwd",
            "\u624b\u5f15\u304d.html",
            "\uff0e\uff0e\uff0fup.html",
        ],
    )
    def test_a_download_is_a_file_and_never_a_page(self, user: Client, name: str) -> None:
        body = {
            "project_id": a_project(user),
            "text": "<script>alert(1)</script>",
            "media_type": "text/html",
            "name": name,
        }
        document = user.data("POST", "/documents", body)["id"]

        answer = user.call("GET", f"/documents/{document}/content")

        assert answer.content == b"<script>alert(1)</script>"
        assert answer.headers["Content-Disposition"].startswith("attachment; filename")
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "sandbox" in answer.headers["Content-Security-Policy"]
        assert "/" not in answer.headers["Content-Disposition"]
        assert "\\.." not in answer.headers["Content-Disposition"]

    @pytest.mark.parametrize(
        "name",
        ["\u624b\u5f15\u304d.md", "e\u0301te\u0301 100%.md", "\u0645\u06cc\u200c\u062e\u0648\u0627\u0646\u0645.md"],
    )
    def test_a_download_is_called_as_the_document_in_any_script(self, user: Client, name: str) -> None:
        document = uploaded(user, a_project(user), name=name)

        answer = user.call("GET", f"/documents/{document}/content")

        assert answer.content == TEXT
        assert answer.headers["Content-Disposition"].endswith(f"filename*=UTF-8''{quote(name)}")

    def test_what_is_sent_twice_with_a_key_is_added_once(self, user: Client) -> None:
        project = a_project(user)
        headers = {"Idempotency-Key": str(uuid.uuid4())}

        def send(content: bytes, **fields: str) -> Any:
            form = {"project_id": project, **fields}
            return user.call("POST", "/documents", data=form, files={"file": ("a.md", content)}, headers=headers)

        first, again = send(TEXT, title="A"), send(TEXT, title="A")
        other_file, other_field = send(b"# Other\n", title="A"), send(TEXT, title="B")

        assert (first.status_code, again.status_code) == (202, 202)
        assert again.headers["Idempotent-Replayed"] == "true"
        assert again.json() == first.json()
        assert (other_file.status_code, other_field.status_code) == (422, 422)
        assert user.data("GET", "/documents")["total"] == 1

    def test_what_is_neither_a_form_nor_json_is_not_taken(self, user: Client) -> None:
        project = a_project(user)

        for path in "/documents", "/projects":
            answer = user.call("POST", path, content=b"x=y", headers={"Content-Type": "text/plain"})
            assert answer.status_code == 415
        form = user.call("POST", "/projects", files={"file": ("a.md", b"x")})
        assert form.status_code == 415
        broken = user.call(
            "POST", "/documents", content=b"no form", headers={"Content-Type": "multipart/form-data; boundary=x"}
        )
        assert (broken.status_code, broken.json()["error"]["error_code"]) == (400, "malformed_form")
        assert user.data("GET", f"/documents?project_id={project}")["total"] == 0


class TestLargeBodies:
    def test_a_file_of_the_size_that_is_allowed_is_taken(self, user: Client) -> None:
        content = b"# Long\n\n" + b"word " * 200_000
        document = uploaded(user, a_project(user), content, "long.md")

        assert settled(user, document)["size"] == len(content)
        assert user.call("GET", f"/documents/{document}/content").content == content

    def test_a_file_over_the_limit_is_refused_by_name(self, user: Client) -> None:
        error = user.error(
            "POST", "/documents", data={"project_id": a_project(user)}, files={"file": ("a.md", b"x" * 10_485_761)}
        )

        assert (error["status_code"], list(error["details"]["fields"])) == (422, ["file"])

    def test_what_says_that_it_is_too_large_is_refused_before_it_is_sent(self, user: Client) -> None:
        with _connection(user) as connection:
            connection.sendall(_head(user, "/api/v1/documents", "Content-Length: 100000000"))

            assert connection.recv(1000).startswith(b"HTTP/1.1 413 ")

    def test_what_does_not_say_it_is_refused_as_soon_as_it_is_too_large(self, user: Client) -> None:
        def pieces() -> Iterator[bytes]:
            yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.md"\r\n\r\n'
            for _ in range(100):
                yield b"x" * 1_000_000
            yield b"\r\n--x--\r\n"

        answer = user.call(
            "POST", "/documents", content=pieces(), headers={"Content-Type": "multipart/form-data; boundary=x"}
        )

        assert answer.status_code == 413
        assert "11 MiB" in answer.json()["error"]["error_message"]

    def test_other_routes_take_no_more_than_before(self, user: Client) -> None:
        error = user.error("POST", "/projects", {"name": "x", "description": "x" * 1_100_000})

        assert (error["status_code"], error["error_message"]) == (413, "The body is larger than 1 MiB.")


def _connection(client: Client) -> socket.socket:
    url = urlsplit(str(client.http.base_url))
    return socket.create_connection((url.hostname, url.port), timeout=10)


def _head(client: Client, path: str, *headers: str) -> bytes:
    lines = [
        f"POST {path} HTTP/1.1",
        "Host: parley",
        f"Authorization: Bearer {client.token}",
        "Content-Type: multipart/form-data; boundary=x",
        *headers,
    ]
    return "\r\n".join([*lines, "", ""]).encode()
