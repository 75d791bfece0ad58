"""The one base of what a command refuses."""


class Refusal(Exception):
    """A command cannot go on: the message says why and what to do, and the command ends with 2."""
