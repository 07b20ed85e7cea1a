"""One file per paper: stimuli, model, run, analysis, Dataset. Keyword defaults are the config."""
