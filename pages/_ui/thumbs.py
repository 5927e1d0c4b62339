"""The route of thumbnails, `/b/{bundle}/t/{image}`, of bundles and dictionaries; data URIs where it is missing.

A bundle never changes once it is finished, and its name is a hash of what it was made from, so browsers may keep its
thumbnails for ever. Only the name of a listed bundle and an integer are ever looked up: no path comes from a URL.
"""

import base64
import os
from typing import Protocol

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from core.errors import UnitscopeError
from pages._ui import access, dictionaries, links, resources

ROUTE_VARIABLE = "UNITSCOPE_ROUTE"
_MEDIA = "image/jpeg"


class Thumbnails(Protocol):
    """What keeps thumbnails by an image's id; b"" or None for one without."""

    def thumbnail(self, image: int, /) -> bytes | None: ...


class Pictured(Protocol):
    """An open bundle or dictionary: its folder's name, and what answers for it."""

    @property
    def name(self) -> str: ...

    @property
    def store(self) -> Thumbnails: ...


def routes() -> list[Route]:
    """The routes to give to `st.App`; from then on pages link to them."""
    os.environ[ROUTE_VARIABLE] = "1"
    return [Route(links.base_path() + "/b/{bundle}/t/{image}", thumbnail, methods=["GET", "HEAD"])]


def thumbnail(request: Request) -> Response:
    """One thumbnail; 403 to whom the pages are closed, 404 for everything that is not an image of a listed bundle."""
    if not access.allowed(request):
        return Response("Log in first.", 403, media_type="text/plain", headers={"Cache-Control": "no-store"})
    digits = request.path_params["image"]
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 12 and digits == str(int(digits))):
        return _missing()
    try:
        data = _named(request.path_params["bundle"]).store.thumbnail(int(digits))
    except UnitscopeError:
        return _missing()
    if not data:
        return _missing()
    # private when there is a login: a proxy that serves many people must not keep it for them all
    keep = "private" if access.login_needed() else "public"
    headers = {"Cache-Control": f"{keep}, max-age=31536000, immutable", "X-Content-Type-Options": "nosniff"}
    return Response(data, media_type=_MEDIA, headers=headers)


def _named(name: str) -> Pictured:
    return dictionaries.open_named(name) if dictionaries.named(name) else resources.open_named(name)


def source(opened: Pictured, image_id: int) -> str:
    """An <img> source for one thumbnail: the route's address, or a data URI where no route is served (`streamlit run`,
    tests). "" for an image in quarantine."""
    if os.environ.get(ROUTE_VARIABLE):
        return f"{links.base_path()}/b/{opened.name}/t/{int(image_id)}"
    return data_uri(opened.store.thumbnail(int(image_id)), _MEDIA)


def data_uri(data: bytes | None, media_type: str = "image/png") -> str:
    """Bytes of an image as a data URI; "" for none."""
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}" if data else ""


def _missing() -> Response:
    return Response("There is no such thumbnail.", 404, media_type="text/plain", headers={"Cache-Control": "no-store"})
