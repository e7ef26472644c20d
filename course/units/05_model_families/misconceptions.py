"""Wrong answers to the exercises of unit 05 that learners really give.

A cell is an edit of the solution, or a whole answer where a mistake is no small edit. Its docstring is what learners
read: an explanation, then a next step. Only these sentences ship, never the code.
"""

# %% exercise="count_parameters" wrong="tied_head_counted_again"
"""A tied head is counted as a second matrix. It is the token table, used again.

How many different tensors are there to train?
"""
edit('settings["head"] == "own"', 'settings["head"] != "none"')

# %% exercise="count_parameters" wrong="head_never_counted"
"""A head of its own is not counted.

What maps the last layer's D numbers to V logits when the token table does not?
"""
edit('if settings["head"] == "own"', 'if settings["head"] == "another"')

# %% exercise="count_parameters" wrong="bias_counts_inputs"
"""Each map is given one bias for every number that goes in. A bias is added to what comes out.

y = W x + b with x of D numbers and y of F: how long is b?
"""
edit("columns * settings", "rows * settings")

# %% exercise="count_parameters" wrong="keys_and_values_full_width"
"""Keys and values are counted as wide as queries. With grouped queries they have kv_width numbers.

Which of the four maps of the attention end in kv_width?
"""
edit("(D, kv), (D, kv)", "(D, D), (D, D)")

# %% exercise="count_parameters" wrong="output_map_narrow"
"""The output map of the attention is counted from kv_width. What it reads are the heads' outputs, one for each query
head: D numbers.

How many heads does the output have: as many as keys, or as many as queries?
"""
edit("(D, kv), (D, kv), (D, D),", "(D, kv), (D, kv), (kv, D),")

# %% exercise="count_parameters" wrong="output_map_forgotten"
"""The attention has queries, keys and values, and its output map is missing.

What mixes the heads again before the sum is added to the stream?
"""
edit("(D, kv), (D, kv), (D, D),", "(D, kv), (D, kv),")

# %% exercise="count_parameters" wrong="gate_has_two_maps"
"""A gated feed-forward layer is counted like a plain one.

gate, up, down: how many matrices are that?
"""
edit(' + [(D, hidden)] * settings["gated"]', "")

# %% exercise="count_parameters" wrong="one_norm_in_a_layer"
"""One norm is counted in each layer. The attention has one, and the feed-forward layer has another one.

How many sublayers does a layer have?
"""
edit("+ 2 * norm", "+ norm")

# %% exercise="count_parameters" wrong="rms_norm_has_a_bias"
"""Every norm is counted with weight and bias. RMS norm has a weight only.

Which parameters did your RMSNorm of unit 04 have?
"""
edit('norm = 2 * D if settings["norm"] == "layer" else D', "norm = 2 * D")

# %% exercise="count_parameters" wrong="layer_norm_has_no_bias"
"""Every norm is counted with D numbers. Layer norm has a weight and a bias.

Which parameters did your LayerNorm of unit 04 have?
"""
edit('norm = 2 * D if settings["norm"] == "layer" else D', "norm = D")

# %% exercise="count_parameters" wrong="outer_norms_forgotten"
"""The norms outside of the layers are missing: behind the embeddings, or behind the last layer.

Which of the two does BERT have, and which GPT-2?
"""
edit(' + norm * (settings["embedding_norm"] + settings["final_norm"])', "")

# %% exercise="count_parameters" wrong="pooler_without_bias"
"""The pooler is counted without its bias.

"Always with a bias": what does a linear map D -> D have then?
"""
edit("(D + 1) * D", "D * D")

# %% exercise="count_parameters" wrong="class_token_or_patch_bias_forgotten"
"""D parameters of the image's entrance are missing. The map of the patches has a bias of D numbers, and [CLS] is one
more learned vector of D numbers.

Which of the two did you count?
"""
edit('(settings["patch"] + 1) * D + D', '(settings["patch"] + 1) * D')

# %% exercise="count_parameters" wrong="segments_forgotten"
"""The table of segments is not counted.

BERT adds three vectors at each position. Which ones?
"""
edit(' + settings["segments"]', "")

# %% exercise="count_parameters" wrong="anything_else_is_rms"
"""A word that you don't know is taken for one that you know: no ValueError for an unknown norm.

What does your function say about norm="batch"?
"""
edit('if settings["norm"] not in ("layer", "rms"):', 'if settings["norm"] is None:')

# %% exercise="count_parameters" wrong="patch_bias_follows_the_layers"
"""The map of the patches has a bias only where the layers' maps have one. It always has one.

What does the docstring say of its bias?
"""
edit('(settings["patch"] + 1) * D + D', '(settings["patch"] + settings["bias"]) * D + D')

# %% exercise="count_parameters" wrong="pooler_bias_follows_the_layers"
"""The pooler has a bias only where the layers' maps have one. It always has one.

What does the docstring say of its bias?
"""
edit("(D + 1) * D", '(D + settings["bias"]) * D')

# %% exercise="count_parameters" wrong="own_head_has_a_bias"
"""A head of its own is counted with V biases where the layers have biases. It never has any.

What does the docstring say about "own"?
"""
edit("total += V * D", 'total += V * (D + settings["bias"])')

# %% exercise="count_parameters" wrong="outer_norms_always_layer_norms"
"""The norms outside of the layers are counted with a bias, in a model with RMS norms too.

"One more of them": of which ones?
"""
edit('norm * (settings["embedding_norm"]', '2 * D * (settings["embedding_norm"]')

# %% exercise="count_parameters" wrong="key_and_value_biases_of_width_d"
"""Biases of keys and values are counted with D numbers each. They are as long as what comes out.

How long is a key, over all heads together?
"""
edit('columns * settings["bias"] for', '(D if columns == kv else columns) * settings["bias"] for')

# %% exercise="mlm_corrupt" wrong="labels_everywhere"
"""Every position has a label, chosen or not: the model is graded on words that it can read.

Which positions are graded?
"""
edit("labels = ids.masked_fill(~chosen, -100)", "labels = ids.clone()")

# %% exercise="mlm_corrupt" wrong="labels_only_where_masked"
"""Chosen positions that became a random word, or stayed, have no label.

What should the model say where it reads a random word?
"""
edit("ids.masked_fill(~chosen, -100)", "ids.masked_fill(~(chosen & (change < 0.8)), -100)")

# %% exercise="mlm_corrupt" wrong="labels_where_something_changed"
"""Chosen positions that kept their word have no label. They were chosen, so they are asked for.

Which 10 % of the chosen positions are missing?
"""
edit("ids.masked_fill(~chosen, -100)", "ids.masked_fill(~(chosen & (change < 0.9)), -100)")

# %% exercise="mlm_corrupt" wrong="label_is_the_new_word"
"""The label is what stands there after the corruption, not the original word.

What is the right answer for a masked slot?
"""
edit("return corrupted, labels", "return corrupted, corrupted.masked_fill(~chosen, -100)")

# %% exercise="mlm_corrupt" wrong="specials_are_chosen"
"""Special tokens and padding are chosen like words.

May [CLS] be masked?
"""
edit("(choose < rate) & ~special", "choose < rate")

# %% exercise="mlm_corrupt" wrong="polarity_of_special"
"""Only special tokens are chosen: the mask is read the other way round.

True = a special token. Who may be chosen?
"""
edit("& ~special", "& special")

# %% exercise="mlm_corrupt" wrong="bands_exchanged"
"""The bands of `change` are exchanged: the word stays from 0.8 to 0.9, and above there is a random word.

Which of the two does the docstring put between 0.8 and 0.9?
"""
edit("(change >= 0.8) & (change < 0.9)", "(change >= 0.9)")

# %% exercise="mlm_corrupt" wrong="twenty_percent_random"
"""All that is not masked becomes a random word: 20 %, and nothing stays.

What happens from 0.9 on?
"""
edit("(change >= 0.8) & (change < 0.9)", "(change >= 0.8)")

# %% exercise="mlm_corrupt" wrong="random_word_then_mask_on_top"
"""A random word is written where `change` is below 0.1 and then overwritten by [MASK], since 0.1 is below 0.8, too.

Do your two bands overlap?
"""
edit("(change >= 0.8) & (change < 0.9)", "(change < 0.1) & ~masked")

# %% exercise="mlm_corrupt" wrong="new_draw_decides_the_band"
"""`word` decides who gets a random word, so the share of random words is another one.

Which of the three draws cuts the chosen positions into bands?
"""
edit("(change >= 0.8) & (change < 0.9)", "(change >= 0.8) & (word < 0.5)")

# %% exercise="mlm_corrupt" wrong="everything_is_changed"
"""Bands are applied to all positions: words that were not chosen are masked, too.

Which tensor has to be asked before `change`?
"""
edit("masked = chosen & (change < 0.8)", "masked = change < 0.8")

# %% exercise="mlm_corrupt" wrong="last_word_never_drawn"
"""The random word is drawn from vocab_size - 1 words: the last one never comes.

What is the largest floor(word * vocab_size) for word just below 1?
"""
edit("words = (word * vocab_size)", "words = (word * (vocab_size - 1))")

# %% exercise="mlm_corrupt" wrong="random_word_rounded"
"""The random word is rounded instead of cut: it can become vocab_size, an id that does not exist.

Is floor the nearest integer?
"""
edit(".floor()", ".round()")

# %% exercise="mlm_corrupt" wrong="rate_of_what_is_left"
"""The rate is fixed at 0.15, whatever the argument says.

Where does `rate` come in?
"""
edit("(choose < rate)", "(choose < 0.15)")

# %% exercise="mlm_corrupt" wrong="ids_changed_in_place"
"""The words are written into `ids` itself. It belongs to the caller, who wants to use it again.

Which operation of yours makes a new tensor?
"""
edit(
    "corrupted = torch.where(random, words, ids.masked_fill(masked, mask_id))",
    """
    corrupted = ids.masked_fill_(masked, mask_id)
    corrupted[random] = words[random]
    """,
)

# %% exercise="mlm_corrupt" wrong="every_chosen_is_masked"
"""Every chosen position becomes [MASK].

What happens to a chosen position when `change` is 0.85, and when it is 0.95?
"""
edit("masked = chosen & (change < 0.8)", "masked = chosen")
edit("chosen & (change >= 0.8) & (change < 0.9)", "chosen & (change < 0)")

# %% exercise="mlm_corrupt" wrong="rate_itself_is_chosen"
"""A draw that equals the rate is chosen. Only smaller ones are.

Which draws does a rate of 0 choose?
"""
edit("(choose < rate)", "(choose <= rate)")

# %% exercise="mlm_corrupt" wrong="edge_of_the_first_band"
"""A chosen position whose `change` is exactly 0.8 becomes [MASK]. It gets a random word.

To which band does its lower end belong, to which its upper end?
"""
edit("masked = chosen & (change < 0.8)", "masked = chosen & (change <= 0.8)")
edit("(change >= 0.8)", "(change > 0.8)")

# %% exercise="mlm_corrupt" wrong="edge_of_the_second_band"
"""A chosen position whose `change` is exactly 0.9 gets a random word. It stays as it is.

To which band does its lower end belong, to which its upper end?
"""
edit("(change < 0.9)", "(change <= 0.9)")

# %% exercise="mlm_corrupt" wrong="a_tenth_of_the_rest_is_random"
"""Random words end at 0.82: a tenth of what is not masked, 2 % of the chosen positions.

A tenth of which positions does BERT give a random word?
"""
edit("(change < 0.9)", "(change < 0.82)")

# %% exercise="mlm_corrupt" wrong="random_words_spare_the_mask"
"""A random word that happens to be mask_id is not written. Any id of the vocabulary may come.

What does the docstring say about mask_id as a random word?
"""
edit("(change < 0.9)", "(change < 0.9) & ((word * vocab_size).floor() != mask_id)")

# %% exercise="mlm_corrupt" wrong="random_words_in_float32"
"""Where a draw is just below 1 the random word is vocab_size, an id that does not exist: in float32 that draw is 1.

In which dtype do the draws come, and in which one do you multiply?
"""
edit("words = (word * vocab_size)", "words = (word.float() * vocab_size)")

# %% exercise="mlm_corrupt" wrong="special_tokens_changed"
"""Special tokens have no label, but they are masked and replaced like words.

Which positions may change at all?
"""
edit("masked = chosen & ", "masked = (choose < rate) & ")
edit("random = chosen & ", "random = (choose < rate) & ")

# %% exercise="corruption_shares" wrong="shares_of_all_positions"
"""You divide by all positions. The shares are those of the chosen ones.

What should the three shares add up to?
"""
edit("return masked, other, same", "return tuple(len(read) / labels.numel() * s for s in (masked, other, same))")

# %% exercise="corruption_shares" wrong="masks_counted_everywhere"
"""[MASK] counts wherever it stands, chosen or not.

Which positions does the question ask about?
"""
edit("masked = (read == mask_id).double().mean().item()", "masked = (corrupted == mask_id).sum().item() / len(read)")

# %% exercise="corruption_shares" wrong="masked_counts_as_another_word"
"""The second share has the masked positions in it, too: [MASK] is counted twice.

What should the three shares add up to?
"""
edit("((read != mask_id) & (read != asked))", "(read != asked)")

# %% exercise="corruption_shares" wrong="order_of_the_shares"
"""The second and the third share are exchanged.

Which one does the docstring name first: another word, or the original one?
"""
edit("return masked, other, same", "return masked, same, other")

# %% exercise="corruption_shares" wrong="mean_of_rows"
"""You average the shares of the rows. A row with one chosen position counts as much as one with fifty.

How many chosen positions does the whole batch have?
"""
def corruption_shares(corrupted, labels, mask_id):
    rows = []
    for read, asked in zip(corrupted, labels):
        chosen = asked != -100
        if chosen.any():
            n = chosen.sum().item()
            masked = ((read == mask_id) & chosen).sum().item()
            same = ((read == asked) & chosen).sum().item()
            rows.append((masked / n, (n - masked - same) / n, same / n))
    return tuple(sum(row[i] for row in rows) / len(rows) for i in range(3))

# %% exercise="corruption_shares" wrong="id_zero_is_not_chosen"
"""A chosen position whose original id is 0 does not count. 0 is an id like others.

Which label says that a position is not chosen?
"""
edit("labels != -100", "labels > 0")

# %% exercise="corruption_shares" wrong="masks_everywhere_and_the_rest"
"""[MASK] counts wherever it stands, chosen or not, and the second share is too small by as much.

Which positions does the question ask about?
"""
edit("masked = (read == mask_id).double().mean().item()", "masked = (corrupted == mask_id).sum().item() / len(read)")
edit("((read != mask_id) & (read != asked)).double().mean().item()", "1 - masked - same")

# %% exercise="corruption_shares" wrong="unchanged_words_are_other_words"
"""The second share has the positions in it that kept their word: they are counted twice.

What should the three shares add up to?
"""
edit("((read != mask_id) & (read != asked))", "(read != mask_id)")

# %% exercise="published_shares" wrong="a_tenth_of_the_rest_is_right"
"""You take the form with 0.1 in its code for the one that gives 10 %.

A tenth of which part? What does its line of the table say?
"""
edit('"right": "mask_then_half"', '"right": "mask_then_tenth"')

# %% exercise="published_shares" wrong="right_share_of_random_words_only"
"""random_then_rest has 10 % random words, but look at its other two numbers.

What should stand in its first column?
"""
edit('"right": "mask_then_half"', '"right": "random_then_rest"')

# %% exercise="published_shares" wrong="half_is_fifty_percent"
"""50 % of the chosen positions are said to hold a random word. The half is one of what the first step left.

Which number does the table print?
"""
edit('"mask_then_half": 10', '"mask_then_half": 50')

# %% exercise="published_shares" wrong="shares_as_the_code_says"
"""The shares are copied from the numbers in the code, not from the table.

What became of a random word that the second step masked?
"""
edit('"mask_then_tenth": 2, "random_then_mask": 1', '"mask_then_tenth": 10, "random_then_mask": 10')

# %% exercise="published_shares" wrong="column_of_the_masks"
"""These are the shares of [MASK]. Asked for are those of another word.

Which column of the table is it?
"""
edit('"mask_then_half": 10, "mask_then_tenth": 2, "random_then_mask": 1, "random_then_rest": 10',
     '"mask_then_half": 80, "mask_then_tenth": 80, "random_then_mask": 90, "random_then_rest": 81')

# %% exercise="published_shares" wrong="column_of_the_unchanged"
"""These are the shares of words that stayed. Asked for are those of another word.

Which column of the table is it?
"""
edit('"mask_then_tenth": 2, "random_then_mask": 1, "random_then_rest": 10',
     '"mask_then_tenth": 18, "random_then_mask": 9, "random_then_rest": 9')

# %% exercise="published_shares" wrong="shares_between_0_and_1"
"""These are shares between 0 and 1.

How much is a tenth in percent?
"""
edit('"mask_then_half": 10, "mask_then_tenth": 2, "random_then_mask": 1, "random_then_rest": 10',
     '"mask_then_half": 0.1, "mask_then_tenth": 0.02, "random_then_mask": 0.01, "random_then_rest": 0.1')

# %% exercise="published_shares" wrong="shares_as_the_names_say"
"""The shares are those that the code speaks of, a half and a tenth, not those that were counted.

A half of which positions? What does the table show?
"""
edit('"mask_then_half": 10, "mask_then_tenth": 2, "random_then_mask": 1',
     '"mask_then_half": 50, "mask_then_tenth": 10, "random_then_mask": 10')

# %% exercise="published_shares" wrong="overwritten_words_counted"
"""random_then_mask is said to have 10 % random words. Some were written, but the second step masked most of them.

What does its line of the table show in the end?
"""
edit('"random_then_mask": 1', '"random_then_mask": 10')

# %% exercise="published_shares" wrong="tenth_of_the_rest_is_ten_percent"
"""mask_then_tenth is said to have 10 % random words. Its tenth is one of what the first step left.

What does its line of the table show?
"""
edit('"mask_then_tenth": 2', '"mask_then_tenth": 10')

# %% exercise="repaired_corrupt" wrong="still_ninety_percent"
"""The order is right, but [MASK] goes to 90 % of those that are left: 81 % of all.

90 % of 90 % is what? And what should it be?
"""
edit("0.8 / 0.9", "0.9")

# %% exercise="repaired_corrupt" wrong="eighty_percent_of_the_rest"
"""[MASK] goes to 80 % of those that are left: 72 % of all.

What share of 90 % is 80 %?
"""
edit("0.8 / 0.9", "0.8")

# %% exercise="repaired_corrupt" wrong="random_words_overwritten"
"""[MASK] is still written over random words.

Which positions may the second draw decide about?
"""
edit("masked = chosen & ~random & (mask_draw < 0.8 / 0.9)", "masked = chosen & (mask_draw < 0.8 / 0.9)")
edit(
    "torch.where(random, words, torch.where(masked, mask_id, ids))",
    "torch.where(masked, mask_id, torch.where(random, words, ids))",
)

# %% exercise="repaired_corrupt" wrong="mask_decides_first"
"""[MASK] is decided first, and half of the rest gets a random word. The shares are right; but here `random_draw`
decides first, below 0.1.

What should stand where random_draw is 0.05?
"""
edit("random = chosen & (random_draw < 0.1)", "random = chosen & (mask_draw >= 0.8) & (random_draw < 0.5)")
edit("mask_draw < 0.8 / 0.9", "mask_draw < 0.8")

# %% exercise="repaired_corrupt" wrong="not_chosen_changed"
"""Random words are written at positions that nobody chose.

Which tensor says where anything may change?
"""
edit("random = chosen & (random_draw < 0.1)", "random = random_draw < 0.1")

# %% exercise="repaired_corrupt" wrong="published_as_it_was"
"""The function is the published one: a tenth of the random words is left, and 90 % are [MASK].

Take 1000 chosen positions and count.
"""
edit("masked = chosen & ~random & (mask_draw < 0.8 / 0.9)", "masked = chosen & (mask_draw < 0.9)")
edit(
    "torch.where(random, words, torch.where(masked, mask_id, ids))",
    "torch.where(masked, mask_id, torch.where(random, words, ids))",
)

# %% exercise="repaired_corrupt" wrong="threshold_rounded"
"""The threshold is 0.89, a rounded number: [MASK] goes to 80.1 % of all.

By which fraction do you have to cut 90 % to get 80 %?
"""
edit("0.8 / 0.9", "0.89")

# %% exercise="repaired_corrupt" wrong="masks_at_positions_not_chosen"
"""[MASK] is written at positions that nobody chose.

Which tensor says where anything may change?
"""
edit("masked = chosen & ~random", "masked = ~random")

# %% exercise="repaired_corrupt" wrong="random_word_like_the_original_is_masked"
"""Where the random word happens to be the original one the position can still become [MASK]. The first draw has decided
about it.

What says that a position holds its random word: the draw, or a word that has changed?
"""
edit("random = chosen & (random_draw < 0.1)", "random = chosen & (random_draw < 0.1) & (words != ids)")

# %% exercise="repaired_corrupt" wrong="labels_where_something_changed"
"""Chosen positions that hold their own word in the end have no label. They were chosen, so they are asked for.

Which 10 % of the chosen positions are missing?
"""
edit("return torch.where(random, words, torch.where(masked, mask_id, ids)), labels", """
    corrupted = torch.where(random, words, torch.where(masked, mask_id, ids))
    return corrupted, torch.where(corrupted == ids, -100, labels)
""")

# %% exercise="repaired_corrupt" wrong="label_is_the_new_word"
"""The label is what stands there after the corruption, not the original word.

What is the right answer for a masked slot?
"""
edit("return torch.where(random, words, torch.where(masked, mask_id, ids)), labels", """
    corrupted = torch.where(random, words, torch.where(masked, mask_id, ids))
    return corrupted, torch.where(chosen, corrupted, -100)
""")

# %% exercise="repaired_corrupt" wrong="draw_of_a_tenth_is_random"
"""A first draw of exactly 0.1 gives a random word. Only smaller ones do.

What does "below 0.1" say about 0.1?
"""
edit("(random_draw < 0.1)", "(random_draw <= 0.1)")

# %% exercise="next_sentence_pairs" wrong="labels_reversed"
"""1 stands for a true pair. Here, as in transformers, 0 = it follows and 1 = a random sentence.

Which class is number 0?
"""
edit("pairs.append((first, second, 0))", "pairs.append((first, second, 1))")
edit("other[int(place * len(other))], 1", "other[int(place * len(other))], 0")

