"""The schema as numbered SQL files, and the runner that applies them forwards only."""

from server.migrations.runner import MigrationError, migrate, pending

__all__ = ["MigrationError", "migrate", "pending"]
