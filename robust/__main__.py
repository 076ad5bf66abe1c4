"""`python -m robust`: the command line."""

from robust.cli import main

if __name__ == "__main__":
    main()
