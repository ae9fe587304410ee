"""CUDA graphs, streams, memory and compiled kernels for NVIDIA cards."""
