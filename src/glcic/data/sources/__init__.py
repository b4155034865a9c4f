"""Image sources: CelebA, the user's own folder or zip, or a program that draws faces."""