# %% exercise="next_sentence_pairs" wrong="negative_from_the_same_document"
"""The random sentence may come from the document of `first`: a negative that is none.

How many documents are there to pick from when one is taken out?
"""
edit("documents[:number] + documents[number + 1 :]", "documents")

# %% exercise="next_sentence_pairs" wrong="other_documents_by_text"
"""Other documents are found by comparing texts. Two documents with the same text count as one then.

Which number does a document have?
"""
edit("documents[:number] + documents[number + 1 :]", "[d for d in documents if d != document] or documents")

# %% exercise="next_sentence_pairs" wrong="across_the_border"
"""The last sentence of a document counts as well, for a pair or for a row of the draws. It has none: what comes next is
another document.

How many pairs, and so how many draws, does a document of three sentences have?
"""
edit(
    "zip(document[:-1], document[1:])",
    "zip(document, document[1:] + [d[0] for d in documents[number + 1 : number + 2]])",
)

# %% exercise="next_sentence_pairs" wrong="half_turned_round"
"""A draw below 0.5 makes a random pair; it should make the true one.

What should happen at 0.2?
"""
edit("kind < 0.5", "kind >= 0.5")

# %% exercise="next_sentence_pairs" wrong="draws_exchanged"
"""The second draw picks the sentence and the third one the document.

Which of the two comes first in the docstring?
"""
edit("kind, which, place = ", "kind, place, which = ")

# %% exercise="next_sentence_pairs" wrong="row_of_the_draws"
"""The row of the draws starts again in every document. Row i belongs to pair i, counted through all documents.

How many pairs have you made so far?
"""
edit("""
        for first, second in zip(document[:-1], document[1:]):
            kind, which, place = draws[len(pairs)].tolist()
""", """
        for row, (first, second) in enumerate(zip(document[:-1], document[1:])):
            kind, which, place = draws[row].tolist()
""")

# %% exercise="next_sentence_pairs" wrong="next_document_only"
"""The random sentence always comes from the next document, so `draws[i, 1]` decides nothing.

How many documents can the negative come from?
"""
edit("others[int(which * len(others))]", "others[number % len(others)]")

# %% exercise="next_sentence_pairs" wrong="one_document_is_enough"
"""A single document is accepted. There is no other one that a negative could come from.

What does the docstring want when there are fewer than two?
"""
edit("len(documents) < 2", "len(documents) < 1")

# %% exercise="next_sentence_pairs" wrong="first_sentence_of_the_other"
"""The negative is always the first sentence of the other document.

What does the third draw decide?
"""
edit("other[int(place * len(other))]", "other[0]")

# %% exercise="next_sentence_pairs" wrong="document_found_by_its_text"
"""A document is looked up by its text: of two with the same text the first one is always left out.

Which number does a document have?
"""
edit("for number, document in enumerate(documents):", """
    for document in documents:
        number = documents.index(document)
""")

# %% exercise="next_sentence_pairs" wrong="sentence_found_by_its_text"
"""A sentence is looked up by its text: the second one with that text gets what stands behind the first.

Which place does a sentence have?
"""
edit("pairs.append((first, second, 0))", "pairs.append((first, document[document.index(first) + 1], 0))")

# %% exercise="next_sentence_pairs" wrong="half_itself_is_true"
"""A first draw of exactly 0.5 makes the true pair. Only smaller ones do.

What does "< 0.5" say about 0.5?
"""
edit("kind < 0.5", "kind <= 0.5")

# %% exercise="next_sentence_pairs" wrong="short_documents_give_nothing"
"""No negative comes from a document of one sentence. Such a document gives no pair, but it can be picked.

What does the docstring say about negatives of others?
"""
edit("others = documents[:number] + documents[number + 1 :]", """
    others = documents[:number] + documents[number + 1 :]
    others = [other for other in others if len(other) > 1] or others
""")

# %% exercise="next_sentence_pairs" wrong="pairs_do_not_overlap"
"""Sentences are taken two by two: half of the pairs are missing.

How many pairs does a document of three sentences have?
"""
edit("zip(document[:-1], document[1:])", "zip(document[:-1:2], document[1::2])")

# %% exercise="next_sentence_pairs" wrong="draws_rounded"
"""A draw is rounded to the nearest number and cut at the last one. The first number and the last one come too seldom
or too often.

Is floor the nearest integer?
"""
edit("others[int(which * len(others))]", "others[min(round(which * len(others)), len(others) - 1)]")
edit("other[int(place * len(other))]", "other[min(round(place * len(other)), len(other) - 1)]")

# %% exercise="next_sentence_pairs" wrong="one_draw_picks_both"
"""The second draw picks the document and its sentence, too; the third one decides nothing.

What does draws[i, 2] pick?
"""
edit("other[int(place * len(other))]", "other[int(which * len(other))]")

# %% exercise="next_sentence_pairs" wrong="sentences_in_one_pool"
"""The sentences of all other documents stand in one list, and the third draw picks from it: the second one decides
nothing, and long documents come more often.

Which draw decides about the document?
"""
edit("other = others[int(which * len(others))]", "other = [sentence for each in others for sentence in each]")

# %% exercise="next_sentence_pairs" wrong="second_draw_in_one_pool"
"""The sentences of all other documents stand in one list, and the second draw picks from it: the third one decides
nothing, and long documents come more often.

What does the second draw pick, and what the third?
"""
edit("other = others[int(which * len(others))]", "other = [sentence for each in others for sentence in each]")
edit("other[int(place * len(other))]", "other[int(which * len(other))]")

# %% exercise="next_sentence_pairs" wrong="row_for_every_sentence"
"""The last sentence of a document takes a row of the draws, too. It has no pair, and so no row.

How many rows does a document of three sentences use?
"""
edit("draws[len(pairs)]", "draws[min(len(pairs) + number, len(draws) - 1)]")

# %% exercise="next_sentence_pairs" wrong="draws_in_float32"
"""Where a draw is just below 1 your number is n, one behind the last: in float32 that draw is 1.

In which dtype do the draws come, and in which one do you multiply?
"""
edit("draws[len(pairs)]", "draws.float()[len(pairs)]")

# %% exercise="next_sentence_pairs" wrong="others_from_the_next_one_on"
"""The other documents are counted from the one behind, round the end. Their order is that of `documents`.

Which document is number 0 of the others, for the last document?
"""
edit("documents[:number] + documents[number + 1 :]", "documents[number + 1 :] + documents[:number]")

# %% exercise="BertEncoder" wrong="no_embedding_norm"
"""The embeddings go into the first layer without their norm.

Where is embedding_norm used?
"""
edit("states, weights = [self.embedding_norm(x)], []", "states, weights = [x + 0 * self.embedding_norm(x)], []")

# %% exercise="BertEncoder" wrong="embeddings_scaled"
"""Token embeddings are multiplied by sqrt(D), as in the model of 2017. BERT takes them as they are.

What happens to the shares of position and segment in the sum?
"""
edit("self.token_embedding(ids) +", "self.token_embedding(ids) * self.token_embedding.embedding_dim**0.5 +")

# %% exercise="BertEncoder" wrong="no_segments"
"""The segment table is made and never used.

Which three vectors are added at each position?
"""
edit(" + self.segment_embedding(segments)", "")

# %% exercise="BertEncoder" wrong="no_segment_zero"
"""Where no segments are given nothing is added. They are all segment 0 then, and that has a vector.

Is row 0 of the segment table zero?
"""
edit("segments = torch.zeros_like(ids) if segments is None else segments", "none = segments is None")
edit(" + self.segment_embedding(segments)", "")
edit(
    "mask = None if keep is None",
    """
    x = x if none else x + self.segment_embedding(segments)
    mask = None if keep is None""",
)

# %% exercise="BertEncoder" wrong="no_positions"
"""Positions are not added: the model can't tell the order of its tokens.

Exchange two tokens. Do the states of the others change?
"""
edit(" + self.position_embedding(positions)", " + 0 * self.position_embedding(positions)")

# %% exercise="BertEncoder" wrong="default_eps"
"""The norms have the default eps, 1e-5. These checkpoints were trained with 1e-12.

Which of your norms were given an eps?
"""
edit(", eps=1e-12", "", times=3)

# %% exercise="BertEncoder" wrong="default_eps_in_the_layers"
"""The norms of the layers have the default eps; only embedding_norm has 1e-12.

Which of your norms were given an eps?
"""
edit('"norm1": nn.LayerNorm(width, eps=1e-12)', '"norm1": nn.LayerNorm(width)')
edit('"norm2": nn.LayerNorm(width, eps=1e-12)', '"norm2": nn.LayerNorm(width)')

# %% exercise="BertEncoder" wrong="tanh_gelu"
"""GELU is the tanh approximation. This checkpoint wants the exact one.

What is the default of `approximate`?
"""
edit(
    "nn.functional.gelu(layer[\"feed_forward\"][\"up\"](x))",
    "nn.functional.gelu(layer[\"feed_forward\"][\"up\"](x), approximate=\"tanh\")",
)

# %% exercise="BertEncoder" wrong="relu"
"""The feed-forward layer has a ReLU, as in 2017. BERT has GELU.

What does each of the two do with -0.5?
"""
edit("nn.functional.gelu(", "nn.functional.relu(")

# %% exercise="BertEncoder" wrong="pre_norm"
"""The norm acts on what goes into a sublayer. BERT is post-norm: it acts on the sum.

Which of the two leaves states of a fixed size behind every layer?
"""
edit('layer["attention"](x, mask)', 'layer["attention"](layer["norm1"](x), mask)')
edit('x = layer["norm1"](x + mixed)', "x = x + mixed")
edit('layer["feed_forward"]["up"](x)', 'layer["feed_forward"]["up"](layer["norm2"](x))')
edit(
    'layer["norm2"](x + layer["feed_forward"]["down"](inner))', 'x + layer["feed_forward"]["down"](inner)'
)

# %% exercise="BertEncoder" wrong="norms_exchanged"
"""norm1 and norm2 are exchanged.

Which one stands behind the attention?
"""
edit('x = layer["norm1"](x + mixed)', 'x = layer["norm2"](x + mixed)')
edit('layer["norm2"](x + layer["feed_forward"]', 'layer["norm1"](x + layer["feed_forward"]')

# %% exercise="BertEncoder" wrong="padding_visible"
"""`keep` is not used: real tokens look at padding.

Where does the mask enter the attention?
"""
edit("mask = None if keep is None else keep[:, None, None, :]", "mask = None")

# %% exercise="BertEncoder" wrong="mask_turned_round"
"""The mask hides the real tokens: True = may look, and `keep` is True for real tokens.

Does your mask need a ~?
"""
edit("else keep[:, None, None, :]", "else ~keep[:, None, None, :]")

# %% exercise="BertEncoder" wrong="mask_in_the_first_layer_only"
"""Padding is hidden in the first layer and visible in the next ones.

Is the mask still there in the second round of your loop?
"""
edit("weights.append(weight)", "weights.append(weight); mask = None")

# %% exercise="BertEncoder" wrong="queries_masked_instead_of_keys"
"""The mask stands on the axis of the queries: padded queries see nothing, and real ones see everything.

(B, H, queries, keys): on which axis do the tokens stand that are hidden?
"""
edit("keep[:, None, None, :]", "keep[:, None, :, None]")

# %% exercise="BertEncoder" wrong="causal"
"""A token sees only itself and what stands before it. An encoder reads both sides.

Which mask does BERT need besides that for padding?
"""
edit(
    "states, weights = [self",
    """
    causal = torch.ones(T, T, dtype=torch.bool, device=ids.device).tril()
    mask = causal if mask is None else causal & mask
    states, weights = [self""",
)

# %% exercise="BertEncoder" wrong="states_without_the_embeddings"
"""`inspect` gives L states; the one behind the embeddings is missing.

L + 1 states: what is the first one?
"""
edit("return states, weights", "return states[1:], weights")

# %% exercise="BertEncoder" wrong="long_sequences_cut"
"""A sequence that is too long is cut without a word. It should raise ValueError.

What does the caller think how many states come back?
"""
edit(
    'raise ValueError(f"{T} tokens, and positions for {self.position_embedding.num_embeddings}")',
    """
    T = self.position_embedding.num_embeddings
    ids, keep = ids[:, :T], None if keep is None else keep[:, :T]
    segments = None if segments is None else segments[:, :T]
    """,
)

# %% exercise="BertEncoder" wrong="residual_forgotten"
"""The attention's output replaces the stream instead of being added to it.

x + attention(x): where is the x?
"""
edit('layer["norm1"](x + mixed)', 'layer["norm1"](mixed)')

# %% exercise="BertEncoder" wrong="default_eps_behind_the_embeddings"
"""embedding_norm has the default eps, 1e-5; the norms of the layers have 1e-12.

Which of your norms were given an eps?
"""
edit("self.embedding_norm = nn.LayerNorm(width, eps=1e-12)", "self.embedding_norm = nn.LayerNorm(width)")

# %% exercise="BertEncoder" wrong="mask_as_numbers"
"""The mask is one of numbers, 1 and 0. They are added to the scores, and nothing is hidden.

Which dtype does MultiHeadAttention want?
"""
edit("else keep[:, None, None, :]", "else keep[:, None, None, :].to(x.dtype)")

# %% exercise="BertEncoder" wrong="positions_skip_padding"
"""Positions count real tokens only. BERT's count all places of a row, padding or not.

Padding stands in front: which position has the first real token?
"""
edit("positions = torch.arange(T, device=ids.device)",
     "positions = torch.arange(T) if keep is None else (keep.cumsum(1) - 1).clamp(min=0)")

# %% exercise="BertEncoder" wrong="forward_drops_the_segments"
"""`forward` does not hand the segments on: there all tokens belong to segment 0.

Which arguments does `inspect` have?
"""
edit("self.inspect(ids, keep, segments)[0][-1]", "self.inspect(ids, keep)[0][-1]")

# %% exercise="BertEncoder" wrong="first_state_before_the_norm"
"""The first of the states is the sum of the embeddings, before their norm.

What does the first layer read?
"""
edit("states, weights = [self.embedding_norm(x)], []", "states, weights = [x], []")
edit("x = states[-1]", "x = states[-1] if weights else self.embedding_norm(x)")

# %% exercise="BertEncoder" wrong="first_norm_used_twice"
"""norm1 stands behind the feed-forward layer as well; norm2 is never used.

Which one does the second line of the docstring name?
"""
edit('layer["norm2"](x + layer["feed_forward"]', 'layer["norm1"](x + layer["feed_forward"]')

# %% exercise="BertEncoder" wrong="second_sum_with_the_layers_input"
"""The feed-forward layer's result is added to the layer's input. It belongs to what norm1 gives.

Which x stands in the second line of the docstring?
"""
edit('layer["norm2"](x + layer["feed_forward"]', 'layer["norm2"](states[-1] + layer["feed_forward"]')

# %% exercise="BertEncoder" wrong="padding_idx"
"""The token table has a padding_idx: that row never gets a gradient.

Which rows of the table are learned?
"""
edit("nn.Embedding(vocab_size, width)", "nn.Embedding(vocab_size, width, padding_idx=0)")

# %% exercise="BertEncoder" wrong="one_layer_for_all"
"""All layers are one and the same module: they share their weights.

How many different modules does your list hold?
"""
edit("self.encoder.append(nn.ModuleDict(parts))",
     "self.encoder.append(self.encoder[0] if len(self.encoder) else nn.ModuleDict(parts))")

# %% exercise="BertEncoder" wrong="sum_in_place"
"""A sum is written into the stream itself, so a state that you keep is changed afterwards.

Which of your operations makes a new tensor?
"""
edit('x = layer["norm1"](x + mixed)', 'x = layer["norm1"](x.add_(mixed))')

# %% exercise="masked_mean_pool" wrong="padding_is_averaged"
"""The mean goes over padding, too: a sentence changes with its neighbours in the batch.

Whose length divides your sum?
"""
def masked_mean_pool(states, keep):
    return states.mean(dim=1) * (keep.any(dim=1, keepdim=True))

# %% exercise="masked_mean_pool" wrong="divided_by_the_padded_length"
"""Padding is zero in the sum, but you divide by T, the length with padding.

How many tokens does the row really have?
"""
edit("return total / count", "return total / keep.shape[1]")

# %% exercise="masked_mean_pool" wrong="all_padding_but_counted_right"
"""The sum has padding in it; only the number that divides it is right.

What stands at a padded place, and does it come in to your sum?
"""
edit("states.masked_fill(~keep[:, :, None], 0.0).sum(dim=1)", "states.sum(dim=1) * keep.any(dim=1, keepdim=True)")

# %% exercise="masked_mean_pool" wrong="padding_taken_off_again"
"""The padded states come in to the sum and are taken off again. Where they are huge no digits are left.

Can they stay out from the beginning?
"""
edit(
    "states.masked_fill(~keep[:, :, None], 0.0).sum(dim=1)",
    "states.sum(dim=1) - states.masked_fill(keep[:, :, None], 0.0).sum(dim=1)",
)

# %% exercise="masked_mean_pool" wrong="empty_row_is_nan"
"""A row without a real token divides 0 by 0: NaN.

What is the smallest number that you divide by?
"""
edit(".clamp(min=1)", "")

# %% exercise="masked_mean_pool" wrong="mean_of_padding"
"""The mean goes over padding and leaves the real tokens out: the mask is turned round.

True = a real token. What does your mask set to 0?
"""
edit("~keep[:, :, None]", "keep[:, :, None]")
edit("keep.sum(dim=1, keepdim=True)", "(~keep).sum(dim=1, keepdim=True)")

# %% exercise="masked_mean_pool" wrong="one_count_for_the_batch"
"""All rows are divided by one number, the number of real tokens of the whole batch.

How many counts are there for B sentences?
"""
edit("keep.sum(dim=1, keepdim=True)", "keep.sum()")

# %% exercise="masked_mean_pool" wrong="first_tokens_of_the_row"
"""You take the first n tokens of a row, n the number of real ones. Padding may stand anywhere.

Does your answer look at *where* keep is True?
"""
edit(
    "total = states",
    """
    keep = torch.arange(keep.shape[1]) < keep.sum(dim=1, keepdim=True)
    total = states""",
)

# %% exercise="masked_mean_pool" wrong="largest_count_divides"
"""Every sum is divided by the length of the longest sentence of the batch.

Does a sentence have the same vector alone and beside a longer one?
"""
edit(".clamp(min=1)", ".clamp(min=1).max()")

# %% exercise="masked_mean_pool" wrong="sum_instead_of_mean"
"""You give the sum of the real tokens; it is not divided by their number.

How long would the vector of a sentence of forty tokens be?
"""
edit("return total / count", "return total * (count > 0)")

# %% exercise="masked_mean_pool" wrong="repaired_behind_the_division"
"""A row without a real token is divided by 0 and repaired afterwards: the result is 0, but its gradient is NaN.

The gradient of total / count has a count below the line. What is it in such a row?
"""
edit("states.masked_fill(~keep[:, :, None], 0.0)", "(states * keep[:, :, None])")
edit(".clamp(min=1)", "")
edit("return total / count", "return torch.where(count > 0, total / count, 0.0)")

# %% exercise="masked_mean_pool" wrong="count_plus_one"
"""You divide by the count plus one, so every mean is too small.

The mean of one token: what should it be?
"""
edit(".clamp(min=1)", " + 1")

# %% exercise="masked_mean_pool" wrong="count_plus_a_small_number"
"""A small number is added to every count: every mean is a little too small.

Which counts need another number below the line, and which don't?
"""
edit(".clamp(min=1)", " + 1e-5")

# %% exercise="masked_mean_pool" wrong="last_real_token"
"""You take the state of the last real token. Asked for is the mean of all real ones.

Change the first real token's state. What should move?
"""
edit(
    "total = states",
    """
    keep = keep & (keep.cumsum(dim=1) == keep.sum(dim=1, keepdim=True))
    total = states""",
)

# %% exercise="masked_mean_pool" wrong="divided_by_the_root"
"""The sum is divided by the root of the count. A mean is divided by the count.

The mean of four equal states: what should it be?
"""
edit("return total / count", "return total / count.sqrt()")

# %% exercise="masked_mean_pool" wrong="shares_in_float32"
"""The shares by which states are multiplied are float32, also where the states are float64: half of the digits are
lost.

Which dtype do the shares have before they meet the states?
"""
edit("return total / count", "return (states * (keep / count)[:, :, None]).sum(dim=1)")

# %% exercise="repaired_distances" wrong="still_divided_by_the_padded_length"
"""The sum is divided by T, the length with padding, as in the published function.

How many tokens does the row really have?
"""
edit("(masked_mean_pool(states, keep) - query)", "((states * keep[:, :, None]).mean(dim=1) - query)")

# %% exercise="repaired_distances" wrong="padding_in_the_mean"
"""Now padding is in the sum as well.

What stands at a padded place?
"""
edit("masked_mean_pool(states, keep)", "states.mean(dim=1)")

# %% exercise="repaired_distances" wrong="largest_count_divides"
"""Every sum is divided by the length of the longest sentence of the batch.

Does a sentence have the same distance alone and beside a longer one?
"""
edit("masked_mean_pool(states, keep)", "(states * keep[:, :, None]).sum(dim=1) / keep.sum(dim=1).max()")

# %% exercise="repaired_distances" wrong="cosine_instead"
"""You give one minus the cosine. It hides the division; asked for is the Euclidean distance.

What is the distance of a vector from twice itself?
"""
edit(
    "(masked_mean_pool(states, keep) - query).norm(dim=1)",
    "1 - nn.functional.cosine_similarity(masked_mean_pool(states, keep), query[None], dim=1)",
)

# %% exercise="repaired_distances" wrong="squared_distance"
"""The root is missing: you give the squared distance.

What is the distance of (3, 4) from the origin?
"""
edit(".norm(dim=1)", ".square().sum(dim=1)")

# %% exercise="repaired_distances" wrong="query_divided_too"
"""The query is divided by the number of tokens, too. It is a mean already.

Of which tokens is `query` the mean?
"""
edit("- query)", "- query / keep.sum(dim=1, keepdim=True))")

# %% exercise="repaired_distances" wrong="padding_in_the_sum"
"""The count is right now, but padding is in the sum.

What stands at a padded place, and does it come in to your sum?
"""
edit("masked_mean_pool(states, keep)", "states.sum(dim=1) / keep.sum(dim=1, keepdim=True)")

