"""From a file of prompts to numbered pictures and a manifest, through any engine, resumable.

prompts.py reads the file, recipe.py says when two pictures are the same, manifest.py reads and
writes the list of what was painted, matching.py finds the picture of each job in it, folder.py
moves the pictures that exist to the file's order, run.py paints the rest. Runs on the caller's
thread. Knows the engine by `stream/engine_api.py` only, and nothing of the web.
"""

from turbostream.batch.prompts import BatchError, Job, read_jobs
from turbostream.batch.recipe import Pipeline
from turbostream.batch.run import Batch, batches, busy

__all__ = ["Batch", "BatchError", "Job", "Pipeline", "batches", "busy", "read_jobs"]
