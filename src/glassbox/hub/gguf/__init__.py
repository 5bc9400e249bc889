"""GGUF, the one-file format that llama.cpp and what is built on it (Ollama, LM Studio) read."""
