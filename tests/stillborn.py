"""An agent that takes its process down as it is loaded."""

import os
import sys

sys.stderr.write("stillborn\n")
sys.stderr.flush()
os._exit(7)
