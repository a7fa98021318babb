"""Wrong input for ``launch.py``: arguments, and the sentence that they get after "error: ".

Each begins in a folder that ``folder.py`` has filled and ends with status 1. Those of ``SHOWN`` stand in
docs/wrong-input.md as they are here; ``page.py`` prints it.
"""

FLAGS = [
    ("recall --cells lstn", "There is no cell 'lstn'; choose from simple, lstm, gru, as in --cells simple lstm."),
    (
        "recall --cells lstm:chrono=soon",
        "In 'lstm:chrono=soon', chrono must be a number of steps, at least 3, but 'soon' was given.",
    ),
    (
        "recall --cells lstm:forget_bias=nan",
        "In 'lstm:forget_bias=nan', forget_bias must be a number, but 'nan' was given.",
    ),
    (
        "recall --cells gru:recurrent_init=random",
        "In 'gru:recurrent_init=random', recurrent_init must be orthogonal or identity, or either with a scale as in "
        "orthogonal*0.9, but 'random' was given.",
    ),
    ("recall --features 0", "--features must be at least 1, but 0 was given."),
    ("recall --features 99999999999", "--features must be at most 2147483647, but 99999999999 was given."),
    ("recall --batch-size -3", "--batch-size must be at least 1, but -3 was given."),
    ("recall --learning-rate nan", "--learning-rate must be a number above 0, but nan was given."),
    ("recall --dropout 1", "--dropout must be from 0 to below 1, but 1.0 was given."),
    ("recall --curriculum 2", "--curriculum must be from 0 to 1, but 2.0 was given."),
    ("recall --seed -1", "--seed must be 0 or more, but -1 was given."),
    ("recall --min-distance 30 --max-distance 20", "--min-distance must be from 0 to --max-distance, but 30 was given."),
    ("adding --length 1", "--length must be at least 2, but 1 was given."),
    ("temporal --marks 4", "--marks must be 2 or 3, but 4 was given."),
    ("copying --pooling mean", "--pooling must be last where every step answers, but mean was given."),
    ("trainability --gains 1 1", "--gains must be one or more numbers above 0, none twice, but (1.0, 1.0) was given."),
    (
        "recall --sweep learning_rate",
        "--sweep wants name=value,value as in --sweep learning_rate=1e-3,3e-3, but 'learning_rate' was given.",
    ),
    ("recall --sweep features=8,many", "--sweep features wants a whole number, but 'many' was given."),
    ("recall --shard 5/4", "--shard must be i/n with i from 1 to n, as in 1/4, but 5/4 was given."),
    ("recall --model-devices 2", "--model-devices must be 1 without --parallel sharded, but 2 was given."),
    ("recall --coordinator here", "--coordinator must be with --num-processes and --process-id, but here was given."),
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

FOLDERS = [
    ("recall --out notes.txt", "The output folder notes.txt is a file; give another folder with --out."),
    (
        "recall --out notes.txt/run",
        "The output folder notes.txt/run cannot be written (Not a directory); give one that can with --out.",
    ),
    ("recall --out photos", "The output folder photos is not empty; give another with --out, or remove it first."),
    (
        "recall --out run",
        "The output folder run already holds a run; continue it with --resume, give another with --out, or remove it "
        "first.",
    ),
    ("recall --resume", "--resume wants the folder of the run that is to be continued; name it with --out."),
    (
        "recall --resume --out run --steps 7",
        "The run in run was started with other flags (--cells: lstm in the folder, simple lstm gru gru:chrono=200 asked "
        "for; --steps: 400 in the folder, 7 asked for; --seeds: 1 in the folder, 3 asked for); give the same, or another "
        "folder with --out.",
    ),
    (
        "recall --resume --out broken-config",
        "'broken-config/config.json' is damaged, not valid JSON (Expecting value: line 1 column 1 (char 0)); restore it "
        "or run again.",
    ),
    (
        "recall --resume --out other-version",
        "The flags in the run's config.json are damaged or of another version (unknown: colour); restore it or run "
        "again.",
    ),
    (
        "recall --resume --cells lstm --seeds 1 --out broken-environment",
        "'broken-environment/environment.json' is damaged, expected a list under resumed; remove it, or run again.",
    ),
    (
        "recall --resume --cells lstm --seeds 1 --out broken-failure",
        "'broken-failure/members/lstm-seed0/failure.json' is damaged, expected a message in it; remove the folder "
        "around it.",
    ),
    ("report", "report wants at least one run folder, as in launch.py report runs/recall-20260101-120000."),
    ("report nowhere", "'nowhere' is not a run folder (it holds no config.json); name a folder that a run wrote."),
    ("report notes.txt", "'notes.txt' is not a run folder (it holds no config.json); name a folder that a run wrote."),
    ("report empty", "'empty' is not a run folder (it holds no config.json); name a folder that a run wrote."),
    (
        "report broken-flags",
        "'broken-flags/config.json' is damaged, expected an object under flags; restore it or run again.",
    ),
    (
        "report broken-task",
        "'broken-task/task.json' is damaged (ValueError: objective is 'guess', expected one of binary, classes, number, "
        "symbols); expected what a run writes there: run again.",
    ),
    (
        "report broken-member",
        "The records in 'broken-member/members/lstm-seed0' are damaged (KeyError: 'parameters'); expected what a run "
        "writes there: remove that folder or run again.",
    ),
    (
        "report broken-result",
        "'broken-result/members/lstm-seed0/result.json' is damaged, not valid JSON (Expecting value: line 1 column 1 "
        "(char 0)); restore it or run again.",
    ),
    (
        "report folder-for-file",
        "'folder-for-file/members/lstm-seed0/metrics.jsonl' cannot be read (Is a directory); restore it or run again.",
    ),
    ("report run --out all", "--out is for shards of one study, and these are none; leave it out."),
    ("compare run", "A comparison wants at least two run folders, got 1: name them one after another."),
    ("compare run run", "'/home/you/run' is named twice; name two or more different run folders."),
    (
        "compare run nowhere",
        "'/home/you/nowhere' is not a run folder (it holds no config.json); name a folder that a run wrote.",
    ),
    ("compare run broken-failure --out notes.txt", "'notes.txt' exists and is not a comparison; name another file or remove it."),
    ("explain nowhere --text film", "'nowhere' is not a run folder (it holds no config.json); name a folder that a run wrote."),
    (
        "explain run --text film",
        "The run 'run' has not validated any cell yet; wait until it has, or name another run.",
    ),
    (
        "explain no-words --text film",
        "'no-words/vocabulary.json' does not exist: the run is older than this file, in which its words stand; run again.",
    ),
    (
        "explain broken-params --text film",
        "The parameters in 'broken-params/members/lstm-seed0/params.msgpack' are damaged (their shapes are not those of "
        "the run's flags and vocabulary); remove the folder around them or run again.",
    ),
    (
        "explain adding --text film",
        "The run 'adding' reads no words, it is of adding; name one of recall, imdb or text.",
    ),
    (
        "explain trained --text xyzzy",
        "The run knows no word of --text; give a text with words such as wonderful, horrifying, film.",
    ),
    (
        "explain trained --text !!!",
        "There is no word in --text; give a text with words such as wonderful, horrifying, film.",
    ),
]

DATA = [
    ("text --train nowhere.tsv", "There is no file nowhere.tsv; name one that exists."),
    (
        "text --train notes.txt",
        "notes.txt is of no known kind; give a file whose name ends in .tsv, .csv, .jsonl.",
    ),
    (
        "text --train columns.csv",
        'No column of columns.csv is called label, class, sentiment, target or category: the first line must name the '
        'columns (of JSON: in its keys) and has "text", "stars"; mend it, or give one of these with --label-column.',
    ),
    (
        "text --train good.csv --text-column body",
        'No column of good.csv is called "body": the first line must name the columns (of JSON: in its keys) and has '
        '"text", "label"; mend it, or give one of these with --text-column.',
    ),
    (
        "text --train one.csv",
        'All labels of one.csv are "good"; give examples of at least two labels.',
    ),
    (
        "text --train good.csv --test other.csv",
        'Line 2 of other.csv has the label "ugly", which good.csv does not have; give one of "bad", "good".',
    ),
    (
        "text --train good.csv --validation 0.6 --test-share 0.6",
        "A validation fraction of 0.6 and a test fraction of 0.6 leave nothing to train on; give smaller ones.",
    ),
    (
        "text --train few.csv",
        "2 examples of 2 labels are too few for parts of 0 and 0 beside a training part with every label; give more "
        "examples, or other fractions for the validation and the test part.",
    ),
    ("series --train nowhere.npz", "nowhere.npz is no file; name an .npz file."),
    ("series --train nan.npz", "x of nan.npz holds NaN, infinity or a number too large for float32 in example 2, "
     "counted from 0; mend it or leave it out."),
    ("series --train no-y.npz", "no-y.npz has no array y, but x; save x and y."),
    ("series --train words.npz", "x of words.npz holds <U1; save numbers."),
    (
        "series --train shapes.npz",
        "x of shapes.npz has the shape (3, 4), which does not fit 5 labels; give (N, T, D), (N, T), or with lengths "
        "(their sum, D), none of them 0.",
    ),
    (
        "series --train lengths.npz",
        "lengths of lengths.npz holds float64 in the shape (2,); give an integer for each of the 2 labels.",
    ),
    ("series --train no-steps.npz", "Example 1 of no-steps.npz has the length 0; give every one a step."),
    ("characters --file photos", "photos is a folder; name a file in it."),
    (
        "characters --file notes.txt",
        "8 characters are too few for a training, a validation and a test part of at least one window of 100 characters "
        "and one more; give a longer text, a smaller window or larger fractions.",
    ),
    ("imdb --data-dir nowhere", "The data folder nowhere does not exist; name an existing one with --data-dir."),
]

SHOWN = {"Flags": FLAGS, "Folders and what is in them": FOLDERS, "Your own data": DATA}
