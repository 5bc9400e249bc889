"""The server: every stage, run, artifact and model over HTTP, for one person or a class. It never imports PyTorch."""
