"""The words of the demo world: complete, distinct, drawable."""

from collections import Counter

import numpy as np
import pytest

from core.errors import InputError
from demo.captions import FACTORS, all_words, factor_texts
from demo.pool import POOL, pool_texts
from demo.recipe import tokenize
from demo.sprites import TILE, sprite
from demo.vocabulary import CATEGORIES, OBJECT_NAMES, OBJECTS, PLACES, STYLES, counted, plural, singular


def test_objects_are_many_distinct_and_all_categories_are_used() -> None:
    assert 100 <= len(OBJECTS) <= 180
    assert len(set(OBJECT_NAMES)) == len(OBJECTS) == len({kind.codepoint for kind in OBJECTS})
    per_category = Counter(kind.category for kind in OBJECTS)
    assert set(per_category) == set(CATEGORIES)
    assert min(per_category.values()) >= 5
    assert len(PLACES) == 13
    assert len(STYLES) == 4


def test_nouns() -> None:
    assert counted("key", 1) == "a key"
    assert counted("cherry", 3) == "three cherries"
    assert singular("octopus") == "an octopus"
    assert (plural("bus"), plural("fox"), plural("toy"), plural("die")) == ("buses", "foxes", "toys", "dice")


def test_the_atlas_holds_a_distinct_drawn_tile_for_every_object() -> None:
    tiles = [np.asarray(sprite(name)) for name in OBJECT_NAMES]
    assert all(tile.shape == (TILE, TILE, 4) for tile in tiles)
    ink = [(tile[:, :, 3] > 127).mean() for tile in tiles]
    assert min(ink) > 0.1  # the thinnest glyphs, glasses and bicycle, cover a fifth of their tile
    assert len({tile.tobytes() for tile in tiles}) == len(OBJECTS)


def test_an_unknown_sprite_is_refused_with_advice() -> None:
    with pytest.raises(InputError, match="demo/vocabulary"):
        sprite("unicorn")


def test_every_class_has_paraphrases_and_no_text_means_two_classes_of_a_factor() -> None:
    for factor, classes in factor_texts().items():
        assert len(classes) == len(FACTORS[factor])
        assert all(len(texts) >= 4 for texts in classes)
        texts = [text for paraphrases in classes for text in set(paraphrases)]
        assert len(texts) == len(set(texts)), factor


def test_every_text_of_the_pool_is_made_of_words_that_training_knows() -> None:
    tokenize(pool_texts(), 20)  # raises for a token that is in no training text
    with pytest.raises(AssertionError, match="missing"):
        tokenize(["a quantum chromodynamics lecture"], 20)
    assert len(all_words()) == len(set(all_words()))


def test_the_shipped_pool_is_what_the_generator_writes() -> None:
    texts = pool_texts()
    assert 1500 <= len(texts) <= 3500
    assert len(set(texts)) == len(texts)
    assert POOL.read_text(encoding="utf-8").splitlines() == texts
