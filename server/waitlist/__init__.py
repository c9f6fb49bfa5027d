"""Who waits for a mentor that has no time: the first in line is offered what becomes free."""
