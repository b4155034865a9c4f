"""The three training phases, one file each, and health scores of joint training."""
