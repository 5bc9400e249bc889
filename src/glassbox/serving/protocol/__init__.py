"""What goes over the wire: OpenAI's shapes, and those of looking into a model. Nothing here imports torch."""
