"""`python -m runtime.cli`: the `seedwright` command without its launcher."""

from runtime.cli.main import main

if __name__ == "__main__":
    main()