# %% exercise="repaired_distances" wrong="mean_count_divides"
"""Every sum is divided by the mean number of real tokens of the batch.

Does a sentence have the same distance alone and beside a longer one?
"""
edit("masked_mean_pool(states, keep)",
     "(states * keep[:, :, None]).sum(dim=1) / keep.sum(dim=1).double().mean().to(states.dtype)")

# %% exercise="repaired_distances" wrong="brought_to_length_one"
"""Sentence and query are brought to length 1 first. Asked for is the distance of the vectors as they are.

What is the distance of a vector from twice itself?
"""
edit("(masked_mean_pool(states, keep) - query)",
     "(nn.functional.normalize(masked_mean_pool(states, keep), dim=1) - nn.functional.normalize(query, dim=0))")

# %% exercise="repaired_distances" wrong="mean_of_distances"
"""You average the distances of the tokens. Asked for is the distance of their mean.

Two tokens, one at each side of the query and equally far: what is the distance of their mean?
"""
edit("(masked_mean_pool(states, keep) - query).norm(dim=1)",
     "((states - query).norm(dim=2) * keep).sum(dim=1) / keep.sum(dim=1)")

# %% exercise="repaired_distances" wrong="nearest_token"
"""You give the distance of the nearest token. Asked for is the distance of the tokens' mean.

Change a token that is far away. What should move?
"""
edit("(masked_mean_pool(states, keep) - query).norm(dim=1)",
     "(states - query).norm(dim=2).masked_fill(~keep, math.inf).amin(dim=1)")

# %% exercise="repaired_distances" wrong="query_taken_off_at_padding"
"""The query is taken off at padded places, too, so it is taken off too often.

How often should it be taken off when you sum first and divide afterwards?
"""
edit("(masked_mean_pool(states, keep) - query)",
     "((states * keep[:, :, None] - query).sum(dim=1) / keep.sum(dim=1, keepdim=True))")

# %% exercise="repaired_distances" wrong="one_norm_for_the_batch"
"""One norm goes over all sentences together: they all have the same distance.

Over which axis do the numbers of one sentence stand?
"""
edit(".norm(dim=1)", ".norm().expand(len(states))")

# %% exercise="repaired_distances" wrong="pairwise_distance"
"""Your distances are a little off: F.pairwise_distance adds 1e-6 to every difference.

What is `eps` there, and what does it do to a distance of 0?
"""
edit("(masked_mean_pool(states, keep) - query).norm(dim=1)",
     "nn.functional.pairwise_distance(masked_mean_pool(states, keep), query[None])")

# %% exercise="repaired_distances" wrong="first_tokens_of_the_row"
"""You take the first n tokens of a row, n the number of real ones. Padding may stand anywhere.

Does your answer look at *where* keep is True?
"""
edit("masked_mean_pool(states, keep)",
     "torch.stack([row[: int(real.sum())].mean(dim=0) for row, real in zip(states, keep)])")

# %% exercise="repaired_distances" wrong="shares_in_float32"
"""The shares by which states are multiplied are float32, also where the states are float64: half of the digits are
lost.

Which dtype do the shares have before they meet the states?
"""
edit("masked_mean_pool(states, keep)",
     "(states * (keep / keep.sum(dim=1, keepdim=True))[:, :, None]).sum(dim=1)")

# %% exercise="ClassificationHead" wrong="no_tanh"
"""The pooler's tanh is missing: two linear maps in a row are one.

Which function stands between pooler and classifier?
"""
edit("torch.tanh(self.pooler(states[:, 0]))", "self.pooler(states[:, 0])")

# %% exercise="ClassificationHead" wrong="mean_of_all_tokens"
"""The mean over all tokens is pooled. BERT takes the first token's state.

What stands at position 0 of BERT's input?
"""
edit("self.pooler(states[:, 0])", "self.pooler(states.mean(dim=1))")

# %% exercise="ClassificationHead" wrong="last_token"
"""The last token's state is taken. It may be padding, and [CLS] stands in front.

At which position is [CLS]?
"""
edit("self.pooler(states[:, 0])", "self.pooler(states[:, -1])")

# %% exercise="ClassificationHead" wrong="no_pooler"
"""The classifier reads the state itself; the pooler is never used.

Which layer comes first in the formula?
"""
edit("torch.tanh(self.pooler(states[:, 0]))", "torch.tanh(states[:, 0])")

# %% exercise="ClassificationHead" wrong="dropout_on_the_logits"
"""Dropout acts on the logits. It belongs between tanh and classifier.

What are the logits when everything is dropped: 0, or the classifier's bias?
"""
edit("self.classifier(self.dropout(pooled))", "self.dropout(self.classifier(pooled))")

# %% exercise="ClassificationHead" wrong="dropout_before_the_pooler"
"""Dropout acts on what the pooler reads, not on what it gives.

Which vector does the docstring call pooled?
"""
edit("self.pooler(states[:, 0])", "self.pooler(self.dropout(states[:, 0]))")
edit("self.classifier(self.dropout(pooled))", "self.classifier(pooled)")

# %% exercise="ClassificationHead" wrong="dropout_forgotten"
"""Nothing is dropped in training.

What does `dropout` do in your head?
"""
edit("self.classifier(self.dropout(pooled))", "self.classifier(pooled)")

# %% exercise="ClassificationHead" wrong="dropout_in_evaluation"
"""Numbers are dropped in evaluation, too.

What does nn.Dropout look at that nn.functional.dropout has to be told?
"""
edit("self.dropout(pooled)", "nn.functional.dropout(pooled, self.dropout.p)")

# %% exercise="ClassificationHead" wrong="first_sentence"
"""states[0] is the first sentence of the batch with all its tokens. Asked for is the first token of every sentence.

Which axis of (B, T, D) has the tokens?
"""
edit("self.pooler(states[:, 0])", "self.pooler(states[0])")

# %% exercise="ClassificationHead" wrong="relu_for_tanh"
"""A ReLU stands in the place of tanh.

Which function does the formula name?
"""
edit("torch.tanh(", "torch.relu(")

# %% exercise="ClassificationHead" wrong="gelu_for_tanh"
"""A GELU stands in the place of tanh.

Which function does the formula name?
"""
edit("torch.tanh(", "nn.functional.gelu(")

# %% exercise="ClassificationHead" wrong="dropout_is_the_kept_share"
"""`dropout` is read as the probability that a number stays. It is the probability that it goes.

What should a dropout of 1 leave?
"""
edit("nn.Dropout(dropout)", "nn.Dropout(1 - dropout)")

# %% exercise="ClassificationHead" wrong="probabilities"
"""You give probabilities. Asked for are logits, before any softmax.

What stands behind the classifier in the formula?
"""
edit("self.classifier(self.dropout(pooled))", "self.classifier(self.dropout(pooled)).softmax(dim=-1)")

# %% exercise="tagging_loss" wrong="every_piece_counts"
"""Every piece of a word is asked, so long words count more than short ones.

Which piece speaks for its word?
"""
edit("(word_of >= 0) & (word_of != before)", "word_of >= 0")

# %% exercise="tagging_loss" wrong="specials_and_padding_count"
"""Special tokens and padding are asked for a tag, too.

What does -1 in word_of mean?
"""
edit("(word_of >= 0) & (word_of != before)", "word_of != before - (torch.arange(word_of.shape[1]) == 0).long()")

# %% exercise="tagging_loss" wrong="last_piece_speaks"
"""The last piece of a word is asked. It should be the first one.

Which neighbour do you compare with: the one before, or the one behind?
"""
edit(
    "before = torch.cat([torch.full_like(word_of[:, :1], -1), word_of[:, :-1]], dim=1)",
    "before = torch.cat([word_of[:, 1:], torch.full_like(word_of[:, :1], -1)], dim=1)",
)

# %% exercise="tagging_loss" wrong="divided_by_all_positions"
"""The sum is divided by all positions, padding too: the loss shrinks with the longest sentence.

Average over which pieces?
"""
edit("first.sum().clamp(min=1)", "first.numel()")

# %% exercise="tagging_loss" wrong="divided_by_all_pieces"
"""The sum goes over first pieces, but it is divided by the number of all pieces.

How many numbers did you add?
"""
edit("first.sum().clamp(min=1)", "(word_of >= 0).sum().clamp(min=1)")

# %% exercise="tagging_loss" wrong="mean_of_sentence_means"
"""You average the means of the sentences: words of short sentences count more.

How many words does the whole batch have?
"""
edit(
    """
    losses = nn.functional.cross_entropy(logits[first], asked, reduction="sum")
    return losses / first.sum().clamp(min=1)
    """,
    """
    losses = torch.zeros_like(logits[:, :, 0])
    losses[first] = nn.functional.cross_entropy(logits[first], asked, reduction="none")
    rows = losses.sum(1) / first.sum(1).clamp(min=1)
    return rows.sum() / first.any(1).sum().clamp(min=1)
    """,
)

# %% exercise="tagging_loss" wrong="tags_by_position"
"""The tag of word t is taken for piece t. Pieces and words are counted apart.

To which word does piece 5 belong?
"""
edit(
    "tags.gather(1, word_of.clamp(min=0))[first]",
    "tags[:, [min(t, tags.shape[1] - 1) for t in range(word_of.shape[1])]][first].clamp(min=0)",
)

# %% exercise="tagging_loss" wrong="nothing_to_ask_is_nan"
"""A batch without a word divides 0 by 0: NaN, and the whole model is NaN after one step.

What is the smallest number that you divide by?
"""
edit("first.sum().clamp(min=1)", "first.sum()")

# %% exercise="tagging_loss" wrong="word_at_the_left_edge_forgotten"
"""The piece at position 0 is never a first piece.

What stands before position 0?
"""
edit("torch.full_like(word_of[:, :1], -1)", "word_of[:, :1]")

# %% exercise="tagging_loss" wrong="rows_in_one_line"
"""The piece before is taken from the flattened batch: the end of the row above stands before position 0.

Does a sentence know its neighbour?
"""
edit(
    "before = torch.cat([torch.full_like(word_of[:, :1], -1), word_of[:, :-1]], dim=1)",
    "before = word_of.roll(1)",
)

# %% exercise="tagging_loss" wrong="row_is_a_ring"
"""The piece before position 0 is taken from the end of the same row: a row of one single word is never asked.

What stands before position 0?
"""
edit("torch.cat([torch.full_like(word_of[:, :1], -1), word_of[:, :-1]], dim=1)", "word_of.roll(1, dims=1)")

# %% exercise="tagging_loss" wrong="rows_behind_each_other"
"""The piece before position 0 is taken from the end of the row above. Each row begins anew.

Does a sentence know its neighbour?
"""
edit("torch.cat([torch.full_like(word_of[:, :1], -1), word_of[:, :-1]], dim=1)",
     "torch.cat([word_of.new_tensor([-1]), word_of.flatten()[:-1]]).view_as(word_of)")

# %% exercise="tagging_loss" wrong="word_zero_in_front_of_the_row"
"""Before position 0 there stands a piece of word 0 in your code, so word 0 is not asked at the front of a row.

Which number belongs to no word?
"""
edit("torch.full_like(word_of[:, :1], -1)", "torch.zeros_like(word_of[:, :1])")

# %% exercise="tagging_loss" wrong="words_without_gaps"
"""A word counts only where its number follows the number of the word before. Where words are cut off, it does not.

Word 3 stands in front, words 0 to 2 are missing: what should be asked?
"""
edit("(word_of != before)", "(word_of == before.cummax(1).values + 1)")

# %% exercise="tagging_loss" wrong="specials_ask_for_word_zero"
"""Where words end and special tokens or padding begin a tag is asked, too.

What does -1 in word_of mean?
"""
edit("(word_of >= 0) & (word_of != before)", "word_of != before")

# %% exercise="tagging_loss" wrong="divided_by_all_tags"
"""The sum is divided by the number of all entries of `tags`. Words without a piece are none of yours.

How many numbers did you add?
"""
edit("first.sum().clamp(min=1)", "tags.numel()")

# %% exercise="tagging_loss" wrong="sum_instead_of_mean"
"""You give the sum over the words; it is not divided by their number.

What happens to the loss when the batch is twice as large?
"""
edit("return losses / first.sum().clamp(min=1)", "return losses")

# %% exercise="tagging_loss" wrong="tags_taken_in_turn"
"""The first pieces get the tags in turn: the first one tag 0, the next one tag 1. Where words are missing that is the
tag of another word.

What says which word a piece belongs to?
"""
edit("word_of.clamp(min=0)", "(first.cumsum(dim=1) - 1).clamp(min=0)")

# %% exercise="tagging_loss" wrong="missing_words_at_place_zero"
"""Words without a piece are asked, too, at place 0: argmax over a row of False is 0.

How do you know that a word has a piece?
"""
def tagging_loss(logits, tags, word_of):
    here = word_of[:, None, :] == torch.arange(tags.shape[1])[:, None]  # (B, W, T)
    place = here.long().argmax(dim=-1)
    said = logits.gather(1, place[:, :, None].expand(-1, -1, logits.shape[2]))
    known = (tags >= 0) & (word_of >= 0).any(dim=1, keepdim=True)
    return nn.functional.cross_entropy(said[known], tags[known], reduction="sum") / known.sum().clamp(min=1)

# %% exercise="span_loss" wrong="padding_in_the_softmax"
"""The softmax goes over all tokens: question and padding get a share.

Which tokens can an answer start at?
"""
edit("logits.masked_fill(~allowed[:, :, None], -math.inf)", "logits")

# %% exercise="span_loss" wrong="masked_with_zero"
"""Logits outside of the text are set to 0. That is a logit like any other: exp(0) is 1.

Which logit gets nothing from a softmax?
"""
edit("-math.inf", "0.0")

# %% exercise="span_loss" wrong="text_masked"
"""The text is masked, and the rest is left.

True = a token of the text. What should become -inf?
"""
edit("~allowed[:, :, None]", "allowed[:, :, None]")

# %% exercise="span_loss" wrong="columns_exchanged"
"""The end is looked for in column 0 and the start in column 1.

Which column belongs to which?
"""
edit("cross_entropy(scores[:, :, 0], start)", "cross_entropy(scores[:, :, 1], start)")
edit("cross_entropy(scores[:, :, 1], end)", "cross_entropy(scores[:, :, 0], end)")

# %% exercise="span_loss" wrong="sum_of_both"
"""The two losses are added; asked for is their mean.

Which number do you divide by?
"""
edit("(of_start + of_end) / 2", "of_start + of_end")

# %% exercise="span_loss" wrong="start_only"
"""Only the start has a loss: the column of the end is never trained.

How many cross-entropies has a row?
"""
edit("(of_start + of_end) / 2", "of_start + 0 * scores[0, 0, 1].nan_to_num(0, 0, 0)")

# %% exercise="span_loss" wrong="a_small_number_for_infinity"
"""Masked logits get -10,000. Where the logits of the text lie lower still, the masked ones win.

Which number is below all others?
"""
edit("-math.inf", "-1e4")

# %% exercise="span_loss" wrong="hundred_taken_off"
"""Other tokens only lose 100: a logit that is large enough still gets a share.

Which logit gets nothing from a softmax?
"""
edit("logits.masked_fill(~allowed[:, :, None], -math.inf)", "logits - 100.0 * ~allowed[:, :, None]")

# %% exercise="span_loss" wrong="ten_thousand_taken_off"
"""Other tokens only lose 10,000. Where the logits of the text lie lower still, the others win.

Which number is below all others?
"""
edit("logits.masked_fill(~allowed[:, :, None], -math.inf)", "logits - 10000.0 * ~allowed[:, :, None]")

# %% exercise="span_loss" wrong="end_is_the_start"
"""The logits of the end are compared with the start.

Which argument does your code not read?
"""
edit("cross_entropy(scores[:, :, 1], end)", "cross_entropy(scores[:, :, 1], start)")

# %% exercise="span_loss" wrong="only_the_start_is_masked"
"""The softmax of the end goes over all tokens; only that of the start keeps to the text.

Which of the two columns did you mask?
"""
edit("cross_entropy(scores[:, :, 1], end)", "cross_entropy(logits[:, :, 1], end)")

# %% exercise="span_loss" wrong="sum_over_the_batch"
"""The rows of the batch are added up; asked for is their mean.

What happens to the loss when the batch is twice as large?
"""
edit("(scores[:, :, 0], start)", '(scores[:, :, 0], start, reduction="sum")')
edit("(scores[:, :, 1], end)", '(scores[:, :, 1], end, reduction="sum")')

# %% exercise="span_loss" wrong="end_is_one_behind"
"""You read `end` as the place behind the answer. It is the answer's last token.

An answer of one token: what are its start and its end?
"""
edit("(scores[:, :, 1], end)", "(scores[:, :, 1], (end - 1).clamp(min=0))")

# %% exercise="span_loss" wrong="bits"
"""The loss is in bits. Asked for are nats.

Which logarithm does cross_entropy take?
"""
edit("(of_start + of_end) / 2", "(of_start + of_end) / 2 / math.log(2)")

# %% exercise="span_loss" wrong="masked_behind_the_softmax"
"""The softmax goes over all tokens and is masked afterwards: shares of the text no longer sum to 1.

What must the shares of the allowed tokens sum to?
"""
def span_loss(logits, allowed, start, end):
    shares = logits.softmax(dim=1) * allowed[:, :, None]
    rows = torch.arange(len(logits))
    return -(shares[rows, start, 0].log() + shares[rows, end, 1].log()).mean() / 2

# %% exercise="span_loss" wrong="end_not_before_the_start"
"""The softmax of the end leaves out the tokens before the right start. It goes over all allowed tokens.

Does the head know the right start when it looks for the end?
"""
edit("of_end = ", """
    behind = torch.arange(logits.shape[1]) >= start[:, None]
    scores = scores.masked_fill(~behind[:, :, None], -math.inf)
    of_end = """)

# %% exercise="span_loss" wrong="one_softmax_for_both"
"""One softmax goes over the starts and the ends together: they compete with each other.

How many distributions does the head give for each row, and what does each sum to?
"""
def span_loss(logits, allowed, start, end):
    scores = logits.masked_fill(~allowed[:, :, None], -math.inf)
    logp = scores.flatten(1).log_softmax(dim=1).view_as(scores)
    rows = torch.arange(len(logits))
    return -(logp[rows, start, 0] + logp[rows, end, 1]).mean() / 2

# %% exercise="best_span" wrong="best_start_and_best_end"
"""Start and end are chosen one by one. The best end may stand before the best start.

Of how many pairs do you take the best one?
"""
def best_span(logits, allowed, max_length):
    return logits.masked_fill(~allowed[:, :, None], -math.inf).argmax(dim=1)

# %% exercise="best_span" wrong="best_end_behind_the_best_start"
"""The best start is taken first, and then the best end behind it. Another start may have a larger sum.

Is the best pair made of the best start?
"""
def best_span(logits, allowed, max_length):
    place = torch.arange(logits.shape[1])
    start = logits[:, :, 0].masked_fill(~allowed, -math.inf).argmax(dim=1)
    behind = (place >= start[:, None]) & (place < start[:, None] + max_length) & allowed
    end = logits[:, :, 1].masked_fill(~behind, -math.inf).argmax(dim=1)
    return torch.stack([start, end], dim=1)

# %% exercise="best_span" wrong="order_not_asked"
"""The end may stand before the start: the table's lower half is not closed.

Which entries (start, end) are no span?
"""
edit("(length >= 1) & (length <= max_length)", "(length <= max_length)")

# %% exercise="best_span" wrong="no_single_token"
"""A span of one token is not allowed in your table.

What is end - start + 1 when both are the same token?
"""
edit("(length >= 1)", "((length >= 2) | (max_length == 1) & (length == 1))")

# %% exercise="best_span" wrong="one_token_too_long"
"""Spans are one token too long: end - start <= max_length lets max_length + 1 tokens through.

How many tokens are there from 3 to 3?
"""
edit("place[None, :] - place[:, None] + 1", "place[None, :] - place[:, None]")
edit("(length >= 1)", "(length >= 0)")

# %% exercise="best_span" wrong="length_not_limited"
"""Answers may have any length.

Where does max_length come in?
"""
edit(" & (length <= max_length)", "")

# %% exercise="best_span" wrong="question_and_padding_allowed"
"""Question and padding may be in the answer.

Which tensor says where an answer may start and end?
"""
edit(" & allowed[:, :, None] & allowed[:, None, :]", " & (allowed | True)[:, :, None]")

# %% exercise="best_span" wrong="only_the_start_is_asked"
"""The start has to be allowed, the end may be anything.

Which of the two do you ask?
"""
edit(" & allowed[:, None, :]", "")

# %% exercise="best_span" wrong="masked_with_zero"
"""A sum of 0 wins where all possible sums are below 0: impossible pairs get it, or your search begins with it.

Which number is below all others?
"""
edit("sums.masked_fill(~possible, -math.inf)", "(sums * possible)")

# %% exercise="best_span" wrong="last_of_equal_sums"
"""Of equal sums you take the last pair.

Which one does the docstring ask for?
"""
edit(
    "best = sums.masked_fill(~possible, -math.inf).flatten(1).argmax(dim=1)",
    "best = T * T - 1 - sums.masked_fill(~possible, -math.inf).flatten(1).flip(1).argmax(dim=1)",
)

# %% exercise="best_span" wrong="product_of_the_logits"
"""The logits are multiplied. Two logits of -5 give 25: the worst pair wins.

Probabilities multiply. What do their logs do?
"""
edit("logits[:, :, None, 0] + logits[:, None, :, 1]", "logits[:, :, None, 0] * logits[:, None, :, 1]")

# %% exercise="best_span" wrong="columns_exchanged"
"""Starts are read from column 1 and ends from column 0.

Which column belongs to which?
"""
edit("logits[:, :, None, 0] + logits[:, None, :, 1]", "logits[:, :, None, 1] + logits[:, None, :, 0]")

# %% exercise="best_span" wrong="one_token_too_short"
"""Spans of max_length tokens are left out, unless it is 1.

How many tokens are there from 3 to 5?
"""
edit("(length <= max_length)", "(length <= max(max_length - 1, 1))")

# %% exercise="best_span" wrong="all_tokens_inside_allowed"
"""Spans with a token inside that is not allowed are left out. Only start and end have to be allowed.

What does the docstring ask of the tokens between them?
"""
edit("allowed[:, :, None] & allowed[:, None, :]",
     "allowed[:, :, None] & ((~allowed).cumsum(1)[:, :, None] == (~allowed).cumsum(1)[:, None, :])")

