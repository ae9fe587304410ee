"""What is shown and when; see the README beside this file for what may be imported here."""
