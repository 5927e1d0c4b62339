"""What a page shows, as a frozen object, and the URL that says the same: the URL is the only state.

A page declares a frozen dataclass of what can be selected, and says how each field is read:

    @dataclass(frozen=True)
    class HeadsView:
        head: Head | None = None
        end: str = "+"

    chosen = selection.read(HeadsView, head=selection.unit(heads), end=selection.one_of("+", "-"))
    st.segmented_control("End", ["+", "-"], **chosen.bound("end"))
    chosen.view.end                                        # "+"
    st.button("Next", on_click=chosen.go, kwargs={"head": following})

A change writes the URL, which puts a step into the browser's history, and the script runs again from the URL: so the
back button, a reload and the same link in another browser all show the same. Nothing from a URL is trusted or echoed:
what a field's reader refuses becomes the field's default, what no field asks for is left out of the address, and one
sentence says so.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import streamlit as st

from core.errors import AddressError
from core.ids import Unit, parse
from pages._ui.words import seen

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

View = TypeVar("View", bound="DataclassInstance")
Reader = Callable[[str], Any]
BUNDLE = "bundle"
MAX_VALUE = 20_000
"""Characters of one value. A browser's own limit is far above; what is longer is refused unread."""
_RUN, _DRAWN = "_run", "_drawn"
_FOREIGN = (BUNDLE, "embed", "embed_options")  # read by app.py or by Streamlit itself


@contextmanager
def run() -> Iterator[None]:
    """Around a run of the whole script: numbers it, and keeps the number of the last one that came to its end.

    A browser that has not heard yet that a widget is gone sends its value along with the next change, and Streamlit
    then calls that widget's callback too, which would lead back to the view that it belonged to (`Chosen.go`).
    """
    number = st.session_state[_RUN] = st.session_state.get(_RUN, 0) + 1
    yield
    st.session_state[_DRAWN] = number


def integer(low: int, high: int) -> Reader:
    """A whole number from `low` to `high`, both allowed, in plain digits."""

    def read(text: str) -> int:
        # int() alone would take "1_0", " 7 " and other scripts' digits, so two links would mean one view
        if not text.removeprefix("-").isascii() or not text.removeprefix("-").isdigit() or len(text) > 18:
            raise ValueError
        value = int(text)
        if not low <= value <= high:
            raise ValueError
        return value

    return read


def at_most(low: int, high: int) -> Reader:
    """The same from `low`, but what is more than `high` is read as `high`."""
    number = integer(low, 10**17)
    return lambda text: min(high, number(text))


def one_of(*options: Any) -> Reader:
    """One of a few values, written as `str` writes them."""
    table = {str(option): option for option in options}

    def read(text: str) -> Any:
        if text not in table:
            raise ValueError
        return table[text]

    return read


def unit(known: Iterable[Unit | str]) -> Reader:
    """The address of one of the units `known` (units or their addresses); read as a unit."""
    table = frozenset(map(str, known))

    def read(text: str) -> Unit:
        found = parse(text)
        if str(found) not in table:
            raise ValueError
        return found

    return read


def flag(text: str) -> bool:
    """A switch: "True" or "False"."""
    return bool(one_of(True, False)(text))


def words(limit: int) -> Reader:
    """Free text of at most `limit` characters, such as a prompt. Never rendered as HTML; see `words.plain`."""

    def read(text: str) -> str:
        if not 0 < len(text) <= limit or "\0" in text or not seen(text):
            raise ValueError
        return seen(text)

    return read


def digest(text: str) -> str:
    """A content hash: 8 to 64 lower-case hexadecimal digits."""
    if not 8 <= len(text) <= 64 or set(text) - set("0123456789abcdef"):
        raise ValueError
    return text


