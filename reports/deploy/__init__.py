"""A recommended recipe as files that run it without this suite."""
