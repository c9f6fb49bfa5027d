"""Everything that must pass before a change lands."""
