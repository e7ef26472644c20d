# loses safe: nothing is masked, so the last step reads and writes past the row
# says: outside
import torch
import triton
import triton.language as tl


@triton.jit
def embedding_gather_kernel(
    ids_ptr, table_ptr, out_ptr, width, ids_stride, table_row, table_col, out_row, BLOCK: tl.constexpr
):
    token = tl.program_id(0)
    source = table_ptr + tl.load(ids_ptr + token * ids_stride) * table_row
    for start in range(0, width, BLOCK):
        columns = start + tl.arange(0, BLOCK)
        values = tl.load(source + columns * table_col)
        tl.store(out_ptr + token * out_row + columns, values)


def embedding_gather(ids, table, block=128):
    out = torch.empty((ids.shape[0], table.shape[1]), dtype=table.dtype, device=table.device)
    embedding_gather_kernel[(ids.shape[0],)](
        ids, table, out, table.shape[1], ids.stride(0), *table.stride(), out.stride(0), BLOCK=block
    )
    return out
