"""Texts of the demo world: paraphrases of every factor, and whole captions with what they assert.

A factor prompt names one class of one factor ("a photo of a dog", "on a beach"). A caption names some of a scene's
factors, at varying specificity; its Claim says which, so that training knows every image a caption is true of.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from demo.vocabulary import (
    CATEGORIES,
    CATEGORY_OF,
    COUNT_WORDS,
    OBJECT_NAMES,
    PLACE_PHRASES,
    PLACES,
    STYLE_PHRASES,
    STYLES,
    plural,
    singular,
)
from demo.world import Scene

FACTORS: dict[str, tuple[str, ...]] = {
    "object": OBJECT_NAMES,
    "place": PLACES,
    "style": STYLES,
    "count": COUNT_WORDS,
    "category": CATEGORIES,
}
PICTURES = ("a photo", "a picture", "an image", "a drawing")
_PLACE_NOUNS = {"snow": "snow", "grass": "grass", "ocean": "the ocean", "night sky": "the night sky"} | {
    "stripes": "stripes",
    "dots": "dots",
    "plain": "a plain background",
}
_MASS = ("food", "fruit", "clothing")
_STYLE_WORDS = {
    "colour": ("in colour", "full colour", "sharp and in colour"),
    "black and white": ("black and white", "in black and white", "greyscale"),
    "sepia": ("sepia", "in sepia", "brown sepia tones"),
    "blurred": ("blurred", "blurry", "out of focus"),
}


def place_noun(place: str) -> str:
    """The place as a thing: "a beach", "snow", "the ocean"."""
    return _PLACE_NOUNS.get(place) or singular(place)


def _object_texts(noun: str) -> list[str]:
    one, many = singular(noun), plural(noun)
    return [noun, one, many, f"the {noun}", *(f"{p} of {thing}" for p in PICTURES for thing in (one, many))]


def _place_texts(place: str) -> list[str]:
    noun = place_noun(place)
    phrases = PLACE_PHRASES[place]
    texts = [place, noun, *phrases, *(f"{p} of {noun}" for p in PICTURES), *(f"something {x}" for x in phrases)]
    return [*texts, *(f"{p} taken {phrases[0]}" for p in PICTURES[:2]), f"a scene {phrases[0]}"]


def _style_texts(style: str) -> list[str]:
    pictures = STYLE_PHRASES[style]
    return [*_STYLE_WORDS[style], *pictures, *(f"{picture} of something" for picture in pictures)]


def _count_texts(word: str) -> list[str]:
    things = [f"{word} {noun}" + ("" if word == "one" else "s") for noun in ("object", "thing")]
    extra = ["a single object", "only one thing"] if word == "one" else [f"a group of {word}"]
    return [word, *things, *extra, *(f"{p} of {thing}" for p in PICTURES for thing in things)]


def _category_texts(category: str) -> list[str]:
    one = category if category in _MASS else singular(category)
    many = category if category in _MASS else plural(category)
    return [category, one, many, *(f"{p} of {thing}" for p in PICTURES for thing in (one, many))]


@lru_cache(maxsize=1)
def factor_texts() -> dict[str, list[list[str]]]:
    """For each factor, for each class in order, all its paraphrases."""
    makers = {
        "object": _object_texts,
        "place": _place_texts,
        "style": _style_texts,
        "count": _count_texts,
        "category": _category_texts,
    }
    return {factor: [makers[factor](name) for name in names] for factor, names in FACTORS.items()}


@dataclass(frozen=True)
class Claim:
    """What a caption asserts: class indices, or None where it is silent; up to two objects."""

    objects: tuple[int, ...] = ()
    place: int | None = None
    style: int | None = None
    count: int | None = None
    category: int | None = None


def sample_caption(scene: Scene, rng: np.random.Generator) -> tuple[str, Claim]:
    """A caption that is true of the scene, naming a random part of its factors, and its Claim."""
    say_object, say_place, say_style, say_count = rng.uniform(size=4) < (0.9, 0.6, 0.5, 0.6)
    kinds, names = scene.kinds, [placed.name for placed in scene.objects]
    category: int | None = None
    objects: tuple[int, ...] = ()
    count: int | None = None
    if say_object and not scene.mixed and rng.uniform() < 0.12:
        name = CATEGORY_OF[kinds[0]]
        category = CATEGORIES.index(name)
        things = name if name in _MASS else singular(name) if scene.count == 1 else plural(name)
    elif say_object:
        objects = tuple(OBJECT_NAMES.index(kind) for kind in kinds)
        parts = []
        for kind in kinds:
            number = names.count(kind)
            if say_count:
                parts.append(_counted(kind, number, rng))
            else:
                parts.append(singular(kind) if number == 1 else plural(kind))
        things = " and ".join(parts)
        count = scene.count - 1 if say_count else None
    elif say_count:
        things = COUNT_WORDS[scene.count - 1] + (" object" if scene.count == 1 else " objects")
        count = scene.count - 1
    else:
        things = "something"
    text = things
    if say_style or things == "something":
        text = f"{_pick(STYLE_PHRASES[scene.style], rng)} of {text}"
    elif rng.uniform() < 0.5:
        text = f"{_pick(PICTURES, rng)} of {text}"
    if say_place:
        text = f"{text} {_pick(PLACE_PHRASES[scene.place], rng)}"
    style = STYLES.index(scene.style) if say_style or things == "something" else None
    return text, Claim(objects, PLACES.index(scene.place) if say_place else None, style, count, category)


def _counted(kind: str, number: int, rng: np.random.Generator) -> str:
    """ "two dogs"; a lone one is "one dog" half of the time, since "a dog" is also said where the count is not."""
    if number > 1:
        return f"{COUNT_WORDS[number - 1]} {plural(kind)}"
    one = singular(kind)
    return "one " + one.split(" ", 1)[1] if rng.uniform() < 0.5 else one


def _pick(options: tuple[str, ...], rng: np.random.Generator) -> str:
    return options[int(rng.integers(len(options)))]


def all_words() -> list[str]:
    """Texts that together hold every word that a factor prompt or a caption can hold."""
    texts = {text for classes in factor_texts().values() for paraphrases in classes for text in paraphrases}
    texts |= {phrase for phrases in STYLE_PHRASES.values() for phrase in phrases}
    return sorted(texts | {"and", "of", "something", "one two three four objects"})
