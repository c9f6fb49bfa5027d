"""A person's browsers that get push messages: each subscribes itself, and is its owner's until somebody else's."""
