"""People: who they are, how they prove it, and what a mentor says about herself."""
