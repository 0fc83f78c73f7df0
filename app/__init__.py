"""What is in this photo? MobileNetV2 on PaddlePaddle, from the network to the served answer."""

__version__ = "0.2.0"
