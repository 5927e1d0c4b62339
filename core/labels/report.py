"""One HTML file that says what is labelled of a bundle: it opens offline, runs nothing and asks nobody for anything.

Its policy allows no script and no address but the pictures inside; all that people wrote is escaped and set apart in
its direction of writing. A picture stands in the file once, as a data URI of its style sheet, however many units show
it. What the bundle knows of its maker's disk (the command) is left out.
"""

import base64
import hashlib
import math
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from html import escape
from pathlib import Path

from core.bundle.atomic import atomic_bytes
from core.errors import AddressError
from core.ids import order, parse
from core.labels.agreement import agreement
from core.labels.events import Event
from core.labels.fold import STATES, About, Standing
from core.labels.ledger import Ledger
from core.store import Store

PER_END = 8
"""Images at either end of a unit."""
MOST_IMAGES = 3_000
"""Different images in one file, about 15 MB; units after these are told without pictures."""
Score = Callable[[str, str, str], str | None]
"""Address, end and text of a label to its score in words."""
_STYLE = """
:root{color-scheme:light dark;--line:light-dark(#ddd,#444);--soft:light-dark(#666,#aaa)}
body{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem}
table{border-collapse:collapse;margin:.5rem 0}th,td{text-align:left;vertical-align:top;padding:.2rem .8rem .2rem 0}
th{font-weight:600}td{overflow-wrap:anywhere}
section{border-top:1px solid var(--line);padding:.8rem 0;break-inside:avoid}
h2{font-size:1.1rem;margin:.2rem 0}h3{font-size:1rem;margin:.6rem 0 .2rem}.soft{color:var(--soft)}
.state{font-size:.85rem;border:1px solid var(--line);border-radius:1rem;padding:.05rem .6rem;margin-left:.4rem}
.row{display:flex;flex-wrap:wrap;gap:4px}.row i{display:block;width:96px;height:96px;background-size:contain;
background-repeat:no-repeat;background-position:center;print-color-adjust:exact;-webkit-print-color-adjust:exact}
blockquote{margin:.2rem 0 .2rem 1rem}
"""
_ENDS = {"+": "+ end", "-": "− end", "": "as a whole"}


def html(store: Store, ledger: Ledger, out: Path | None = None, score: Score | None = None) -> bytes:
    """The report of a bundle with what stands of its units, as the bytes of one file; written to `out`, if given. Units
    in the order of their addresses, those of which something was said. StorageError, BundleDamaged."""
    standings = ledger.all()
    by_address: dict[str, dict[str, Standing]] = {}
    for address, end in sorted(standings, key=_order):
        by_address.setdefault(address, {})[end] = standings[address, end]
    pictures = _Pictures(store)
    units = [_unit(store, address, ends, pictures, score) for address, ends in by_address.items()]
    style = _STYLE + pictures.style()
    allowed = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    facts = store.facts()
    title = f"Labels of {facts.bundle}"
    page = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; img-src data:; '
        f"style-src 'sha256-{allowed}'; base-uri 'none'; form-action 'none'\">",
        '<meta name="viewport" content="width=device-width"><meta name="referrer" content="no-referrer">',
        f"<title>{escape(title)}</title><style>{style}</style></head><body>",
        f"<h1>{_text(title)}</h1>",
        _facts(store),
        _people(standings),
        *units,
        f'<p class="soft">{len(units):,} units of which something was said'
        + (f"; the pictures end after {MOST_IMAGES:,} different ones" if pictures.full else "")
        + f". Made {datetime.now(UTC):%Y-%m-%d %H:%M} UTC by Unitscope.</p></body></html>",
    ]
    made = "\n".join(page).encode()
    if out is not None:
        atomic_bytes(out, made)
    return made


class _Pictures:
    """The thumbnails that are shown, each a class of the style sheet."""

    def __init__(self, store: Store) -> None:
        self.store, self.full = store, False
        self._kept: dict[int, str] = {}

    def row(self, ids: Iterable[int]) -> str:
        """A row of these images; "" once there are too many."""
        ids = list(ids)
        new = [i for i in ids if i not in self._kept]
        if len(self._kept) + len(new) > MOST_IMAGES:
            self.full = True
            return ""
        for i in new:
            self._kept[i] = base64.b64encode(self.store.thumbnail(i)).decode()
        named = [(i, self._name(i)) for i in ids]
        cells = (f'<i class="i{i}" role="img" aria-label="{name}" title="{name}"></i>' for i, name in named)
        return f'<div class="row">{"".join(cells)}</div>'

    def style(self) -> str:
        """A rule an image. base64 holds nothing that could end the rule or the element."""
        rules = (f".i{i}{{background-image:url(data:image/jpeg;base64,{data})}}" for i, data in self._kept.items())
        return "\n".join(rules)

    def _name(self, image: int) -> str:
        """For an attribute in double quotes."""
        info = self.store.image(image)
        return escape(f"image {image}" + (f", {info.label}" if info.label else ""), quote=True)


