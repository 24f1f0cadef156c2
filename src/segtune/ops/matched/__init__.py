"""What losses of sets of masks are made of: who matches whom, where masks are compared, and how."""
