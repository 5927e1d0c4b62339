"""Our route of thumbnails, and what is put before Streamlit's own routes: who may ask, and for what."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send
from streamlit.web.server.starlette import starlette_app_utils, starlette_websocket

from pages._ui import access, long_links, resources, server, thumbs
from tests import bundle_maker


@pytest.fixture
def bundles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one bundle, which the app shows."""
    monkeypatch.setenv(resources.BUNDLES_VARIABLE, str(tmp_path))
    monkeypatch.delenv(thumbs.ROUTE_VARIABLE, raising=False)
    bundle_maker.make(tmp_path / "tiny-0123abcd")
    return tmp_path


@pytest.fixture
def client(bundles: Path) -> Iterator[TestClient]:
    with TestClient(Starlette(routes=thumbs.routes()), base_url="http://localhost") as found:
        yield found
    os.environ.pop(thumbs.ROUTE_VARIABLE)


@pytest.fixture
def pack(bundles: Path) -> bytes:
    """Real bytes in the made-up pack: three an image, none where quarantined."""
    return (bundles / "tiny-0123abcd" / "thumbs" / "thumbs.bin").read_bytes()


def test_thumbnails_and_their_headers(client: TestClient, pack: bytes) -> None:
    answer = client.get("/b/tiny-0123abcd/t/0")
    assert answer.status_code == 200 and answer.content == pack[:3]
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert answer.headers["content-type"] == "image/jpeg" and answer.headers["x-content-type-options"] == "nosniff"
    assert client.head("/b/tiny-0123abcd/t/0").status_code == 200
    assert client.post("/b/tiny-0123abcd/t/0").status_code == 405


@pytest.mark.parametrize(
    "image", ["40", "7", "-1", "0x1", "01", "1e1", "١", "1 ", "9" * 30, "..%2f..%2fetc", "1.jpg", "%00"]
)
def test_what_is_no_image_is_not_found(client: TestClient, image: str) -> None:
    answer = client.get(f"/b/tiny-0123abcd/t/{image}")
    assert answer.status_code == 404 and "immutable" not in answer.headers.get("cache-control", "")


@pytest.mark.parametrize("bundle", ["..", "%2e%2e", "..%2f..", "nothing", "tiny-0123abcd%00", "tiny-0123abcd%2f.", "."])
def test_what_is_no_bundle_is_not_found(client: TestClient, bundle: str) -> None:
    assert client.get(f"/b/{bundle}/t/0").status_code == 404


def test_another_host_name_is_refused(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starlette_websocket.config, "get_option", lambda name: ["localhost"])
    assert client.get("/b/tiny-0123abcd/t/0", headers={"host": "evil.example"}).status_code == 403


def test_the_route_asks_for_the_login_that_the_pages_ask_for(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret, origin = "s" * 40, "http://localhost"
    monkeypatch.setattr(access, "get_secrets_auth_section", lambda: {"redirect_uri": f"{origin}/oauth2callback"})
    monkeypatch.setattr(access, "get_origin_from_redirect_uri", lambda: origin)
    monkeypatch.setattr(starlette_websocket, "get_cookie_secret", lambda: secret)

    def status(key: str, **user: object) -> int:
        signed = starlette_app_utils.create_signed_value(key, access.USER_COOKIE_NAME, json.dumps(user)).decode()
        answer = client.get("/b/tiny-0123abcd/t/0", headers={"cookie": f"{access.USER_COOKIE_NAME}={signed}"})
        if answer.status_code == 200:
            assert answer.headers["cache-control"].startswith("private")
        return answer.status_code

    assert client.get("/b/tiny-0123abcd/t/0").status_code == 403
    assert status(secret, origin=origin, is_logged_in=True) == 200
    assert status("x" * 40, origin=origin, is_logged_in=True) == 403
    assert status(secret, origin="http://evil.example", is_logged_in=True) == 403
    assert status(secret, origin=origin, is_logged_in=False) == 403
    assert status(secret, origin=origin) == 403


@pytest.mark.parametrize("path", ["/media/0.json", "/_stcore/upload_file/s/f", "/_stcore/metrics", "/_stcore/health"])
@pytest.mark.parametrize("base", ["", "/lens"])
def test_streamlits_own_routes_ask_for_the_login_too(path: str, base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def streamlit(scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse("of Streamlit")(scope, receive, send)

    monkeypatch.setattr(access.links, "base_path", lambda: base)
    client = TestClient(access.Guard(streamlit), base_url="http://localhost")
    assert client.get(base + path).text == "of Streamlit"
    monkeypatch.setattr(access, "get_secrets_auth_section", lambda: {"redirect_uri": "http://localhost/callback"})
    assert client.get(base + path).status_code == (200 if path.endswith("health") else 403)


def test_links_that_are_too_long_get_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(long_links, "LONGEST", 1_000)  # the test's client has a limit of its own

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse("the app")(scope, receive, send)

    client = TestClient(long_links.RefuseLongLinks(app), base_url="http://localhost")
    assert client.get("/?a=" + "b" * 998).text == "the app"
    refused = client.get("/?a=" + "b" * 999)
    assert refused.status_code == 414 and "too long" in refused.text and "bbb" not in refused.text


def test_data_uris_where_there_is_no_route(bundles: Path) -> None:
    opened = resources.open_named("tiny-0123abcd")
    assert thumbs.source(opened, 0) == "data:image/jpeg;base64,AAAA"
    assert thumbs.source(opened, 7) == ""  # quarantined


def test_pages_other_names_lead_to_them() -> None:
    with TestClient(Starlette(routes=server.front()), base_url="http://localhost", follow_redirects=False) as client:
        answer = client.get("/overview?bundle=tiny&measure=a%2Fb")
        assert answer.status_code == 307 and answer.headers["location"] == "/?bundle=tiny&measure=a%2Fb"
        assert client.get("/overview").headers["location"] == "/"
        assert client.get("/universality?a=demo-vit").headers["location"] == "/universal?a=demo-vit"
