"""`python -m billing_pipeline` is the command line."""

from billing_pipeline.cli import main

if __name__ == "__main__":
    main()
