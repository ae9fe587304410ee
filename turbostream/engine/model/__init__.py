"""One model family: its inputs, encoding prompts, the step, decoding."""
