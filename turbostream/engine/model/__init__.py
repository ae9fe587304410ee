"""How words, noise and pictures become pixels: inputs, encoders, steps, decoders."""

from diffusers.utils import logging as diffusers_logging
from transformers.utils import logging as transformers_logging

# Their progress bars, and warnings about parts that are not used here, would hide our own log
# lines. This comes before their classes are imported because some warnings appear during import.
diffusers_logging.set_verbosity_error()
diffusers_logging.disable_progress_bar()
transformers_logging.set_verbosity_error()
transformers_logging.disable_progress_bar()
