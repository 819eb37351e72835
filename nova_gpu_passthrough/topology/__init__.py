# SPDX-License-Identifier: Apache-2.0
"""Choose the GPUs of one host for a request; independent of Nova.

The free devices and NUMA cells of a host (`model`), the sets of NUMA nodes that a request may use
(`numa`), the best set of GPUs (`choice`) and of other devices (`attachment`), and the result or the
reason why a host does not fit (`fit`). `address_space` computes whether a guest can map the GPUs.
"""
