"""How a person wants to be reached: the account's address, numbers, and what is told where."""
