"""What collides with what is booked, and what an administrator or the mentor can do about it."""
