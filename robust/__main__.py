"""`python -m robust`: the command line."""

from robust.cli.main import main

if __name__ == "__main__":
    main()
