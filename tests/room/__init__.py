"""The room's page in real browsers."""
