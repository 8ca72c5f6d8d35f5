"""From kernels to machine code: expressions, loops and register blocks written as LLVM IR.

`lowering.lower` is the way in. Nothing is imported here, because a warm start, which finds its
machine code in the cache, needs the native driver's text alone.
"""
