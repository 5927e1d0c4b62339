"""Who may look: pages and our own routes ask the same question.

When Streamlit's OIDC login is configured (an [auth] section in .streamlit/secrets.toml), pages ask for a login, and
routes demand the cookie that the login set. Without one, whoever reaches the port may look.

Streamlit's login guards the script only. Its own routes for uploads, for files that pages offer, and for metrics answer
anyone, so a middleware asks for the same cookie there.
"""

import streamlit as st
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from streamlit.auth_util import get_origin_from_redirect_uri, get_secrets_auth_section
from streamlit.web.server.starlette import starlette_websocket as websocket
from streamlit.web.server.starlette.starlette_server_config import USER_COOKIE_NAME

from pages._ui import links
from pages._ui.words import plain

GUARDED = ("/media/", "/_stcore/upload_file", "/_stcore/metrics")
"""Where Streamlit serves what belongs to visitors or tells of the server."""


def login_needed() -> bool:
    """Whether the operator configured a login."""
    return bool(get_secrets_auth_section())


def require_login() -> None:
    """Stop the script at a login button unless the visitor is logged in or no login is configured."""
    if not login_needed() or st.user.is_logged_in:
        return
    st.title("Unitscope")
    st.write("This server asks its visitors to log in.")
    links.remember()  # the login leads back to the first page, not to the one that was asked for
    st.button("Log in", type="primary", on_click=st.login)
    st.stop()


def who() -> None:
    """Where a login is configured: who is logged in, and the way out."""
    if login_needed():
        st.caption(f"Logged in as {plain(st.user.get('email') or st.user.get('name') or 'a visitor', 80)}")
        st.button("Log out", key="log-out", icon=":material/logout:", type="tertiary", on_click=st.logout)


class Guard:
    """ASGI middleware: 403 on Streamlit's GUARDED routes to whom the pages are closed."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            path = scope["path"].removeprefix(links.base_path())
            if path.startswith(GUARDED) and not allowed(Request(scope)):
                await PlainTextResponse("Log in first.", 403)(scope, receive, send)
                return
        await self.app(scope, receive, send)


def allowed(request: Request) -> bool:
    """Whether a request to a route of ours comes from someone who may see the pages."""
    if not websocket.is_host_allowed(request.headers.get("host")):
        return False
    if not login_needed():
        return True
    # the same two functions by which Streamlit's websocket reads the cookie: no second opinion about signatures
    cookie = websocket._get_signed_cookie_with_chunks(dict(request.cookies), USER_COOKIE_NAME)
    if not cookie:
        return False
    user = websocket._parse_decoded_user_cookie(cookie, get_origin_from_redirect_uri() or "")
    return user.get("is_logged_in") is True