# %% exercise="best_span" wrong="table_multiplied_by_a_triangle"
"""Pairs whose end stands before the start, or too far behind it, get a sum of 0. Where all possible sums are below 0
such a pair wins.

Which number is below all others?
"""
edit("best = sums.masked_fill(~possible, -math.inf)", """
    sums = sums.masked_fill(~(allowed[:, :, None] & allowed[:, None, :]), torch.finfo(sums.dtype).min / 4)
    best = sums.triu().tril(max_length - 1)""")

# %% exercise="best_span" wrong="a_small_number_for_infinity"
"""What is impossible gets a finite number. Where all possible sums lie lower still, an impossible pair wins.

Which number is below all others?
"""
edit("-math.inf", "-1e4")

# %% exercise="best_span" wrong="end_is_one_behind"
"""The end that you give is the place behind the answer. Asked for is its last token.

An answer of one token: what are its start and its end?
"""
edit("best % T]", "best % T + 1]")

# %% exercise="best_span" wrong="sums_in_float32"
"""Float64 logits are rounded to float32: sums that lie close together become equal.

In which dtype do you add?
"""
edit("logits[:, :, None, 0] + logits[:, None, :, 1]", "logits.float()[:, :, None, 0] + logits.float()[:, None, :, 1]")

# %% exercise="best_span" wrong="product_of_probabilities"
"""Probabilities are multiplied. Where another logit is far larger they are all 0, and no pair is better than another.

Which sum has the same order as that product, and does not underflow?
"""
edit("logits[:, :, None, 0] + logits[:, None, :, 1]",
     "logits.softmax(dim=1)[:, :, None, 0] * logits.softmax(dim=1)[:, None, :, 1]")

# %% exercise="grouped_query_attention" wrong="tiled_heads"
"""The key/value heads are repeated as a whole: 0 1 0 1 0 1. Neighbours should share one: 0 0 0 1 1 1.

Six query heads, two key/value heads: which one does query head 1 look at?
"""
edit("k.repeat_interleave(H // G, dim=1)", "k.repeat(1, H // G, 1, 1)")
edit("v.repeat_interleave(H // G, dim=1)", "v.repeat(1, H // G, 1, 1)")

# %% exercise="grouped_query_attention" wrong="values_tiled"
"""Keys are repeated head by head, values as a whole: scores and values of a query head come from different heads.

Which value head belongs to the keys that query head 1 looked at?
"""
edit("v.repeat_interleave(H // G, dim=1)", "v.repeat(1, H // G, 1, 1)")

# %% exercise="grouped_query_attention" wrong="repeated_along_the_sequence"
"""Tokens are repeated, and a reshape makes heads of them: the shape is right and the contents are mixed up.

Which axis of (B, G, S, d) has the heads?
"""
edit("k.repeat_interleave(H // G, dim=1)", "k.repeat_interleave(H // G, dim=2).reshape(len(k), H, *k.shape[2:])")
edit("v.repeat_interleave(H // G, dim=1)", "v.repeat_interleave(H // G, dim=2).reshape(len(v), H, *v.shape[2:])")

# %% exercise="grouped_query_attention" wrong="first_head_for_all"
"""All query heads look at the first key/value head: the others are never used.

Change key/value head 1. Which outputs should move?
"""
edit("k = k.repeat_interleave(H // G, dim=1)", "k = k[:, :1].expand(-1, H, -1, -1)")
edit("v.repeat_interleave(H // G, dim=1)", "v[:, :1].expand(-1, H, -1, -1)")

# %% exercise="grouped_query_attention" wrong="no_scale"
"""The scores are not divided by sqrt(d).

How does the size of a dot product of random vectors grow with d?
"""
edit(" * q.shape[-1] ** -0.5", "")

# %% exercise="grouped_query_attention" wrong="scaled_by_the_whole_width"
"""The scores are divided by the root of all heads' width together. Each head has width d.

Over how many terms does one score sum?
"""
edit("q.shape[-1] ** -0.5", "(H * q.shape[-1]) ** -0.5")

# %% exercise="grouped_query_attention" wrong="mask_inverted"
"""The mask is read the other way round: True means may look.

What would a causal mask do in your code?
"""
edit("return masked_softmax(scores, mask)", "return masked_softmax(scores, None if mask is None else ~mask)")

# %% exercise="grouped_query_attention" wrong="mask_ignored"
"""The mask is never used.

Which argument does your code not read?
"""
edit("return masked_softmax(scores, mask)", "return masked_softmax(scores)")

# %% exercise="grouped_query_attention" wrong="weights_masked_after_the_softmax"
"""Hidden weights become 0 after the softmax, so the others no longer sum to 1.

What must the sum of a query's weights be?
"""
edit("return masked_softmax(scores, mask)", "return scores.softmax(-1) * (1 if mask is None else mask)")

# %% exercise="grouped_query_attention" wrong="empty_row_is_nan"
"""A query that may look at nothing becomes NaN: the softmax of a row of -inf is 0 / 0.

What does the docstring ask for there, and what does masked_softmax do?
"""
edit("return masked_softmax(scores, mask)",
     "return (scores if mask is None else scores.masked_fill(~mask, -math.inf)).softmax(-1)")  # fmt: skip

# %% exercise="grouped_query_attention" wrong="empty_row_is_the_mean"
"""A query that may look at nothing gets the mean of all values: a large negative score for every key is a tie.

What does the docstring ask for there, and what does masked_softmax do?
"""
edit("return masked_softmax(scores, mask)",
     "return (scores if mask is None else scores.masked_fill(~mask, -1e9)).softmax(-1)")

# %% exercise="grouped_query_attention" wrong="uneven_heads_accepted"
"""Numbers of heads that don't divide are accepted: some query heads get a key/value head by rounding.

Which error does the docstring ask for?
"""
edit("""
    if H % G:
        raise ValueError(f"{H} query heads can't share {G} key/value heads evenly")
    k = k.repeat_interleave(H // G, dim=1)  # (B, H, S, d): 0 0 0 1 1 1, each head next to its copies
    v = v.repeat_interleave(H // G, dim=1)
""", """
    of = torch.arange(H) * G // H
    k, v = k[:, of], v[:, of]
""")

# %% exercise="grouped_query_attention" wrong="scaled_by_the_values_width"
"""The scores are divided by the root of the values' width. Values may be wider or narrower than keys.

Over how many terms does one score sum?
"""
edit("q.shape[-1] ** -0.5", "v.shape[-1] ** -0.5")

# %% exercise="grouped_query_attention" wrong="nan_in_the_gradient"
"""A query that may look at nothing gets 0, but its gradient is NaN: the NaN of its softmax was replaced afterwards.

What does masked_softmax do there?
"""
edit("return masked_softmax(scores, mask)", """
    if mask is not None:
        scores = scores + torch.zeros(mask.shape).masked_fill(~mask, -math.inf)
    return scores.softmax(-1).nan_to_num()""")

# %% exercise="grouped_query_attention" wrong="exp_without_the_maximum"
"""exp is taken of the scores as they are. Where scores are several hundred it overflows, and inf / inf is NaN.

What may you subtract from all scores of a query without changing its weights?
"""
edit("return masked_softmax(scores, mask) @ v", """
    powers = scores.exp() * (1 if mask is None else mask)
    return powers @ v / powers.sum(-1, keepdim=True).clamp(min=1e-30)
""")

# %% exercise="grouped_query_attention" wrong="softmax_over_queries"
"""The softmax goes over the queries. The weights of one query should sum to 1 over the keys.

Which axis of the scores has the keys?
"""
edit("return masked_softmax(scores, mask)",
     "return masked_softmax(scores.mT, None if mask is None else mask.expand(scores.shape).mT).mT")

# %% exercise="grouped_query_attention" wrong="mask_of_the_first_head"
"""The mask of the first head is taken for all heads.

Which shapes broadcast to (B, H, T, S)?
"""
edit("return masked_softmax(scores, mask)",
     "return masked_softmax(scores, mask[:, :1] if mask is not None and mask.dim() == 4 else mask)")

# %% exercise="grouped_query_attention" wrong="always_causal"
"""The future is hidden, also where no mask says so.

What does mask=None hide?
"""
edit("return masked_softmax(scores, mask)", """
    causal = torch.ones(scores.shape[-2:], dtype=torch.bool).tril()
    return masked_softmax(scores, causal if mask is None else causal & mask)""")

# %% exercise="grouped_query_attention" wrong="softmax_in_float32"
"""The softmax is taken in float32, also where the inputs are float64: half of their digits are lost.

Which dtype do your scores have when they go in to the softmax?
"""
edit("return masked_softmax(scores, mask)", "return masked_softmax(scores.float(), mask).to(q.dtype)")

# %% exercise="LlamaBlock" wrong="values_turned_too"
"""Values are turned as well. Positions belong into who looks at whom, and that is decided by queries and keys.

Move all positions by 7: should the output change?
"""
edit("mixed = grouped_query_attention(q, k, v, ",
     "mixed = grouped_query_attention(q, k, apply_rope(v, positions, self.base), ")  # fmt: skip

# %% exercise="LlamaBlock" wrong="no_rotations"
"""Queries and keys are not turned: the block can't tell what stands where.

Which argument of the constructor does your block never use?
"""
edit("apply_rope(self.q_norm(q), positions, self.base)", "self.q_norm(q)")
edit("apply_rope(self.k_norm(k), positions, self.base)", "self.k_norm(k)")

# %% exercise="LlamaBlock" wrong="queries_only"
"""Only the queries are turned, so scores depend on the query's place instead of the distance.

What must happen to both sides of a dot product so that only the difference of their angles counts?
"""
edit("apply_rope(self.k_norm(k), positions, self.base)", "self.k_norm(k)")

# %% exercise="LlamaBlock" wrong="neighbouring_pairs"
"""Pairs are coordinates 2i and 2i + 1. Checkpoints of this block pair i with i + d/2.

Which pairing does apply_rope take when you say nothing?
"""
edit("apply_rope(self.q_norm(q), positions, self.base)",
     'apply_rope(self.q_norm(q), positions, self.base, "interleaved")')
edit("apply_rope(self.k_norm(k), positions, self.base)",
     'apply_rope(self.k_norm(k), positions, self.base, "interleaved")')

# %% exercise="LlamaBlock" wrong="turned_before_the_heads"
"""The whole width is turned before it is split into heads, so each head sees other frequencies.

Two heads: should they turn at the same speeds?
"""
edit("q, k, v = (self._heads(part(normed)) for part in (self.w_q, self.w_k, self.w_v))  # (B, H or G, T, d)", """
    q, k = (apply_rope(part(normed), positions, self.base) for part in (self.w_q, self.w_k))
    q, k, v = (self._heads(part) for part in (q, k, self.w_v(normed)))
""")
edit("apply_rope(self.q_norm(q), positions, self.base)", "self.q_norm(q)")
edit("apply_rope(self.k_norm(k), positions, self.base)", "self.k_norm(k)")

# %% exercise="LlamaBlock" wrong="positions_ignored"
"""The positions that are given are not used: tokens are always numbered 0 to T - 1.

Which argument of forward does your code not read?
"""
edit("positions = torch.arange(T, device=x.device) if positions is None else positions",
     "positions = torch.arange(T, device=x.device)")  # fmt: skip

# %% exercise="LlamaBlock" wrong="base_ignored"
"""The rotations have the base 10000 whatever was asked for.

Where does apply_rope learn which base this block has?
"""
edit("positions, self.base)", "positions)", times=2)

# %% exercise="LlamaBlock" wrong="causal_by_position"
"""Who may look at whom is decided by the positions' numbers. The docstring decides it by the place in the row.

Positions 5, 2, 9: may the second token look at the first?
"""
edit("causal = torch.ones(T, T, dtype=torch.bool, device=x.device).tril()",
     "causal = positions[:, None] >= positions[None, :]")  # fmt: skip

# %% exercise="LlamaBlock" wrong="future_visible"
"""There is no causal mask: tokens look at what stands behind them.

A decoder predicts the next token. What would it learn if it could look?
"""
edit("causal if mask is None else causal & mask", "mask")

# %% exercise="LlamaBlock" wrong="mask_instead_of_causal"
"""Where a mask is given, it takes the place of the causal one, so the future is visible again.

Which two conditions must a key fulfil?
"""
edit("causal & mask", "mask")

# %% exercise="LlamaBlock" wrong="mask_ignored"
"""The mask that is given is not used.

Which argument of forward does your code not read?
"""
edit("causal if mask is None else causal & mask", "causal")

# %% exercise="LlamaBlock" wrong="key_heads_tiled"
"""Key/value heads are shared out in turns, 0 1 0 1; neighbouring query heads should share one.

Which key/value head serves query head 1?
"""
edit("mixed = grouped_query_attention(q, k, v, causal if mask is None else causal & mask)", """
    again = (1, q.shape[1] // k.shape[1], 1, 1)
    mixed = grouped_query_attention(q, k.repeat(again), v.repeat(again), causal if mask is None else causal & mask)
""")

# %% exercise="LlamaBlock" wrong="norm_added_to_the_stream"
"""What is added to is the normalised x: the stream itself is lost.

Both sublayers give 0. What should come out?
"""
edit("x = x + self.w_o(", "x = normed + self.w_o(")

# %% exercise="LlamaBlock" wrong="sublayers_side_by_side"
"""The feed-forward layer reads the block's input. It should read the stream after attention was added.

What does the second x of the docstring's second line stand for?
"""
edit("normed = self.norm1(x)", "normed, before = self.norm1(x), x")
edit("self.feed_forward(self.norm2(x))", "self.feed_forward(self.norm2(before))")

# %% exercise="LlamaBlock" wrong="one_norm_for_both"
"""norm1 is used twice; the second sublayer has a norm of its own.

What is norm2 for?
"""
edit("self.norm2(x)", "self.norm1(x)")

# %% exercise="LlamaBlock" wrong="normalised_after_the_rotation"
"""Queries and keys are normalised after they were turned. The norm's weights differ from coordinate to coordinate, and
the rotation mixes coordinates: the two don't commute.

In which order does the docstring name them?
"""
edit("apply_rope(self.q_norm(q), positions, self.base)", "self.q_norm(apply_rope(q, positions, self.base))")
edit("apply_rope(self.k_norm(k), positions, self.base)", "self.k_norm(apply_rope(k, positions, self.base))")

# %% exercise="LlamaBlock" wrong="qk_norms_swapped"
"""Queries go through k_norm and keys through q_norm.

Which norm's weights belong to whom?
"""
edit("self.q_norm(q)", "self.k_norm(q)")
edit("self.k_norm(k)", "self.q_norm(k)")

# %% exercise="LlamaBlock" wrong="qk_norm_without_its_eps"
"""q_norm and k_norm have an eps of their own: the block's eps is that of every norm.

Which arguments does RMSNorm take?
"""
edit("RMSNorm(self.d, eps) if", "RMSNorm(self.d) if")

# %% exercise="LlamaBlock" wrong="heads_not_joined"
"""Heads and tokens are mixed up when the heads are joined: (B, H, T, d) is read off as it lies.

Which axis must stand next to d before the last two become one?
"""
edit("mixed.transpose(1, 2).flatten(2)", "mixed.reshape(x.shape[0], T, -1)")

# %% exercise="LlamaBlock" wrong="post_norm"
"""norm1 and norm2 act on the sums. They belong to what goes into a sublayer; the stream itself is never normalised.

Where does the docstring write norm1: around x, or around the sum?
"""
edit("normed = self.norm1(x)", "normed = x")
edit("x = x + self.w_o(mixed.transpose(1, 2).flatten(2))",
     "x = self.norm1(x + self.w_o(mixed.transpose(1, 2).flatten(2)))")  # fmt: skip
edit("return x + self.feed_forward(self.norm2(x))", "return self.norm2(x + self.feed_forward(x))")

# %% exercise="LlamaBlock" wrong="keys_through_q_norm"
"""Keys go through q_norm, and k_norm is never used.

The block has one norm for all query heads. Which one have the key heads?
"""
edit("self.k_norm(k)", "self.q_norm(k)")

# %% exercise="LlamaBlock" wrong="qk_norm_makes_no_difference"
"""qk_norm changes nothing in what comes out: q_norm and k_norm are not applied.

Through what does a query head go before it is turned?
"""
edit("apply_rope(self.q_norm(q), positions, self.base)", "apply_rope(q, positions, self.base)")
edit("apply_rope(self.k_norm(k), positions, self.base)", "apply_rope(k, positions, self.base)")

# %% exercise="LlamaBlock" wrong="norms_of_the_stream_without_eps"
"""norm1 and norm2 have an eps of their own: the block's eps is that of every norm.

Which arguments does RMSNorm take?
"""
edit("RMSNorm(width, eps), RMSNorm(width, eps)", "RMSNorm(width), RMSNorm(width)")

# %% exercise="LlamaBlock" wrong="mask_or_causal"
"""A token looks where the causal mask or the given one lets it, so a given mask uncovers the future.

True and False: what do | and & make of them, and which one do you want?
"""
edit("causal & mask", "causal | mask")

# %% exercise="LlamaBlock" wrong="blind_token_sees_all"
"""A token that may look at nothing gets the mean of all values. It gets 0 from attention.

What is the softmax of a row whose numbers are all the same?
"""
edit("mixed = grouped_query_attention(q, k, v, causal if mask is None else causal & mask)", """
    k, v = (part.repeat_interleave(q.shape[1] // k.shape[1], dim=1) for part in (k, v))
    scores = q @ k.mT / math.sqrt(self.d)
    mixed = scores.masked_fill(~(causal if mask is None else causal & mask), -1e9).softmax(-1) @ v
""")

# %% exercise="LlamaBlock" wrong="itself_hidden"
"""A token can't look at itself; the first one has nothing to look at.

Which diagonal of the mask is the last one that is True?
"""
edit("device=x.device).tril()", "device=x.device).tril(-1)")

# %% exercise="LlamaBlock" wrong="queries_cut_across_tokens"
"""(B, T, H d) is read as (B, H, T, d) for the queries, so a head holds pieces of several tokens' queries.

To which two axes does H d belong? Make them first, and exchange H and T then.
"""
edit("q = apply_rope(self.q_norm(q), positions, self.base)", """
    q = self.w_q(normed).reshape(q.shape)
    q = apply_rope(self.q_norm(q), positions, self.base)
""")

# %% exercise="LlamaBlock" wrong="heads_cut_across_tokens"
"""(B, T, n d) is read as (B, n, T, d) for queries, keys and values: a head holds pieces of several tokens.

To which two axes does n d belong? Make them first, and exchange n and T then.
"""
edit("return x.unflatten(-1, (-1, self.d)).transpose(1, 2)", "return x.reshape(x.shape[0], -1, x.shape[1], self.d)")

# %% exercise="LlamaBlock" wrong="heads_interleaved"
"""Query head h takes columns h, h + H, h + 2 H ... of w_q's result and of what w_o reads. A head's columns stand side
by side.

Which columns belong to head 0?
"""
edit("q = apply_rope(self.q_norm(q), positions, self.base)", """
    q = self.w_q(normed).unflatten(-1, (self.d, -1)).permute(0, 3, 1, 2)
    q = apply_rope(self.q_norm(q), positions, self.base)
""")
edit("mixed.transpose(1, 2).flatten(2)", "mixed.permute(0, 2, 3, 1).flatten(2)")

# %% exercise="LlamaBlock" wrong="scaled_by_the_width"
"""Scores are divided by sqrt(D / H), also where head_width is another number. They are divided by the root of a head's
own width, d.

How many products does one score add up?
"""
edit("mixed = grouped_query_attention(q, k, v, ",
     "mixed = grouped_query_attention(q * math.sqrt(self.d * q.shape[1] / x.shape[-1]), k, v, ")  # fmt: skip

# %% exercise="LlamaBlock" wrong="width_checked_always"
"""A width that is no multiple of the heads is refused also where head_width says how wide a head is.

When does d depend on D and H?
"""
edit("(head_width is None and width % heads)", "width % heads")

# %% exercise="GPT" wrong="no_closing_norm"
"""The norm behind the last block is left out: in a pre-norm model nothing else normalises what the head reads.

How large is the stream after L blocks have added to it?
"""
edit("return self.norm(x) @ self.token_embedding.weight.T", "return x @ self.token_embedding.weight.T")

# %% exercise="GPT" wrong="exact_gelu"
"""This is the exact GELU. GPT-2 was trained with the tanh form, and the docstring asks for it.

Which argument of nn.functional.gelu chooses the form?
"""
edit('gelu(block["up"](block["norm2"](x)), approximate="tanh")', 'gelu(block["up"](block["norm2"](x)))')

# %% exercise="GPT" wrong="future_visible"
"""There is no causal mask: every token looks at the whole sequence, the answer among it.

Row t is about token t + 1. May it have seen that one?
"""
edit('block["attention"](block["norm1"](x), causal)', 'block["attention"](block["norm1"](x))')

# %% exercise="GPT" wrong="one_future_token"
"""Each token sees one token of the future: the very one that it should predict.

Which diagonal of the mask is the last one that is True?
"""
edit("device=ids.device).tril()", "device=ids.device).tril(1)")

# %% exercise="GPT" wrong="itself_hidden"
"""A token can't look at itself; the first one has nothing to look at.

Which diagonal of the mask is the last one that is True?
"""
edit("device=ids.device).tril()", "device=ids.device).tril(-1)")

# %% exercise="GPT" wrong="no_positions"
"""Positions are not added, so attention sees a bag of words with a causal order.

Which of the parts of the docstring's first line is missing?
"""
edit(" + self.position_embedding.weight[:T]", "")

# %% exercise="GPT" wrong="positions_from_one"
"""Positions are counted from 1: the first token gets row 1 of the table.

Which row of the table belongs to the first token?
"""
edit("self.position_embedding.weight[:T]", "self.position_embedding.weight.roll(-1, 0)[:T]")

# %% exercise="GPT" wrong="embeddings_scaled"
"""Embeddings are multiplied by sqrt(D), as in the model of 2017. GPT-2 does not.

What is added to the positions in the docstring's first line?
"""
edit("x = self.token_embedding(ids) +", "x = self.token_embedding(ids) * self.norm.weight.shape[0] ** 0.5 +")

# %% exercise="GPT" wrong="post_norm"
"""The sum is normalised behind each sublayer. GPT-2 normalises what goes into it.

Where does the docstring write norm1: around x, or around the sum?
"""
edit('x = x + block["attention"](block["norm1"](x), causal)[0]',
     'x = block["norm1"](x + block["attention"](x, causal)[0])')
