"""What the stage `pretrain` does, step by step. All but its settings needs PyTorch from the first line."""
