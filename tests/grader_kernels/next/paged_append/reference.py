import torch
import triton
import triton.language as tl


@triton.jit
def append_kernel(k_ptr, pages_ptr, table_ptr, lengths_ptr, W, D, T: tl.constexpr, BLOCK: tl.constexpr):
    sequence = tl.program_id(0)
    newest = tl.load(lengths_ptr + sequence) - 1
    if newest >= 0:
        page = tl.load(table_ptr + sequence * W + newest // T).to(tl.int64)
        d = tl.arange(0, BLOCK)
        k = tl.load(k_ptr + sequence * D + d, mask=d < D)
        tl.store(pages_ptr + (page * T + newest % T) * D + d, k, mask=d < D)


def paged_append(k, pages, block_table, lengths):
    B, D = k.shape
    append_kernel[(B,)](
        k, pages, block_table, lengths, block_table.shape[1], D, T=pages.shape[1], BLOCK=triton.next_power_of_2(D)
    )
    return pages
