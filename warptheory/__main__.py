"""Run the command line by `python -m warptheory`."""

from warptheory.cli import main

if __name__ == "__main__":
    main()
