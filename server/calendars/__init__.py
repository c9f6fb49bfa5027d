"""Calendars that people keep elsewhere: read for conflicts, written with our sessions, and a feed to subscribe to."""
