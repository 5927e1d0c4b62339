"""The database of labels as pages use it: opened once for all sessions; what stands of a bundle's units; who labels."""

import secrets
from pathlib import Path

import streamlit as st

from core.errors import LabelRejected, LabelsUnavailable
from core.labels.database import Labels, default_url
from core.labels.events import MAX_NAME
from core.labels.ledger import Ledger
from pages._ui import access, resources
from pages._ui.words import plain

NAME = "annotator"
DESK = "desk-token"
"""In the session's state the token of a browser, which tells two people of one name apart; events' evidence has it."""
_TOKEN = 32
_identity = st.components.v2.component(
    "unitscope_identity", js=(Path(__file__).parent / "desk_identity.js").read_text()
)


def database() -> Labels:
    """The one database. Raises LabelsUnavailable."""
    return _database(default_url(resources.bundles_folder()))


def ledger(bundle: str, fresh: bool = True) -> Ledger:
    """What stands of the units of a bundle or dictionary, by its id, with all that was said until now; without `fresh`
    until somebody last asked, which needs no look at the database."""
    found = _ledger(default_url(resources.bundles_folder()), bundle)
    if fresh:
        found.refresh()
    return found


def known(bundle: str) -> Ledger | None:
    """The ledger of a bundle or dictionary for pages that only look: None where nobody has labelled anything here, as
    looking makes no database, and where the labels cannot be read, which the desk says."""
    url = default_url(resources.bundles_folder())
    file = url.removeprefix("sqlite:///")
    if file != url and not Path(file).exists():
        return None
    try:
        return ledger(bundle)
    except LabelsUnavailable:
        return None


def texts(bundle: str) -> dict[str, str]:
    """What people call the units of a bundle, or the concepts of a dictionary: all of it by address, in lower case."""
    found = known(bundle)
    made: dict[str, str] = {}
    for (address, _), standing in found.all().items() if found else ():
        made[address] = " ".join([made.get(address, ""), *(event.text.casefold() for event in standing.labels)]).strip()
    return made


def beside(bundle: str, address: str) -> list[dict[str, str]]:
    """A line with what people call a unit of a bundle, or a concept of a dictionary, by its id; returns it."""
    standing = known(bundle)
    if standing is None:
        return []
    given = [(end, event) for end in ("+", "-", "") for event in standing.standing(address, end).labels]
    if given:
        said = " · ".join(
            f"{end.replace('-', '−')} **{plain(event.text, 120)}** ({plain(event.annotator)})".strip()
            for end, event in given
        )
        st.markdown(f":small[:material/edit_note: By hand: {said}]")
    return [{"end": end, "text": event.text, "annotator": event.annotator} for end, event in given]


def annotator() -> str | None:
    """Who labels in this session: the login's name where one is configured, else the name chosen in the app."""
    if access.login_needed():
        return str(st.user.get("email") or st.user.get("name") or "") or None
    return st.session_state.get(NAME)


def desk() -> str:
    """This browser's token; "" until it has sent it."""
    return str(st.session_state.get(DESK, ""))


def session() -> str:
    """A name for this session, so that a browser sees that the server began another for it."""
    return str(st.session_state.setdefault("desk-session", secrets.token_hex(8)))


def listen() -> None:
    """Mount what keeps the name and the token in the browser, so that both are there after a reload. Once a page."""
    name = st.session_state.get(NAME)
    data = {
        "session": session(),
        "name": name or "",
        "forget": name is None and bool(st.session_state.get("annotator-left")),
    }
    # read here and not in a callback: a session that a browser begins again, after the server was, has none yet
    heard(_identity(key="identity", data=data, on_who_change=lambda: None))


def heard(sent: object) -> None:
    """Take the name and the token that a browser kept, which can be anything."""
    who = getattr(sent, "who", None)
    if not isinstance(who, dict):
        return
    token, name = who.get("desk"), who.get("name")
    if isinstance(token, str) and len(token) == _TOKEN and not set(token) - set("0123456789abcdef"):
        st.session_state[DESK] = token
    if st.session_state.get(NAME) is None and not st.session_state.get("annotator-left") and isinstance(name, str):
        try:
            st.session_state[NAME] = named(name)
        except LabelRejected:
            return


def named(text: str) -> str:
    """A name in one line. LabelRejected for an empty or a long one."""
    name = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    if not name:
        raise LabelRejected("Say who you are first: a label belongs to somebody.")
    if len(name) > MAX_NAME:
        raise LabelRejected(f"A name has at most {MAX_NAME} characters; this one has {len(name):,}.")
    return name


def choose() -> bool:
    """Who labels, in a line with a way to change it, or the field to say so; whether there is a name. Begin a page with
    `listen`."""
    name = annotator()
    if access.login_needed():
        return name is not None
    if name is None:
        st.text_input(
            "Your name", key="annotator-name", max_chars=1_000, on_change=_typed, width=320,
            placeholder="Ada", help="It stands beside each of your labels, and this browser keeps it.",
        )  # fmt: skip
        if problem := st.session_state.pop("annotator-problem", None):
            st.warning(plain(problem), icon=":material/info:")
        return False
    with st.container(horizontal=True, gap="small", vertical_alignment="center", width="content"):
        st.markdown(f"You label as **{plain(name, MAX_NAME)}**", width="content")
        st.button("Another name", key="annotator-change", type="tertiary", on_click=leave)
    return True


def leave() -> None:
    """Forget the name, here and in the browser."""
    st.session_state[NAME] = None
    st.session_state["annotator-left"] = True


def _typed() -> None:
    """Take the name typed; one that is known here but for its capitals is taken as it is known."""
    try:
        name = named(st.session_state["annotator-name"])
    except LabelRejected as error:
        st.session_state["annotator-problem"] = str(error)
        return
    try:
        known = database().annotators()
    except LabelsUnavailable:  # the page says so
        known = {}
    alike = (other for other in known if other.casefold() == name.casefold())
    st.session_state[NAME] = name if name in known else next(alike, name)


@st.cache_resource(max_entries=2, show_spinner="Opening the labels")
def _database(url: str) -> Labels:
    return Labels(url)


@st.cache_resource(max_entries=16, show_spinner="Reading the labels")
def _ledger(url: str, bundle: str) -> Ledger:
    return Ledger(_database(url), bundle)
