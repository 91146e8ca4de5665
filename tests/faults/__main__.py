"""`python -m tests.faults`."""

import sys

from tests.faults.run import main

if __name__ == "__main__":  # the proxy's process loads this too
    sys.exit(main())
