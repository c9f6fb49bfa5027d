"""The outside world, each part behind a Protocol: mail, and the workers' doorbell."""
