"""Scenes composed from cues: what of a text the generator can draw, and one kind of object among such things."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from core.errors import InputError
from demo.captions import factor_texts, place_noun
from demo.vocabulary import COUNT_WORDS, OBJECT_NAMES, PLACE_PHRASES, PLACES, STYLE_PHRASES, STYLES, plural
from demo.world import Scene, sample_scene

CUES = 8
"""Different cues that scenes are composed from: the first that can be drawn."""
PER_SCENE = 3
_ARTICLE = re.compile(r"^(?:an?|the|only) ")


@dataclass(frozen=True, order=True)
class Drawable:
    """Something the generator can draw: `factor` "object", "place", "style" or "count", and its value by name."""

    factor: str
    value: str

    def __str__(self) -> str:
        return f"{self.value} objects" if self.factor == "count" and self.value != "one" else self.value


def speaks(class_names: Sequence[str]) -> bool:
    """Whether these classes are the demo world's: two or more, all of them things that the generator can draw."""
    return len(class_names) > 1 and set(class_names) <= set(OBJECT_NAMES)


@lru_cache(maxsize=1)
def _phrases() -> tuple[re.Pattern[str], Mapping[str, Drawable]]:
    """All phrases that name something drawable, the longest first, so that a christmas tree is no tree."""
    table: dict[str, Drawable] = {}
    for name in OBJECT_NAMES:
        table |= {form: Drawable("object", name) for form in (name, plural(name))}
    for place in PLACES:
        table |= {form: Drawable("place", place) for form in (place, place_noun(place), *PLACE_PHRASES[place])}
    for style, texts in zip(STYLES, factor_texts()["style"], strict=True):
        plain = [text for text in texts if not text.endswith(" of something")]
        table |= {form: Drawable("style", style) for form in (*plain, *STYLE_PHRASES[style])}
    table |= {word: Drawable("count", word) for word in COUNT_WORDS}
    table |= {"a single object": Drawable("count", "one"), "only one thing": Drawable("count", "one")}
    table = {_ARTICLE.sub("", form): drawn for form, drawn in table.items()}
    longest = sorted(table, key=lambda form: (-len(form), form))
    return re.compile(rf"\b(?:{'|'.join(map(re.escape, longest))})\b"), table


def drawable(text: str) -> tuple[Drawable, ...]:
    """What of a text the generator can draw, in the order of the text; () for nothing."""
    pattern, table = _phrases()
    return tuple(dict.fromkeys(table[found] for found in pattern.findall(text.casefold())))


def cues(words: Sequence[tuple[str, float]], without: Sequence[str] = (), most: int = CUES) -> dict[Drawable, float]:
    """What can be drawn of texts with weights, heaviest first: each thing with the weight of all texts that name it.
    Objects in `without` (the classes themselves) are no cues."""
    weight: dict[Drawable, float] = {}
    for text, value in words:
        for each in drawable(text):
            if not (each.factor == "object" and each.value in without):
                weight[each] = weight.get(each, 0.0) + value
    return dict(sorted(weight.items(), key=lambda pair: -pair[1])[:most])


def compose(rng: np.random.Generator, main: str, weight: Mapping[Drawable, float]) -> Scene:
    """A scene of `main` with up to PER_SCENE cues, drawn by weight without replacement: at most one place, one style,
    one number and two other objects. The main kind is never outnumbered; what no cue says is drawn as in any scene of
    the world, save that no other kind joins by chance. InputError for an unknown kind."""
    if main not in OBJECT_NAMES:
        raise InputError(f"the demo world has no object {main!r}; it has: {', '.join(OBJECT_NAMES)}")
    chosen: dict[str, str] = {}
    others: list[str] = []
    things = list(weight)
    odds = np.array([weight[each] for each in things], np.float64)
    # Gumbel's trick: this order is that of drawing by weight without replacement
    order = np.argsort(-(np.log(np.maximum(odds, 1e-12)) + rng.gumbel(size=len(things))), kind="stable")
    for each in (things[at] for at in order):
        if len(chosen) + len(others) == PER_SCENE:
            break
        if each.factor == "object":
            others += [each.value] if len(others) < 2 else []
        else:
            chosen.setdefault(each.factor, each.value)
    place, style = chosen.get("place"), chosen.get("style")
    count = COUNT_WORDS.index(chosen["count"]) + 1 if "count" in chosen else None
    if not others:
        return sample_scene(rng, objects=[main], place=place, style=style, count=count)
    others = others[: max(1, (count or 4) // 2)]
    total = max(count or 0, 2 * len(others))
    names = [main] * (total - len(others)) + others
    return sample_scene(rng, objects=names, place=place, style=style)
