"""What every part of the domain stands on: errors, clock, identifiers, database access, facts, logs."""
