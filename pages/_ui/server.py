"""`python -m pages._ui.server`: the app, served by uvicorn, with the thumbnails' route.

`streamlit run app.py` works too, but its server waits 40 ms on every kept-alive response and has no route of ours.
"""

import argparse
import contextlib
import errno
import os
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import streamlit as st
import uvicorn
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import RedirectResponse
from starlette.routing import Route
from streamlit.runtime.pages_manager import PagesManager

from pages._ui import access, links, long_links, resources, states, thumbs

APP = resources.ROOT / "app.py"
REQUIRED = {
    "server.maxUploadSize": lambda value: isinstance(value, int) and 0 < value <= 50,
    "server.fileWatcherType": lambda value: value == "none",
    "server.allowedHosts": lambda value: bool(value),
    "server.enableStaticServing": lambda value: value is False,
    "client.showErrorDetails": lambda value: value == "none",
    "browser.gatherUsageStats": lambda value: value is False,
}
"""What .streamlit/config.toml must have settled before anyone is served."""
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_LONGEST_REQUEST_LINE = 2 * 1024 * 1024  # a link with a megabyte of nonsense gets a page, not a dropped connection


def main(argv: Sequence[str] | None = None, script: Path = APP) -> int:
    """Serve `script` until interrupted. Returns 0, or 1 after a sentence on stderr that says what to mend."""
    parser = argparse.ArgumentParser(prog="python -m pages._ui.server", description="Serve Unitscope's pages.")
    parser.add_argument("--bundles", type=Path, default=resources.ROOT / "bundles", help="folder of bundles")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine only)")
    parser.add_argument("--port", type=int, default=8501, help="0 takes a free one")
    arguments = parser.parse_args(argv)
    # before torch is loaded: by default its threads wait for each other busily, which on a machine that is shared with
    # other programs, or other sessions, made reading an image take 30 to 500 ms instead of 13
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ[resources.BUNDLES_VARIABLE] = str(arguments.bundles.resolve())
    app = build(script)
    if wrong := config_problems():
        return _refuse(
            f"These options are not as they must be: {', '.join(wrong)}. They are set in {APP.parent}/.streamlit/"
            "config.toml; restore that file, or set them there."
        )
    if not arguments.bundles.is_dir():
        return _refuse(f"There is no folder {arguments.bundles}. Make it with `{states.MAKE_DEMO}`, or give --bundles.")
    try:
        listener = _listen(arguments.host, arguments.port)
    except OSError as error:
        return _refuse(_cannot_listen(arguments.host, arguments.port, error))
    host, port = arguments.host, listener.getsockname()[1]
    shown = "localhost" if host in _LOOPBACK else host
    names = st.get_option("server.allowedHosts")
    if host not in _LOOPBACK and set(names) <= set(_LOOPBACK):
        print(f"Note: pages answer to {', '.join(names)} only; add a name to server.allowedHosts.", file=sys.stderr)
    print(f"Unitscope is at http://{shown}:{port}  (Ctrl-C stops it)", flush=True)
    settings = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        ws_max_size=st.get_option("server.maxMessageSize") * 1024 * 1024,
        h11_max_incomplete_event_size=_LONGEST_REQUEST_LINE,
        http="h11",
        timeout_graceful_shutdown=3,
    )
    # in a thread: looking for the first bundle and importing torch must not keep the first page waiting
    threading.Thread(target=resources.warm, daemon=True).start()
    with listener, contextlib.suppress(KeyboardInterrupt):  # how uvicorn passes on a Ctrl-C that it has obeyed
        uvicorn.Server(settings).run(sockets=[listener])
    return 0


def build(script: Path = APP) -> st.App:
    """The ASGI application: Streamlit's own, our route, and one handler for errors outside a page's body."""
    PagesManager.uses_pages_directory = False  # or the first visitor of /about gets that file without the frame
    st.App(script)  # pins the folder of config.toml, which our route's address depends on
    return st.App(
        script,
        routes=[*thumbs.routes(), *front()],
        middleware=[Middleware(long_links.RefuseLongLinks), Middleware(access.Guard)],
        on_script_error=states.on_script_error,
    )


def front() -> list[Route]:
    """Streamlit serves the default page at the root alone and calls its own name an unknown page, and Universality is
    at /universal: send on whoever types the names."""

    def to(page: str) -> Callable[[Request], RedirectResponse]:
        def answer(request: Request) -> RedirectResponse:
            query = f"?{request.url.query}" if request.url.query else ""
            return RedirectResponse(f"{links.base_path()}/{page}{query}", 307)

        return answer

    known = {"overview": "", "universality": "universal"}
    return [Route(f"{links.base_path()}/{name}", to(page), methods=["GET", "HEAD"]) for name, page in known.items()]


def config_problems() -> list[str]:
    """The required options whose value, as Streamlit itself reads it, is not acceptable."""
    return [f"{name} = {st.get_option(name)!r}" for name, good in REQUIRED.items() if not good(st.get_option(name))]


def _listen(host: str, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # not a port in use, only one just left
        listener.bind((host, port))
        listener.listen(128)
    except (OSError, OverflowError) as error:
        listener.close()
        raise error if isinstance(error, OSError) else OSError(errno.EINVAL, str(error)) from error
    return listener


def _cannot_listen(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"Port {port} is in use, perhaps by another Unitscope. Choose another: --port 0 takes a free one."
    if error.errno == errno.EACCES:
        return f"Port {port} may not be used by this account. Choose one above 1023 with --port."
    return f"Cannot listen on {host}, port {port}: {error.strerror or error}. Check --host and --port."


def _refuse(sentence: str) -> int:
    print(f"error: {sentence}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
