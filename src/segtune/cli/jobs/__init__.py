"""What commands do with one image after the other."""
