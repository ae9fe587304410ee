"""The templates that prompts are written from. Pure tables."""

from __future__ import annotations

SCENE_FORMS: dict[str, tuple[str, ...]] = {
    "sky": ("in the {}", "in a blue {}", "under the {}", "on a {} background", "{}",
            "against the {}"),
    "night": ("at {}", "on a {} sky", "in the {}", "under a {} sky", "{} sky", "in a starry night"),
    "sunset": ("at {}", "in the {}", "under a {} sky", "{}", "with a {} behind", "against the {}"),
    "sea": ("in the {}", "on the {}", "by the {}", "over the {}", "{} background", "under {}"),
    "forest": ("in the {}", "in a {}", "before a {}", "{} background", "deep in the {}", "{}"),
    "field": ("in a {}", "on a {}", "over a {}", "in the {}", "{} background", "in a green {}"),
    "snow": ("in the {}", "in {}", "on the {}", "with {}", "{} background", "{} scene"),
    "desert": ("in the {}", "in a {}", "on the {}", "over the {}", "{} background", "{}"),
    "fire": ("in {}", "on {}", "in a {}", "over {}", "{} background", "in the {}"),
    "space": ("in {}", "in the {}", "in a {}", "{} background", "floating in {}", "through {}"),
}  # fmt: skip
COLOUR_FORMS = (
    "on a {} background", "on {}", "{} background", "against {}", "on a {} wall",
    "with a {} background", "in a {} room", "over a {} backdrop",
    "in front of a {} wall", "background {}",
)  # fmt: skip
ALONE_FORMS = (
    "{}", "{} background", "a {} background", "everything {}", "a {} room", "plain {}", "all {}",
    "a {} wall", "the colour {}", "just {}", "{} everywhere", "a {} screen", "{} paper",
    "a picture that is {}", "only the color {}", "make it {}", "{}, {}", "pure {}", "a {} picture",
)  # fmt: skip
COUNT_FORMS: dict[str, tuple[str, ...]] = {
    "one": ("a", "a", "a", "the", "", "", "one", "1", "a single", "a lone"),
    "two": ("two", "two", "2", "a pair of", "a couple of"),
    "three": ("three", "three", "3", "a trio of"),
    "many": ("many", "many", "several", "lots of", "a lot of", "some", "a few", "five", "5",
             "a group of", "", "", "a dozen", "a crowd of"),
}  # fmt: skip
PATTERN_AFTER = {
    "striped": ("with stripes",), "dotted": ("with dots", "with spots", "with polka dots"),
    "checked": ("with checks",),
}  # fmt: skip
MANNER_FORMS = (
    "{} {{}}", "{{}}, {}", "{{}} in {} style", "{{}} {}", "a {} of {{}}", "{} style {{}}",
)  # fmt: skip
NOUN_ORDERS = ("usual", "shuffled", "colour after", "pattern after", "that is")
JOINTS = ("{n} {g}", "{n} {g}", "{n}, {g}", "{g}, {n}", "{g} with {n}", "{g} {n}", "{g} and {n}")
