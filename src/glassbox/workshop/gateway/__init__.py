"""The gateway in front of the served models: which there are, their processes, whom they answer, and what that cost."""
