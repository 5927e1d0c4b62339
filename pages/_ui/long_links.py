"""Links too long to be read get a page that says so.

Streamlit itself drops a query above its own limit and shows the app's first page, as if nothing had been asked for.
"""

from starlette.responses import HTMLResponse
from starlette.types import ASGIApp, Receive, Scope, Send

LONGEST = 512 * 1024
"""Bytes of a query: Streamlit reads no longer one."""
_PAGE = f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark">
<title>Unitscope: this link is too long</title>
<style>body {{ font: 1rem/1.5 sans-serif; max-width: 36rem; margin: 15vh auto; padding: 0 1rem }}</style>
<h1>This link is too long</h1>
<p>Its part after the question mark is longer than {LONGEST // 1024} KiB, which no link made by Unitscope is.
It may have been damaged on its way: ask for it again, or <a href="?">start at the beginning</a>.</p>
</html>
"""


class RefuseLongLinks:
    """ASGI middleware: 414 and a sentence instead of the app."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and len(scope.get("query_string", b"")) > LONGEST:
            await HTMLResponse(_PAGE, 414, headers={"Cache-Control": "no-store"})(scope, receive, send)
        else:
            await self.app(scope, receive, send)
