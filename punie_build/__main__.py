"""Run the commands of punie-build: `python -m punie_build COMMAND`."""

from punie_build.cli.main import main

if __name__ == "__main__":
    main()
