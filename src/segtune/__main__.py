"""`python -m segtune` is `segtune`."""

import sys

from segtune.cli.main import main

sys.exit(main())
