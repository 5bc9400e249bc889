"""Training that is killed and resumed ends with the same bits as training that isn't.

GLASSBOX_KILLS says how often to kill (5 unless told; 20 takes some 20 seconds more), GLASSBOX_SEED when.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the attempts are forks")
@pytest.mark.slow
def test_a_run_killed_at_random_moments_and_while_saving_ends_with_the_same_bits(tmp_path: Path) -> None:
    kills = int(os.environ.get("GLASSBOX_KILLS", "5"))
    script = Path(__file__).with_name("killed_run.py")
    command = [sys.executable, str(script), str(tmp_path / "runs"), str(kills), os.environ.get("GLASSBOX_SEED", "0")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    print(result)  # shown with -s
    assert sum(result["killed"].values()) == kills
    assert min(result["killed"].values()) >= kills // 2
    assert result["ends"]
    assert set(result["ends"]) == {result["expected"]}
