"""The built-in components of genzoo-rwae; nothing here is privileged over a foreign plugin."""
