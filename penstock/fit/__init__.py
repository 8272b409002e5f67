"""What a function takes, and what its calls cost where: figures, prices, and what follows from both."""
