"""What stands between the workshop and a model's process, so that the process never outlives the workshop.

    python -m glassbox.workshop.gateway.tether FOLDER COMMAND [ARGUMENT ...]

The workshop holds the other end of standard input. When that closes, however the workshop ended, the folder in which
the two of them met is removed, and everything in this process group is asked to end, and then made to: a process that
hangs can't look after that by itself. Until then this one waits, and ends with the exit code of the command, or 128 and
the signal that killed it.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading

MODULE = "glassbox.workshop.gateway.tether"
DRAINING = 12.0  # seconds to end by oneself


def main(folder: str, command: list[str]) -> int:
    """Run the command in this process group, of which we must be the leader."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it is for the command, which gets it too
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    child = subprocess.Popen(command, stdin=subprocess.PIPE, preexec_fn=_hear_signals)
    threading.Thread(target=_end_with_parent, args=(child, folder), daemon=True).start()
    code = child.wait()
    return code if code >= 0 else 128 - code


def _hear_signals() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _end_with_parent(child: subprocess.Popen[bytes], folder: str) -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    shutil.rmtree(folder, ignore_errors=True)
    os.killpg(0, signal.SIGTERM)
    try:
        child.wait(DRAINING)
    except subprocess.TimeoutExpired:
        os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
