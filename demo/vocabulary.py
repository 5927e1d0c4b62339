"""The words of the demo world: what may stand in a scene, where, in which style, and how many.

Every factor of a scene is a short tuple of names; their order here is the order of class indices everywhere
(training targets, evaluation, the manifest), so append at the end and never reorder.
"""

from dataclasses import dataclass

CATEGORIES = (
    "animal",
    "sea creature",
    "food",
    "fruit",
    "plant",
    "vehicle",
    "building",
    "clothing",
    "musical instrument",
    "tool",
    "toy",
)

# One line a category: name, glyph. Names are singular; irregular plurals are listed below.
_GLYPHS: dict[str, str] = {
    "animal": "dog 🐶, cat 🐱, lion 🦁, panda 🐼, pig 🐷, frog 🐸, monkey 🐵, rabbit 🐰, fox 🦊, elephant 🐘, "
    "giraffe 🦒, zebra 🦓, snake 🐍, turtle 🐢, penguin 🐧, owl 🦉, butterfly 🦋, bee 🐝, ladybug 🐞, snail 🐌",
    "sea creature": "fish 🐠, whale 🐳, octopus 🐙, crab 🦀, shark 🦈, squid 🦑",
    "food": "burger 🍔, pizza 🍕, sushi 🍣, taco 🌮, hot dog 🌭, birthday cake 🎂, donut 🍩, ice cream 🍦, "
    "fried egg 🍳, cheese 🧀, pretzel 🥨, popcorn 🍿, carrot 🥕, corn 🌽",
    "fruit": "apple 🍎, banana 🍌, strawberry 🍓, watermelon 🍉, pineapple 🍍, pear 🍐, cherry 🍒, bunch of grapes 🍇",
    "plant": "tree 🌳, palm tree 🌴, christmas tree 🎄, cactus 🌵, sunflower 🌻, rose 🌹, maple leaf 🍁, mushroom 🍄",
    "vehicle": "car 🚗, bus 🚌, bicycle 🚲, airplane ✈, helicopter 🚁, rocket 🚀, sailboat ⛵, steam train 🚂, "
    "tractor 🚜, motorcycle 🏍",
    "building": "house 🏠, castle 🏰, tent ⛺, church ⛪, ferris wheel 🎡",
    "clothing": "top hat 🎩, shirt 👕, dress 👗, sneaker 👟, boot 👢, pair of glasses 👓, crown 👑, glove 🧤",
    "musical instrument": "guitar 🎸, trumpet 🎺, drum 🥁, saxophone 🎷, piano 🎹",
    "tool": "hammer 🔨, key 🔑, scissors ✂, pencil ✏, umbrella ☂, candle 🕯, light bulb 💡, magnet 🧲, laptop 💻, "
    "camera 📷, alarm clock ⏰, telephone ☎",
    "toy": "teddy bear 🧸, soccer ball ⚽, basketball 🏀, balloon 🎈, die 🎲, kite 🪁",
}

_PLURALS = {
    "fish": "fish",
    "octopus": "octopuses",
    "sushi": "pieces of sushi",
    "ice cream": "ice creams",
    "cheese": "pieces of cheese",
    "popcorn": "boxes of popcorn",
    "corn": "ears of corn",
    "bunch of grapes": "bunches of grapes",
    "cactus": "cacti",
    "maple leaf": "maple leaves",
    "pair of glasses": "pairs of glasses",
    "scissors": "pairs of scissors",
    "die": "dice",
}
_SINGULARS = {
    "sushi": "a piece of sushi",
    "cheese": "a piece of cheese",
    "popcorn": "a box of popcorn",
    "corn": "an ear of corn",
    "scissors": "a pair of scissors",
}


def plural(noun: str) -> str:
    """The plural of a noun of the vocabulary: "key" -> "keys", "bus" -> "buses", "cherry" -> "cherries"."""
    if noun in _PLURALS:
        return _PLURALS[noun]
    if noun.endswith(("s", "x", "ch", "sh")):
        return noun + "es"
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return noun[:-1] + "ies"
    return noun + "s"


def singular(noun: str) -> str:
    """The noun with its article: "key" -> "a key", "owl" -> "an owl", "cheese" -> "a piece of cheese"."""
    if noun in _SINGULARS:
        return _SINGULARS[noun]
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


@dataclass(frozen=True)
class ObjectKind:
    """One nameable object: its noun, the glyph it is drawn from, its category."""

    name: str
    glyph: str
    category: str

    @property
    def codepoint(self) -> int:
        """Unicode codepoint of the glyph."""
        return ord(self.glyph)


def _parse() -> tuple[ObjectKind, ...]:
    kinds = []
    for category in CATEGORIES:
        for entry in _GLYPHS[category].split(", "):
            name, glyph = entry.rsplit(" ", 1)
            kinds.append(ObjectKind(name, glyph, category))
    return tuple(kinds)


OBJECTS: tuple[ObjectKind, ...] = _parse()
OBJECT_NAMES: tuple[str, ...] = tuple(kind.name for kind in OBJECTS)
CATEGORY_OF: dict[str, str] = {kind.name: kind.category for kind in OBJECTS}

# Each place with the phrases that put something in it; the first is the canonical one.
PLACE_PHRASES: dict[str, tuple[str, ...]] = {
    "beach": ("on a beach", "at the beach", "on the sand by the sea"),
    "snow": ("in the snow", "on snow", "in falling snow"),
    "grass": ("on grass", "on the grass", "on a green lawn"),
    "desert": ("in the desert", "in a desert", "among sand dunes"),
    "ocean": ("in the ocean", "in the sea", "on blue ocean waves"),
    "night sky": ("in the night sky", "under a night sky", "among the stars"),
    "city at night": ("in a city at night", "in front of a city at night", "in a dark city with lit windows"),
    "sunset": ("at sunset", "in front of a sunset", "under an orange sunset sky"),
    "forest": ("in a forest", "in the forest", "in the woods"),
    "brick wall": ("in front of a brick wall", "on a brick wall", "against red bricks"),
    "stripes": ("on stripes", "on a striped background", "over a striped pattern"),
    "dots": ("on dots", "on a dotted background", "over a polka dot pattern"),
    "plain": ("on a plain background", "on a plain colour", "on an empty background"),
}
PLACES: tuple[str, ...] = tuple(PLACE_PHRASES)

# Each style with the words for such a picture; the first is the canonical one.
STYLE_PHRASES: dict[str, tuple[str, ...]] = {
    "colour": ("a colour picture", "a color photo", "a sharp colour picture"),
    "black and white": ("a black and white picture", "a black and white photo", "a greyscale picture"),
    "sepia": ("a sepia picture", "a sepia photo", "an old brown sepia picture"),
    "blurred": ("a blurred picture", "a blurry photo", "an out of focus picture"),
}
STYLES: tuple[str, ...] = tuple(STYLE_PHRASES)

COUNT_WORDS: tuple[str, ...] = ("one", "two", "three", "four")
COUNTS: tuple[int, ...] = (1, 2, 3, 4)


def counted(noun: str, count: int) -> str:
    """ "a key", "two keys", ... for 1 to 4."""
    return singular(noun) if count == 1 else f"{COUNT_WORDS[count - 1]} {plural(noun)}"
