"""From the network to a bundle: everything that serving does not need."""

import warnings

# Paddle looks for a compiler cache at its import; nothing here compiles.
warnings.filterwarnings("ignore", "No ccache found", UserWarning)
