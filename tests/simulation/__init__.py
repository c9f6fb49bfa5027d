"""Two days in the life of the house, in minutes: many sessions, everything that can die dies, and a checker that knows
only the script says what must have happened."""
