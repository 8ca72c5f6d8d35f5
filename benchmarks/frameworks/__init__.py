"""The same networks and training steps in every framework, a file each that imports only its own.

`build(workload, mode)` gives the steps: `run(count)` takes at least so many and returns how many
it took, `loss()` is the last one's loss (of a forward pass: the mean of what came out).
"""
