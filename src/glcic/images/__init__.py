"""Images in files and in memory: one reader, whatever format and mode, and one writer, which keeps them."""
