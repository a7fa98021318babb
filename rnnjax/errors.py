"""The exception for errors that the user can correct, with a message that states how."""


class UserError(Exception):
    """Wrong input from outside: a flag, a file, a folder.

    The message is one sentence that states what is wrong, what is expected and what to do.
    ``launch.py`` prints it without a traceback and exits with status 1.
    """


class TrainingDivergedError(UserError):
    """A loss or a gradient is not finite; all runs were trained nevertheless."""
