"""The networks: generators complete images, discriminators judge them; their weights files, and what they cost."""
