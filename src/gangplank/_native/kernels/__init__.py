"""What counts and sums values in host memory; all but `numpy_kernel` load numba.

- `lane_kernel`: few bounds, each of which is compared with;
- `table_kernel`: many, among which values are looked up;
- `numpy_kernel`: any, until it pays to load numba;
- `moments_kernel`: sums of values and of their squares;
- `columns_kernel`: many columns of values, each with buckets of its own;
- `vectors`: what the kernels of explicit vectors share;
- `jit`: compiles all of them.
"""
