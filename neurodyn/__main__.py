"""``python -m neurodyn`` is the command ``neurodyn``."""

import sys

from neurodyn.cli import main

sys.exit(main())
