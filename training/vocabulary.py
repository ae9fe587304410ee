"""The demo model's vocabulary: the words that it knows and their meaning to the renderer.

Pure tables. The position of a name in its table is its class number everywhere in this package.
`as_json` is stored with the weights as words.json; the page suggests words from it.
"""

from __future__ import annotations

from typing import Any

# name -> sRGB in 0..255; the palette that pictures are judged by.
COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (216, 36, 40),
    "orange": (245, 134, 22),
    "yellow": (250, 214, 40),
    "green": (46, 160, 62),
    "blue": (38, 92, 220),
    "purple": (128, 48, 186),
    "pink": (250, 132, 182),
    "white": (246, 246, 244),
    "black": (22, 22, 26),
    "grey": (134, 137, 142),
    "brown": (124, 74, 38),
}
THINGS = (
    "circle", "square", "triangle", "star", "heart", "moon", "sun", "flower",
    "tree", "house", "mountain", "fish", "bird", "cat", "dog", "cloud",
    "boat", "butterfly", "mushroom", "eye", "cross", "car", "umbrella", "rocket",
)  # fmt: skip
SCENES = (
    "sky", "night", "sunset", "sea", "forest", "field", "snow", "desert", "fire", "space",
)  # fmt: skip
SIZES = ("tiny", "small", "big", "huge")
COUNTS = ("one", "two", "three", "many")
PATTERNS = ("striped", "dotted", "checked")
MANNERS = ("neon", "pastel", "sketch")

# How many copies each count means.
COPIES = {"one": 1, "two": 2, "three": 3, "many": 5}

SYNONYMS: dict[str, tuple[str, ...]] = {
    "red": ("crimson", "scarlet", "ruby", "cherry", "reddish"),
    "orange": ("tangerine", "amber", "apricot"),
    "yellow": ("gold", "golden", "lemon", "yellowish"),
    "green": ("emerald", "lime", "olive", "greenish"),
    "blue": ("navy", "azure", "cobalt", "sapphire", "cyan", "turquoise", "bluish"),
    "purple": ("violet", "lilac", "lavender", "magenta", "indigo"),
    "pink": ("rose", "rosy", "salmon", "fuchsia", "pinkish"),
    "white": ("ivory", "whitish", "cream"),
    "black": ("ebony", "jet", "blackish"),
    "grey": ("gray", "silver", "ash", "greyish"),
    "brown": ("chocolate", "tan", "coffee", "brownish"),
    "circle": ("ball", "disc", "disk", "sphere", "orb"),
    "square": ("box", "cube", "block"),
    "triangle": ("pyramid",),
    "heart": ("love", "valentine"),
    "moon": ("crescent",),
    "sun": ("sunshine",),
    "flower": ("daisy", "blossom", "bloom"),
    "tree": ("oak",),
    "house": ("home", "cottage", "hut", "cabin"),
    "mountain": ("peak", "hill", "volcano"),
    "bird": ("robin", "sparrow"),
    "cat": ("kitten", "kitty"),
    "dog": ("puppy", "doggy", "hound"),
    "boat": ("ship", "sailboat", "yacht"),
    "butterfly": ("moth",),
    "mushroom": ("toadstool",),
    "cross": ("plus",),
    "car": ("taxi", "automobile"),
    "umbrella": ("parasol",),
    "rocket": ("spaceship", "shuttle"),
    "sky": ("heaven", "daylight"),
    "night": ("midnight", "starry"),
    "sunset": ("dusk", "sunrise", "dawn", "evening"),
    "sea": ("ocean", "water", "lake"),
    "forest": ("woods", "wood", "jungle"),
    "field": ("meadow", "grass", "lawn"),
    "snow": ("snowy", "winter", "snowfall"),
    "desert": ("sand", "dunes", "sahara"),
    "fire": ("flames", "flame", "burning", "inferno"),
    "space": ("galaxy", "cosmos", "nebula", "universe"),
    "tiny": ("mini",),
    "small": ("little",),
    "big": ("large",),
    "huge": ("giant", "enormous", "gigantic"),
    "one": ("1", "single", "lone"),
    "two": ("2", "pair", "couple"),
    "three": ("3", "trio"),
    "many": ("5", "five", "several", "lots", "lot", "some", "few", "group", "dozen", "crowd"),
    "striped": ("stripes", "stripy"),
    "dotted": ("dots", "spotted", "polka", "spots"),
    "checked": ("checkered", "chequered", "checks", "plaid"),
    "neon": ("glowing", "fluorescent"),
    "pastel": ("watercolor", "watercolour"),
    "sketch": ("drawing", "pencil", "sketched"),
}
PLURALS: dict[str, str] = {
    "fish": "fishes", "butterfly": "butterflies", "cross": "crosses", "box": "boxes",
    "puppy": "puppies", "daisy": "daisies", "kitty": "kitties", "taxi": "taxis",
}  # fmt: skip
# Words that connect others and have no meaning of their own.
GLUE = (
    "a", "an", "the", "of", "on", "in", "with", "and", "at", "by", "under", "over", "against",
    "before", "inside", "is", "it", "there", "background", "backdrop", "behind", "front",
    "colour", "color", "coloured", "colored", "style", "picture", "painting", "image", "photo",
    "scene", "room", "wall", "paper", "page", "screen", "everything", "everywhere", "all",
    "only", "just", "plain", "pure", "solid", "bright", "light", "dark", "deep", "face", "full",
    "'s", "please", "paint", "draw", "show", "me", "my", "very", "so", "shape", "shaped", "made",
    "top", "middle", "floating", "flying", "to", "whole", "lights", "pattern", "patterned",
)  # fmt: skip
EXAMPLES = (
    "three yellow stars on a night sky",
    "a red mushroom in the forest",
    "a big pink heart on a blue background",
    "a white boat on the sea",
    "a purple butterfly over a field",
    "a rocket in space",
    "two orange fish in the sea",
    "neon blue cat",
)


def plural(noun: str) -> str:
    """The plural of a noun that this model knows."""
    return PLURALS.get(noun, noun + "s")


def forms(name: str) -> tuple[str, ...]:
    """A name and its synonyms, the name first."""
    return (name, *SYNONYMS.get(name, ()))


def known() -> list[str]:
    """Every known spelling, including glue words, sorted and unique."""
    names = (*COLOURS, *THINGS, *SCENES, *SIZES, *COUNTS, *PATTERNS, *MANNERS)
    out = {form for name in names for form in forms(name)}
    out |= {plural(form) for name in THINGS for form in forms(name)}
    return sorted(out | set(GLUE))


def as_json() -> dict[str, Any]:
    """The known words as plain data, for the page."""
    return {
        "colours": list(COLOURS),
        "things": list(THINGS),
        "grounds": list(SCENES),
        "sizes": list(SIZES),
        "counts": list(COUNTS),
        "patterns": list(PATTERNS),
        "manners": list(MANNERS),
        "glue": list(GLUE),
        "synonyms": {name: list(forms(name)[1:]) for name in SYNONYMS},
        "plurals": {form: plural(form) for name in THINGS for form in forms(name)},
        "examples": list(EXAMPLES),
    }