def _facts(store: Store) -> str:
    facts = store.facts()
    rows = {
        "Model": f"{facts.model}, {facts.weights}",
        "Weights' digest": facts.weights_digest,
        "Images": f"{facts.ok:,} of {facts.images:,} measured",
        "Texts": f"{facts.pool}, {facts.pool_texts:,}",
        "Bundle": f"{facts.bundle}, made {facts.created}",
    }
    return _table([(name, _text(value)) for name, value in rows.items()])


def _people(standings: Mapping[About, Standing]) -> str:
    states = {state: sum(standing.state == state for standing in standings.values()) for state in STATES}
    found = agreement(standings)
    words: dict[str, int] = {}
    for standing in standings.values():
        for name in standing.by:
            words[name] = words.get(name, 0) + 1
    rows = [("Ends of units", ", ".join(f"{count:,} {state}" for state, count in states.items() if count) or "none")]
    rows += [("Annotators", ", ".join(f"{_text(name)} ({count:,})" for name, count in sorted(words.items())) or "none")]
    if found.units:
        alpha = "not defined" if math.isnan(found.alpha) else f"{found.alpha:.2f}"
        alpha += f" [{found.interval[0]:.2f}, {found.interval[1]:.2f}]" if found.interval else ""
        rows += [("Agreement", f"Krippendorff's α {alpha} over {found.units:,} ends that two or more judged")]
    return _table(rows)


def _unit(store: Store, address: str, ends: Mapping[str, Standing], pictures: _Pictures, score: Score | None) -> str:
    out = [f"<section><h2>{_text(address)}</h2>"]
    try:
        label = store.units.label(store.units.kind(address), store.units.row(address))
        images = store.units.ends(address, PER_END)
        out.append(f'<p class="soft">Automatic label: {_text(label or "none")}</p>')
        rows = {"+": [hit.image_id for hit in images.plus], "-": [hit.image_id for hit in images.minus]}
    except AddressError:
        rows = {}
        out.append('<p class="soft">This bundle has no such unit; what was said of it is kept.</p>')
    for end, standing in ends.items():
        out.append(f'<h3>{_ENDS[end]}<span class="state">{standing.state}</span></h3>')
        out += [pictures.row(rows[side]) for side in (end or "+-") if rows.get(side)]
        out.append(_said(address, end, standing, score))
    return "".join([*out, "</section>"])


def _said(address: str, end: str, standing: Standing, score: Score | None) -> str:
    decision = standing.adjudication
    rows = [("Decided", f"{_word(decision, score)}<br>Reason: {_text(decision.reason)}")] if decision else []
    rows += [(_text(name), _word(event, score)) for name, event in standing.by.items()]
    return _table(rows)


def _word(event: Event, score: Score | None) -> str:
    said = f"<strong>{_text(event.text)}</strong>" if event.text else _text(event.kind)
    when = datetime.fromtimestamp(event.at / 1e6, UTC)
    rest = [f"by {_text(event.annotator)}"] if event.kind == "adjudicate" else []
    rest += [f"{when:%Y-%m-%d}", *(_text(tag) for tag in event.tags)]
    rest += [f"confidence {event.confidence:.0%}"] if event.confidence is not None else []
    rest += ["blind"] if event.blind else []
    found = score(event.address, event.end, event.text) if score and event.text else None
    return f'{said} <span class="soft">{" · ".join([*rest, *([_text(found)] if found else [])])}</span>'


def _table(rows: Iterable[tuple[str, str]]) -> str:
    """Of HTML."""
    return f"<table>{''.join(f'<tr><th>{name}</th><td>{value}</td></tr>' for name, value in rows)}</table>"


def _text(words: str) -> str:
    """Anything as text of HTML, whatever its direction of writing."""
    return f"<bdi>{escape(words)}</bdi>"


def _order(about: About) -> tuple[object, ...]:
    """Units by layer and number, the + end first; concepts after them."""
    address, end = about
    place = (0, order(parse(address)), "") if ":" not in address else (1, (), address)
    return *place, "+-".find(end) if end else -1
