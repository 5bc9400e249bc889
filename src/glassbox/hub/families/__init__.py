"""One file for each family of models in Hugging Face's format. Adding a family is adding a file with a `FAMILY`."""
