"""The general text pool: image descriptions from a small grammar.

A rule is a phrase with slots such as {colour}; `core.text.grammar_words` lists what fills them. "{a:pet}" puts the
article before the word. A rule with one slot gives a description a word; one with several gives `per_word` a word of
its first slot, whose partners are taken in turn, so that every list is used evenly and no product explodes.
Nothing is random: the pool is the same everywhere.
"""

import re
from functools import cache

from core.text.grammar_words import WORDS

_SLOT = re.compile(r"\{(a:)?(\w+)\}")
_VOWEL_SOUND = re.compile(r"(?!(?:uni|use|eu|one\b|ukr))[aeiou]|hour|x-ray", re.IGNORECASE)
_TAKES_NONE = re.compile(r"(?:an?|the) |graffiti|embroidery|noodles|chips")

# (phrase, descriptions for each word of its first slot)
RULES: tuple[tuple[str, int], ...] = (
    # colour, texture, pattern, shape, material
    ("the colour {colour}", 1),
    ("{a:colour} background", 1),
    ("mostly {colour} and {colour}", 3),
    ("an image in {tone} colours", 1),
    ("{tone} shades of {colour}", 4),
    ("{a:texture} surface", 1),
    ("{a:texture} piece of {material}", 2),
    ("{a:pattern} pattern", 1),
    ("{pattern} fabric in {colour}", 2),
    ("a wall with {a:pattern} design", 1),
    ("{a:shape}", 1),
    ("{a:colour} {shape}", 3),
    ("something shaped like {a:shape}", 1),
    ("something made of {material}", 1),
    ("close-up of the texture of {material}", 1),
    ("{a:object} made of {material}", 1),
    ("{line}", 1),
    ("an abstract picture with {line}", 1),
    # places, weather, time
    ("a photo taken in {country}", 1),
    ("a traditional house in {country}", 1),
    ("a street market in {country}", 1),
    ("traditional clothing from {country}", 1),
    ("food from {country}", 1),
    ("the flag of {country}", 1),
    ("a landscape in {country} in {season}", 1),
    ("the skyline of {city}", 1),
    ("a busy street in {city} at {time}", 1),
    ("{a:outdoors}", 1),
    ("{a:outdoors} in {weather}", 2),
    ("{a:outdoors} at {time}", 2),
    ("an aerial view of {a:outdoors}", 1),
    ("{a:mood} view of {a:outdoors}", 1),
    ("{a:built}", 1),
    ("{a:built} in {weather}", 1),
    ("{a:built} at {time}", 2),
    ("an empty {built}", 1),
    ("the inside of {a:indoors}", 1),
    ("{a:mood} {indoors}", 3),
    ("people in {a:indoors}", 1),
    ("an untidy {indoors}", 1),
    ("{a:indoors} with {light}", 1),
    ("a picture of {weather}", 1),
    ("the light at {time}", 1),
    ("{season} scenery", 1),
    ("an outdoor scene in {season}", 1),
    ("an image set in {era}", 1),
    ("a building from {era}", 1),
    # how a picture was made, seen, lit and felt
    ("{a:style}", 1),
    ("{a:style} of {a:wild}", 2),
    ("{a:style} of {a:person}", 2),
    ("{a:style} of {a:vehicle}", 1),
    ("{a:photo} photo", 1),
    ("{a:photo} image of {a:person}", 2),
    ("{a:photo} image of {a:outdoors}", 2),
    ("an object seen {view}", 1),
    ("{a:vehicle} seen {view}", 2),
    ("{a:person} seen {view}", 2),
    ("a picture with {composition}", 1),
    ("a scene in {light}", 1),
    ("{a:person} in {light}", 2),
    ("{a:mood} atmosphere", 1),
    ("{a:mood} scene in {colour} tones", 2),
    # animals and plants
    ("{a:pet}", 1),
    ("{a:fur} {pet}", 6),
    ("{a:pet} on {a:furniture}", 3),
    ("{a:pet} held by {a:person}", 2),
    ("{a:farm}", 1),
    ("{a:farm} on a farm in {season}", 3),
    ("{a:wild}", 1),
    ("{a:wild} in the wild", 1),
    ("the face of {a:wild}", 1),
    ("a group of animals with {a:wild} among them", 1),
    ("{a:wild} at {time}", 2),
    ("{a:bird}", 1),
    ("{a:bird} in flight", 1),
    ("{a:bird} on a branch in {weather}", 1),
    ("{a:sea}", 1),
    ("{a:sea} under water", 1),
    ("{a:small}", 1),
    ("a macro shot of {a:small}", 1),
    ("{a:small} on {a:plant}", 2),
    ("{a:plant}", 1),
    ("{a:plant} in {season}", 2),
    ("{a:colour} flower with green leaves", 1),
    # people
    ("{a:person}", 1),
    ("{a:person} {doing}", 8),
    ("{a:person} at {a:event}", 4),
    ("{a:job}", 1),
    ("{a:job} at work", 1),
    ("{a:job} {doing}", 3),
    ("a portrait of {a:expression} {job}", 6),
    ("a person who looks {expression}", 1),
    ("{a:expression} face", 1),
    ("someone {doing}", 1),
    ("someone {doing} in {a:indoors}", 3),
    ("close-up of {a:body}", 1),
    ("a person wearing {a:clothing}", 1),
    ("{a:person} with {a:clothing}", 5),
    ("{a:colour} {clothing}", 4),
    # things
    ("{a:fruit}", 1),
    ("{a:fruit} cut in half", 1),
    ("a basket full of {colour} fruit", 1),
    ("a plate of {dish}", 1),
    ("{dish} on {a:colour} table", 1),
    ("someone preparing {dish}", 1),
    ("a cup or glass of {drink}", 1),
    ("{a:vehicle}", 1),
    ("{a:colour} {vehicle}", 5),
    ("an old {vehicle} in {weather}", 1),
    ("{a:vehicle} near {a:built}", 2),
    ("{a:furniture}", 1),
    ("{a:furniture} made of {material}", 1),
    ("an antique {furniture}", 1),
    ("{a:tool}", 1),
    ("{a:tool} in a hand", 1),
    ("{a:tool} made of {material}", 1),
    ("{a:device}", 1),
    ("a broken {device}", 1),
    ("{a:device} on {a:furniture}", 2),
    ("{a:toy}", 1),
    ("{a:person} with {a:toy}", 3),
    ("{a:music}", 1),
    ("{a:job} playing {a:music}", 1),
    ("{a:object}", 1),
    ("{a:texture} {object}", 3),
    ("a huge {object}", 1),
    ("a tiny {object}", 1),
    # what happens
    ("people playing or practising {sport}", 1),
    ("equipment for {sport}", 1),
    ("{sport} at {time}", 1),
    ("{a:event}", 1),
    ("{a:event} in {country}", 2),
    ("{scene}", 1),
    ("{a:photo} photo of {scene}", 2),
    ("an image that suggests {idea}", 1),
    # letters, numbers, text
    ("the letter {letter}", 1),
    ("a sign with the letter {letter}", 1),
    ("the number {digit}", 1),
    ("the number {digit} on {a:object}", 1),
    ("{many} {things}", 10),
    ("exactly one object on {a:colour} background", 1),
    ("a picture that shows {writing}", 1),
    ("{writing} in {colour}", 1),
    ("the word '{word}' in large letters", 1),
    ("a sign that says '{word}'", 1),
)


