"""`penstock fit`: measures a function package, and says what its calls cost where."""
