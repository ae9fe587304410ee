"""A file of prompts to numbered pictures and a manifest, through any engine, resumable.

prompts.py reads the file, recipe.py says what makes two pictures the same, manifest.py is the list
of what was painted, folder.py puts the pictures that exist in the file's order, run.py paints the
rest. One thread, the caller's. Knows the engine by `stream/engine_api.py` alone, and no web.
"""

from turbostream.batch.prompts import BatchError, Job, read_jobs
from turbostream.batch.recipe import Pipeline
from turbostream.batch.run import Batch, batches, busy

__all__ = ["Batch", "BatchError", "Job", "Pipeline", "batches", "busy", "read_jobs"]
