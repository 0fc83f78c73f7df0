"""From the network to a bundle: everything that serving does not need."""
