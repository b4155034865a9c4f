"""Where images come from: CelebA, a folder or zip of one's own, or a program that draws faces."""
