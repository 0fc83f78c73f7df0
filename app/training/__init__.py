"""From labelled photos and published weights to a bundle."""

import os
import warnings

# Two messages of Paddle are of no use here. At each import, Paddle warns that no compiler cache
# (ccache) is installed. At each export, it logs that its static graph lacks a feature that this
# program does not need.
warnings.filterwarnings("ignore", "No ccache found", UserWarning)
os.environ.setdefault("GLOG_minloglevel", "2")
