"""From the network to a bundle: everything that serving does not need."""

import os
import warnings

# What Paddle says at each import and export is of no use here: that it misses a compiler cache,
# and that its static graph leaves out a feature nobody asked for.
warnings.filterwarnings("ignore", "No ccache found", UserWarning)
os.environ.setdefault("GLOG_minloglevel", "2")
