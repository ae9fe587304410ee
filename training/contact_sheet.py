"""A contact sheet of 64 prompts: `python -m training.contact_sheet FOLDER OUT.jpg`."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from PIL import Image

from training.evaluate import Subject, draw

PROMPTS = """three yellow stars on a night sky|a red mushroom in the forest
big pink heart, blue background
a white boat on the sea|a striped fish in the sea|a purple butterfly over a field|a rocket in space
neon blue cat|a brown dog|a house in the snow|two green trees in a field|a sun at sunset
a black cat on an orange background|many pink flowers on a green background|a moon at night
a yellow umbrella on grey|a red car in the desert|pastel clouds in the sky|a sketch of a bird
a green eye on black|a huge golden star|a tiny blue house in a field|three red circles on white
a checked square on yellow|dotted purple triangle|a red cross on a white background|fire
a blue mountain at sunset|two orange fish|a pink bird in the sky|a white rocket on a night sky
forest|desert|sea|space|snow|sunset|night sky|field|sky|red|a turquoise room|everything purple
neon pink flower|neon green rocket in space|a sketch of a house in the forest|pastel butterfly
sketch of three hearts|a grey cloud over the sea|several brown mushrooms|white flower on pink
a black umbrella in the snow|yelow sttar on a blue bakground|crimson boat at dusk|a golden fish
a silver moon over the desert|a big brown dog in the snow|many yellow butterflies|a cat in the fire
dream machine|jazz|gentle velvet|happy birthday grandma|a striped orange cat on blue
two dotted mushrooms in a forest|five white stars in space|a checked car on pink|a blue heart"""


def main(folder: Path, out: Path, columns: int = 8, side: int = 176) -> None:
    prompts = PROMPTS.replace("\n", "|").split("|")[: columns * 8]
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    image = Subject(folder, device).paint(prompts, draw(len(prompts), device, 8)).cpu()
    pixels = (image * 255).round().byte().permute(0, 2, 3, 1).numpy()
    rows = -(-len(prompts) // columns)
    sheet = Image.new("RGB", (columns * side, rows * side))
    for k, picture in enumerate(pixels):
        tile = Image.fromarray(picture).resize((side - 2, side - 2), Image.Resampling.LANCZOS)
        sheet.paste(tile, (k % columns * side + 1, k // columns * side + 1))
    sheet.save(out, quality=88)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
