"""`python -m matinee`: the `matinee` program, for launchers that start Python modules (`torchrun -m matinee`)."""

from matinee.cli.main import main

if __name__ == "__main__":
    main()
