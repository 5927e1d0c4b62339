"""Who may look: pages and our own routes ask the same question.

When Streamlit's OIDC login is configured (an [auth] section in .streamlit/secrets.toml), pages ask for a login, and
routes demand the cookie that the login set. Without one, whoever reaches the port may look.
"""

import streamlit as st
from starlette.requests import Request
from streamlit.auth_util import get_origin_from_redirect_uri, get_secrets_auth_section
from streamlit.web.server.starlette import starlette_websocket as websocket
from streamlit.web.server.starlette.starlette_server_config import USER_COOKIE_NAME


def login_needed() -> bool:
    """Whether the operator configured a login."""
    return bool(get_secrets_auth_section())


def require_login() -> None:
    """Stop the script at a login button unless the visitor is logged in or no login is configured."""
    if not login_needed() or st.user.is_logged_in:
        return
    st.title("Unitscope")
    st.write("This server asks its visitors to log in.")
    st.button("Log in", type="primary", on_click=st.login)
    st.stop()


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
