"""What commands read from and print on a terminal."""
