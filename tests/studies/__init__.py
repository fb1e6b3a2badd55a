"""Studies of the method on a real machine: they take minutes, and time is what they measure."""
