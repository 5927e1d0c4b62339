"""Which image an address of this app names: of a page that shows one, or of a thumbnail. Nothing is ever fetched."""

import re
from dataclasses import dataclass
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from core.errors import InputError
from pages._ui import selection
from pages._ui.words import typed

WHAT = (
    "Paste an address of this app: of a page that shows an image, such as …/image?bundle=…&image=12, or of a "
    "thumbnail, such as …/b/…/t/12. Nothing is fetched from elsewhere: save a picture you found there, and upload it."
)
_PAGES = ("image", "heads")
_THUMBNAIL = re.compile(r"(?:.*/)?b/([^/]+)/t/([^/]+)")
_NO_SCHEME = re.compile(r"[\w.-]+:\d+/")  # "localhost:8501/image", as browsers show it
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_LARGEST = 10**15


@dataclass(frozen=True)
class Place:
    """Either `image` or `upload` is set; `bundle` is None where the address leaves it open. As the address says it:
    whether there is such a bundle, image or upload is not known yet."""

    bundle: str | None = None
    image: int | None = None
    upload: str | None = None


def read(text: str, own: str | None) -> Place:
    """What a pasted address names; `own` is the address of the page it was pasted into, None if that is not known.

    InputError, with a sentence that says what can be pasted, for everything that names no image of this app.
    """
    text = typed(text)
    if len(text) > selection.MAX_VALUE:
        raise InputError(f"This address has {len(text):,} characters, which none of this app has. {WHAT}")
    try:
        parts = urlsplit(f"//{text}" if _NO_SCHEME.match(text) else text)
        elsewhere = own is not None and parts.netloc != "" and _host(parts) != _host(urlsplit(own))
        if elsewhere or parts.scheme not in ("", "http", "https"):
            raise InputError(f"This address is not of this app. {WHAT}")
        return _thumbnail(parts) or _page(parts)
    except ValueError:
        raise InputError(f"This names no image of this app. {WHAT}") from None


def _thumbnail(parts: SplitResult) -> Place | None:
    found = _THUMBNAIL.fullmatch(parts.path)
    return Place(unquote(found[1]), selection.integer(0, _LARGEST)(found[2])) if found else None


def _page(parts: SplitResult) -> Place:
    """ValueError for another page, or one that shows no image."""
    fields = {name: values[-1] for name, values in parse_qs(parts.query, max_num_fields=500).items()}
    page = parts.path.rstrip("/").rpartition("/")[2]
    if page not in _PAGES:
        raise ValueError
    bundle = fields.get(selection.BUNDLE)
    if page == "image" and "upload" in fields:
        return Place(bundle, upload=upload(fields["upload"]))
    return Place(bundle, image=selection.integer(0, _LARGEST)(fields.get("image", "")))


def upload(text: str) -> str:
    """The name of an upload in a link: exactly as long as `uploads` makes them."""
    if len(selection.digest(text)) != 32:
        raise ValueError
    return text


def _host(parts: SplitResult) -> tuple[str, int | None]:
    """Host and port; ValueError for a port that is none."""
    host = (parts.hostname or "").lower()
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    return ("localhost" if host in _LOOPBACK else host, port)
