"""Run at the start of every Python that has this folder in PYTHONPATH: there the tests' stages are glassbox's too."""

from pathlib import Path

import glassbox.stages

glassbox.stages.__path__.append(str(Path(__file__).parents[4] / "stages" / "demonstration"))
