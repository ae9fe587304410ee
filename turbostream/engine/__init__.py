"""All torch; see the README beside this file. Importing this package imports no torch."""
