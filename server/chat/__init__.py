"""What was said in a session's room: stored, numbered without gaps, there after a reload."""
