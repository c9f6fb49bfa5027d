"""The meeting log: what happened in and around a session's room, written from facts, in partitions by month."""
