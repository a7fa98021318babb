"""The one exception that means: the user can mend this, and the message says how."""


class UserError(Exception):
    """Bad input from outside: a flag, a file, a folder.

    The message is one sentence that says what was wrong, what was expected and what to do.
    ``launch.py`` prints it without a traceback and exits with status 1.
    """
