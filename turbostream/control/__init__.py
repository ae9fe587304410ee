"""Controllers that do not speak HTTP: OSC."""
