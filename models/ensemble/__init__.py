"""What training leaves, and the blend of it: checkpoints, weights, configuration."""
