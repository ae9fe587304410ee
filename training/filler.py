"""Words unknown to the model: they must have no effect, or alone select the "free" ground."""

from __future__ import annotations

import random
import string

from training import vocabulary
from training.split import number

WRITTEN = """
able about above across actor afternoon again agent airport album alley almost alone along amazing
ancient angel anger animal answer antique apple april arch area arm army art atlas attic august
autumn avenue away awesome baby back badly balcony banana band bank baroque basket bath bean
beautiful bed bee believe bell bench best better bicycle blanket blurry bold bone book boring
bottle bowl brave bread breakfast breeze bridge brother bucket building busy butter cake calm
camera candle candy canyon careful carpet castle cathedral cave century chair chalk charming
cheese cheerful chess child church cinema cinematic circus city clarinet classic clean clever
clock clumsy coast coin cold comic concert cook cool copper corner cosy country cozy crazy crystal
cup curious curtain cute dance danger deer delicate delicious detailed digital dinner dinosaur
doctor door dragon dramatic dream dreamy dress drum dusty eagle early echo elegant elephant empty
engine epic europe evil expensive fairy fairytale family famous fancy fantastic farm fashion
feather festival film finger floor focus foggy fork fox fragile france fresh friend friendly frog
funny future gallery garden gate gentle ghost glass glory goat good goose gothic grand granny
great guitar hair hammer handsome happy harbor harp hat haunted hello helmet hero hidden history
holiday honest hope horse hotel hungry ice idea impressionist island jacket japan jazz jelly
jewel jolly journey juice jump kettle key kind king kitchen kite knight ladder lady lamp language
laughing lazy leaf leather lesson letter library lion lively lonely loud lovely lucky lunch
machine magic magical map market masterpiece medieval melody metal milk minimal mirror misty modern
money monkey monster morning mother motor mouse music mystery mystic nature neat nice noble noisy
north nurse oil old opera paris party peace pepper perfect person photograph piano picnic pirate
pizza planet plate playful poem polite pool portrait potato powerful pretty prince princess proud
puzzle queen quick quiet rabbit race radio rain rainy realistic restaurant rich river road robot
romantic roof rope royal rugged sad salad school sea-side secret serene shark sharp shelf shining
shoe shop shy silent silly singer sister sleepy slow smart smiling smooth soft soldier song soup
spoon spring squirrel station statue stone storm story strange street strong student sugar summer
surreal sweet table tall teacher temple tender theatre tiger tired tower town toy train travel
trumpet turtle ugly uncle vampire velvet victorian village vintage violin vivid wagon warm wealthy
weird whale wild window wise witch wizard wolf woman wonderful world yesterday young zebra zigzag
4k 8k hd artstation render octane unreal masterful ultra trending bokeh lens hdr award winning
"""
REAL = WRITTEN.split()

KNOWN = frozenset(vocabulary.known())
TRAINED = tuple(w for w in REAL if w not in KNOWN and number("filler", w) % 6)
HELD = tuple(w for w in REAL if w not in KNOWN and not number("filler", w) % 6)
ONSETS = ("b", "br", "c", "ch", "d", "dr", "f", "g", "gl", "h", "j", "k", "l", "m", "n", "p", "qu",
          "r", "s", "sh", "st", "t", "tr", "v", "w", "z", "")  # fmt: skip
VOWELS = ("a", "e", "i", "o", "u", "ai", "ea", "oo", "y", "ie")
CODAS = ("", "", "n", "r", "s", "t", "l", "m", "ck", "nd", "x", "th", "ng")


def word(rng: random.Random, held: bool = False) -> str:
    """A word without meaning to the model: a real one, an invented one, or random letters."""
    kind = rng.random()
    if kind < 0.55:
        return rng.choice(HELD if held else TRAINED)
    if kind < 0.9:
        syllables = rng.randint(1, 3)
        made = "".join(
            rng.choice(ONSETS) + rng.choice(VOWELS) + rng.choice(CODAS) for _ in range(syllables)
        )
    else:
        made = "".join(rng.choices(string.ascii_lowercase, k=rng.randint(1, 9)))
    return made if not near_known(made) else word(rng, held)


def near_known(made: str) -> bool:
    """Whether an invented word is a known word, or could be a misspelt one."""
    return made in KNOWN or made in MISSPELT


def edits(correct: str) -> set[str]:
    """Every word that differs by one letter: dropped, doubled, swapped, replaced or added."""
    out = set()
    letters = string.ascii_lowercase
    for i in range(len(correct) + 1):
        head, tail = correct[:i], correct[i:]
        out |= {head + c + tail for c in letters}
        if tail:
            out.add(head + tail[1:])
            out |= {head + c + tail[1:] for c in letters}
        if len(tail) > 1:
            out.add(head + tail[1] + tail[0] + tail[2:])
    return out - {correct, ""}


MISSPELT = frozenset(e for w in vocabulary.known() if len(w) > 3 and w.isalpha() for e in edits(w))


def misspell(correct: str, rng: random.Random) -> str:
    """The word with one letter wrong; never another known word."""
    for _ in range(8):
        i = rng.randrange(1 if rng.random() < 0.85 else 0, len(correct))
        c = rng.choice(string.ascii_lowercase)
        wrong = rng.choice(
            (
                correct[:i] + correct[i + 1 :],
                correct[:i] + correct[i] + correct[i:],
                correct[: i - 1] + correct[i] + correct[i - 1] + correct[i + 1 :] if i else correct,
                correct[:i] + c + correct[i + 1 :],
                correct[:i] + c + correct[i:],
            )
        )
        if wrong and wrong != correct and wrong not in KNOWN and wrong not in REAL_SET:
            return wrong
    return correct


REAL_SET = frozenset(REAL)
