"""How an attempt at a run becomes processes: on this machine, several of them, or on a cluster."""
