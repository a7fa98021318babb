"""Prints docs/wrong-input.md from the cases that the tests run.

PYTHONPATH=. python tests/wrong_input/page.py > docs/wrong-input.md
"""

import cases_folders
import cases_launch
import cases_library
import cases_measuring

HEAD = """# Wrong input, and the error it gives

Wrong input gives one sentence that names the argument, the value given and what is expected. The tests run every line
below and compare the whole sentence; this page is generated from the same list.

## From the command line

A command with wrong input prints one sentence on stderr, ends with status 1 and leaves nothing behind: no run
folder and no partly written file. A flag that does not parse ends with status 2, Ctrl-C with 130, SIGTERM with 143.
`python launch.py recall --help` explains the values of every flag. In the lines below `run` is the folder of a run,
`notes.txt` is a file, and the other folders and files are named after what is wrong with them.
"""

LIBRARY = """## From Python

The library raises `ValueError`. Types, dtypes and shapes are checked when a function is called or traced, before
anything is compiled. Values, such as lengths, are checked where they are known: inside `jax.jit` they are not, and
lengths are clipped to the range from 0 to the number of steps.

Numbers that are not finite are no error in `rnnjax.unroll`, which propagates them like every function of arrays;
`rnnjax.diagnose` reports in which layer, gate and step the first of them arose, and training stops with an error.

Here `cell` is `rnnjax.LSTM(5)` with `params` for three inputs, `xs` is an array of numbers (8, 4, 3), `tokens` one
of word ids (4, 8), `layer` is `rnnjax.RNN(cell)` with `variables`, and `classify` applies a classifier of nine words.
"""


STRANGERS = """## Files from strangers

A run folder, a data file or an archive may be somebody else's. What is promised about them, and tested:

- **Links are not followed in a run folder.** A symbolic link in place of a file or folder that rnnjax reads, copies or
  writes there is refused by name. Merging shards copies only the files that a run writes. The folder that you name may
  itself be a link, and so may a data file.
- **Regular files only.** A pipe, a socket or a device is refused before it is opened; process substitution, as in
  `--file <(zcat book.gz)`, is a pipe: write it into a file first.
- **Sizes are bounded before reading.** In a run folder a JSON file may have 256 MB, a line of records 64 MB, and all
  records of a file 8 GB; parameters as much as the run's model has. A text file may have 8 GB, the arrays of an `.npz`
  file 16 GB unpacked, the IMDB archive 1 GB unpacked and each of its reviews 1 MB, a file of MNIST 256 MB unpacked.
- **Nothing is unpickled.** Arrays of Python objects are refused, since unpickling can run code.
- **Records have types.** An unknown state, a field of another type, a text with half a surrogate pair or a number
  out of range is refused with the file, the line and the field.
- **Control characters are printed as escapes**, as in `\\x1b`, on the terminal, on the page and in figures, wherever
  a label, a text, a name or a reason comes from; HTML is escaped.
- **Padding is told.** Where one series is much longer than most, a line says how much memory padding takes before it
  is made; where the machine has less, it is a sentence.

Several processes of one training connect through JAX, without authentication: see [machines](machines.md). rnnjax
itself reads nothing from those connections. A data set that is far too slow or large to train is not detected, and the
files of a run folder must not be exchanged while they are read.
"""


def table(title, wrong, cases):
    """One section of the page, a table of input and error message."""
    rows = [f"| `{given}` | {_escaped(message)} |" for given, message in cases]
    return "\n".join([f"### {title}", "", f"| {wrong} | error |", "|---|---|", *rows, ""])


def _escaped(text):
    """``text`` with the characters escaped that have a meaning in a Markdown table."""
    return text.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")


def page():
    """The whole page."""
    parts = [HEAD]
    for title, cases in (cases_launch.SHOWN | cases_folders.SHOWN).items():
        parts.append(table(title, "command", [(f"launch.py {line}", message) for line, message in cases]))
    parts.append(STRANGERS)
    parts.append(LIBRARY)
    for title, cases in (cases_library.SHOWN | cases_measuring.SHOWN).items():
        parts.append(table(title, "call", cases))
    return "\n".join(parts)


if __name__ == "__main__":
    print(page(), end="")
