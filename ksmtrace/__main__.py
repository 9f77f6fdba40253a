"""Makes `python -m ksmtrace` the same as the `ksmtrace` command."""

import sys

from ksmtrace.cli import main

sys.exit(main())
