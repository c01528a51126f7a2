"""Counting on NVIDIA's GPUs, for all frameworks.

- `ops`: what the kernel counts, and what is left to a framework's own operations;
- `arrays`: where the values of an array lie;
- `table`: what they are looked up in;
- `kernel`: groups of arrays and a table, given to what is made of `kernel.cu`;
- `driver`: NVIDIA's compiler, which makes it, and driver, which runs it.
"""
