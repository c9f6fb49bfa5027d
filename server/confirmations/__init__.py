"""Whether people come: asked before the session, answered until it begins, and told to operators where it is not."""
