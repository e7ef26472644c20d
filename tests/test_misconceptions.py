"""The catalogue of wrong answers that learners really give, for the topics the units teach: each row is a gate.

A row says the mistake in a few words and which misconceptions stand for it. The gates (test_units.py) then prove that
each of them loses points and is named.
"""

import pytest

from autograder.authoring.unit import Unit, find_unit

ATTENTION = {
    "no 1/sqrt(d_k)": ["scaled_dot_product_attention.no_scale"],
    "divides by d_k": ["scaled_dot_product_attention.divides_by_d"],
    "scale uses d_model instead of head_dim": ["MultiHeadAttention.scale_by_d_model"],
    "softmax over the query axis": ["scaled_dot_product_attention.softmax_over_queries"],
    "scores transposed, K Q^T": ["scaled_dot_product_attention.scores_transposed"],
    "weights^T @ V": ["scaled_dot_product_attention.weights_transposed"],
    "mask applied after softmax": ["scaled_dot_product_attention.mask_after_softmax"],
    "mask polarity inverted": ["scaled_dot_product_attention.polarity_inverted", "causal_mask.true_means_hide"],
    "mask built as (1 - mask) * -inf": ["scaled_dot_product_attention.zero_times_infinity"],
    "a token cannot see itself": ["causal_mask.cannot_see_itself"],
    "sees one future token": ["causal_mask.one_future_token"],
    "square tril where q_len != k_len": ["causal_mask.queries_start_at_zero"],
    "fully masked row gives NaN": ["scaled_dot_product_attention.nan_in_an_empty_row"],
    "padding broadcast over queries": ["padding_mask.hides_queries"],
    "head split without transpose": ["split_heads.no_transpose"],
    "split and merge both wrong": ["MultiHeadAttention.heads_scrambled"],
    "head merge without transposing back": ["merge_heads.no_transpose_back"],
    "K and V reuse Q's projection": ["MultiHeadAttention.one_projection_for_all"],
    "mask accepted but ignored": ["MultiHeadAttention.mask_ignored", "CrossAttention.memory_mask_ignored"],
    "K, V from the decoder, target mask for the source": [
        "CrossAttention.memory_ignored",
        "CrossAttention.target_mask_on_the_source",
    ],
    "the caller's tensor is changed": ["scaled_dot_product_attention.changes_the_query"],
    "dropout in eval, or on scores": [
        "MultiHeadAttention.dropout_in_evaluation",
        "MultiHeadAttention.dropout_on_scores",
    ],
    "Triton softmax: other=0 in the max or the sum": ["row_softmax.zero_in_the_maximum", "row_softmax.zero_in_the_sum"],
    "Triton softmax: low-precision accumulator": ["row_softmax.half_precision_sum"],
    "Triton softmax: strides assumed": ["row_softmax.rows_assumed_contiguous"],
    "Triton softmax: torch or a cached result": [
        "row_softmax.torch_instead_of_a_kernel",
        "row_softmax.result_remembered",
    ],
    "Triton softmax: tail never computed": ["row_softmax.tail_never_computed"],
    "Triton softmax: output partly written": ["masked_scaled_softmax.hidden_columns_not_written"],
}
TRITON = {
    "launch grid n // BLOCK": ["vector_add.grid_without_the_tail", "fused_scale_add.grid_without_the_tail"],
    "no load or store mask": ["vector_add.no_masks", "fused_scale_add.no_masks"],
    "strides assumed": ["vector_add.strides_ignored", "fused_scale_add.strides_ignored"],
    "torch instead of a kernel": ["vector_add.calls_torch", "fused_scale_add.calls_torch"],
    "output only partly written": ["vector_add.partly_written"],
    "low-precision accumulator": ["fused_scale_add.half_precision_inside"],
}
RECURRENCE = {
    "BPTT by hand: Jacobian without the tanh' factor": ["gradient_norms_through_time.no_derivative_of_tanh"],
    "BPTT by hand: forward order, or a symmetric matrix assumed": [
        "gradient_norms_through_time.forward_order",
        "gradient_norms_through_time.matrix_not_transposed",
    ],
    "LSTM: gates unpacked i, f, o, g": ["lstm_step.order_i_f_o_g", "lstm_gates.order_i_f_o_g"],
    "LSTM: h = o * c without tanh": ["lstm_step.no_tanh_on_the_cell", "lstm_gates.no_tanh_on_the_cell"],
    "padded batch: state at T - 1 instead of length - 1": ["rnn_forward.last_column_of_padding"],
    "truncated BPTT: state not detached": ["repaired_windows.graph_carried_along"],
    "vanishing gradients: the last state's norm for the first": [
        "gradient_norms_through_time.last_state_first",
        "gradient_norms_through_time.never_leaves_the_end",
    ],
    "additive attention: source padding not masked": ["additive_attention.padding_not_masked"],
    "causal conv1d: 'same' padding": ["causal_dilated_conv.same_padding"],
    "dilated causal conv: pads k - 1": ["causal_dilated_conv.padding_without_dilation"],
    "clipping: each tensor on its own": ["clip_gradient_norm.each_tensor_alone"],
    "clipping: rescales below the limit": ["clip_gradient_norm.enlarges_small_gradients"],
    "WaveNet: parallel, so generation is fast": ["path_length_and_sequential_ops.convolutions_sample_in_parallel"],
    "an LSTM simply remembers": ["recall_finding.lstm_simply_remembers"],
    "Triton: grid, masks, strides, torch": [
        "lstm_gates.grid_without_the_tail",
        "lstm_gates.masked_at_4_h",
        "lstm_gates.rows_of_4_h",
        "lstm_gates.columns_taken_for_neighbours",
        "lstm_gates.calls_torch",
    ],
    "Triton: low-precision sum": ["lstm_gates.added_in_float16"],
    "Triton: what is fused goes through memory": ["lstm_gates.gates_on_their_way_through_memory"],
}
TOKENS_AND_POSITIONS = {
    "BPE train: ties by first-seen or remapped unicode": [
        "bpe_train.first_seen_wins_a_tie",
        "bpe_train.printable_characters_compared",
        "repaired_choice.as_published",
    ],
    "BPE merge: overlapping pair merged twice": ["bpe_merge.overlaps_merged_twice"],
    "BPE encode: merges as found, not by rank": ["bpe_encode.merged_as_found"],
    "decode: each token alone": ["bpe_decode.each_token_decoded_alone"],
    "special tokens: shorter first, or cut": ["bpe_encode.shorter_special_first", "bpe_encode.specials_are_cut"],
    "BPE train: merges cross pieces": ["bpe_train.no_pieces", "bpe_encode.no_pieces"],
    "sinusoidal: exponent doubled": ["sinusoidal_encoding.exponent_doubled"],
    "sinusoidal: halves instead of interleaved": ["sinusoidal_encoding.halves_instead_of_interleaved"],
    "sinusoidal: positions start at 1": ["sinusoidal_encoding.positions_start_at_one"],
    "sinusoidal: sin and cos swapped": ["sinusoidal_encoding.sine_and_cosine_swapped"],
    "RoPE: identity": ["apply_rope.identity"],
    "RoPE: frequencies squared": ["apply_rope.frequencies_squared", "rope_frequencies.exponent_doubled"],
    "RoPE: one pairing for the other": [
        "apply_rope.always_half",
        "apply_rope.always_interleaved",
        "rope_inplace.interleaved_pairs",
    ],
    "RoPE: Q rotated, K not": ["rotary_qkv.keys_not_turned"],
    "RoPE: Q by +theta, K by -theta": ["rotary_qkv.keys_turned_backwards"],
    "RoPE: V too, or before the head split": [
        "rotary_qkv.values_turned_too",
        "rotary_qkv.turned_before_the_heads_are_split",
    ],
    "ALiBi: sign positive": ["alibi_bias.far_keys_favoured"],
    "ALiBi: slopes h/H": ["alibi_slopes.start_at_one"],
    "weights copied, not shared": ["TiedEmbedding.head_is_a_copy"],
    "left-padded rows get shifted positions": ["pad_batch.positions_count_padding"],
    "RoPE extrapolates better": ["extrapolation_finding.rope_extrapolates"],
    "Triton: masks, strides, torch": [
        "embedding_gather.no_masks",
        "embedding_gather.table_assumed_contiguous",
        "embedding_gather.torch_instead_of_a_kernel",
        "rope_inplace.no_masks",
        "rope_inplace.layout_assumed",
        "rope_inplace.torch_instead_of_a_kernel",
    ],
    "Triton: output only partly written": ["embedding_gather.one_block_only"],
}
TRANSFORMER = {
    "LayerNorm: eps outside the root": ["LayerNorm.eps_outside_the_root"],
    "LayerNorm: statistics over batch or sequence": [
        "LayerNorm.statistics_over_the_batch",
        "LayerNorm.statistics_over_the_sentence",
    ],
    "RMSNorm: subtracts the mean": ["RMSNorm.subtracts_the_mean", "rmsnorm_forward.subtracts_the_mean"],
    "RMSNorm: square root missing": ["RMSNorm.no_square_root", "rmsnorm_forward.no_root"],
    "RMSNorm: squares in float16": [
        "RMSNorm.squares_in_half_precision",
        "rmsnorm_forward.squares_in_half_precision",
        "residual_rmsnorm.squares_in_half_precision",
    ],
    "block: residual adds the normalised x": [
        "EncoderLayer.residual_adds_the_normalised_stream",
        "DecoderLayer.residual_adds_the_normalised_stream",
    ],
    "block: sublayers in parallel, second norm reads the original": [
        "EncoderLayer.both_sublayers_read_the_input",
        "EncoderLayer.second_norm_reads_the_original",
    ],
    "block: residuals missing": ["EncoderLayer.no_residual", "DecoderLayer.no_residual_around_cross_attention"],
    "GELU: tanh where erf is required": ["FeedForward.tanh_gelu"],
    "SwiGLU: gate and up swapped": ["SwiGLU.gate_and_up_swapped"],
    "weights copied, not shared": ["Transformer.head_of_its_own"],
    "cross-attention: masks of the wrong side": ["DecoderLayer.masks_swapped", "DecoderLayer.memory_mask_ignored"],
    "teacher forcing: not shifted": ["shift_right.not_shifted", "repaired_loss.not_shifted_at_all"],
    "shifted twice": ["repaired_loss.still_shifted_twice"],
    "loss: PAD counted": [
        "smoothed_cross_entropy.padding_counts",
        "repaired_loss.padding_counts",
        "cross_entropy.ignored_rows_keep_their_loss",
        "cross_entropy.ignored_rows_keep_their_gradient",
    ],
    "label smoothing: spread to PAD, rows that don't sum to 1": [
        "smoothed_cross_entropy.nothing_for_padding",
        "smoothed_cross_entropy.rows_sum_to_more_than_one",
    ],
    "loss: flattened with a transpose before the view": ["smoothed_cross_entropy.rows_transposed"],
    "greedy: goes on after EOS, never stops": ["greedy_decode.writes_on_after_eos", "greedy_decode.never_stops"],
    "evaluation: eval() missing, mode not restored": [
        "repaired_validation.never_in_evaluation",
        "repaired_validation.stays_in_evaluation",
        "repaired_validation.always_back_to_training",
    ],
    "Triton: grid, output only partly written": [
        "rmsnorm_forward.tail_cut_off",
        "rmsnorm_backward.columns_left_out",
        "rmsnorm_backward.remainder_left_out",
    ],
    "Triton: masks, strides, torch": [
        "rmsnorm_forward.no_masks",
        "rmsnorm_forward.rows_assumed_contiguous",
        "rmsnorm_forward.torch_instead_of_a_kernel",
        "cross_entropy.no_masks",
        "cross_entropy.rows_assumed_contiguous",
        "cross_entropy.torch_instead_of_a_kernel",
    ],
    "Triton: zero in the maximum or the sum": ["cross_entropy.zero_in_the_tail"],
    "Triton: low-precision sum": [
        "rmsnorm_backward.partial_sums_in_half_precision",
        "cross_entropy.half_precision_sum",
    ],
    "online softmax: sum not rescaled, no maximum": [
        "cross_entropy.running_sum_not_rescaled",
        "cross_entropy.no_maximum",
    ],
}
ROWS = [("attention", row, names) for row, names in ATTENTION.items()]
ROWS += [("rnn_limits", row, names) for row, names in RECURRENCE.items()]
ROWS += [("tokens_and_positions", row, names) for row, names in TOKENS_AND_POSITIONS.items()]
ROWS += [("transformer", row, names) for row, names in TRANSFORMER.items()]
ROWS += [("orientation", row, names) for row, names in TRITON.items()]


@pytest.mark.parametrize("topic, row, names", ROWS, ids=[f"{t}: {r}" for t, r, _ in ROWS])
def test_every_row_is_among_the_misconceptions(topic, row, names):
    known = {f"{m.exercise}.{m.name}" for m in Unit.load(find_unit(topic)).misconceptions}
    assert set(names) <= known
