"""Level 6: one file per command: parse, call the workflow, print. Nothing imports this room."""
