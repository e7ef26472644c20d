# loses right: token n gets row n of the table, the ids are never used
# says: The id decides which row is read
import torch
import triton
import triton.language as tl


@triton.jit
def embedding_gather_kernel(
    ids_ptr, table_ptr, out_ptr, width, ids_stride, table_row, table_col, out_row, BLOCK: tl.constexpr
):
    token = tl.program_id(0)
    source = table_ptr + token * table_row
    for start in range(0, width, BLOCK):
        columns = start + tl.arange(0, BLOCK)
        values = tl.load(source + columns * table_col, mask=columns < width)
        tl.store(out_ptr + token * out_row + columns, values, mask=columns < width)


def embedding_gather(ids, table, block=128):
    out = torch.empty((ids.shape[0], table.shape[1]), dtype=table.dtype, device=table.device)
    embedding_gather_kernel[(ids.shape[0],)](
        ids, table, out, table.shape[1], ids.stride(0), *table.stride(), out.stride(0), BLOCK=block
    )
    return out
