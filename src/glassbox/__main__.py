"""`python -m glassbox` is the command `glassbox`."""

from glassbox.cli.main import main

main()
