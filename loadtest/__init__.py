"""The capacity tool: synthetic people who really hold a call with a running server, and the figures that come out."""
