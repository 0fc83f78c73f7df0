"""Our service beside its peers: the same photos, network, cores and load tool; `make peers`."""
