"""What of the Agreement page is in the URL, and what of the labels that asks for."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any
from urllib.parse import urlencode

from core.labels.agreement import differ
from core.labels.events import Event
from core.labels.ledger import About, Ledger, Standing
from pages._ui import dictionaries, links, selection
from pages._ui.agreement_subject import KINDS, Subject
from pages._ui.selection import Chosen

TABS = {"overview": "Overview", "agreement": "Agreement", "disagreements": "Disagreements", "labels": "All labels",
        "files": "Export and import"}  # fmt: skip
SHOW = {"open": "To decide", "decided": "Decided", "all": "Both"}
NO_QUEUE = "(no queue)"
MOST_CHARACTERS = 300
PAGE = 200
MOST_SHOWN = 10_000


@dataclass(frozen=True)
class AgreementView:
    """Of the units of the bundle, or of the concepts of `dictionary`: the words said in `queue`, about units of these
    kinds and layers, by these annotators (empty: any), blind ones only with `blind`. `about` is the end of a unit whose
    dispute is shown, such as "L3.N7+"; `show` which are listed; `search` and `shown` of the table of labels."""

    dictionary: str | None = None
    tab: str = "overview"
    queue: str | None = None
    kind: tuple[str, ...] = ()
    layer: tuple[int, ...] = ()
    annotator: tuple[str, ...] = ()
    blind: bool = False
    about: str | None = None
    show: str = "open"
    search: str = ""
    shown: int = PAGE

    @property
    def filters(self) -> bool:
        """Whether some words are left out."""
        return bool(self.queue or self.kind or self.layer or self.annotator or self.blind)


@dataclass(frozen=True)
class Asked:
    """The page's selection, what it is about, and all that stands of it."""

    chosen: Chosen[AgreementView]
    subject: Subject
    ledger: Ledger
    seq: int
    everything: Mapping[About, Standing]

    @property
    def view(self) -> AgreementView:
        return self.chosen.view

    @cached_property
    def standings(self) -> dict[About, Standing]:
        """What the filters leave, of every end of which it leaves something."""
        return narrowed(self.everything, self.view, self.subject)

    @cached_property
    def disputes(self) -> list[About]:
        """Ends on which the annotators left differ, as the view asks for them: the most important of their kind first,
        what is not in this bundle last."""
        wanted = {"open": (False,), "decided": (True,), "all": (False, True)}[self.view.show]
        found = [a for a, each in self.standings.items() if differ(each) and (each.adjudication is not None) in wanted]

        def place(about: About) -> tuple[float, str, str]:
            rank = self.subject.rank(about[0])
            return (rank[0] / rank[1] if rank else 2.0, *about)

        return sorted(found, key=place)


def read(queues: Iterable[str], layers: Iterable[int], annotators: Iterable[str]) -> Chosen[AgreementView]:
    """The view that the URL asks for."""
    return selection.read(
        AgreementView,
        dictionary=selection.one_of(*dictionaries.names()),
        tab=selection.one_of(*TABS),
        queue=selection.one_of(*(queue or NO_QUEUE for queue in queues)),
        kind=selection.one_of(*KINDS),
        layer=selection.one_of(*layers),
        annotator=selection.one_of(*annotators),
        blind=selection.flag,
        about=selection.words(200),
        show=selection.one_of(*SHOW),
        search=selection.words(MOST_CHARACTERS),
        shown=selection.at_most(1, MOST_SHOWN),
    )


def narrowed(everything: Mapping[About, Standing], view: AgreementView, subject: Subject) -> dict[About, Standing]:
    """The same with the words left that the view's filters let pass. A decision stays with its end: it is about what
    all said."""
    if not view.filters:
        return dict(everything)
    found = {}
    for about, standing in everything.items():
        kind, layer = subject.place(about[0])
        if (view.kind and kind not in view.kind) or (view.layer and layer not in view.layer):
            continue
        by = {name: event for name, event in standing.by.items() if _passes(event, view)}
        if by or (standing.adjudication and not (view.queue or view.annotator or view.blind)):
            found[about] = Standing(by, standing.adjudication)
    return found


def _passes(event: Event, view: AgreementView) -> bool:
    return (
        (view.queue is None or (event.queue or NO_QUEUE) == view.queue)
        and (not view.annotator or event.annotator in view.annotator)
        and (event.blind or not view.blind)
    )


def written(about: About) -> str:
    """An end in a URL."""
    return "".join(about)


def parsed(text: str) -> About:
    """The other way round: no address ends in a sign."""
    return (text[:-1], text[-1]) if text[-1:] in ("+", "-") else (text, "")


def queue(view: AgreementView, name: str) -> AgreementView:
    """The view narrowed to one queue."""
    return replace(view, queue=name)


def href(query: Mapping[str, Any]) -> str:
    """The address of this page with a view's query (`chosen.query`)."""
    return f"{links.base_path()}/agreement?{urlencode(query, doseq=True)}"
