"""The whole story of a session, told from what every part has written down about it."""
