"""`python -m showo_turbo`: the same as the `showo-turbo` command."""

from .cli.main import main

if __name__ == "__main__":
    main()
