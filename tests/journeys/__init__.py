"""Journeys: the product played by people in real browsers."""