edit('block["up"](block["norm2"](x))', 'block["up"](x)')
edit('x = x + block["down"](inner)', 'x = block["norm2"](x + block["down"](inner))')

# %% exercise="GPT" wrong="head_cut_off"
"""The head uses a detached copy of the embedding: it gets no gradient from that end, though the numbers are the same.

One tensor, two uses: from how many places does its gradient come?
"""
edit("return self.norm(x) @ self.token_embedding.weight.T",
     "return self.norm(x) @ self.token_embedding.weight.detach().T")

# %% exercise="GPT" wrong="probabilities_returned"
"""You return probabilities. The docstring asks for logits, which the loss turns into probabilities itself.

What does cross_entropy expect?
"""
edit("return self.norm(x) @ self.token_embedding.weight.T",
     "return (self.norm(x) @ self.token_embedding.weight.T).softmax(-1)")

# %% exercise="GPT" wrong="torchs_own_start"
"""The parameters start as torch makes them: embeddings of size 1 give logits of size sqrt(D), and the first loss is far
from ln V.

What is the standard deviation of a new nn.Embedding?
"""
edit("nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * layers) if into_stream else 0.02)", "pass")

# %% exercise="GPT" wrong="same_start_everywhere"
"""All maps start with 0.02. Those that write into the stream should start smaller by sqrt(2 L).

How many sublayers add to the stream?
"""
edit("std=0.02 / math.sqrt(2 * layers) if into_stream else 0.02", "std=0.02")

# %% exercise="GPT" wrong="too_long_is_cut"
"""A sequence beyond the context is cut without a word.

Which error does the docstring ask for?
"""
edit('raise ValueError(f"{T} tokens; the model reads {self.position_embedding.num_embeddings} at most")', """
    ids = ids[:, : self.position_embedding.num_embeddings]
    T = ids.shape[1]
""")

# %% exercise="GPT" wrong="relu"
"""The nonlinearity is ReLU, that of 2017.

Which one does the docstring name?
"""
edit('nn.functional.gelu(block["up"](block["norm2"](x)), approximate="tanh")', 'block["up"](block["norm2"](x)).relu()')

# %% exercise="GPT" wrong="sublayers_side_by_side"
"""The feed-forward layer reads what the block was given, not the stream after attention was added.

What does x stand for in the second half of the docstring's second line?
"""
edit('x = x + block["attention"](block["norm1"](x), causal)[0]', """
    before = x
    x = x + block["attention"](block["norm1"](x), causal)[0]
""")
edit('block["norm2"](x)', 'block["norm2"](before)')

# %% exercise="GPT" wrong="only_the_future"
"""Each token sees only what stands behind it. A causal mask is True where a token may look: at itself and before.

Which triangle do triu and tril leave?
"""
edit("device=ids.device).tril()", "device=ids.device).triu(1)")

# %% exercise="GPT" wrong="itself_and_the_future"
"""Each token sees itself and what stands behind it. It is the other triangle: itself and what stands before.

Row t of the mask: which columns should be True?
"""
edit("device=ids.device).tril()", "device=ids.device).triu()")

# %% exercise="GPT" wrong="attention_starts_with_002"
"""attention.w_o.weight starts with 0.02 like most maps. It writes into the stream, as down.weight does.

Which two maps of a block give what is added to x?
"""
edit('name.endswith(("w_o.weight", "down.weight"))', 'name.endswith("down.weight")')

# %% exercise="GPT" wrong="root_of_the_layers"
"""The maps that write into the stream start smaller than 0.02, but not with 0.02 / sqrt(2 L).

L blocks: how many sublayers add to the stream?
"""
edit("0.02 / math.sqrt(2 * layers)", "0.02 / math.sqrt(layers)")

# %% exercise="GPT" wrong="full_context_refused"
"""A sequence as long as the context is refused. It is the longest one that the model reads.

How many rows has the table of positions, and how many does this sequence need?
"""
edit("if T > self.position_embedding.num_embeddings:", "if T >= self.position_embedding.num_embeddings:")

# %% exercise="GPT" wrong="token_zero_is_padding"
"""Where token 0 is read, its row of the table gets no gradient: the table takes it for padding. Here no id is special.

What does padding_idx do to a row of nn.Embedding?
"""
edit("self.token_embedding = nn.Embedding(vocab, width)",
     "self.token_embedding = nn.Embedding(vocab, width, padding_idx=0)")  # fmt: skip

# %% exercise="GemmaBlock" wrong="one_added_to_the_weights"
"""The norms multiply by 1 + weight, as the code of transformers does. Here the 1 is in the weight already.

What does the docstring say about RMSNorm's weight?
"""
edit("super().__init__()", """
    super().__init__()

    class RMSNorm(nn.Module):
        def __init__(self, width, eps):
            super().__init__()
            self.eps, self.weight = eps, nn.Parameter(torch.zeros(width))

        def forward(self, x):
            return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + self.eps) * (1 + self.weight)
""")

# %% exercise="GemmaBlock" wrong="stream_normalised"
"""norm2 and norm4 normalise the sum, so the stream itself is changed. They belong to what the sublayer gives.

Which brackets of the docstring's first line does norm2 stand before?
"""
edit("x = x + self.norm2(self.w_o(mixed.transpose(1, 2).flatten(2)))",
     "x = self.norm2(x + self.w_o(mixed.transpose(1, 2).flatten(2)))")  # fmt: skip
edit('return x + self.norm4(self.down(nn.functional.gelu(self.gate(h), approximate="tanh") * self.up(h)))',
     'return self.norm4(x + self.down(nn.functional.gelu(self.gate(h), approximate="tanh") * self.up(h)))')  # fmt: skip

# %% exercise="GemmaBlock" wrong="no_norms_behind"
"""norm2 and norm4 are there, and never used: this is Llama's order.

How many of the block's norms act on a token of the stream?
"""
edit("self.norm2(self.w_o(mixed.transpose(1, 2).flatten(2)))", "self.w_o(mixed.transpose(1, 2).flatten(2))")
edit('self.norm4(self.down(nn.functional.gelu(self.gate(h), approximate="tanh") * self.up(h)))',
     'self.down(nn.functional.gelu(self.gate(h), approximate="tanh") * self.up(h))')  # fmt: skip

# %% exercise="GemmaBlock" wrong="inner_norms_swapped"
"""norm2 stands before the feed-forward layer and norm3 behind attention: the other way round.

In which order do the four norms act?
"""
edit("x = x + self.norm2(", "x = x + self.norm3(")
edit("h = self.norm3(x)", "h = self.norm2(x)")

# %% exercise="GemmaBlock" wrong="silu_gate"
"""The gate goes through SiLU, as in Llama. Gemma's goes through GELU.

Which function does the docstring's second line name?
"""
edit('nn.functional.gelu(self.gate(h), approximate="tanh")', "nn.functional.silu(self.gate(h))")

# %% exercise="GemmaBlock" wrong="exact_gelu"
"""This is the exact GELU; the docstring asks for the tanh form.

Which argument of nn.functional.gelu chooses the form?
"""
edit(', approximate="tanh") * self.up', ") * self.up")

# %% exercise="GemmaBlock" wrong="up_is_squashed"
"""up goes through gelu and gate does not.

Which of the two branches opens and closes the other?
"""
edit('nn.functional.gelu(self.gate(h), approximate="tanh") * self.up(h)',
     'nn.functional.gelu(self.up(h), approximate="tanh") * self.gate(h)')  # fmt: skip

# %% exercise="GemmaBlock" wrong="window_one_too_long"
"""A token sees itself and `window` tokens before it: one too many.

window=1: what may a token see?
"""
edit("back < (self.window or T)", "back <= (self.window or T)")

# %% exercise="GemmaBlock" wrong="window_one_too_short"
"""A token sees itself and window - 2 tokens before it: one too few.

window=2: what may a token see?
"""
edit("back < (self.window or T)", "back < max((self.window or T + 1) - 1, 1)")

# %% exercise="GemmaBlock" wrong="window_ignored"
"""Every token sees all before it, whatever the window.

Which argument of the constructor does your block never use?
"""
edit(" & (back < (self.window or T))", "")

# %% exercise="GemmaBlock" wrong="window_to_both_sides"
"""The window reaches ahead as well: tokens see the future.

A decoder predicts the next token. What may it look at?
"""
edit("(back >= 0) & (back < (self.window or T))", "back.abs() < (self.window or T)")

# %% exercise="GemmaBlock" wrong="window_by_position"
"""Who may look at whom is decided by the positions' numbers. The docstring counts places in the row.

Positions 90, 5: may the second token look at the first?
"""
edit("back = places[:, None] - places", "back = positions[:, None] - positions")

# %% exercise="GemmaBlock" wrong="values_normalised_too"
"""Values are normalised like keys. Only queries and keys are.

Which two norms over d has the block?
"""
edit("mixed = grouped_query_attention(q, k, v, may)", "mixed = grouped_query_attention(q, k, self.k_norm(v), may)")

# %% exercise="GemmaBlock" wrong="normalised_after_the_rotation"
"""Queries and keys are turned first and normalised then; the norm's weights and the rotation don't commute.

In which order does the docstring name them?
"""
edit("apply_rope(self.q_norm(q), positions, self.base), apply_rope(self.k_norm(k), positions, self.base)",
     "self.q_norm(apply_rope(q, positions, self.base)), self.k_norm(apply_rope(k, positions, self.base))")  # fmt: skip

# %% exercise="GemmaBlock" wrong="base_ignored"
"""The rotations have the base 10000 whatever was asked for.

Where does apply_rope learn which base this block has?
"""
edit("positions, self.base)", "positions)", times=2)

# %% exercise="GemmaBlock" wrong="norms_without_eps"
"""The norms have an eps of their own: the block's eps does not reach them.

Which arguments does RMSNorm take?
"""
edit("RMSNorm(width, eps)", "RMSNorm(width)")
edit("RMSNorm(head_width, eps), RMSNorm(head_width, eps)", "RMSNorm(head_width), RMSNorm(head_width)")

# %% exercise="GemmaBlock" wrong="window_reaches_ahead"
"""With a window a token also sees what stands behind it, as far ahead as back.

A decoder predicts the next token. What may it look at, with a window and without?
"""
edit("(back >= 0) & (back < (self.window or T))", "(back.abs() < self.window if self.window else back >= 0)")

# %% exercise="GemmaBlock" wrong="window_in_positions"
"""The window is measured by the positions' numbers. The docstring counts places in the row.

Positions 90, 5, 91 and a window of 2: which token stands right before the third?
"""
edit("(back < (self.window or T))", "(positions[:, None] - positions < (self.window or math.inf))")

# %% exercise="GemmaBlock" wrong="windows_are_chunks"
"""The row is cut into chunks as long as the window, and a token sees its own chunk only: the first of a chunk sees
nothing but itself. Each token has a window of its own, which ends with it.

window=2: which tokens may token 2 see?
"""
edit("(back < (self.window or T))", "(places[:, None] // (self.window or T) == places // (self.window or T))")

# %% exercise="GemmaBlock" wrong="heads_not_normalised"
"""q_norm and k_norm are there and never used.

What happens to a query head before it is turned?
"""
edit("apply_rope(self.q_norm(q), positions, self.base), apply_rope(self.k_norm(k), positions, self.base)",
     "apply_rope(q, positions, self.base), apply_rope(k, positions, self.base)")  # fmt: skip

# %% exercise="GemmaBlock" wrong="scaled_by_the_width"
"""Scores are divided by sqrt(D / H). They are divided by the root of a head's own width, d.

How many products does one score add up?
"""
edit("mixed = grouped_query_attention(q, k, v, may)",
     "mixed = grouped_query_attention(q * math.sqrt(self.d * q.shape[1] / x.shape[-1]), k, v, may)")  # fmt: skip

# %% exercise="GemmaBlock" wrong="not_scaled"
"""Scores are not divided by sqrt(d). That queries and keys are normalised does not take its place.

How long is a vector of d numbers behind an RMSNorm?
"""
edit("mixed = grouped_query_attention(q, k, v, may)",
     "mixed = grouped_query_attention(q * math.sqrt(self.d), k, v, may)")  # fmt: skip

# %% exercise="GemmaBlock" wrong="positions_ignored"
"""The positions that are given are not used: tokens are always numbered 0 to T - 1.

Which argument of forward does your code not read?
"""
edit("positions = torch.arange(T, device=x.device) if positions is None else positions",
     "positions = torch.arange(T, device=x.device)")  # fmt: skip

# %% exercise="GemmaBlock" wrong="neighbouring_pairs"
"""Pairs are coordinates 2i and 2i + 1. The docstring pairs i with i + d/2.

Which pairing does apply_rope take when you say nothing?
"""
edit("positions, self.base)", 'positions, self.base, "interleaved")', times=2)

# %% exercise="GemmaBlock" wrong="head_norms_without_eps"
"""q_norm and k_norm have an eps of their own: the block's eps is that of every norm.

Which arguments does RMSNorm take?
"""
edit("RMSNorm(head_width, eps), RMSNorm(head_width, eps)", "RMSNorm(head_width), RMSNorm(head_width)")

# %% exercise="GemmaBlock" wrong="first_sum_normalised"
"""norm2 normalises the sum behind attention, so the stream itself is changed. It belongs to what attention gives.

Which brackets of the docstring's first line does norm2 stand before?
"""
edit("x = x + self.norm2(self.w_o(mixed.transpose(1, 2).flatten(2)))",
     "x = self.norm2(x + self.w_o(mixed.transpose(1, 2).flatten(2)))")  # fmt: skip

# %% exercise="GemmaBlock" wrong="second_sum_starts_from_h"
"""What is added to in the second line is norm3(x). It is x, the stream itself.

The feed-forward layer gives 0. What should come out?
"""
edit("return x + self.norm4(", "return h + self.norm4(")

# %% exercise="prefix_lm_mask" wrong="one_key_too_many"
"""The token right behind the prefix counts as part of it: tokens of the prefix see one token that is still to be
written.

A prefix of 3 tokens holds places 0, 1 and 2. Is place 3 less than 3?
"""
edit("places < prefix", "places <= prefix")

# %% exercise="prefix_lm_mask" wrong="one_key_too_few"
"""The last token of the prefix counts as written: the tokens before it can't see it.

A prefix of 3 tokens holds places 0, 1 and 2. What may token 0 see?
"""
edit("places < prefix", "places < prefix - 1")

# %% exercise="prefix_lm_mask" wrong="causal_everywhere"
"""The prefix is causal too: its first token does not see its last one. This is an ordinary decoder's mask.

What may token 0 of a prefix of three tokens look at?
"""
edit("causal | given", "(causal | given) & causal")

# %% exercise="prefix_lm_mask" wrong="true_means_hidden"
"""The mask says True where a query may not look.

Read it at the diagonal: may a token look at itself?
"""
edit("causal | given", "~(causal | given)")

# %% exercise="prefix_lm_mask" wrong="the_prefix_sees_everything"
"""Tokens of the prefix see all tokens, those that are still to be written among them. The answer leaks into what is
read.

Does the rule depend on whether the query stands in the prefix, or the key?
"""
edit("places < prefix", "places[:, None] < prefix")

# %% exercise="prefix_lm_mask" wrong="two_separate_blocks"
"""What follows the prefix can't see it. The prefix looks at itself, the rest at itself, and nothing goes between.

What does the first token behind the prefix read?
"""
edit("causal | given", "torch.where(given.mT, given, causal & ~given)")

# %% exercise="prefix_lm_mask" wrong="both_directions_behind_the_prefix"
"""What follows the prefix is read in both directions; the prefix is right.

May a token that is being written see the one after it?
"""
edit("causal | given", "given | ~given.mT")

# %% exercise="prefix_lm_mask" wrong="the_longest_prefix_for_all"
"""All rows get the longest prefix of the batch.

Each row has a number of its own in `prefix`. Which axis of the mask does it belong to?
"""
edit("places < prefix[:, None, None, None]", "places < prefix.max().expand(len(prefix))[:, None, None, None]")

# %% exercise="prefix_lm_mask" wrong="the_first_prefix_for_all"
"""All rows get the prefix of row 0.

Each row has a number of its own in `prefix`. Which axis of the mask does it belong to?
"""
edit("places < prefix[:, None, None, None]", "places < prefix[:1].expand(len(prefix))[:, None, None, None]")

# %% exercise="prefix_lm_mask" wrong="no_axis_for_the_heads"
"""The mask has shape (B, T, T). Without an axis for the heads it does not broadcast to (B, H, T, T).

Where does an axis of size 1 go?
"""
edit("return causal | given", "return (causal | given)[:, 0]")

# %% exercise="prefix_lm_mask" wrong="keys_and_queries_swapped"
"""Rows and columns are swapped: what stands on axis 2 are the keys.

May query 0 look at the last key? Read it off row 0.
"""
edit("return causal | given", "return (causal | given).mT")

# %% exercise="prefix_lm_mask" wrong="a_token_behind_the_prefix_does_not_see_itself"
"""A token behind the prefix sees what stands before it, and not itself.

Which numbers stand on the diagonal of a causal mask?
"""
edit("places[:, None] >= places", "places[:, None] > places")

# %% exercise="prefix_lm_mask" wrong="any_prefix_is_taken"
"""A prefix that is longer than the row, or below 0, is taken without a word.

Which two comparisons tell you that a number of `prefix` can't be right?
"""
edit("if ((prefix < 0) | (prefix > length)).any():", "if False:")

# %% exercise="prefix_lm_mask" wrong="a_full_prefix_is_refused"
"""A prefix of all T tokens is refused. It is allowed: nothing is hidden then.

Is `length` itself a number of tokens that a prefix can have?
"""
edit("prefix > length", "prefix >= length")

# %% exercise="prefix_lm_mask" wrong="a_negative_prefix_is_taken"
"""A prefix below 0 is taken without a word; one that is too long is refused.

Which two ends has the range of numbers that a prefix may have?
"""
edit("((prefix < 0) | (prefix > length)).any()", "(prefix > length).any()")

# %% exercise="t5_span_corrupt" wrong="no_last_sentinel"
"""The targets end with the last span. One more sentinel, the next one, says that nothing follows.

How would a decoder know that its last span is complete?
"""
edit("[*targets, vocab_size - 1 - len(spans)]", "targets")

# %% exercise="t5_span_corrupt" wrong="last_sentinel_repeated"
"""The targets end with the sentinel of the last span once more. What ends them is the next one in the row.

With two spans, which three sentinels do the targets hold?
"""
edit("vocab_size - 1 - len(spans)", "vocab_size - max(len(spans), 1)")

# %% exercise="t5_span_corrupt" wrong="sentinels_count_up"
"""The sentinels count up from the first of the sentinel ids. T5's count down: the first span gets the last id.

What is <extra_id_0> of a vocabulary of 32,100 ids?
"""
edit("sentinel = vocab_size - 1 - number", "sentinel = vocab_size - n_sentinels + number")
edit("vocab_size - 1 - len(spans)", "vocab_size - n_sentinels + len(spans)")

# %% exercise="t5_span_corrupt" wrong="sentinels_beyond_the_vocabulary"
"""The sentinels count up from the last id and leave the vocabulary with the second span.

Which is the largest id of an embedding of V rows, and where do the next sentinels lie?
"""
edit("sentinel = vocab_size - 1 - number", "sentinel = vocab_size - 1 + number")
edit("vocab_size - 1 - len(spans)", "vocab_size - 1 + len(spans)")

# %% exercise="t5_span_corrupt" wrong="first_sentinel_is_v"
"""Every sentinel is one too large; the first one is V, for which an embedding of V rows has none.

Which is the last id of V ids that begin with 0?
"""
edit("sentinel = vocab_size - 1 - number", "sentinel = vocab_size - number")
edit("vocab_size - 1 - len(spans)", "vocab_size - len(spans)")

# %% exercise="t5_span_corrupt" wrong="one_sentinel_for_all_spans"
"""All spans get the same sentinel, as if it were BERT's [MASK]. Nobody can tell then which span of the targets belongs
where.

Which sentinel does the second span get?
"""
edit("sentinel = vocab_size - 1 - number", "sentinel = vocab_size - 1")

# %% exercise="t5_span_corrupt" wrong="a_sentinel_for_every_token"
"""Each token of a span leaves a sentinel of its own in the inputs. One stands for the whole span, so the model is not
told how long it was.

How many tokens have the inputs of a text of 10 with one span of 4?
"""
edit("inputs += [*text[end:start], sentinel]", "inputs += [*text[end:start], *[sentinel] * length]")

# %% exercise="t5_span_corrupt" wrong="sentinels_in_the_order_given"
"""The sentinels are numbered in the order in which the spans were given. They follow the order of the text.

What do the inputs show first, the first span given or the first that stands in the text?
"""
edit("spans = sorted((int(start), int(length)) for start, length in zip(starts, lengths))", """
    spans = sorted((int(start), int(length)) for start, length in zip(starts, lengths))
    given = [int(start) for start in starts]
""")
edit("sentinel = vocab_size - 1 - number", "sentinel = vocab_size - 1 - given.index(start)")

# %% exercise="t5_span_corrupt" wrong="given_order_is_trusted"
"""The spans are taken as if they came in the order of the text. Given in another one, they are refused.

What has to happen to the spans before you walk along the text?
"""
edit("sorted((int(start), int(length)) for start, length in zip(starts, lengths))",
     "[(int(start), int(length)) for start, length in zip(starts, lengths)]")

# %% exercise="t5_span_corrupt" wrong="sentinel_behind_its_span"
"""In the targets each sentinel stands behind the tokens of its span. It stands before them, and announces them.

What has the decoder to write first: which span it fills in, or how?
"""
edit("targets += [sentinel, *text[start:end]]", "targets += [*text[start:end], sentinel]")

# %% exercise="t5_span_corrupt" wrong="length_is_the_end"
"""The lengths are read as the places where spans end.

A span that starts at 6 and has 3 tokens: which is the first token behind it?
"""
edit("if length < 1 or start < end or start + length > len(text):", "if length < 1 or start < end:")
edit("end = start + length", "end = length")

# %% exercise="t5_span_corrupt" wrong="span_one_token_too_long"
"""Each span takes one token more than it has.

Of a span that starts at 6 and has 3 tokens: is the token at place 9 part of it?
"""
edit("end = start + length", "end = start + length + 1")

