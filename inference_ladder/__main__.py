"""`python -m inference_ladder` is the command `ladder`."""

import sys

from inference_ladder import main

if __name__ == "__main__":
    sys.exit(main())
