"""The room socket, over real sockets, PostgreSQL and the SFU."""
