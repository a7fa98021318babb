"""Prints docs/wrong-input.md from the cases that the tests run.

PYTHONPATH=. python tests/wrong_input/page.py > docs/wrong-input.md
"""

import cases_folders
import cases_launch
import cases_library
import cases_measuring

HEAD = """# Wrong input, and what is said of it

What cannot be used is refused with a sentence that names the argument, what was given and what is wanted. The tests run
every line below and compare the whole sentence; this page is made from the same list.

## From the command line

A command that is refused prints one sentence on stderr, ends with status 1 and leaves nothing behind: no run folder, no
file half written. A flag that does not parse ends with status 2, Ctrl-C with 130, SIGTERM with 143.
`python launch.py recall --help` tells what every flag may be. In the lines below `run` is the folder of a run,
`notes.txt` a file, and a folder's or file's name says what is wrong with it.
"""

LIBRARY = """## From Python

The library raises `ValueError`. Kinds, dtypes and shapes are looked at when a function is called or traced, before
anything is compiled. Values, such as lengths, are looked at where they are known: not inside of `jax.jit`, where a
length beyond the last step counts as that, and one below 0 as 0.

Numbers that are not finite are no error of `rnnjax.unroll`, which hands them on as every function of arrays does;
`rnnjax.diagnose` says in which layer, gate and step the first of them was made, and training stops there and says so.

Here `cell` is `rnnjax.LSTM(5)` with `params` for three inputs, `xs` are numbers (8, 4, 3), `tokens` word ids (4, 8),
`layer` is `rnnjax.RNN(cell)` with `variables`, and `classify` applies a classifier of nine words.
"""


def table(title, wrong, cases):
    """One section."""
    rows = [f"| `{given}` | {_escaped(said)} |" for given, said in cases]
    return "\n".join([f"### {title}", "", f"| {wrong} | what is said |", "|---|---|", *rows, ""])


def _escaped(text):
    """Without the signs that would mean something to Markdown inside a table."""
    return text.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")


def page():
    """The whole page."""
    parts = [HEAD]
    for title, cases in (cases_launch.SHOWN | cases_folders.SHOWN).items():
        parts.append(table(title, "command", [(f"launch.py {line}", said) for line, said in cases]))
    parts.append(LIBRARY)
    for title, cases in (cases_library.SHOWN | cases_measuring.SHOWN).items():
        parts.append(table(title, "call", cases))
    return "\n".join(parts)


if __name__ == "__main__":
    print(page(), end="")
