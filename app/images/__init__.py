"""From bytes to the network's pixels."""
