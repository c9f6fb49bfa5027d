"""Messages to people: a row first, then one sending, however often the jobs run."""
