"""MobileNetV2: its layers, its cost, its frozen part, its export."""
