"""The HTTP edge, through HTTP: a real application on loopback, real PostgreSQL and Redis."""
