"""A process that holds one model and answers many at once, in the shape of OpenAI's API."""
