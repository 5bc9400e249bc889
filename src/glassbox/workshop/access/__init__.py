"""What a request passes before it is answered: whom an endpoint allows, what is refused at the door, what is noted."""
