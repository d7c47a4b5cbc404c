"""`python -m core`."""

import sys

if __name__ == "__main__":
    try:
        from core.cli import main

        code = main()
    except KeyboardInterrupt:  # pressed while that was imported; main answers it from then on
        sys.stderr.write("interrupted\n")
        code = 130
    sys.exit(code)
