"""`python -m app`."""

if __name__ == "__main__":  # a worker process imports this file too, and needs no command line
    from app.cli import main

    main()
