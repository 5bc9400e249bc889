"""Runs that wait, are at work, and survive: the queue, its resources, and the processes."""
