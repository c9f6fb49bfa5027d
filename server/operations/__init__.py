"""What administrators see of jobs, queues and dead letters, and what they do about them, on record."""