# %% exercise="t5_span_corrupt" wrong="touching_spans_become_one"
"""Spans that touch are joined to one. They keep a sentinel each.

Where does the second of two touching spans begin? Does it overlap with the first?
"""
edit("spans = sorted((int(start), int(length)) for start, length in zip(starts, lengths))", """
    spans = []
    for start, length in sorted((int(start), int(length)) for start, length in zip(starts, lengths)):
        if spans and sum(spans[-1]) == start:
            spans[-1] = (spans[-1][0], spans[-1][1] + length)
        else:
            spans.append((start, length))
""")

# %% exercise="t5_span_corrupt" wrong="rest_of_the_text_is_lost"
"""The text behind the last span is missing in the inputs.

What do you do when the loop over the spans is done?
"""
edit("return inputs + text[end:],", "return inputs if spans else text,")

# %% exercise="t5_span_corrupt" wrong="targets_are_the_whole_text"
"""The targets are the whole text. That is BART's objective; T5's decoder writes the missing spans only.

How many tokens has the decoder to write for one span of 2 in a text of 500?
"""
edit("[*targets, vocab_size - 1 - len(spans)]", "text")

# %% exercise="t5_span_corrupt" wrong="any_span_is_taken"
"""Spans that overlap, are empty or leave the text are taken without a word.

Slices never complain. Which three comparisons of start, length, and the end of the span before do?
"""
edit("if length < 1 or start < end or start + length > len(text):", "if False:")

# %% exercise="t5_span_corrupt" wrong="an_empty_span_is_taken"
"""A span without a token is taken; it leaves a sentinel that stands for nothing.

What is the smallest length that a span of T5's can have?
"""
edit("length < 1", "length < 0")

# %% exercise="t5_span_corrupt" wrong="the_last_sentinel_is_not_counted"
"""As many spans as there are sentinels are taken, and the one that ends the targets is an ordinary token.

How many sentinels do three spans need?
"""
edit("len(starts) >= n_sentinels", "len(starts) > n_sentinels")

# %% exercise="t5_span_corrupt" wrong="sentinels_are_not_counted"
"""Nobody asks whether there are enough sentinels: with many spans ordinary tokens take their place.

How many sentinels do n spans need, and how many are there?
"""
edit("len(starts) != len(lengths) or len(starts) >= n_sentinels", "len(starts) != len(lengths)")

# %% exercise="t5_span_corrupt" wrong="lengths_lose_their_starts"
"""The starts are sorted and the lengths are not: spans that come in another order get each other's lengths.

Which two numbers have to stay together while you sort?
"""
edit("sorted((int(start), int(length)) for start, length in zip(starts, lengths))",
     "[(int(start), int(length)) for start, length in zip(sorted(starts), lengths)]")

# %% exercise="bart_denoise" wrong="one_mask_for_each_token"
"""Each token of a span leaves a mask of its own, as in BERT. One mask stands for the whole span, so the model is not
told how long it was.

How many tokens have the inputs of a text of 10 with one span of 4?
"""
edit("inputs += [*text[end:start], mask]", "inputs += [*text[end:start], *[mask] * max(length, 1)]")

# %% exercise="bart_denoise" wrong="as_many_masks_as_tokens"
"""A span of n tokens leaves n masks, and one of length 0 none. Each span leaves exactly one, whatever its length.

How many masks do two spans, of 4 tokens and of none, leave?
"""
edit("inputs += [*text[end:start], mask]", "inputs += [*text[end:start], *[mask] * length]")

# %% exercise="bart_denoise" wrong="nothing_for_length_0"
"""A span of length 0 is left out. It puts a mask where nothing is missing, so a mask does not promise a gap.

What do the inputs look like with the single span (2, 0)?
"""
edit("inputs += [*text[end:start], mask]", "inputs += [*text[end:start], *[mask] * (length > 0)]")

# %% exercise="bart_denoise" wrong="length_0_takes_a_token"
"""A span of length 0 replaces a token. It stands between two tokens and removes neither.

How many tokens have the inputs of a text of 10 with the single span (2, 0)?
"""
edit("end = start + length", "end = start + max(length, 1)")

# %% exercise="bart_denoise" wrong="targets_are_permuted"
"""The targets stand in the permuted order. The decoder has to write the text as it was.

What would the model learn about the order of sentences from these targets?
"""
edit("[token for sentence in sentences for token in sentence]", "text")

# %% exercise="bart_denoise" wrong="targets_are_the_missing_spans"
"""The targets are the missing tokens only. That is close to T5's objective; BART's decoder writes the whole text.

Where would a permuted sentence be put right?
"""
edit("inputs, end = [], 0", "inputs, end, cut = [], 0, []")
edit("inputs += [*text[end:start], mask]", """
        cut += text[start : start + length]
        inputs += [*text[end:start], mask]
""")
edit("[token for sentence in sentences for token in sentence]", "cut")

# %% exercise="bart_denoise" wrong="order_read_backwards"
"""order[i] is taken for the place to which sentence i goes. It is the sentence that stands at place i.

With order [2, 0, 1], which sentence comes first?
"""
edit(
    "for place in order for token in sentences[place]",
    "for place in range(len(order)) for token in sentences[order.index(place)]",
)

# %% exercise="bart_denoise" wrong="sentences_are_not_moved"
"""`order` is read and not used: the sentences stand where they stood.

Where in your code do the sentences change places?
"""
edit("for place in order for token in sentences[place]", "for sentence in sentences for token in sentence")

# %% exercise="bart_denoise" wrong="spans_count_in_the_original"
"""The spans are cut out of the text before its sentences change places. Starts count in the permuted text.

Permute first. Which token stands at place 0 then?
"""
def bart_denoise(sentences, order, spans, mask):
    if sorted(order) != list(range(len(sentences))):
        raise ValueError("no permutation")
    text = [token for sentence in sentences for token in sentence]
    end = 0
    for start, length in sorted(spans):
        if length < 0 or start < end or start + length > len(text):
            raise ValueError("a span does not fit")
        end = start + length
    noisy, place = [], 0
    for sentence in sentences:
        kept = []
        for token in sentence:
            kept += [mask for start, _ in spans if start == place]
            kept += [token] if not any(start <= place < start + length for start, length in spans) else []
            place += 1
        noisy.append(kept)
    last = [mask for start, _ in spans if start == len(text)]
    return [token for i in order for token in noisy[i]] + last, text

# %% exercise="bart_denoise" wrong="given_order_is_trusted"
"""The spans are taken as if they came in the order of the text. Given in another one, they are refused.

What has to happen to the spans before you walk along the text?
"""
edit("in sorted(spans)", "in spans")

# %% exercise="bart_denoise" wrong="cut_from_the_left_without_moving_on"
"""Spans are replaced in the text one after another, from the left. After the first one all later places have moved, and
the next span is cut from the wrong place.

How far does the rest of the text move when 4 tokens become one mask? Or begin with the last span.
"""
edit("inputs, end = [], 0", "inputs, end = list(text), 0")
edit("inputs += [*text[end:start], mask]", "inputs[start : start + length] = [mask]")
edit("return inputs + text[end:],", "return inputs,")

# %% exercise="bart_denoise" wrong="mask_behind_the_token"
"""A span of length 0 puts its mask behind the token at `start`. It goes before that token.

Where is the mask with the single span (0, 0)?
"""
edit("        inputs += [*text[end:start], mask]\n        end = start + length", """
        place = start + 1 if length == 0 and start < len(text) else start
        inputs += [*text[end:place], mask]
        end = place + length
""")

# %% exercise="bart_denoise" wrong="equal_spans_are_one"
"""Spans that are given twice count once. Two spans of length 0 at one place leave two masks.

What does a set do with the pair (3, 0), given twice?
"""
edit("in sorted(spans)", "in sorted(set(spans))")

# %% exercise="bart_denoise" wrong="any_order_is_taken"
"""An order that leaves out a sentence or has it twice is taken without a word.

What is `order` when it is sorted?
"""
edit("if sorted(order) != list(range(len(sentences))):", "if False:")

# %% exercise="bart_denoise" wrong="any_span_is_taken"
"""Spans that overlap or leave the text are taken without a word.

Slices never complain. Which comparisons of start, length, and the end of the span before do?
"""
edit("if length < 0 or start < end or start + length > len(text):", "if False:")

# %% exercise="bart_denoise" wrong="sorted_by_the_start_alone"
"""Two spans with one start are taken in the order in which they are given: one of length 0 that is given behind a
longer one is refused.

Spans (3, 2) and (3, 0): which one does your walk along the text have to meet first?
"""
edit("in sorted(spans)", "in sorted(spans, key=lambda span: span[0])")

# %% exercise="bart_denoise" wrong="mask_at_the_end_refused"
"""A span of length 0 at the end of the text is refused. It puts its mask behind the last token.

A text of 9 tokens: which starts may a span of length 0 have?
"""
edit("start + length > len(text):", "start + length > len(text) or start >= len(text):")

# %% exercise="bart_denoise" wrong="mask_inside_a_span_is_taken"
"""A span of length 0 that lies inside a longer one is taken without a word. They overlap.

Where does the span before it end?
"""
edit("start < end or", "(length > 0 and start < end) or start < 0 or")

# %% exercise="t5_relative_bucket" wrong="sign_turned_around"
"""The direction is turned around: keys behind the query get the upper half of the rows.

Relative position is key minus query. What sign has a key ahead?
"""
edit("N * (relative_position > 0)", "N * (relative_position < 0)")

# %% exercise="t5_relative_bucket" wrong="zero_counts_as_ahead"
"""A token's own place counts as ahead: distance 0 gets row N. It is row 0.

Is 0 larger than 0?
"""
edit("N * (relative_position > 0)", "N * (relative_position >= 0)")

# %% exercise="t5_relative_bucket" wrong="both_directions_share_rows"
"""Keys ahead and behind share their rows. An encoder's table has an upper half for the keys ahead.

What row have the distances 3 and -3?
"""
edit("row + N * (relative_position > 0) if bidirectional else row", "row")

# %% exercise="t5_relative_bucket" wrong="rows_not_halved"
"""All rows are used for the distances behind, and the keys ahead lie N = num_buckets higher: outside the table.

How many rows has each direction of 32?
"""
edit("N = num_buckets // 2 if bidirectional else num_buckets", "N = num_buckets")

# %% exercise="t5_relative_bucket" wrong="exact_half_of_all_rows"
"""E is half of all rows, also where each direction has only half of them: the logarithmic part has no rows left.

Halve for the directions first. Of what is E the half then?
"""
edit("    E = N // 2", "    E = min(num_buckets // 2, N - 1)")

# %% exercise="t5_relative_bucket" wrong="causal_takes_the_absolute_value"
"""In the decoder keys ahead get the row of the same distance behind. All of them get row 0.

What is n for a key that stands 5 places ahead?
"""
edit("(-relative_position).clamp(min=0)", "relative_position.abs()")

# %% exercise="t5_relative_bucket" wrong="causal_looks_ahead"
"""In the decoder the rows belong to the keys ahead, and all keys behind get row 0. It is the other way round.

Which keys does a decoder look at, and which sign do their relative positions have?
"""
edit("(-relative_position).clamp(min=0)", "relative_position.clamp(min=0)")

# %% exercise="t5_relative_bucket" wrong="bidirectional_always"
"""`bidirectional` changes nothing: a decoder gets the encoder's rows.

Which of the two lines of the formula for n applies when it is False?
"""
edit("N = num_buckets // 2 if bidirectional else num_buckets", "bidirectional, N = True, num_buckets // 2")

# %% exercise="t5_relative_bucket" wrong="rounded_to_the_nearest"
"""The logarithm is rounded to the nearest whole number. The formula has a floor.

What comes out for 8.9: 8, or 9?
"""
edit("* (N - E)).long()", "* (N - E)).round().long()")

# %% exercise="t5_relative_bucket" wrong="rounded_up"
"""The logarithm is rounded up. The formula has a floor.

What comes out for 8.1: 8, or 9?
"""
edit("* (N - E)).long()", "* (N - E)).ceil().long()")

# %% exercise="t5_relative_bucket" wrong="no_largest_row"
"""Distances beyond max_distance get rows beyond the last one.

What does the docstring say of rows above N - 1?
"""
edit("far.clamp(max=N - 1)", "far")

# %% exercise="t5_relative_bucket" wrong="last_row_is_n"
"""The largest row is N, one too many: that is the first row of the other direction, or none at all.

Of N rows that begin with 0, which is the last?
"""
edit("far.clamp(max=N - 1)", "far.clamp(max=N)")

# %% exercise="t5_relative_bucket" wrong="clamped_after_the_directions"
"""The largest row is num_buckets - 1 for all: a far key behind gets a row of the keys ahead.

Which is the last row of keys behind? Clamp before N is added.
"""
edit("far.clamp(max=N - 1)", "far.clamp(max=num_buckets - 1 - N * bidirectional * (relative_position > 0).long())")

# %% exercise="t5_relative_bucket" wrong="logarithm_of_the_distance"
"""The logarithm is that of n, not of n / E. At n = E it should be 0.

Where does the logarithmic part begin to count?
"""
edit("torch.log(ratio)", "torch.log(ratio * E)")

# %% exercise="t5_relative_bucket" wrong="scaled_by_max_distance_alone"
"""The logarithm is divided by log(max_distance), not by log(max_distance / E). Then max_distance does not reach the
last row.

What is the quotient at n = max_distance?
"""
edit("math.log(max_distance / E)", "math.log(max_distance)")

# %% exercise="t5_relative_bucket" wrong="multiplied_by_all_rows"
"""The logarithmic part is spread over N rows. E of them are taken already.

How many rows lie between E and N?
"""
edit("* (N - E)", "* N")

# %% exercise="t5_relative_bucket" wrong="linear_instead_of_logarithmic"
"""Far distances are spread evenly over the rows that are left. They are spread by their logarithm.

How many distances share the last row but one?
"""
edit("torch.log(ratio) / math.log(max_distance / E)", "(ratio - 1) / (max_distance / E - 1)")

# %% exercise="t5_relative_bucket" wrong="every_distance_exact"
"""Every distance has a row of its own until the rows run out. Only the first E have.

Which row has distance 100 of 128?
"""
edit("torch.where(distance < E, distance, far.clamp(max=N - 1))", "distance.clamp(max=N - 1)")

# %% exercise="t5_relative_bucket" wrong="max_distance_fixed"
"""`max_distance` is not used: the rows are those of 128, whatever is asked.

Which of your numbers changes when max_distance does?
"""
edit("math.log(max_distance / E)", "math.log(128 / E)")

# %% exercise="t5_relative_bucket" wrong="num_buckets_fixed"
"""`num_buckets` is not used: the rows are those of 32, whatever is asked.

Which of your numbers changes when num_buckets does?
"""
edit("N = num_buckets // 2 if bidirectional else num_buckets", "N = 16 if bidirectional else 32")

# %% exercise="t5_relative_bucket" wrong="query_minus_key"
"""The rows are those of query minus key: behind and ahead are exchanged, for encoder and decoder.

The docstring says which is subtracted from which. What sign has a key ahead?
"""
edit("N = num_buckets // 2 if bidirectional else num_buckets", """
    relative_position = -relative_position
    N = num_buckets // 2 if bidirectional else num_buckets
""")

# %% exercise="t5_relative_bucket" wrong="as_many_far_rows_as_near_ones"
"""The logarithmic part is spread over E rows. There are N - E of them, one more where N is odd.

N = 5: how many rows lie below E, and how many from E on?
"""
edit("* (N - E)).long()", "* E).long()")
edit("far.clamp(max=N - 1)", "far.clamp(max=2 * E - 1)")

# %% exercise="t5_relative_bucket" wrong="half_is_rounded_up"
"""Half of an odd N is rounded up. E is N // 2.

N = 5: which distances have a row of their own?
"""
edit("    E = N // 2", "    E = (N + 1) // 2")

# %% exercise="T5Attention" wrong="scores_are_scaled"
"""The scores are divided by sqrt(d). T5 leaves them as they are.

Which of the four points above the exercise speaks of sqrt(d)?
"""
edit("scores = q @ k.mT", "scores = q @ k.mT * q.shape[-1] ** -0.5")

# %% exercise="T5Attention" wrong="bias_is_scaled_too"
"""Scores and bias are both divided by sqrt(d). T5 divides neither.

Which of the four points above the exercise speaks of sqrt(d)?
"""
edit("scores = scores + bias", "scores = scores + bias * q.shape[-1] ** -0.5")
edit("scores = q @ k.mT", "scores = q @ k.mT * q.shape[-1] ** -0.5")

# %% exercise="T5Attention" wrong="cross_attention_has_the_table"
"""Cross-attention adds the table's numbers, as if place 3 of the source and place 3 of the target were the same place.

How far is a French word from an English one? With a memory nothing is added.
"""
edit("""
        if memory is not None:
            bias = None
        elif bias is None and self.relative_bias is not None:
            bias = self.table(x.shape[1])
""", """
        if memory is not None:
            bias = None
        if bias is None and self.relative_bias is not None:
            bias = self.table(max(x.shape[1], source.shape[1]))[:, :, : x.shape[1], : source.shape[1]]
""")
edit("flatten(2)), weights, bias", "flatten(2)), weights, bias if memory is None else None")

# %% exercise="T5Attention" wrong="cross_attention_adds_a_bias_that_it_is_given"
"""Cross-attention leaves its table alone and adds a `bias` that it is given. That one belongs to places of the target
alone.

What does the docstring say of `bias` where there is a memory?
"""
edit("""
        if memory is not None:
            bias = None
        elif bias is None and self.relative_bias is not None:
""", """
        if memory is None and bias is None and self.relative_bias is not None:
""")

# %% exercise="T5Attention" wrong="the_weights_are_handed_on"
"""The third result is the weights again, or the scores, not the bias. The next layer would add them to its own scores.

Print what you hand on: do its rows add up to 1?
"""
edit("flatten(2)), weights, bias", "flatten(2)), weights, None if bias is None else weights")

# %% exercise="T5Attention" wrong="the_scores_are_handed_on"
"""The third result is the sum of scores and bias. The next layer has scores of its own; what it needs is the bias
alone.

Which tensor do you return, and when was it added up?
"""
edit("flatten(2)), weights, bias", "flatten(2)), weights, None if bias is None else q @ k.mT + bias")

# %% exercise="T5Attention" wrong="the_mask_is_handed_on"
"""The bias that is returned holds the mask: -inf where a key was hidden. The next layer has a mask of its own.

In which order do you hide keys and return the bias?
"""
edit("flatten(2)), weights, bias",
     "flatten(2)), weights, bias if bias is None or mask is None else bias.masked_fill(~mask, -math.inf)")

# %% exercise="T5Attention" wrong="own_table_comes_first"
"""A layer with a table uses it although a bias was handed to it.

Which of the two does the docstring prefer?
"""
edit("elif bias is None and self.relative_bias is not None:", "elif self.relative_bias is not None:")

# %% exercise="T5Attention" wrong="handed_bias_and_table_added"
"""The layer adds its own table to the bias that was handed to it.

Is the bias of an earlier layer used together with the table, or instead of it?
"""
edit("""
        elif bias is None and self.relative_bias is not None:
            bias = self.table(x.shape[1])
""", """
        elif self.relative_bias is not None:
            bias = self.table(x.shape[1]) + (0 if bias is None else bias)
""")

# %% exercise="T5Attention" wrong="handed_bias_is_ignored"
"""A bias that is handed to the layer is not added. Only the first layer of a stack would know about distances.

Trace the argument `bias`: who reads it?
"""
edit("source = x if memory is None else memory", """
        source = x if memory is None else memory
        bias = None
""")

# %% exercise="T5Attention" wrong="bias_not_returned"
"""The third result is always None: no layer above the first would get a bias.

What does the next layer of the stack need from this one?
"""
edit("flatten(2)), weights, bias", "flatten(2)), weights, None")

# %% exercise="T5Attention" wrong="query_minus_key"
"""The table is read for query minus key: behind and ahead are exchanged.

bias[h, t, s] belongs to s - t. Which index is the column?
"""
edit("places - places[:, None]", "places[:, None] - places")

# %% exercise="T5Attention" wrong="heads_share_a_bias"
"""All heads add the same number. Each has a column of its own in the table.

How many numbers does the embedding give for one row id?
"""
edit(".permute(2, 0, 1)[None]", ".permute(2, 0, 1)[None].mean(1, keepdim=True).expand(1, self.heads, T, T)")

# %% exercise="T5Attention" wrong="bias_reshaped_and_not_permuted"
"""(T, T, H) is reshaped to (H, T, T) and not permuted: the numbers of different heads and places are mixed up.

What does a reshape do with the order of the numbers?
"""
edit(".permute(2, 0, 1)[None]", ".reshape(1, self.heads, T, T)")

# %% exercise="T5Attention" wrong="bias_behind_the_softmax"
"""The bias is added to the weights, behind the softmax. It belongs to the scores.

Do the rows of your weights add up to 1?
"""
edit("scores = scores + bias", "scores = scores + 0")
edit("weights = scores.softmax(-1)", "weights = scores.softmax(-1) if bias is None else scores.softmax(-1) + bias")

# %% exercise="T5Attention" wrong="a_decoder_with_an_encoders_rows"
"""`bidirectional` is not passed on: a decoder's table is read with the encoder's rows.

How many rows has a decoder for what lies behind?
"""
edit("places - places[:, None], self.bidirectional,", "places - places[:, None], True,")

# %% exercise="T5Attention" wrong="max_distance_not_passed_on"
"""`max_distance` is not passed on: the rows are those of 128.

Which arguments does t5_relative_bucket have?
"""
edit("self.relative_bias.num_embeddings, self.max_distance", "self.relative_bias.num_embeddings")

# %% exercise="T5Attention" wrong="mask_is_ignored"
"""The mask is accepted and never used: every query sees every key.

Trace the argument `mask`: who reads it?
"""
edit("if mask is not None:", "if False:")

# %% exercise="T5Attention" wrong="mask_turned_around"
"""The mask hides what may be seen, and shows what may not.

True means "may look". Which entries have to become -inf?
"""
edit("masked_fill(~mask, -math.inf)", "masked_fill(mask, -1e9)")

# %% exercise="T5Attention" wrong="maps_with_bias"
"""The linear maps have biases. T5's have none.

Which argument of nn.Linear leaves the bias out?
"""
edit("bias=False", "bias=True", times=2)

# %% exercise="T5Attention" wrong="graph_of_the_bias_cut"
"""The bias that is returned has lost its graph. What the layers above learn about distances never reaches the table.

Which part of your code detaches it, or builds it under no_grad?
"""
edit("flatten(2)), weights, bias", "flatten(2)), weights, None if bias is None else bias.detach()")

