"""Bookings: who meets whom at what time, and how far that has been agreed."""
