"""When a mentor can be booked: rules in wall time, slots in instants, and the directory that shows them."""
