"""Which hardware paints."""
