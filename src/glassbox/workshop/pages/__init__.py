"""The pages that the server writes itself: where to go, how to come in, what went wrong."""
