"""A text-to-image model, played live: words in, an endless stream of pictures out."""

__version__ = "0.1.0"
