"""Full-depth order books by order (L3): memory in `layout`, operations in `kernels`, cold readers
in `views`.
"""
