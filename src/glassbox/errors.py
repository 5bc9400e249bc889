"""The one error that a person is meant to read.

Everything a person can get wrong (a file, a number, a name) is raised as `BadInput`; the faces print its two
sentences and end with exit code 2. Any other exception is a fault of ours and keeps its traceback.
"""

from __future__ import annotations


class BadInput(Exception):  # noqa: N818  (it reads as what happened: "raise BadInput")
    """Something given by a person cannot be used.

    problem: one sentence, what was expected and what came, naming the file, field or value.
    remedy:  one sentence, what to do next.
    """

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(f"{problem} {remedy}")
        self.problem = problem
        self.remedy = remedy

    def __reduce__(self) -> tuple[type[BadInput], tuple[str, str]]:
        """Travel between processes: pickling an exception otherwise forgets that there are two sentences."""
        return type(self), (self.problem, self.remedy)
