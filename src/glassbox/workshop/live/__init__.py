"""What happens, as it happens: events over a WebSocket, curves of any length in few points."""
