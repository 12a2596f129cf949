"""`python -m owlshift` is `owl`."""

from owlshift.cli import main

if __name__ == "__main__":
    main()
