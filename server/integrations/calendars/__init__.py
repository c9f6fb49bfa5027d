"""Calendars that people keep elsewhere: one Protocol, a client for each kind of them."""
