"""Level 2: the encoder catalogue, pooling and heads, the linear baseline, and the model folder they are saved in."""
