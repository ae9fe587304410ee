"""Paint a recorded session again: numbered pictures or a video, resumable, through any engine.

options.py reads the command's options, plan.py lists the shots, chain.py and ages.py tell which
earlier pictures they start from, sources.py gives the engine the pixels of what they start from,
report.py compares the pictures with those of the show, store.py keeps them in a folder, run.py
paints what is missing, movie.py makes a video of the folder. Runs on the caller's thread. A session
of any length takes little memory, since every list is read again from its file.
"""

from turbostream.batch.replay.options import Options, add_to, from_command_line, settings_of
from turbostream.batch.replay.plan import Plan
from turbostream.batch.replay.run import Replay
from turbostream.batch.replay.show import settings_for

__all__ = [
    "Options",
    "Plan",
    "Replay",
    "add_to",
    "from_command_line",
    "settings_for",
    "settings_of",
]
