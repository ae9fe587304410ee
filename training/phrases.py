"""Prompts with their meaning: (text, recipe row) pairs, phrased like those of users.

A phrasing is the structure of a prompt, independent of its subject. Some phrasings and some pairs
of words are reserved for the evaluation (`split`). Pure Python; used by many processes at once.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from training import filler, vocabulary
from training.prompt_templates import (
    ALONE_FORMS,
    COLOUR_FORMS,
    COUNT_FORMS,
    JOINTS,
    MANNER_FORMS,
    NOUN_ORDERS,
    PATTERN_AFTER,
    SCENE_FORMS,
)
from training.scene import CLASSES, COLUMNS, GROUNDS, NO_COLOUR, NO_LETTER, NO_THING
from training.split import HELD_COLOURS, HELD_GROUNDS, held_pair, held_phrasing


@dataclass
class Meaning:
    """What a prompt specifies; None means "not specified"."""

    thing: str | None = None
    colour: str | None = None
    ground: str = "free"
    tint: str | None = None
    size: str | None = None
    count: str = "one"
    pattern: str | None = None
    manner: str | None = None
    letter: str | None = None

    def row(self) -> list[int]:
        """The recipe, in the order of `scene.COLUMNS`."""
        colours = list(vocabulary.COLOURS)
        return [
            NO_THING if self.thing is None else vocabulary.THINGS.index(self.thing),
            NO_COLOUR if self.colour is None else colours.index(self.colour),
            GROUNDS.index(self.ground),
            NO_COLOUR if self.tint is None else colours.index(self.tint),
            0 if self.size is None else 1 + vocabulary.SIZES.index(self.size),
            vocabulary.COUNTS.index(self.count),
            0 if self.pattern is None else 1 + vocabulary.PATTERNS.index(self.pattern),
            0 if self.manner is None else 1 + vocabulary.MANNERS.index(self.manner),
            NO_LETTER if self.letter is None else ord(self.letter) - ord("a"),
        ]


class Writer:
    """Writes random prompts; with `held` only those reserved for the evaluation."""

    def __init__(self, rng: random.Random, held: bool = False) -> None:
        self.rng, self.held, self.phrasing = rng, held, ""

    def pick(self, options: tuple[str, ...] | list[str], part: str = "") -> str:
        """One of the options; with a named `part` the choice is part of the phrasing."""
        chosen = self.rng.choice(options)
        if part:
            self.phrasing += f"{part}={chosen};"
        return chosen

    def form(self, name: str) -> str:
        """The name itself in half of the cases, otherwise a synonym."""
        options = vocabulary.forms(name)
        return name if self.rng.random() < 0.5 or len(options) == 1 else self.rng.choice(options)

    def chance(self, share: float) -> bool:
        return self.rng.random() < share

    def prompt(self) -> tuple[str, Meaning]:
        """A prompt and its meaning."""
        while True:
            self.phrasing = ""
            text, meaning = self.thing_prompt() if self.held else self.any_prompt()
            phrasing = held_phrasing(self.phrasing)
            pair = held_pair(meaning.thing, meaning.colour, meaning.ground)
            if (phrasing and pair) if self.held else not (phrasing or pair):
                return text, meaning

    def any_prompt(self) -> tuple[str, Meaning]:
        dice = self.rng.random()
        if dice < 0.80:
            text, meaning = self.thing_prompt()
        elif dice < 0.88:
            text, meaning = self.colour_prompt()
        elif dice < 0.95:
            text, meaning = self.scene_prompt()
        else:
            return self.free_prompt()
        return self.disturbed(text), meaning

    def thing_prompt(self) -> tuple[str, Meaning]:
        """A thing, possibly on a ground; with `held`, a pair that is held out."""
        rng, meaning = self.rng, Meaning(thing=self.pick(vocabulary.THINGS))
        assert meaning.thing is not None
        meaning.ground = words_ground(meaning.thing)
        if self.chance(0.78):
            meaning.colour = self.pick(tuple(vocabulary.COLOURS))
        on_ground = self.chance(0.72)
        if on_ground:
            meaning.ground = self.pick(
                tuple(vocabulary.COLOURS if self.chance(0.55) else vocabulary.SCENES)
            )
        if self.held:
            meaning.colour = self.pick(sorted(HELD_COLOURS[meaning.thing]))
            if on_ground:
                meaning.ground = self.pick(sorted(HELD_GROUNDS[meaning.thing]))
        meaning.count = rng.choices(vocabulary.COUNTS, (0.58, 0.14, 0.14, 0.14))[0]
        meaning.size = self.pick(vocabulary.SIZES) if self.chance(0.32) else None
        meaning.pattern = self.pick(vocabulary.PATTERNS) if self.chance(0.18) else None
        meaning.manner = self.pick(vocabulary.MANNERS) if self.chance(0.12) else None
        text = self.noun_phrase(meaning)
        if on_ground:
            text = self.join(text, self.ground_phrase(meaning))
        return self.in_manner(text, meaning), meaning

    def noun_phrase(self, meaning: Meaning) -> str:
        assert meaning.thing is not None
        order = self.pick(NOUN_ORDERS, "noun")
        noun = self.form(meaning.thing)
        noun = noun if meaning.count == "one" else vocabulary.plural(noun)
        if meaning.thing == "dog" and self.chance(0.2):
            noun = "dog's face" if meaning.count == "one" else "dog faces"
        before = [self.form(x) for x in (meaning.size, meaning.pattern, meaning.colour) if x]
        after = ""
        if order == "shuffled":
            self.rng.shuffle(before)
        if meaning.colour and order in ("colour after", "that is"):
            colour = before.pop()
            is_are = "is" if meaning.count == "one" else "are"
            after = f", {colour}" if order == "colour after" else f"that {is_are} {colour}"
        if meaning.pattern and order == "pattern after":
            before.pop(1 if meaning.size else 0)
            after = self.rng.choice(PATTERN_AFTER[meaning.pattern])
        phrase = f"{self.rng.choice(COUNT_FORMS[meaning.count])} {' '.join(before)} {noun}"
        return f"{phrase} {after}".replace(" ,", ",")

    def ground_phrase(self, meaning: Meaning) -> str:
        if meaning.ground in vocabulary.COLOURS:
            return self.pick(COLOUR_FORMS, "ground").format(self.form(meaning.ground))
        index = self.rng.randrange(6)
        self.phrasing += f"scene={index};"
        name = self.form(meaning.ground)
        if self.chance(0.07) and meaning.ground not in ("sky", "fire"):
            meaning.tint = self.pick(tuple(vocabulary.COLOURS))
            name = f"{self.form(meaning.tint)} {name}"
        text = SCENE_FORMS[meaning.ground][index].format(name)
        return text.replace("a blue starry", "a starry")

    def join(self, noun: str, ground: str) -> str:
        return self.pick(JOINTS, "joint").format(n=noun, g=ground)

    def in_manner(self, text: str, meaning: Meaning) -> str:
        if meaning.manner is None:
            return text
        return self.pick(MANNER_FORMS, "manner").format(self.form(meaning.manner)).format(text)

    def colour_prompt(self) -> tuple[str, Meaning]:
        """A colour alone is a ground of that colour."""
        ground = self.pick(tuple(vocabulary.COLOURS))
        meaning = Meaning(ground=ground)
        meaning.manner = self.pick(vocabulary.MANNERS) if self.chance(0.06) else None
        name = self.form(ground)
        text = self.pick(ALONE_FORMS, "alone").format(name, name)
        return self.in_manner(text, meaning), meaning

    def scene_prompt(self) -> tuple[str, Meaning]:
        """A scene alone, possibly tinted."""
        ground = self.pick(vocabulary.SCENES)
        meaning = Meaning(ground=ground)
        meaning.manner = self.pick(vocabulary.MANNERS) if self.chance(0.1) else None
        name = self.form(ground)
        if self.chance(0.25) and ground != "fire":
            tint = self.pick(tuple(vocabulary.COLOURS))
            meaning.tint = None if (ground, tint) == ("sky", "blue") else tint
            name = f"{self.form(tint)} {name}"
        form = self.pick(
            ("{}", "the {}", "a {}", "a picture of the {}", "{} background", "in the {}")
        )
        return self.in_manner(form.format(name), meaning), meaning

    def free_prompt(self) -> tuple[str, Meaning]:
        """Words without meaning, or no words."""
        if self.chance(0.12):
            text = self.rng.choice(("", " ", ".", "a", "the", "?", "of the", "!!", "please", "..."))
            return text, Meaning()
        unknown = [filler.word(self.rng, self.held) for _ in range(self.rng.randint(1, 5))]
        first = next((c for c in unknown[0] if "a" <= c <= "z"), None)
        lead = self.rng.choice(("", "", "", "a ", "the "))
        meaning = Meaning(letter=first)
        meaning.manner = self.pick(vocabulary.MANNERS) if self.chance(0.05) else None
        return self.in_manner(lead + " ".join(unknown), meaning), meaning

    def disturbed(self, text: str) -> str:
        """The text with inserted unknown words, a misspelt word or without commas; same meaning."""
        parts = text.split()
        if self.chance(0.22):
            for _ in range(self.rng.choice((1, 1, 2, 3))):
                parts.insert(self.rng.randint(0, len(parts)), filler.word(self.rng, self.held))
        if self.chance(0.2):
            long = [i for i, p in enumerate(parts) if len(p) > 3 and p in SPELLABLE]
            if long:
                i = self.rng.choice(long)
                parts[i] = filler.misspell(parts[i], self.rng)
        text = " ".join(parts)
        return text.replace(",", "") if self.chance(0.15) else text


SPELLABLE = frozenset(w for w in vocabulary.known() if w.isalpha() and w not in vocabulary.GLUE)
assert len(CLASSES) == len(COLUMNS)


def words_ground(thing: str) -> str:
    """The ground of a thing if the prompt names none."""
    from training.things import THINGS

    return THINGS[thing].ground


def write(seed: int, amount: int, held: bool = False) -> tuple[list[str], list[list[int]]]:
    """`amount` prompts and their recipes; the same for the same seed."""
    writer = Writer(random.Random(seed), held)
    pairs = [writer.prompt() for _ in range(amount)]
    return [text for text, _ in pairs], [meaning.row() for _, meaning in pairs]
