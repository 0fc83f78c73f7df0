"""The program `python -m app`."""

# A worker process imports this file under another name, and needs no command line.
if __name__ == "__main__":
    from app.cli import main

    main()
