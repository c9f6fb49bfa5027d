"""What mentees say of sessions they came to, shown once an administrator has read it."""