# %% exercise="T5Attention" wrong="a_handed_bias_is_not_handed_on"
"""A bias that was handed to the layer is added, and the third result is None then: the layer above it
would add nothing.

From which layer does the third layer of a stack get the bias?
"""
edit("source = x if memory is None else memory", """
        source, handed = x if memory is None else memory, bias is not None
""")
edit("flatten(2)), weights, bias", "flatten(2)), weights, None if handed else bias")

# %% exercise="T5Attention" wrong="columns_of_heads_interleaved"
"""Head h takes columns h, h + H, h + 2 H ... of q, k and v. A head's columns stand side by side.

Which columns belong to head 0?
"""
edit("part(y).unflatten(-1, (self.heads, -1)).transpose(1, 2)",
     "part(y).unflatten(-1, (-1, self.heads)).permute(0, 3, 1, 2)")

# %% exercise="objectives_finding" wrong="families_exchanged"
"""Encoder and decoder have changed places: the one that sees both sides fills the blanks, the one that sees the left
side only writes.

Which of your two models was trained with mlm_corrupt?
"""
objectives_finding = {
    "encoder_figures": 0.41, "decoder_figures": 0.998, "encoder_translates": 0.97, "decoder_translates": 0.1,
    "labels": 7.44, "blocked_by": "mask",
}

# %% exercise="objectives_finding" wrong="percent"
"""Shares lie between 0 and 1; these are percentages.

What is 41 percent as a share?
"""
objectives_finding = {
    "encoder_figures": 99.8, "decoder_figures": 41.0, "encoder_translates": 10.0, "decoder_translates": 97.0,
    "labels": 7.44, "blocked_by": "mask",
}

# %% exercise="objectives_finding" wrong="one_over_the_rate"
"""You divide 1 by 15 %. But not every piece can be chosen, and not every piece is a label of the decoder.

Which pieces of a line does the encoder never hide, and which one does the decoder never have to guess?
"""
objectives_finding = {
    "encoder_figures": 0.998, "decoder_figures": 0.41, "encoder_translates": 0.1, "decoder_translates": 0.97,
    "labels": 6.6667, "blocked_by": "mask",
}

# %% exercise="objectives_finding" wrong="upside_down"
"""You give the encoder's labels for each one of the decoder: the ratio is upside down.

Which of the two has more labels?
"""
objectives_finding = {
    "encoder_figures": 0.998, "decoder_figures": 0.41, "encoder_translates": 0.1, "decoder_translates": 0.97,
    "labels": 0.1344, "blocked_by": "mask",
}

# %% exercise="objectives_finding" wrong="too_small_to_see"
"""You take the decoder for too small. It translates nearly every date with the same parameters: it does not lack size.

May the decoder look at the translation when it is asked for a piece of the English date?
"""
objectives_finding = {
    "encoder_figures": 0.998, "decoder_figures": 0.41, "encoder_translates": 0.1, "decoder_translates": 0.97,
    "labels": 7.44, "blocked_by": "size",
}

# %% exercise="patchify" wrong="reshaped_and_not_permuted"
"""The image is reshaped and not permuted: the numbers of one vector come from a strip of the image, not from a square.

Print the pixels of patch 1. A reshape never changes the order in memory.
"""
edit("tiles.permute(0, 2, 4, 1, 3, 5).reshape(B, -1, C * size * size)", "tiles.reshape(B, -1, C * size * size)")

# %% exercise="patchify" wrong="channels_last"
"""In each patch the channels of a pixel stand together. All numbers of channel 0 come first.

In which order does a convolution's weight (D, C, P, P) hold a patch?
"""
edit("permute(0, 2, 4, 1, 3, 5)", "permute(0, 2, 4, 3, 5, 1)")

# %% exercise="patchify" wrong="patches_go_down_the_columns"
"""Patches go down the columns first. They go along the rows.

Which square is patch 1: the one to the right, or the one below?
"""
edit("permute(0, 2, 4, 1, 3, 5)", "permute(0, 4, 2, 1, 3, 5)")

# %% exercise="patchify" wrong="patches_transposed"
"""Each patch is transposed: its columns are written one after another.

Which number stands behind the first one: its neighbour to the right, or the one below?
"""
edit("permute(0, 2, 4, 1, 3, 5)", "permute(0, 2, 4, 1, 5, 3)")

# %% exercise="patchify" wrong="every_nth_pixel"
"""A vector holds pixels that lie far apart, one from each square. The axes of place and of inside are exchanged.

H is split as (H / P, P). Which of the two moves fastest along a column of pixels?
"""
edit("images.reshape(B, C, H // size, size, W // size, size)",
     "images.reshape(B, C, size, H // size, size, W // size).permute(0, 1, 3, 2, 5, 4)")

# %% exercise="patchify" wrong="cropped_without_a_word"
"""What does not fit into whole patches is cut off. The docstring wants ValueError.

What does H % size tell you?
"""
edit("if H % size or W % size:", "if False:")
edit("tiles = images.reshape(", "tiles = images[:, :, : H - H % size, : W - W % size].reshape(")

# %% exercise="patchify" wrong="only_the_width_is_asked"
"""Nobody asks whether the height fits, or the error is another one than ValueError.

Two sizes have to be multiples of the patch. Which ones do you ask?
"""
edit("if H % size or W % size:", "if W % size:")

# %% exercise="patchify" wrong="only_the_height_is_asked"
"""Nobody asks whether the width fits, or the error is another one than ValueError.

Two sizes have to be multiples of the patch. Which ones do you ask?
"""
edit("if H % size or W % size:", "if H % size:")

# %% exercise="patchify" wrong="channels_are_averaged"
"""The channels are averaged: a vector has P * P numbers.

How many numbers has a patch of three channels?
"""
edit("B, C, H, W = images.shape", """
    images = images.double().mean(1, keepdim=True).to(images.dtype)
    B, C, H, W = images.shape
""")

# %% exercise="patchify" wrong="one_patch_for_each_channel"
"""Each channel of a square is a patch of its own, so there are C times as many.

How many tokens has an image of 4 squares and 3 channels?
"""
edit("reshape(B, -1, C * size * size)", "reshape(B, -1, size * size)")

# %% exercise="ViT" wrong="class_token_without_position"
"""The class token gets no position: row 0 of `positions` is not used, or goes to the first patch.

How many rows has `positions`, and how many tokens are there when you add them?
"""
edit("patches], dim=1) + self.positions", "patches + self.positions[1:]], dim=1)")

# %% exercise="ViT" wrong="positions_shifted_by_one"
"""The patches get rows 0 to N - 1 of `positions` and the class token the last one. Row 0 is the class token's.

Put the class token in front first; then add.
"""
edit("patches], dim=1) + self.positions", "patches], dim=1) + self.positions.roll(1, 0)")

# %% exercise="ViT" wrong="no_positions"
"""The positions are never added: exchange two patches, and the class token does not notice.

Where does the model learn which patch was where?
"""
edit("patches], dim=1) + self.positions", "patches], dim=1) + 0 * self.positions")

# %% exercise="ViT" wrong="class_token_at_the_end"
"""The class token stands behind the patches. It stands before them.

Which token does `tokens(images)[:, 0]` give?
"""
edit("[self.cls.expand(len(images), 1, -1), patches]", "[patches, self.cls.expand(len(images), 1, -1)]")

# %% exercise="ViT" wrong="mean_of_the_tokens"
"""The head reads the mean of all tokens. It reads the class token.

What is the class token there for?
"""
edit("self.tokens(images)[:, 0]", "self.tokens(images).mean(1)")

# %% exercise="ViT" wrong="mean_of_the_patches"
"""The head reads the mean of the patches. It reads the class token.

What is the class token there for?
"""
edit("self.tokens(images)[:, 0]", "self.tokens(images)[:, 1:].mean(1)")

# %% exercise="ViT" wrong="last_token_is_read"
"""The head reads the last token. It reads the class token, which stands first.

In a decoder the last token has seen everything. Which one has here?
"""
edit("self.tokens(images)[:, 0]", "self.tokens(images)[:, -1]")

# %% exercise="ViT" wrong="no_closing_norm"
"""Nothing is normalised behind the last layer.

With pre-norm layers the stream only grows. Which part of the model is never used?
"""
edit("return self.norm(x)", "return x + 0 * self.norm(x)")

# %% exercise="ViT" wrong="norm_in_the_head_only"
"""`tokens` gives the stream as it is; only what goes into the head is normalised.

Which of the two methods does the docstring promise normalised tokens of?
"""
edit("return self.norm(x)", "return x")
edit("self.head(self.tokens(images)[:, 0])", "self.head(self.norm(self.tokens(images)[:, 0]))")

# %% exercise="ViT" wrong="normalised_before_the_layers"
"""The tokens are normalised before the first layer, and not behind the last one.

With pre-norm layers, where is the stream still without a norm?
"""
edit("""
        for layer in self.layers:
            x = layer(x)
        return self.norm(x)
""", """
        x = self.norm(x)
        for layer in self.layers:
            x = layer(x)
        return x
""")

# %% exercise="ViT" wrong="positions_in_every_layer"
"""The positions are added again before every layer. They are added once.

What does the stream carry from layer to layer?
"""
edit("x = layer(x)", "x = layer(x if layer is self.layers[0] else x + self.positions)")

# %% exercise="ViT" wrong="layers_from_the_last_to_the_first"
"""The layers run from the last to the first.

Which one reads the patches?
"""
edit("for layer in self.layers:", "for layer in reversed(self.layers):")

# %% exercise="ViT" wrong="layers_without_the_class_token"
"""The layers see the patches only; the class token is put in front behind them and has read nothing.

How does the class token learn about the image?
"""
edit("x = layer(x)", "x = torch.cat([x[:, :1], layer(x[:, 1:])], dim=1)")

# %% exercise="ViT" wrong="any_image_is_taken"
"""Images of another size are not refused with ValueError. Some have as many patches, and their positions are wrong
without a word.

An image of 4 x 6 and one of 6 x 4 have as many patches. Which sizes do you compare?
"""
edit("if tuple(images.shape[1:]) != self.shape:", "if False:")

# %% exercise="ViT" wrong="only_the_number_of_patches_is_asked"
"""Only the number of patches is compared: an image with height and width exchanged is taken, and most of its positions
are wrong.

An image of 4 x 6 and one of 6 x 4 have as many patches. Which sizes do you compare?
"""
edit("if tuple(images.shape[1:]) != self.shape:",
     "if images.shape[1] != self.shape[0] or images[0, 0].numel() != self.shape[1] * self.shape[2]:")

# %% exercise="ViT" wrong="positions_are_cut_off"
"""`positions` and class token are used as plain numbers: no gradient reaches them, so they are never learned.

Which part of your code uses .data or .detach()?
"""
edit("dim=1) + self.positions", "dim=1) + self.positions.detach()")

# %% exercise="ViT" wrong="class_token_last_and_read_there"
"""The class token stands behind the patches, and the head reads it there. It stands before them, and row 0 of
`positions` is its own.

Which row of `positions` does the first patch get?
"""
edit("[self.cls.expand(len(images), 1, -1), patches]", "[patches, self.cls.expand(len(images), 1, -1)]")
edit("self.tokens(images)[:, 0]", "self.tokens(images)[:, -1]")

# %% exercise="ViT" wrong="one_layer_many_times"
"""All layers are one and the same module, with one set of weights.

What does [layer] * 3 hold: three layers, or one layer three times?
"""
edit("nn.ModuleList(PreNormLayer(width, heads, hidden) for _ in range(layers))",
     "nn.ModuleList([PreNormLayer(width, heads, hidden)] * layers)")

# %% exercise="ViT" wrong="eps_of_torch"
"""The norm behind the last layer has torch's own eps, 1e-5. The docstring wants 1e-6.

Which argument of nn.LayerNorm says so?
"""
edit("nn.LayerNorm(width, eps=1e-6)", "nn.LayerNorm(width)")

# %% exercise="ViT" wrong="normalised_twice"
"""The class token is normalised twice: `tokens` gives normalised tokens, and the head's input is normalised again.

With weight and bias, does a norm of a norm change nothing?
"""
edit("self.head(self.tokens(images)[:, 0])", "self.head(self.norm(self.tokens(images)[:, 0]))")

# %% exercise="clip_contrastive_loss" wrong="not_normalised"
"""The vectors are not normalised: long ones have large similarities, whatever their direction.

Double an image's vector. Should the loss change?
"""
edit("rows / rows.norm(dim=-1, keepdim=True) for rows", "rows * 1 for rows")

# %% exercise="clip_contrastive_loss" wrong="normalised_over_the_batch"
"""The vectors are normalised along the batch: each column has length 1. Each row should.

Over which axis is the length of one vector?
"""
edit("rows.norm(dim=-1, keepdim=True)", "rows.norm(dim=0, keepdim=True)")

# %% exercise="clip_contrastive_loss" wrong="one_length_for_all"
"""All vectors are divided by one number, the length of all of them together. Each has a length of its own.

Which argument of norm says over which axis?
"""
edit("rows.norm(dim=-1, keepdim=True)", "rows.norm()")

# %% exercise="clip_contrastive_loss" wrong="only_images_are_normalised"
"""Only the images are normalised; a long text still wins.

A cosine has two lengths in its denominator. Where is the second?
"""
edit("rows / rows.norm(dim=-1, keepdim=True) for rows in (images, texts)",
     "rows / rows.norm(dim=-1, keepdim=True) if i == 0 else rows for i, rows in enumerate((images, texts))")

# %% exercise="clip_contrastive_loss" wrong="squared_length"
"""The vectors are divided by their squared length.

What length has a vector of length 3, divided by 9?
"""
edit("rows.norm(dim=-1, keepdim=True)", "rows.square().sum(dim=-1, keepdim=True)")

# %% exercise="clip_contrastive_loss" wrong="scale_without_exponential"
"""Similarities are multiplied with logit_scale itself. It is a logarithm.

Which factor belongs to logit_scale = 0?
"""
edit("logit_scale.exp() *", "logit_scale *")

# %% exercise="clip_contrastive_loss" wrong="divided_by_the_factor"
"""Similarities are divided by exp(logit_scale). A temperature would divide; this is its inverse, and multiplies.

Does a larger logit_scale make the choice sharper, or flatter?
"""
edit("logit_scale.exp() *", "(-logit_scale).exp() *")

# %% exercise="clip_contrastive_loss" wrong="no_scale"
"""logit_scale is not used. Cosines lie between -1 and 1: a softmax over them is nearly flat.

Trace logit_scale: who reads it?
"""
edit("logit_scale.exp() *", "(0 * logit_scale).exp() *")

# %% exercise="clip_contrastive_loss" wrong="images_choose_texts_only"
"""Only images choose among texts. Texts have to choose among images, too.

Which loss belongs to the columns of the table?
"""
edit("(by_image + by_text) / 2", "by_image")

# %% exercise="clip_contrastive_loss" wrong="texts_choose_images_only"
"""Only texts choose among images. Images have to choose among texts, too.

Which loss belongs to the rows of the table?
"""
edit("(by_image + by_text) / 2", "by_text")

# %% exercise="clip_contrastive_loss" wrong="sum_of_both"
"""The two losses are added. The docstring wants their mean.

What does a batch of N strangers cost: log N, or twice that?
"""
edit("(by_image + by_text) / 2", "by_image + by_text")

# %% exercise="clip_contrastive_loss" wrong="sum_over_the_rows"
"""The losses of the rows are added up, not averaged: twice the batch, twice the loss.

What is the reduction of cross_entropy when you say nothing?
"""
edit("nn.functional.cross_entropy(logits[own], own)", "nn.functional.cross_entropy(logits[own], own, reduction='sum')")
edit("nn.functional.cross_entropy(logits.T[own], own)",
     "nn.functional.cross_entropy(logits.T[own], own, reduction='sum')")

# %% exercise="clip_contrastive_loss" wrong="targets_begin_at_zero"
"""The partner of a device's first row is looked for in column 0. That is right for device 0 alone.

Which column is the partner of rank 1's first row?
"""
edit("cross_entropy(logits[own], own)", "cross_entropy(logits[own], own - own[0])")
edit("cross_entropy(logits.T[own], own)", "cross_entropy(logits.T[own], own - own[0])")

# %% exercise="clip_contrastive_loss" wrong="others_are_cut_off"
"""What other devices made is used without its gradient: a device's loss reaches its own rows only.

Has the gathered tensor a grad_fn? With whose rows do yours get a gradient?
"""
edit("share = len(images) // ranks", """
    share = len(images) // ranks
    mine = (torch.arange(len(images)) // share == rank)[:, None]
    held = [torch.where(mine, rows, rows.detach()) for rows in (images, texts)]
    logits = logit_scale.exp() * held[0] @ held[1].T
""")

# %% exercise="clip_contrastive_loss" wrong="own_rows_against_own_rows"
"""A device compares its own rows with each other only. All N rows of the other side are there to choose from.

How many columns has the table of a device?
"""
edit("cross_entropy(logits[own], own)", "cross_entropy(logits[own][:, own], own - own[0])")
edit("cross_entropy(logits.T[own], own)", "cross_entropy(logits.T[own][:, own], own - own[0])")

# %% exercise="clip_contrastive_loss" wrong="every_device_counts_all_rows"
"""Every device computes the plain loss of all N rows: rank and ranks change nothing.

Which rows belong to this device?
"""
edit("own = torch.arange(rank * share, (rank + 1) * share)", "own = torch.arange(len(images))")

# %% exercise="clip_contrastive_loss" wrong="exponentials_overflow"
"""Exponentials of the logits themselves are taken: from about 88 on they are infinite in float32.

What may be subtracted from all logits of a row without changing its softmax?
"""
edit("nn.functional.cross_entropy(logits[own], own)",
     "-(logits[own, own].exp() / logits[own].exp().sum(-1)).log().mean()")
edit("nn.functional.cross_entropy(logits.T[own], own)",
     "-(logits[own, own].exp() / logits.T[own].exp().sum(-1)).log().mean()")

# %% exercise="clip_contrastive_loss" wrong="factor_capped_at_100"
"""The factor is capped at 100. CLIP's training does that to its parameter; the loss has to take what it is given.

What does the docstring promise for a factor of 1000?
"""
edit("logit_scale.exp() *", "logit_scale.exp().clamp(max=100) *")

# %% exercise="clip_contrastive_loss" wrong="scale_without_gradient"
"""logit_scale is read as a plain number. It is learned, and needs a gradient.

Which of .item(), float() and .detach() did you call?
"""
edit("logit_scale.exp() *", "logit_scale.detach().exp() *")

# %% exercise="clip_contrastive_loss" wrong="softmax_taken_twice"
"""cross_entropy is given probabilities. It takes a softmax by itself, so there are two.

What does cross_entropy expect?
"""
edit("nn.functional.cross_entropy(logits[own], own)", "nn.functional.cross_entropy(logits[own].softmax(-1), own)")
edit("nn.functional.cross_entropy(logits.T[own], own)", "nn.functional.cross_entropy(logits.T[own].softmax(-1), own)")

# %% exercise="clip_contrastive_loss" wrong="texts_choose_among_own_images"
"""A device's texts choose among its own images only; its images choose among all texts. All N images are there, too.

How many numbers has the column of one text?
"""
edit("cross_entropy(logits.T[own], own)", "cross_entropy(logits.T[own][:, own], own - own[0])")

# %% exercise="clip_contrastive_loss" wrong="share_of_the_whole_batch"
"""The sum over a device's rows is divided by all N rows. Its part of the loss is a mean over its own N / ranks rows.

The mean of all devices' losses should be the plain loss. What is it here?
"""
edit("(by_image + by_text) / 2", "(by_image + by_text) / 2 / ranks")

# %% exercise="log_mel" wrong="last_frame_kept"
"""The last frame is still there: n // 160 + 1 of them.

How many frames has Whisper for 30 seconds: 3000, or 3001?
"""
edit("unfold(-1, 400, 160)[:, :-1]", "unfold(-1, 400, 160)")

# %% exercise="log_mel" wrong="first_frame_dropped"
"""The first frame is dropped, not the last.

At which sample does frame 0 of your result have its middle?
"""
edit("unfold(-1, 400, 160)[:, :-1]", "unfold(-1, 400, 160)[:, 1:]")

# %% exercise="log_mel" wrong="padded_with_zeros"
"""Zeros are added at both ends. The waveform is mirrored there.

Which sample stands before the first one?
"""
edit('mode="reflect"', 'mode="constant"')

# %% exercise="log_mel" wrong="end_sample_repeated"
"""The mirror repeats the sample at the end, or the end goes on as a constant. A reflection leaves that sample out.

Mirrored at its first sample, what stands before 1 2 3?
"""
edit('mode="reflect"', 'mode="replicate"')

# %% exercise="log_mel" wrong="not_padded_at_the_end"
"""Only the beginning is padded.

How many samples have to be added so that 1 + n // 160 frames fit?
"""
edit("(200, 200)", "(400, 0)")

# %% exercise="log_mel" wrong="symmetric_window"
"""The Hann window is the symmetric one, which ends with 0. The periodic one divides by 400, not by 399.

What is the window's last number? Look up the argument `periodic`.
"""
edit("torch.hann_window(400,", "torch.hann_window(400, periodic=False,")

# %% exercise="log_mel" wrong="hamming_window"
"""The window is Hamming's, which does not begin with 0.

Which two numbers stand in the formula of step 2?
"""
edit("torch.hann_window(400,", "torch.hamming_window(400,")

# %% exercise="log_mel" wrong="no_window"
"""The frames are not multiplied with a window.

Which factor has a frame's first sample in step 2?
"""
edit("[:, :-1] * window", "[:, :-1] * torch.ones_like(window)")

# %% exercise="log_mel" wrong="magnitude_and_not_power"
"""The filters are given absolute values. They want their squares.

By how much does the logarithm grow when a wave is twice as loud: 0.3, or 0.6?
"""
edit(".abs().square()", ".abs()")

# %% exercise="log_mel" wrong="spectrum_divided_by_400"
"""The Fourier sums are divided by 400, or by its root.

Which normalisation does torch.fft.rfft have when you ask for none?
"""
edit("torch.fft.rfft(frames)", 'torch.fft.rfft(frames, norm="ortho")')

# %% exercise="log_mel" wrong="natural_logarithm"
"""The logarithm is the natural one. Step 4 wants base 10.

Which number is the logarithm of 1e-10?
"""
edit(".log10()", ".log()")

