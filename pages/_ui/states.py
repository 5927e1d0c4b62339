"""Empty, loading and error states, and the wrapper that lets no traceback reach a page."""

import logging
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import streamlit as st

from core.errors import UnitscopeError
from pages._ui.selection import BUNDLE
from pages._ui.words import plain

MAKE_DEMO = "make demo"
MAKE_OWN = "python -m precompute run --model MODEL --pretrained TAG --images FOLDER --out bundles"
_log = logging.getLogger("unitscope.pages")


def empty(title: str, advice: str) -> None:
    """A place where something will be, and how to get it there. `advice` may be Markdown of our own."""
    with st.container(border=True):
        st.markdown(f"**{plain(title)}**")
        st.caption(advice)


def no_bundle(folder: object, problems: Sequence[str] = ()) -> None:
    """What to see before the first bundle: which commands make one, and what is wrong with folders that are none."""
    st.title("Unitscope")
    st.write(
        "A microscope for the inside of CLIP image encoders. It shows what is in a **bundle**, and there is none yet."
    )
    st.caption(f"Looked in {plain(folder)}")
    st.write("The demo world's two bundles take a minute or two and need no GPU and no download:")
    st.code(MAKE_DEMO, language=None)
    st.write("For a model and images of your own:")
    st.code(MAKE_OWN, language=None)
    for sentence in problems[:5]:
        problem(sentence)
    st.button("Look again", icon=":material/refresh:", type="primary")


def choose(offered: Mapping[str, str]) -> None:
    """Instead of a page, where its bundle is not there: the bundles that are, each with what it is in plain words."""
    st.subheader("Bundles that are here", anchor=False)
    for name, told in offered.items():
        with st.container(border=True):
            # not page_link: to the page that is shown already it changes what is drawn, but not the address
            st.button(
                plain(name),
                key=f"choose-{name}",
                icon=":material/grid_view:",
                type="tertiary",
                on_click=st.query_params.from_dict,
                args=({BUNDLE: name},),
            )
            st.caption(plain(told))


def problem(sentence: object) -> None:
    """Something the user can act on."""
    st.warning(plain(sentence, 1000), icon=":material/info:")


def failure(error: BaseException) -> str:
    """Something only we can mend: a calm message with an id; the traceback goes to the log under the same id."""
    tag = secrets.token_hex(4)
    _log.error("page failed, id %s", tag, exc_info=error)
    st.error(
        f"This page could not be drawn. The cause is in the server's log under **{tag}**; your link is still good. "
        "Try again, or go back a step.",
        icon=":material/error:",
    )
    return tag


@contextmanager
def calm() -> Iterator[None]:
    """Errors inside become sentences on the page. Streamlit's own stop and rerun pass: they are no `Exception`s."""
    try:
        yield
    except UnitscopeError as error:
        problem(error)
    except MemoryError as error:
        _log.error("out of memory", exc_info=error)
        problem("There was not enough memory for this. Close other programs, or choose a smaller bundle or pool.")
    except Exception as error:  # noqa: BLE001 # the last line of defence: whatever it is, no traceback on a page
        failure(error)


def on_script_error(error: Exception) -> bool:
    """The same for errors outside the page's body, such as in callbacks; told to `st.App`."""
    if isinstance(error, UnitscopeError):
        problem(error)
    else:
        failure(error)
    return True
