"""`python -m robust.cli`: the command line."""

from robust.cli.app import main

if __name__ == "__main__":
    main()
