"""From the graph to kernels in order: fusion, donations, the memory plan."""
