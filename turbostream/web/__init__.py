"""All HTTP; see the README beside this file."""
