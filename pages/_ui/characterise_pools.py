"""Other pools on the Characterise page: how to compute them, and the table that the command wrote, drawn beside."""

import csv
import io
import math
import shlex

import streamlit as st

from core.errors import InputError
from core.store import Characterised
from pages._ui import states
from pages._ui.resources import Opened

MAX_BYTES, MAX_ROWS = 2**20, 2_000
HEADER = ["kind", "layer", "texts", "pool", "top1", "standard_error", "images"]


def kept(opened: Opened) -> tuple[Characterised, ...]:
    """The rows that this session added to this bundle; they are in no link."""
    found: tuple[Characterised, ...] = st.session_state.get(_key(opened), ())
    return found


def draw(opened: Opened, base: Characterised) -> None:
    """The command, and a place for what it wrote."""
    with st.expander("Other pools, and more texts"):
        st.caption(
            "This page shows the bundle's own pool, with as many texts as are stored. For any pool, and any number of "
            "texts, run the command and give its table here; it is drawn in this tab and kept nowhere."
        )
        folder = shlex.quote(f"bundles/{opened.name}")
        st.code(f"python -m precompute characterise {folder} --pools bundle,english,FILE --csv table.csv", "bash")
        file = st.file_uploader("Table of the command (CSV)", type="csv", key=f"{_key(opened)}-file")
        if file is None:
            st.session_state.pop(_key(opened), None)
            changed = False
        else:
            try:
                rows = read(file.getvalue(), base)
            except InputError as error:
                states.problem(error)
                return
            changed = rows != kept(opened)
            st.session_state[_key(opened)] = rows
        if changed:
            st.rerun()


def read(content: bytes, base: Characterised) -> tuple[Characterised, ...]:
    """The rows of kind "texts". InputError for what the command did not write, or wrote of other images."""
    wrong = "This is not a table that `precompute characterise --csv` wrote"
    if len(content) > MAX_BYTES:
        raise InputError(f"{wrong}: it has more than {MAX_BYTES // 2**20} MB.")
    try:
        lines = list(csv.reader(io.StringIO(content.decode("utf-8"), newline=""), strict=True))
        if lines[:1] != [HEADER] or len(lines) > MAX_ROWS:
            raise ValueError
        rows = [_row(dict(zip(HEADER, line, strict=True))) for line in lines[1:]]
    except (ValueError, csv.Error):
        raise InputError(f"{wrong}: its first line should be {','.join(HEADER)}, with numbers below.") from None
    own = [row for row in rows if row.kind == "none"]
    if not own or (own[0].top1, own[0].images) != (base.top1, base.images):
        raise InputError(
            "This table is of another bundle: its accuracy with nothing changed is not this one's. "
            "Run the command with the bundle that is shown."
        )
    return tuple(row for row in rows if row.kind == "texts")


def _row(told: dict[str, str]) -> Characterised:
    """ValueError for anything but plain numbers in their ranges."""
    number = lambda text: int(text) if text.isascii() and text.isdigit() and len(text) < 10 else _refuse()
    top1, error = float(told["top1"]), float(told["standard_error"])
    if not (0 <= top1 <= 1 and 0 <= error <= 1 and math.isfinite(top1)):
        raise ValueError
    layer, texts = (None if not told[name] else number(told[name]) for name in ("layer", "texts"))
    if told["kind"] == "texts" and (not texts or not told["pool"]):
        raise ValueError
    return Characterised(told["kind"], layer, texts, told["pool"] or None, top1, error, number(told["images"]))


def _refuse() -> int:
    raise ValueError


def _key(opened: Opened) -> str:
    return f"characterise-added-{opened.name}"
