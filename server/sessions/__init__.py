"""Sessions: the meetings that were agreed, and the passes into their rooms."""
