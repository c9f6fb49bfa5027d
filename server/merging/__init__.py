"""Sessions of one mentor that an administrator brings into one room, and takes apart again."""
