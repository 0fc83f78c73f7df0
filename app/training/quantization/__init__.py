"""A bundle's network with weights and activations of 8 bits, made from unlabelled photos."""
