"""Who stays away again and again is warned, then not booked for a while, and may appeal."""
