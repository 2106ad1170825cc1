"""The one error that readers meet: a sentence that says what was wrong, where, and what to do."""


class GanBookError(ValueError):
    """Bad input from outside the program: a folder, a recipe, a checkpoint, an option.

    Its message is one sentence for a person. The command line prints it and exits with status 2;
    in Python it is an ordinary ``ValueError``.
    """
