"""How good is it? Numbers that can be compared across tokenizers, sizes and tools."""
