"""Make a virtual environment with everything that Glassbox needs. Called by the Makefile; needs only Python itself.

    python3 install.py FOLDER [--for-tests] [--torch cpu|cuda] [--extra NAME]...

PyTorch comes first and apart, because the build that pip finds by default on Linux brings several gigabytes of CUDA
libraries, which a machine without a GPU never uses: this asks pip what it would take (without taking it) and goes to
PyTorch's own index of CPU builds if that would be a CUDA build. `--torch cuda` takes what pip finds.
`--for-tests` brings a Chromium too (the one on the PATH, else Debian's, else the one that Playwright downloads), and
PostgreSQL's server (the one that is there, else Debian's).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
OLDEST = (3, 11)
TORCH = "torch==2.13.0"
CPU_BUILDS = "https://download.pytorch.org/whl/cpu"
CHROMIUM = ("chromium", "fonts-dejavu-core")  # Debian's packages
POSTGRESQL = ("postgresql",)
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")  # tests/browser looks for the same


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("--for-tests", action="store_true")
    arguments.add_argument("--torch", choices=("cpu", "cuda"), default="cpu")
    arguments.add_argument(
        "--extra", action="append", default=[], help="optional parts: hub, onnx, postgresql, ray, s3"
    )
    chosen = arguments.parse_args()
    if sys.version_info < OLDEST:
        found = ".".join(map(str, sys.version_info[:3]))
        sys.exit(f"Glassbox needs Python 3.11 or newer, and this is {found}. Try: make PYTHON=python3.12 run")

    if not (chosen.folder / "pyvenv.cfg").exists():
        print(f"Making a virtual environment in {chosen.folder}", flush=True)
        venv.create(chosen.folder, with_pip=True)
    python = chosen.folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")

    print("Installing PyTorch", flush=True)
    pip(python, "install", TORCH, *torch_index(python, chosen.torch))
    print("Installing Glassbox", flush=True)
    group = ["--group", f"{HERE / 'pyproject.toml'}:dev"] if chosen.for_tests else []
    pip(python, "install", "pip>=25.1")  # the first that knows --group
    package = f"{HERE}[{','.join(chosen.extra)}]" if chosen.extra else str(HERE)
    pip(python, "install", TORCH, "--editable", package, *group, "--constraint", str(HERE / "constraints.txt"))
    if chosen.for_tests:
        install_browser(python)
        install_postgresql()


def torch_index(python: Path, wanted: str) -> list[str]:
    """Where to take PyTorch from: nothing (what pip finds), or PyTorch's index of CPU builds."""
    if wanted == "cuda" or sys.platform != "linux":
        return []
    asked = [python, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed", "--no-deps", "--report", "-"]
    answer = subprocess.run([*asked, TORCH], capture_output=True, text=True, check=False)
    if answer.returncode == 0:
        metadata = json.loads(answer.stdout)["install"][0]["metadata"]
        needs = " ".join(metadata.get("requires_dist", []))
        if metadata["version"].endswith("+cpu") or ("nvidia" not in needs and "cuda" not in needs):
            return []
    return ["--index-url", CPU_BUILDS]


def install_browser(python: Path) -> None:
    """A Chromium for the tests of what is seen in a browser, unless there is one."""
    if any(shutil.which(name) for name in BROWSERS):
        return
    print("Installing Chromium, for the tests in a browser", flush=True)
    install_from_debian(*CHROMIUM)
    if shutil.which("chromium"):
        return
    if subprocess.run([python, "-m", "playwright", "install", "chromium"], check=False).returncode:
        print("No Chromium could be installed: the tests in a browser will be skipped. Install one and run this again.")


def install_postgresql() -> None:
    """A PostgreSQL server, of which the tests of the workshop start one of their own, unless there is one."""
    if shutil.which("initdb") or any(Path("/usr/lib/postgresql").glob("*/bin/initdb")):
        return
    print("Installing PostgreSQL, for the tests of the database", flush=True)
    install_from_debian(*POSTGRESQL)
    if not any(Path("/usr/lib/postgresql").glob("*/bin/initdb")):
        print("PostgreSQL could not be installed: tests on it will be skipped. Install it and run this again.")


def install_from_debian(*packages: str) -> None:
    """Where Debian's packages are, and may be installed."""
    if shutil.which("apt-get") and hasattr(os, "geteuid") and os.geteuid() == 0:
        quiet = {"env": {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}, "stdout": subprocess.DEVNULL}
        subprocess.run(["apt-get", "update", "-q"], check=False, **quiet)
        subprocess.run(["apt-get", "install", "-y", "-q", "--no-install-recommends", *packages], check=False, **quiet)


def pip(python: Path, *words: str) -> None:
    """Run pip quietly; its own error is the message."""
    done = subprocess.run(
        [python, "-m", "pip", words[0], "--quiet", "--disable-pip-version-check", *words[1:]], check=False
    )
    if done.returncode:
        sys.exit(
            f"pip could not finish ({' '.join(words)}). Its message stands above; run the same command again to retry."
        )


if __name__ == "__main__":
    main()