@dataclass(frozen=True)
class Chosen(Generic[View]):
    """A page's selection as read from the URL, and `start`, what an empty URL shows. `refused` names the fields whose
    value in the URL was not usable; `run` is the run that read it."""

    view: View
    start: View
    refused: tuple[str, ...] = ()
    run: int = 0

    def query(self, **changes: Any) -> dict[str, Any]:
        """The query parameters of this view, the bundle included, with `changes` to its fields. None leaves a field
        out, and so does a value that the class itself and an empty URL agree on."""
        changed = replace(self.view, **changes)
        told = {}
        for field in fields(changed):
            value = getattr(changed, field.name)
            if not value == field.default == getattr(self.start, field.name):
                told[field.name] = value
        return query(**told)

    def go(self, **changes: Any) -> None:
        """Change the view: for callbacks (`on_click=chosen.go, kwargs=...`), before the script runs again. Nothing
        happens where a later run has drawn the page to its end: then what called is no longer on it."""
        if self.run < st.session_state.get(_DRAWN, 0):
            return
        told = self.query(**changes)
        for field in fields(self.view):
            name = field.name
            if name in changes:
                continue
            # the rest is as the URL has it by now: while the page is drawn again for one change, what is still shown
            # of it calls with the view of before
            if now := st.query_params.get_all(name):
                told[name] = now
            elif getattr(self.view, name) != getattr(self.start, name):
                told.pop(name, None)
        st.query_params.from_dict({name: told[name] for name in _ours(self.view) if name in told})

    def bound(self, name: str) -> dict[str, Any]:
        """`key` and `on_change` for a widget that shows and changes field `name`."""
        key = f"{type(self.view).__name__}.{name}"
        st.session_state[key] = getattr(self.view, name)
        return {"key": key, "on_change": lambda: self.go(**{name: st.session_state[key]})}


def read(
    kind: type[View], defaults: Mapping[str, Any] | None = None, of: str = "bundle", /, **readers: Reader
) -> Chosen[View]:
    """Read a page's view from the URL and show a sentence if part of it was not usable.

    `kind` is a frozen dataclass whose fields all have defaults; `defaults` replaces some of them by what is only known
    now (the first head of this bundle); `of` is what the page is about, for that sentence. Every field needs a reader:
    a function of the text that raises ValueError or AddressError. A field whose default is a tuple takes repeated
    parameters.
    """
    start = kind(**defaults or {})
    values, refused = {}, []
    for field in fields(kind):
        texts = st.query_params.get_all(field.name)
        if not texts:
            continue
        try:
            if any(len(text) > MAX_VALUE for text in texts):
                raise ValueError
            many = isinstance(field.default, tuple)
            values[field.name] = tuple(map(readers[field.name], texts)) if many else readers[field.name](texts[-1])
        except (ValueError, AddressError):
            refused.append(field.name)
    known = {field.name for field in fields(kind)}
    strangers = sum(name not in known and name not in _FOREIGN for name in st.query_params)
    chosen = Chosen(replace(start, **values), start, tuple(refused), st.session_state.get(_RUN, 0))
    if refused or strangers:
        _tell(chosen.refused, of)
        st.query_params.from_dict(chosen.query())  # the permalink of what is shown, so it keeps nothing else
    return chosen


def _ours(view: "DataclassInstance") -> tuple[str, ...]:
    """The parameters of a view in the order in which addresses have them."""
    return (BUNDLE, *(field.name for field in fields(view)))


def query(**values: Any) -> dict[str, Any]:
    """Query parameters for a link to a page of this bundle: `st.page_link(page, query_params=query(head=head))`."""
    kept = {name: value for name, value in values.items() if value is not None}
    bundle = st.session_state.get(BUNDLE)
    texts = {k: [str(x) for x in v] if isinstance(v, tuple) else str(v) for k, v in kept.items()}
    return ({BUNDLE: bundle} if bundle else {}) | texts


def here() -> dict[str, list[str]]:
    """The query parameters as they are: what a link to the page that is shown must carry, since Streamlit then draws
    what the link says but leaves the address as it was."""
    return {name: st.query_params.get_all(name) for name in st.query_params}


def _tell(refused: tuple[str, ...], of: str) -> None:
    if refused:
        asks = " and ".join((", ".join(refused[:-1]), refused[-1])) if len(refused) > 1 else refused[0]
        st.info(f"The link's {asks} cannot be shown with this {of}, so you see the default instead.", icon="🔗")
    else:
        st.info("Part of the link means nothing on this page; it was left out.", icon="🔗")
