"""Who may do what: each request has an actor, each endpoint says whom it allows, each object whom it is shown to."""
