"""Wrong folders, and folders with wrong files, for ``launch.py``; in the form of ``cases_launch.py``."""

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
    ("recall --resume", "--resume needs the folder of the run to continue; name it with --out."),
    (
        "recall --resume --out run --steps 7",
        "The run in run was started with other flags (--cells: lstm in the folder, simple lstm gru gru:chrono=200 "
        "asked for; --steps: 400 in the folder, 7 asked for; --seeds: 1 in the folder, 3 asked for); give the same, or "
        "another folder with --out.",
    ),
    (
        "series --resume --out moved --train gone.npz",
        "--train gone.npz cannot be read from the current folder; go to the folder in which the run was trained, or "
        "restore the file.",
    ),
    (
        "recall --resume --out broken-config",
        "'broken-config/config.json' is damaged, not valid JSON (Expecting value: line 1 column 1 (char 0)); restore "
        "it or run again.",
    ),
    (
        "recall --resume --out other-version",
        "The flags in the run's config.json are damaged or of another version (unknown: colour); restore it or run "
        "again.",
    ),
    (
        "recall --resume --cells lstm --seeds 1 --out broken-environment",
        "'broken-environment/environment.json' is damaged, resumed: expected array, got int; restore it or run again.",
    ),
    (
        "recall --resume --cells lstm --seeds 1 --out broken-failure",
        "'broken-failure/members/lstm-seed0/failure.json' is damaged, message is missing; restore it or run again.",
    ),
    ("report", "report needs at least one run folder, as in launch.py report runs/recall-20260101-120000."),
    ("report nowhere", "'nowhere' is not a run folder (it holds no config.json); name a folder that a run wrote."),
    ("report notes.txt", "'notes.txt' is not a run folder (it holds no config.json); name a folder that a run wrote."),
    ("report empty", "'empty' is not a run folder (it holds no config.json); name a folder that a run wrote."),
    (
        "report broken-flags",
        "'broken-flags/config.json' is damaged, flags: expected object, got array; restore it or run again.",
    ),
    (
        "report broken-task",
        "'broken-task/task.json' is damaged, objective: invalid enum value 'guess', expected one of binary, classes, "
        "number, symbols, signals; restore it or run again.",
    ),
    (
        "report broken-member",
        "'broken-member/members/lstm-seed0/member.json' is damaged, parameters is missing; restore it or run again.",
    ),
    (
        "report deep-task",
        "'deep-task/task.json' is damaged, lists and objects in it are more than 64 deep; restore it or run again.",
    ),
    (
        "report broken-name",
        "'broken-name/config.json' is damaged, a name with half a surrogate pair; restore it or run again.",
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
    ("report run --out all", "--out is for several shards of one study; name all of them, or leave it out."),
    ("compare run", "A comparison needs at least two run folders, got 1: name them one after another."),
    ("compare run run", "'run' is named twice; name two or more different run folders."),
    (
        "compare run nowhere",
        "'/home/you/nowhere' is not a run folder (it holds no config.json); name a folder that a run wrote.",
    ),
    (
        "compare run no-words --out notes.txt",
        "'notes.txt' exists and is not a comparison; name another file or remove it.",
    ),
    (
        "predict nowhere good.csv",
        "'nowhere' is not a run folder (it holds no config.json); name a folder that a run wrote.",
    ),
    (
        "predict run good.csv",
        "The run 'run' has not validated any cell yet; wait until it has, or name another run.",
    ),
    (
        "predict trained good.csv",
        "'trained/members/lstm-seed0/model.json' does not exist: the run is older than this file, which describes the "
        "model, or its cell is neither one of rnnjax nor a class in a file of your own; run again.",
    ),
    (
        "predict trained good.csv --out notes.txt",
        "'notes.txt' must end in .csv or .jsonl; name such a file with --out.",
    ),
    (
        "predict trained good.csv --out few.csv",
        "'few.csv' exists; name another file with --out, or remove it.",
    ),
    (
        "predict huge-model good.csv",
        "'huge-model/members/lstm-seed0/model.json' is damaged, it describes no model of rnnjax (its whole numbers "
        "must be at most 2147483647); restore it or run again.",
    ),
    (
        "explain nowhere --text film",
        "'nowhere' is not a run folder (it holds no config.json); name a folder that a run wrote.",
    ),
    (
        "explain run --text film",
        "The run 'run' has not validated any cell yet; wait until it has, or name another run.",
    ),
    (
        "explain no-words --text film",
        "'no-words/vocabulary.json' does not exist: the run is older than this file, in which its words stand; run "
        "again.",
    ),
    (
        "explain broken-params --text film",
        "The parameters in 'broken-params/members/lstm-seed0/params.msgpack' are damaged (their shapes are not those "
        "of the run's flags and vocabulary); remove the folder around them or run again.",
    ),
    (
        "explain adding --text film",
        "The run 'adding' is of adding, whose inputs are no texts; give --example 0, or the number of another example "
        "of its test data, in place of --text.",
    ),
    ("reach", "reach needs at least one run folder, as in launch.py reach runs/recall-20260101-120000."),
    (
        "reach nowhere",
        "'nowhere' is not a run folder (it holds no config.json); name a folder that a run wrote.",
    ),
    (
        "reach run",
        "The run 'run' is not finished (1 of 1 networks are not: lstm-seed0); continue it with its flags, --out and "
        "--resume, or name another run.",
    ),
    ("reach run --examples 0", "--examples is 0; give a number of at least 1."),
    ("explain trained --example 0", "The run 'trained' is of recall, which reads texts; give --text alone."),
    (
        "explain trained --text xyzzy",
        "The run's vocabulary has no word of --text; give a text with words such as wonderful, horrifying, film.",
    ),
    (
        "explain trained --text !!!",
        "There is no word in --text; give a text with words such as wonderful, horrifying, film.",
    ),
]


SHOWN = {"Folders and what is in them": FOLDERS}
