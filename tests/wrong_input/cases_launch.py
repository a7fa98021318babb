"""Wrong input for ``launch.py``: arguments, and the error message, which is printed after "error: ".

Each command runs in a folder filled by ``folder.py`` and ends with status 1. ``page.py`` prints the cases in ``SHOWN``
for docs/wrong-input.md.
"""

FLAGS = [
    (
        "--tyro-write-completion powershell completions",
        "--tyro-write-completion must be one of bash, zsh, tcsh, fish, but powershell was given.",
    ),
    (
        "recall --cells lstn",
        "There is no cell 'lstn'; choose from simple, lstm, gru, peephole, janet, indrnn, mingru, minlstm, ctrnn, "
        "layernorm_lstm, lstmp, slstm, lru, cornn, as in --cells simple lstm, or name a class in a file of your own, "
        "as in --cells my_cells:MyCell.",
    ),
    (
        "recall --cells lstm:chrono=soon",
        "In 'lstm:chrono=soon', chrono must be a whole number, or none, but 'soon' was given.",
    ),
    (
        "recall --cells my_cells:Cell",
        "There is no file my_cells.py in the working directory, which the cell 'my_cells:Cell' names; give "
        "my_cells:MyCell for the class MyCell of my_cells.py in the working directory.",
    ),
    (
        "recall --cells my_cells.py:Cell",
        "A cell of your own is named as module:Class, but 'my_cells.py:Cell' was given; give my_cells:MyCell for the "
        "class MyCell of my_cells.py in the working directory.",
    ),
    (
        "recall --cells own_cells:Missing",
        "own_cells.py does not define the class Missing; it defines Unfinished, Plain.",
    ),
    (
        "recall --cells own_cells:Plain",
        "Plain of own_cells.py is no cell; derive the class from rnnjax.Cell or rnnjax.ElementwiseCell.",
    ),
    (
        "recall --cells own_cells:Unfinished",
        "Unfinished of own_cells.py does not define init, initial_state, step; a cell needs all of them.",
    ),
    (
        "recall --cells lstm slstm --omega 0.1",
        "--omega reads the equations of an elementwise cell, which 'slstm' is not; leave it out, or choose other "
        "cells.",
    ),
    (
        "recall --cells gru indrnn --omega 0.1",
        "--omega changes W_h alone, which 'indrnn' does not have; leave it out, or choose other cells.",
    ),
    (
        "recall --cells simple:activation=relu --flossing 0.1",
        "--flossing needs finite Lyapunov exponents, and those of relu in 'simple:activation=relu' are not; leave it "
        "out, or choose tanh.",
    ),
    ("recall --cells lstm:chrono=2", "In 'lstm:chrono=2', chrono must be at least 3 steps, got 2."),
    (
        "recall --cells lstm:forget_bias=nan",
        "In 'lstm:forget_bias=nan', forget_bias must be a number, but 'nan' was given.",
    ),
    (
        "recall --cells gru:recurrent_init=random",
        "In 'gru:recurrent_init=random', recurrent_init must be glorot, or orthogonal, identity, normal or sparse, "
        "each also with a scale as in orthogonal*0.9, but 'random' was given.",
    ),
    ("recall --features 0", "--features must be at least 1, but 0 was given."),
    ("recall --features 99999999999", "--features must be at most 2147483647, but 99999999999 was given."),
    ("recall --batch-size -3", "--batch-size must be at least 1, but -3 was given."),
    ("recall --learning-rate nan", "--learning-rate must be a number above 0, but nan was given."),
    (
        "recall --omega inf",
        "--omega must be from 1.2e-38 to 3.4e38, which single precision can hold, but inf was given.",
    ),
    ("recall --dropout 1", "--dropout must be from 0 to below 1, but 1.0 was given."),
    ("recall --curriculum 2", "--curriculum must be from 0 to 1, but 2.0 was given."),
    ("recall --seed -1", "--seed must be 0 or more, but -1 was given."),
    (
        "recall --min-distance 30 --max-distance 20",
        "--min-distance must be from 0 to --max-distance, but 30 was given.",
    ),
    ("adding --length 1", "--length must be at least 2, but 1 was given."),
    ("temporal --marks 4", "--marks must be 2 or 3, but 4 was given."),
    ("flipflop --channels 0", "--channels must be at least 1, but 0 was given."),
    (
        "flipflop --pulse-probability 1.5",
        "--pulse-probability must be above 0 and at most 1, but 1.5 was given.",
    ),
    ("copying --pooling mean", "--pooling must be last for a task with an output at every step, but mean was given."),
    ("trainability --gains 1 1", "--gains must be one or more different numbers above 0, but (1.0, 1.0) was given."),
    (
        "recall --sweep learning_rate",
        "--sweep must be name=value,value as in --sweep learning_rate=1e-3,3e-3, but 'learning_rate' was given.",
    ),
    ("recall --sweep features=8,many", "--sweep features must be a whole number, but 'many' was given."),
    ("recall --shard 5/4", "--shard must be i/n with i from 1 to n, as in 1/4, but 5/4 was given."),
    ("recall --model-devices 2", "--model-devices must be 1 without --parallel sharded, but 2 was given."),
    (
        "recall --coordinator here",
        "--coordinator, --num-processes and --process-id are given together, or none of them; add --num-processes and "
        "--process-id.",
    ),
    (
        "recall --coordinator here --num-processes 2 --process-id 1",
        "--coordinator must be address:port, as in 10.0.0.1:8476, but here was given.",
    ),
    (
        "adding --steps 2000000000 --cells lstm",
        "train_examples is 128000000000, more than 2147483647; give fewer --steps or a smaller --batch-size.",
    ),
    (
        "copying --delay 2000000000 --cells lstm",
        "LSTM: the machine has too little memory; give fewer --steps or --seeds at once, a smaller --batch-size, "
        "--features or sequence.",
    ),
]