@cache
def descriptions() -> tuple[str, ...]:
    """All descriptions of the general pool, each once, in the order of the rules."""
    return tuple(dict.fromkeys(text for rule, per_word in RULES for text in expand(rule, per_word)))


def expand(rule: str, per_word: int) -> list[str]:
    """The descriptions of one rule, `per_word` for each word of its first slot (see the module)."""
    lists = [_words(kind) for _, kind in _SLOT.findall(rule)]
    made = []
    for i in range(len(lists[0])):
        for j in range(per_word if len(lists) > 1 else 1):
            # partners advance by one at every description; the shift keeps a list from meeting itself
            turn = i * per_word + j
            chosen = [lists[0][i], *(words[(turn + i // len(words) + 1) % len(words)] for words in lists[1:])]
            if len(set(chosen)) == len(chosen):
                made.append(_fill(rule, chosen))
    return made


@cache
def _words(kind: str) -> tuple[str, ...]:
    return tuple(" ".join(word.split()) for word in WORDS[kind].split(","))


def _fill(rule: str, chosen: list[str]) -> str:
    rest = iter(chosen)

    def put(slot: re.Match[str]) -> str:
        word = next(rest)
        return with_article(word) if slot[1] else word

    return _SLOT.sub(put, rule)


def with_article(phrase: str) -> str:
    """The phrase with "a" or "an" before it, unless it takes none or has one."""
    if _TAKES_NONE.match(phrase):
        return phrase
    return f"{'an' if _VOWEL_SOUND.match(phrase) else 'a'} {phrase}"
