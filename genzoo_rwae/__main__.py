"""`python -m genzoo_rwae`: the command, as the processes of a run on several ranks start it."""

from genzoo_rwae.cli import main

if __name__ == "__main__":
    main()
