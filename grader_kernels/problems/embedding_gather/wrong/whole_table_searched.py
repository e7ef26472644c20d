# loses lean: every row of the table is read and compared with the id, as in a one-hot product
# says: times the bytes
import torch
import triton
import triton.language as tl


@triton.jit
def embedding_gather_kernel(
    ids_ptr, table_ptr, out_ptr, rows, width, ids_stride, table_row, table_col, out_row, BLOCK: tl.constexpr
):
    token = tl.program_id(0)
    wanted = tl.load(ids_ptr + token * ids_stride)
    for start in range(0, width, BLOCK):
        columns = start + tl.arange(0, BLOCK)
        total = tl.zeros((BLOCK,), tl.float32)
        for row in range(0, rows):
            values = tl.load(table_ptr + row * table_row + columns * table_col, mask=columns < width, other=0.0)
            total += tl.where(wanted == row, values.to(tl.float32), 0.0)
        tl.store(out_ptr + token * out_row + columns, total, mask=columns < width)


def embedding_gather(ids, table, block=128):
    out = torch.empty((ids.shape[0], table.shape[1]), dtype=table.dtype, device=table.device)
    embedding_gather_kernel[(ids.shape[0],)](
        ids, table, out, *table.shape, ids.stride(0), *table.stride(), out.stride(0), BLOCK=block
    )
    return out
