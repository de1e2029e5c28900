"""Small widgets that own their session-state keys."""
