"""Time and facts turned into calls: periodic jobs, reactions to facts, and the worker that runs both."""
