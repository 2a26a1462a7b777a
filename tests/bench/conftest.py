"""The scripts of bench/ find each other by their folder; so do their tests."""

import sys

from tests.documents.pages import ROOT

sys.path.append(str(ROOT / "bench"))