DATA = [
    ("text --train nowhere.tsv", "There is no file nowhere.tsv; give one that exists."),
    (
        "text --train notes.txt",
        "notes.txt is of an unknown kind; give a file whose name ends in .tsv, .csv, .jsonl, or in one of these and "
        ".gz.",
    ),
    (
        "text --train columns.csv",
        "No column of columns.csv is called label, class, sentiment, target or category: its first line (or first JSON "
        'object) names "text", "stars"; give one of these with --label-column, rename a column, or give --no-header.',
    ),
    (
        "text --train good.csv --text-column body",
        'No column of good.csv is called "body": its first line (or first JSON object) names "text", "label"; give one '
        "of these with --text-column, or rename a column.",
    ),
    (
        "text --train good.csv --no-header",
        'Without a header line the columns of good.csv are "1", "2"; give the number of one of them with '
        "--text-column.",
    ),
    (
        "text --train latin.csv",
        "Line 2 of latin.csv is not UTF-8 (byte 0xef); save the file as UTF-8, or name its encoding, as in --encoding "
        "latin-1.",
    ),
    (
        "text --train good.csv --encoding klingon",
        "There is no text encoding 'klingon'; give one that Python knows, such as utf-8, latin-1, cp1252 or shift_jis.",
    ),
    (
        "text --train swallowed.tsv",
        "The double quote that opens a field on line 2 of swallowed.tsv is closed only on line 4, though line 4 looks "
        "like a row of its own; give every line 2 fields to have quotes read as text, or write the file as .csv.",
    ),
    (
        "text --train surrogate.jsonl",
        "Line 1 of surrogate.jsonl has a label with \\ud83d, which is half of a character; correct the label.",
    ),
    (
        "text --train photos",
        "photos does not hold a folder of .txt files for each class, as in photos/good/1.txt; give the folder that "
        "holds the folders of the classes, or a file.",
    ),
    (
        "text --train half.csv.gz",
        "half.csv.gz is no whole gzip file (Compressed file ended before the end-of-stream marker was reached); "
        "compress it again.",
    ),
    (
        "text --train pipe.csv",
        "pipe.csv cannot be read (it is a pipe, not a regular file); give a readable file.",
    ),
    (
        "text --train one.csv",
        'All labels of one.csv are "good"; give examples of at least two classes.',
    ),
    (
        "text --train good.csv --test other.csv",
        'Line 2 of other.csv has the label "ugly", which good.csv does not have; give one of "bad", "good".',
    ),
    (
        "text --train good.csv --validation 0.6 --test-share 0.6",
        "A validation fraction of 0.6 and a test fraction of 0.6 leave no training examples; give smaller fractions.",
    ),
    (
        "text --train few.csv",
        "2 examples of 2 classes are too few: held-out parts of 0 and 0 examples must not be empty and must leave "
        "every class in the training part; give more examples, or other fractions for validation and test.",
    ),
    ("series --train nowhere.npz", "There is no file nowhere.npz; give one that exists."),
    (
        "series --train sound.wav",
        "sound.wav is not an .npz file, the kind that series are read from; write one with numpy.savez. "
        "docs/how-to/own-data.md makes one of .ts, .wav and .csv files in a few lines.",
    ),
    (
        "series --train nan.npz",
        "x of nan.npz holds NaN, infinity or a number too large for float32 in example 2, "
        "counted from 0; correct or remove it.",
    ),
    ("series --train no-y.npz", "no-y.npz must hold arrays x and y, but holds x."),
    ("series --train words.npz", "x of words.npz has dtype <U1; save numbers."),
    (
        "series --train shapes.npz",
        "x of shapes.npz has the shape (3, 4), which does not fit 5 labels; give (N, T, D), (N, T), or with lengths "
        "(sum of lengths, D), without axes of length 0.",
    ),
    (
        "series --train lengths.npz",
        "lengths of lengths.npz has dtype float64 and shape (2,); give an integer for each of the 2 labels.",
    ),
    (
        "series --train no-steps.npz",
        "Example 1 of no-steps.npz has the length 0; every series needs at least one step.",
    ),
    ("characters --file photos", "photos is a folder; give a file in it."),
    (
        "characters --file notes.txt",
        "8 characters are too few: training, validation and test each need at least 101, one more than a window has; "
        "give a longer text, a smaller window or larger fractions.",
    ),
    ("imdb --data-dir nowhere", "The data folder nowhere does not exist; give an existing one with --data-dir."),
]

SHOWN = {"Flags": FLAGS, "Your own data": DATA}