# %% exercise="log_mel" wrong="filters_after_the_logarithm"
"""The logarithm is taken of the spectrum, and the filters sum up logarithms. They sum up powers.

In which order do steps 3 and 4 come?
"""
edit("mel = filters @ power.mT", "mel = 10 ** (filters @ power.mT.clamp(min=1e-10).log10())")

# %% exercise="log_mel" wrong="no_floor"
"""Nothing is raised: quiet places lie more than 8 below the loudest. (A floor 80 below, as if these were decibels,
or one that is taken behind step 6, raises nothing either.)

Which step bounds how deep the picture is?
"""
edit("x = torch.maximum(x, x.amax(dim=(1, 2), keepdim=True) - 8)", "x = x + 0")

# %% exercise="log_mel" wrong="floor_for_each_frame"
"""Each frame has a floor of its own. One number, the loudest of the whole waveform, decides.

Over which axes is the largest number taken?
"""
edit("x.amax(dim=(1, 2), keepdim=True)", "x.amax(dim=1, keepdim=True)")

# %% exercise="log_mel" wrong="floor_for_each_filter"
"""Each filter has a floor of its own. One number, the loudest of the whole waveform, decides.

Over which axes is the largest number taken?
"""
edit("x.amax(dim=(1, 2), keepdim=True)", "x.amax(dim=2, keepdim=True)")

# %% exercise="log_mel" wrong="loudest_of_the_batch"
"""The loudest waveform of the batch decides for all: a sound changes with its neighbours.

Over which axes is the largest number taken?
"""
edit("x.amax(dim=(1, 2), keepdim=True)", "x.amax()")

# %% exercise="log_mel" wrong="not_scaled"
"""Step 6 is missing: the numbers are still logarithms.

What are -4 and 0 after step 6?
"""
edit(".add(4) / 4", ".add(0)")

# %% exercise="log_mel" wrong="divided_before_four_is_added"
"""Step 6 divides first and adds 4 then.

What are -4 and 0 after step 6?
"""
edit(".add(4) / 4", " / 4 + 4")

# %% exercise="log_mel" wrong="other_least_power"
"""The smallest power before the logarithm is another one than 1e-10, or is added.

What does silence give: (-10 + 4) / 4?
"""
edit("clamp(min=1e-10)", "clamp(min=1e-5)")

# %% exercise="log_mel" wrong="least_power_is_added"
"""1e-10 is added to every power. It is the least, and leaves larger ones alone.

What is the logarithm of 1e-10 in your code?
"""
edit("mel.clamp(min=1e-10)", "(mel + 1e-10)")

# %% exercise="log_mel" wrong="hop_of_half_a_window"
"""Frames begin every 200 samples. They begin every 160, 10 ms.

How many samples are 10 ms?
"""
edit("unfold(-1, 400, 160)[:, :-1]", "unfold(-1, 400, 200)[:, :-1]")

# %% exercise="log_mel" wrong="mirror_with_the_end_sample"
"""The first and the last sample stand there twice, once in the mirror. The mirror leaves them out.

Mirrored at its first sample, what stands before 1 2 3?
"""
edit('padded = nn.functional.pad(wave[None] if wave.dim() == 1 else wave, (200, 200), mode="reflect")', """
    rows = wave[None] if wave.dim() == 1 else wave
    padded = torch.cat([rows[:, :200].flip(-1), rows, rows[:, -200:].flip(-1)], dim=-1)
""")

# %% exercise="perplexity" wrong="labels_inside_the_window"
"""Each window scores only tokens that it also reads, so the prediction behind its last token is thrown away and windows
are one token late. Windows side by side never score the first token of each.

With N = 8, context 4, stride 4: which window scores token 4?
"""
def perplexity(model, ids, context, stride):
    losses, scored = [], 0
    for begin in range(0, len(ids), stride):
        end = min(begin + context, len(ids))
        with torch.no_grad():
            logits = model(ids[None, begin:end])[0, :-1]
        targets = ids[begin + 1 : end]
        new = torch.arange(begin + 1, end) > scored
        losses.append(nn.functional.cross_entropy(logits, targets, reduction="none")[new])
        scored = end - 1
        if end == len(ids):
            break
    return torch.cat(losses).double().mean().exp().item()

# %% exercise="perplexity" wrong="mean_of_window_means"
"""You take the mean of each window's mean. Windows score different numbers of tokens, so tokens of a short one count
more.

The first window scores 10 tokens and the last one 1. How much should that one token weigh?
"""
edit("losses.append(-new.gather(1, ids[scored + 1 : end + 1, None])[:, 0])",
     "losses.append(-new.gather(1, ids[scored + 1 : end + 1, None]).mean()[None])")

# %% exercise="perplexity" wrong="first_window_too_short"
"""The first window reads only `stride` tokens, and later ones grow until they are as long as the context.

How many tokens may the model read in its first call?
"""
edit("end = min(begin + context, last)", """
    end = min(scored + stride, last)
    begin = max(end - context, 0)
""")
edit("begin, scored = begin + stride, end", "scored = end")

# %% exercise="perplexity" wrong="overlap_scored_twice"
"""Each window scores all tokens behind what it reads, so tokens in the overlap count several times.

How many losses do you have at the end? The text has N - 1 tokens to score.
"""
edit("logits[scored - begin :]", "logits")
edit("ids[scored + 1 : end + 1, None]", "ids[begin + 1 : end + 1, None]")

# %% exercise="perplexity" wrong="stride_ignored"
"""The windows stand side by side whatever the stride: tokens at the beginning of each have next to no past.

By how much does the window move?
"""
edit("begin, scored = begin + stride, end", "begin, scored = end, end")

# %% exercise="perplexity" wrong="target_not_shifted"
"""Row t is compared with token t, which the model was shown. It is about token t + 1.

What should a row be asked about, when the model has read up to token t?
"""
edit("ids[scored + 1 : end + 1, None]", "ids[scored:end, None]")

# %% exercise="perplexity" wrong="whole_text_at_once"
"""The model reads the whole text in one call, longer than its context.

What does a model do with positions that it was never trained on?
"""
edit("end = min(begin + context, last)", "end = last")

# %% exercise="perplexity" wrong="two_to_the_nats"
"""The mean is in nats, and you raise 2 to it. That fits a mean in bits.

log_softmax takes which logarithm?
"""
edit(".mean().exp().item()", ".mean().exp2().item()")

# %% exercise="perplexity" wrong="not_exponentiated"
"""This is the mean loss, the logarithm of the perplexity.

What is the perplexity of a model that gives each of 50 words the probability 1/50?
"""
edit(".mean().exp().item()", ".mean().item()")

# %% exercise="perplexity" wrong="gradients_recorded"
"""Every call records a graph for gradients that nobody asks for: its memory stays until the graph is gone.

Which context manager switches that off?
"""
edit("torch.no_grad()", "torch.enable_grad()")

# %% exercise="perplexity" wrong="switches_the_model_to_evaluation"
"""You switch the model to evaluation. The docstring says that it is read in the mode that it is in, and stays in it.

Who decides about the mode, and who would notice that it has changed?
"""
edit("while scored < last:", """
    model.eval()
    while scored < last:
""")

# %% exercise="perplexity" wrong="last_window_left_out"
"""The last window, which is shorter than the others, is left out: the end of the text is not scored.

How many losses do you have at the end? The text has N - 1 tokens to score.
"""
edit("while scored < last:", "while scored < last and (begin == 0 or begin + context <= last):")

# %% exercise="perplexity" wrong="divided_by_all_tokens"
"""The sum is divided by N. Only N - 1 tokens are scored: nothing predicts token 0.

A text of two tokens has how many losses?
"""
edit(".double().mean().exp()", ".double().sum().div(len(ids)).exp()")

# %% exercise="perplexity" wrong="last_window_moved_back"
"""The last window is moved back until it has `context` tokens. It begins `stride` tokens behind the one before, and is
shorter.

In the docstring's example, which tokens does the last window read?
"""
edit("end = min(begin + context, last)", """
    end = min(begin + context, last)
    begin = max(end - context, 0)
""")

# %% exercise="perplexity" wrong="windows_with_nothing_to_score"
"""The model is called again when the whole text has been scored.

In the docstring's example, what could a window score that begins with token 6?
"""
edit("while scored < last:", "while begin < last:")

# %% exercise="perplexity" wrong="last_token_is_read"
"""The last window reads token N - 1, too. Nothing follows it in the text.

What would the last row be about?
"""
edit("logits = model(ids[None, begin:end])[0]", "logits = model(ids[None, begin : begin + context])[0, : end - begin]")

# %% exercise="bits_per_byte" wrong="characters_for_bytes"
"""len(text) counts characters. In UTF-8 a character has one to four bytes.

How many bytes has the letter é, and how many the Cyrillic alphabet's?
"""
edit('len(text.encode("utf-8"))', "len(text)")

# %% exercise="bits_per_byte" wrong="nats_per_byte"
"""The sum is in nats, and a bit is log(2) = 0.69 nats.

A fair coin costs how many nats, and how many bits?
"""
edit(" / math.log(2)", "")

# %% exercise="bits_per_byte" wrong="multiplied_by_log_two"
"""Nats become bits when they are divided by log(2); you multiply.

A fair coin costs 0.69 nats. Is that more than a bit, or less?
"""
edit("/ math.log(2)", "* math.log(2)")

# %% exercise="bits_per_byte" wrong="mean_over_tokens"
"""You take the mean over tokens and divide it by the bytes: the number of tokens is divided away twice over.

Total over total: which two totals?
"""
edit(".sum()", ".mean()")

# %% exercise="bits_per_byte" wrong="bits_per_token"
"""This is bits per token: it depends on how the tokenizer cuts the text.

What does the name of the function promise?
"""
edit("/ math.log(2) / size", "/ math.log(2) / len(nats)")

# %% exercise="bits_per_byte" wrong="summed_in_their_own_dtype"
"""The sum is made in the dtype of the losses: float16 ends at 65504, and small terms are lost beside a large sum.

In which dtype does the docstring ask for the sum?
"""
edit("nats.double().sum().item()", "nats.sum().item()")

# %% exercise="bits_per_byte" wrong="utf16"
"""The text is encoded as UTF-16, with two bytes or four for each character and a mark in front.

Which encoding does the docstring name?
"""
edit('"utf-8"', '"utf-16"')

# %% exercise="bits_per_byte" wrong="stripped"
"""Space at the ends of the text is taken off before the bytes are counted, but its tokens are in the sum.

Does the model have to predict the line break at the end?
"""
edit('text.encode("utf-8")', 'text.strip().encode("utf-8")')

# %% exercise="bits_per_byte" wrong="empty_gives_zero"
"""An empty text gives 0 bits per byte. It has no bytes to share bits among, and the docstring asks for an error.

What is 0 / 0?
"""
edit('raise ValueError("an empty text has no bits per byte")', "return 0.0")

# %% exercise="choice_loglikelihood" wrong="first_token_left_out"
"""The first token of each choice is not scored: it is what the context's last token predicts.

A choice of one token: what do you add up for it?
"""
edit("rows.gather(1, choice[:, None]).sum()", "rows[1:].gather(1, choice[1:, None]).sum()")

# %% exercise="choice_loglikelihood" wrong="context_scored_too"
"""The context's own tokens are in the sum. They are the same for all choices in the raw sum, and not when you divide.

The probability of what, given what?
"""
edit("rows = logits[len(context) - 1 :].log_softmax(dim=-1)", "rows = logits.log_softmax(dim=-1)")
edit("rows.gather(1, choice[:, None]).sum()", "rows.gather(1, torch.cat([context, choice])[1:, None]).sum()")

# %% exercise="choice_loglikelihood" wrong="one_row_late"
"""Each token is looked up in the row of its own place: that row is about the token behind it.

Which row is about the first token of the choice when the context has one token?
"""
edit("[None, :-1])[0]", "[None])[0]")
edit("logits[len(context) - 1 :]", "logits[len(context) :]")

# %% exercise="choice_loglikelihood" wrong="context_forgotten"
"""The model is shown the choice alone: what it says has nothing to do with the context.

The probability of what, given what?
"""
edit("model(torch.cat([context, choice])[None, :-1])[0]", "model(torch.cat([context[-1:], choice])[None, :-1])[0]")
edit("logits[len(context) - 1 :]", "logits")

# %% exercise="choice_loglikelihood" wrong="logits_added_up"
"""Logits are added up as they are. They become log-probabilities when each row is normalised over the vocabulary.

Add 100 to all logits of a row: what should happen to your score?
"""
edit("logits[len(context) - 1 :].log_softmax(dim=-1)", "logits[len(context) - 1 :]")

# %% exercise="choice_loglikelihood" wrong="product_of_probabilities"
"""Probabilities are multiplied and the logarithm is taken at the end: after some hundred tokens the product is 0.

What is 0.01 to the power of 200 in float32? And the sum of 200 logarithms?
"""
edit(".log_softmax(dim=-1)", ".softmax(dim=-1)")
edit("rows.gather(1, choice[:, None]).sum()", "rows.gather(1, choice[:, None]).prod().log()")

# %% exercise="choice_loglikelihood" wrong="means_as_scores"
"""The scores are means already, so the raw winner is the normalised one.

Which of the three results is divided by the number of tokens?
"""
edit("rows.gather(1, choice[:, None]).sum()", "rows.gather(1, choice[:, None]).mean()")
edit("(scores / lengths)", "scores")

# %% exercise="choice_loglikelihood" wrong="divided_by_context_and_choice"
"""The sum over the choice is divided by the length of context and choice together.

How many terms does the sum have?
"""
edit("[len(choice) for choice in choices]", "[len(context) + len(choice) for choice in choices]")

# %% exercise="choice_loglikelihood" wrong="last_of_equals"
"""Of equal scores you take the last one.

What does the docstring say about several largest ones?
"""
edit("scores.argmax().item(), (scores / lengths).argmax().item()",
     "len(scores) - 1 - scores.flip(0).argmax().item(), len(scores) - 1 - (scores / lengths).flip(0).argmax().item()")

# %% exercise="choice_loglikelihood" wrong="smallest_score"
"""You take the smallest score: the least likely choice.

Log-probabilities are negative. Is -3 likelier than -5?
"""
edit("argmax", "argmin", times=2)

# %% exercise="choice_loglikelihood" wrong="winners_swapped"
"""The two winners come in the other order.

Which one does the docstring name first?
"""
edit("scores.argmax().item(), (scores / lengths).argmax().item()",
     "(scores / lengths).argmax().item(), scores.argmax().item()")

# %% exercise="choice_loglikelihood" wrong="gradients_recorded"
"""Every call records a graph for gradients that nobody asks for.

Which context manager switches that off?
"""
edit("torch.no_grad()", "torch.enable_grad()")
edit("scores = torch.stack(scores)", "scores = torch.stack(scores).detach()")

# %% exercise="choice_loglikelihood" wrong="switches_the_model_to_evaluation"
"""You switch the model to evaluation. The docstring says that it stays in the mode that it is in.

Who decides about the mode, and who would notice that it has changed?
"""
edit("for choice in choices:", """
    model.eval()
    for choice in choices:
""")

# %% exercise="choice_loglikelihood" wrong="means_returned"
"""The scores that come back are means. They are sums; only the normalised winner goes by means. The winners are right.

What is log p of a choice of three tokens: a mean of three numbers, or their sum?
"""
edit("return scores, ", "return scores / lengths, ")

# %% exercise="choice_loglikelihood" wrong="padded_on_the_left"
"""Shorter texts are filled up in front of the context, and the model reads what fills them. Every row depends on all
that stands before it.

Where does filling up do no harm to a causal model?
"""
edit("model(torch.cat([context, choice])[None, :-1])[0]",
     "model(torch.cat([context.new_zeros(max(map(len, choices)) - len(choice)), context, choice])[None, :-1])[0]")
edit("logits[len(context) - 1 :]", "logits[-len(choice) :]")

# %% exercise="choice_loglikelihood" wrong="one_behind_the_other"
"""Context and all choices are read as one text: each choice has read the choices before it. Its probability is given
the context alone.

Exchange the first two choices: should the score of the third change?
"""
def choice_loglikelihood(model, context, choices):
    with torch.no_grad():
        logs = model(torch.cat([context, *choices])[None])[0].log_softmax(dim=-1)
    scores, begin = [], len(context)
    for choice in choices:
        rows = torch.arange(begin - 1, begin + len(choice) - 1)
        rows[0] = len(context) - 1
        scores.append(logs[rows, choice].sum())
        begin += len(choice)
    scores = torch.stack(scores)
    lengths = torch.tensor([len(choice) for choice in choices])
    return scores, scores.argmax().item(), (scores / lengths).argmax().item()

# %% exercise="choose_family" wrong="encoders_have_a_cache"
"""An encoder reads only what is new in each turn. But one more token changes the state of all others, so it reads
everything again.

How many tokens does an encoder read in turn 3?
"""
edit("turn * reads + (turn - 1) * writes", "reads")

# %% exercise="choose_family" wrong="what_was_written_is_forgotten"
"""What was written in earlier turns is missing in what an encoder reads.

Of what does the text consist that turn 2 begins with?
"""
edit("turn * reads + (turn - 1) * writes", "turn * reads")

# %% exercise="choose_family" wrong="reads_what_it_has_not_written_yet"
"""An encoder reads what is written in the same turn, too. It stands there from the next turn on.

What has been written when turn 1 begins?
"""
edit("turn * reads + (turn - 1) * writes", "turn * (reads + writes)")

# %% exercise="choose_family" wrong="last_turn_only"
"""Only the last turn is counted for an encoder. All turns cost.

Over what does the sum of the work run?
"""
edit("sum(turn * reads + (turn - 1) * writes for turn in range(1, turns + 1))", "turns * reads + (turns - 1) * writes")

# %% exercise="choose_family" wrong="every_turn_like_the_last"
"""Every turn is counted like the last one. In turn 1 there is less to read.

How many tokens does an encoder read in turn 1, and how many in turn 2?
"""
edit("sum(turn * reads + (turn - 1) * writes for turn in range(1, turns + 1))",
     "turns * (turns * reads + (turns - 1) * writes)")

# %% exercise="choose_family" wrong="decoder_without_a_cache"
"""The decoder-only model reads everything again in each turn. It has a cache: each token passes once.

What does a later token change in the state of an earlier one, under a causal mask?
"""
edit("turns * (reads + writes) * decoder_alone", "(read_again + turns * writes) * decoder_alone")

# %% exercise="choose_family" wrong="tokens_pass_both_stacks"
"""In the encoder-decoder each token is counted in both stacks. What is read passes the encoder, what is written the
decoder.

Which layers does a source token pass?
"""
edit("read_again * encoder + turns * writes * decoder",
     "(read_again + turns * writes) * (encoder + decoder)")

# %% exercise="choose_family" wrong="the_decoder_reads_too"
"""The decoder of the encoder-decoder is counted for what is read, as well. It sees the source through cross-attention
only.

Which tokens pass the decoder's layers?
"""
edit("read_again * encoder + turns * writes * decoder", "read_again * (encoder + decoder) + turns * writes * decoder")

# %% exercise="choose_family" wrong="writing_counts_once"
"""What is written counts in one turn only.

In how many turns does the decoder write?
"""
edit("read_again * encoder + turns * writes * decoder", "read_again * encoder + writes * decoder")

# %% exercise="choose_family" wrong="all_turns_forgotten"
"""`turns` changes nothing: one turn is counted.

Trace the argument `turns`: who reads it?
"""
edit("encoder_alone, decoder_alone, encoder, decoder = layers", """
    turns = 1
    encoder_alone, decoder_alone, encoder, decoder = layers
""")

# %% exercise="choose_family" wrong="encoders_write"
"""The encoder-only model takes part where a text is to be written. It does not write.

When is its reason a sentence?
"""
edit('"does not write" if writes else read_again * encoder_alone', "read_again * encoder_alone")

# %% exercise="choose_family" wrong="decoders_read_both_ways"
"""The decoder-only model takes part where tokens are to be read in both directions. It reads one way.

Which argument rules it out?
"""
edit('"reads one way" if two_sided else turns', "turns")

# %% exercise="choose_family" wrong="a_decoder_with_nothing_to_write"
"""The encoder-decoder takes part where nothing is to be written.

What would its decoder do?
"""
edit('read_again * encoder + turns * writes * decoder if writes else "nothing to write"',
     "read_again * encoder + turns * writes * decoder")

# %% exercise="choose_family" wrong="decoders_only_write"
"""The decoder-only model is ruled out where nothing is to be written. It can judge by its last state; one rule alone
takes it out, two_sided.

Which three rules does the docstring have?
"""
edit('"reads one way" if two_sided else turns', '"reads one way" if two_sided or not writes else turns')

# %% exercise="choose_family" wrong="by_the_slogan"
"""The family is chosen by the slogan, or the first that can is taken: an encoder judges, a decoder writes, an
encoder-decoder where the input has to be read both ways. The work that you counted decides nothing.

Compare the numbers in your own reasons: is the chosen one the smallest?
"""
edit("min(able, key=able.get)",
     '("encoder-only" if not writes else "encoder-decoder" if two_sided else "decoder-only")')

# %% exercise="choose_family" wrong="most_work_wins"
"""The family with the most work is chosen.

Is a large number good here?
"""
edit("min(able, key=able.get)", "max(able, key=able.get)")

# %% exercise="choose_family" wrong="last_of_equals"
"""With equal work the last of the families wins, not the first.

What does min give when two are equal, and in which order does it see them?
"""
edit("min(able, key=able.get)", "min(reversed(list(able)), key=able.get)")

# %% exercise="choose_family" wrong="only_the_winner_is_told"
"""The reasons hold the families that can do the task only. All three belong in them, the others with a sentence.

How many entries has the dict?
"""
edit("key=able.get), reasons", "key=able.get), able")

# %% exercise="choose_family" wrong="layers_mixed_up"
"""The layers are read in another order: encoder and decoder of the encoder-decoder are exchanged.

Which of the four numbers belongs to which stack?
"""
edit("encoder_alone, decoder_alone, encoder, decoder = layers",
     "encoder_alone, decoder_alone, decoder, encoder = layers")

# %% exercise="choose_family" wrong="any_number_is_taken"
"""Tasks without turns, or with a negative number of tokens, are not refused with ValueError.

Which three comparisons does the docstring ask for?
"""
edit("if reads < 1 or turns < 1 or writes < 0:", "if False:")
