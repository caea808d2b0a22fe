"""Level 0: settings, types, errors, files and the run folder. Imports nothing else of matinee, and no torch."""
