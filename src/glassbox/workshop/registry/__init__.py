"""What is known about artifacts beyond their files: where they come from, their cards, the tensors in them."""
