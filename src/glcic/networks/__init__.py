"""Networks: generators complete images, discriminators judge them; also their weights files and their cost."""
