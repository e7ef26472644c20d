"""Wrong answers that learners of unit 03 really give.

A cell is an edit of the solution, or a whole answer where a mistake is no small edit. Its docstring is what they read.
"""

# %% exercise="bpe_merge" wrong="overlaps_merged_twice"
"""A token in the middle of a run is used by two occurrences: [1, 1, 1] becomes two merged tokens.

After merging positions 0 and 1, where do you look next?
"""
edit(
    "at += 2",
    """
    at += 1
    if tuple(tokens[at : at + 2]) != tuple(pair):
        at += 1
    """,
)

# %% exercise="bpe_merge" wrong="only_the_first"
"""Only the first occurrence is replaced.

How often does the pair stand in [1, 2, 1, 2]?
"""
edit(
    """
    out.append(merged)
    at += 2
    """,
    "return out + [merged] + list(tokens[at + 2 :])",
)

# %% exercise="bpe_merge" wrong="last_token_lost"
"""The walk stops one token short, so a last token that is not part of a pair is lost.

What does your function make of a list with one token?
"""
edit("while at < len(tokens):", "while at < len(tokens) - 1:")

# %% exercise="bpe_merge" wrong="either_order"
"""The pair is merged in either order, (1, 2) as well as (2, 1).

Are "th" and "ht" the same token?
"""
edit("== tuple(pair)", "in (tuple(pair), tuple(pair)[::-1])")

# %% exercise="bpe_merge" wrong="from_the_right"
"""The list is walked from its end, so in a run of an odd length the first token is left over instead of the last.

[1, 1, 1] with the pair (1, 1): which token stays alone when you read from left to right?
"""
edit(
    "out, at = [], 0",
    """
    tokens, pair = tokens[::-1], tuple(pair)[::-1]
    out, at = [], 0
    """,
)
edit("return out", "return out[::-1]")

# %% exercise="bpe_merge" wrong="changes_its_list"
"""The list that you were given is changed; the docstring says that it stays as it was.

Who else may still need this list? Build a new one.
"""
def bpe_merge(tokens, pair, merged):
    at = 0
    while at < len(tokens):
        if tuple(tokens[at : at + 2]) == tuple(pair):
            tokens[at : at + 2] = [merged]
        at += 1
    return tokens

# %% exercise="bpe_merge" wrong="merges_what_was_merged"
"""A merged token takes part in the next occurrence: [1, 2, 2] with (1, 2) becoming 1 ends as [1].

Each token belongs to one occurrence. Where do you look after a merge, at the new token or behind it?
"""
def bpe_merge(tokens, pair, merged):
    out = []
    for token in tokens:
        if out and (out[-1], token) == tuple(pair):
            out[-1] = merged
        else:
            out.append(token)
    return out

# %% exercise="bpe_merge" wrong="token_zero_dropped"
"""The result is filtered by truth, so the id 0 disappears like the places that were used up.

Which value can mark a used place without being a token? Or can you do without marks?
"""
edit("return out", "return [token for token in out if token]")

# %% exercise="bpe_train" wrong="first_seen_wins_a_tie"
"""On a tie the pair that was seen first wins; the exercise asks for the greater pair of byte strings.

In "ab, cd, zb" every pair stands once. Which one is the greatest, whatever came first in the text?
"""
edit("key=lambda neighbours: (counts[neighbours], neighbours)", "key=counts.get")

# %% exercise="bpe_train" wrong="printable_characters_compared"
"""Ties are decided between printable stand-ins of the bytes: there a space comes after all letters, as a byte before.

Which is greater: the byte of a space, 32, or the byte of the letter t, 116?
"""
edit(
    "merges = []",
    """
    keep = [*range(33, 127), *range(161, 173), *range(174, 256)]
    moved = [b for b in range(256) if b not in keep]
    shown = {b: chr(b) for b in keep} | {b: chr(256 + i) for i, b in enumerate(moved)}
    merges = []
    """,
)
edit("(counts[neighbours], neighbours)", "(counts[neighbours], [[shown[b] for b in side] for side in neighbours])")

# %% exercise="bpe_train" wrong="smaller_pair_wins_a_tie"
"""On a tie the smaller pair wins; here the greater one does.

Sorting puts the smallest first. Which end do you take?
"""
edit(
    "best = max(counts, key=lambda neighbours: (counts[neighbours], neighbours))",
    "best = min(counts, key=lambda neighbours: (-counts[neighbours], neighbours))",
)

# %% exercise="bpe_train" wrong="joined_bytes_compared"
"""On a tie you compare the joined bytes, not the pair: (a, bc) and (ab, c) then look the same.

Compare tuples: the left tokens first, and the right ones only when the left ones are equal.
"""
edit("(counts[neighbours], neighbours)", "(counts[neighbours], neighbours[0] + neighbours[1])")

# %% exercise="bpe_train" wrong="no_pieces"
"""The text was never cut into pieces, so tokens swallow spaces and reach from one word into the next.

Was the text pre-tokenised before counting?
"""
edit("Counter(pretokenize(text))", "Counter([text])")

# %% exercise="bpe_train" wrong="each_piece_counted_once"
"""Each distinct piece is counted once, however often it occurs, so rare words weigh as much as frequent ones.

How often does the pair (l, o) occur in "low low low"?
"""
edit("counts[neighbours] += times", "counts[neighbours] += 1")

# %% exercise="bpe_train" wrong="characters_instead_of_bytes"
"""The pieces are cut into characters, so a euro sign is one symbol from the start; at byte level it is three bytes.

How many of the 256 start tokens does "é" need?
"""
edit("[bytes([b]) for b in piece.encode()]", "[c.encode() for c in piece]")

# %% exercise="bpe_train" wrong="stops_at_pairs_seen_once"
"""Pairs that occur only once are never merged, so fewer merges come back than were asked for.

When does the exercise say that training ends?
"""
edit("if not counts:", "if not counts or max(counts.values()) < 2:")

# %% exercise="bpe_train" wrong="ids_compared"
"""On a tie the ids are compared, so every learned token is greater than every single byte, whatever its bytes are.

Which comes first as bytes: "AB", which was learned, or "B", which was always there?
"""
def bpe_train(text, num_merges):
    known = [bytes([b]) for b in range(256)]
    words = [(list(piece.encode()), times) for piece, times in Counter(pretokenize(text)).items()]
    merges = []
    for _ in range(num_merges):
        counts = Counter()
        for ids, times in words:
            for neighbours in zip(ids, ids[1:]):
                counts[neighbours] += times
        if not counts:
            break
        best = max(counts, key=lambda neighbours: (counts[neighbours], neighbours))
        left, right = (known[i] for i in best)
        merges.append((left, right))
        words = [(bpe_merge(ids, best, len(known)), times) for ids, times in words]
        known.append(left + right)
    return merges

# %% exercise="bpe_train" wrong="overlaps_counted_once"
"""In a run of one letter you count the pairs that can be merged; asked for are all neighbours: aaa holds (a, a) twice.

How many pairs does zip(tokens, tokens[1:]) give for "aaaaa"?
"""
edit(
    """
    for neighbours in zip(tokens, tokens[1:]):
        counts[neighbours] += times
    """,
    """
    last = None
    for neighbours in zip(tokens, tokens[1:]):
        last = None if neighbours == last else neighbours
        counts[neighbours] += times if last else 0
    """,
)

# %% exercise="bpe_encode" wrong="merged_as_found"
"""Merges are applied as they are met from left to right, not by the order in which they were learned.

With the merges bc, then ab: which one was learned first, and what becomes of "abc"?
"""
edit("first = min(known, key=rank.get)", "first = known[0]")

# %% exercise="bpe_encode" wrong="longest_token_first"
"""You take the longest known token from the left, as WordPiece does; BPE replays its merges.

Which merge was learned first? Start from single bytes, not from the end.
"""
edit(
    """
    tokens = [bytes([b]) for b in piece.encode()]
    while True:
        known = [neighbours for neighbours in zip(tokens, tokens[1:]) if neighbours in rank]
        if not known:
            break
        first = min(known, key=rank.get)
        tokens = bpe_merge(tokens, first, first[0] + first[1])
    out += [ids[token] for token in tokens]
    """,
    """
    rest = piece.encode()
    while rest:
        size = next(n for n in range(len(rest), 0, -1) if rest[:n] in ids)
        out.append(ids[rest[:size]])
        rest = rest[size:]
    """,
)

# %% exercise="bpe_encode" wrong="shorter_special_first"
"""Of two special tokens that match at one place the one registered first wins, even when it is shorter.

Two specials match at the same place. Which should win?
"""
edit("sorted(specials, key=len, reverse=True)", "specials")

# %% exercise="bpe_encode" wrong="specials_are_cut"
"""Special tokens are encoded like ordinary text: nobody looked for them, or the text was cut into pieces before.

How many ids should "<|end|>" become when it is registered?
"""
edit("first_special = len(ids)", "first_special, specials = len(ids), ()")

# %% exercise="bpe_encode" wrong="no_pieces"
"""The text is not cut into pieces, so merges reach across words.

Training never saw a pair across a piece. Should encoding?
"""
edit("pretokenize(part)", "[part]")

# %% exercise="bpe_encode" wrong="an_id_for_each_merge"
"""Every merge gets an id of its own, also one whose result is a token already; all later ids are shifted by one.

vocabulary(merges) says what each id is: look the token up there.
"""
edit(
    "ids = {token: i for i, token in vocabulary(merges).items()}",
    "ids = {bytes([b]): b for b in range(256)} | {left + right: 256 + i for i, (left, right) in enumerate(merges)}",
)
edit("first_special = len(ids)", "first_special = 256 + len(merges)")

# %% exercise="bpe_encode" wrong="each_merge_tried_once"
"""You walk through the merges once, in order. A pair that only a later merge makes is missed.

After a merge, which pairs of the piece are new, and may one of them stand earlier in the list?
"""
edit(
    """
    while True:
        known = [neighbours for neighbours in zip(tokens, tokens[1:]) if neighbours in rank]
        if not known:
            break
        first = min(known, key=rank.get)
        tokens = bpe_merge(tokens, first, first[0] + first[1])
    """,
    """
    for left, right in merges:
        tokens = bpe_merge(tokens, (left, right), left + right)
    """,
)

# %% exercise="bpe_encode" wrong="one_place_at_a_time"
"""After each single merge you look for the best pair again. A pair that this merge made overtakes the other places.

With (ab, a) before (a, b), what becomes of "abab" when both ab are merged in one step?
"""
edit(
    "tokens = bpe_merge(tokens, first, first[0] + first[1])",
    """
    at = list(zip(tokens, tokens[1:])).index(first)
    tokens[at : at + 2] = [first[0] + first[1]]
    """,
)

# %% exercise="bpe_encode" wrong="id_from_the_rank"
"""A token's id is 256 plus the place of its merge. A merge whose result is a token already gets no id, so all later ids
are too high by one.

vocabulary(merges) says what each id is: look the token up there.
"""
edit(
    "ids = {token: i for i, token in vocabulary(merges).items()}",
    """
    ids = {bytes([b]): b for b in range(256)}
    for i, (left, right) in enumerate(merges):
        ids.setdefault(left + right, 256 + i)
    """,
)
edit("first_special = len(ids)", "first_special = len(vocabulary(merges))")

# %% exercise="bpe_encode" wrong="specials_behind_all_merges"
"""The first special token is 256 + len(merges), but merges with the same result share one id: count the tokens.

How many entries has vocabulary(merges) when two merges give "abc"?
"""
edit("first_special = len(ids)", "first_special = 256 + len(merges)")

# %% exercise="bpe_encode" wrong="specials_not_escaped"
"""Special tokens go into the pattern as they are: the bars of "<|end|>" then mean "or", and the token itself is cut.

Which function of `re` takes the meaning away from such signs?
"""
edit("map(re.escape, longest_first)", "longest_first")
edit("pretokenize(part)", 'pretokenize(part or "")')

# %% exercise="bpe_encode" wrong="empty_pattern_without_specials"
"""Without special tokens the pattern is empty. It matches between all characters: each becomes a piece of its own, and
nothing is merged.

What does re.split("()", "abc") give?
"""
edit(" if specials else [text]", "")

# %% exercise="bpe_decode" wrong="each_token_decoded_alone"
"""Each token is decoded on its own, so a character spread over two tokens becomes U+FFFD.

Join before you decode, or decode before you join?
"""
edit(
    'return b"".join(known[i] for i in ids).decode("utf-8", errors="replace")',
    'return "".join(known[i].decode("utf-8", errors="replace") for i in ids)',
)

# %% exercise="bpe_decode" wrong="broken_bytes_dropped"
"""Bytes that are no UTF-8 disappear, so nobody sees that something was there.

Which of the error handlers of bytes.decode puts U+FFFD in?
"""
edit('errors="replace"', 'errors="ignore"')

# %% exercise="bpe_decode" wrong="broken_bytes_raise"
"""Bytes that are no UTF-8 raise an error; a model may well produce them.

Which of the error handlers of bytes.decode puts U+FFFD in?
"""
edit('decode("utf-8", errors="replace")', 'decode("utf-8")')

# %% exercise="bpe_decode" wrong="latin_1"
"""Every byte becomes a character of its own (Latin-1), so everything outside ASCII turns into two or three signs.

In which encoding was the text turned into bytes?
"""
edit('decode("utf-8", errors="replace")', 'decode("latin-1")')

# %% exercise="bpe_decode" wrong="specials_left_out"
"""Special tokens are skipped; the exercise asks for all of the text.

What should come out for the id of "<e>"?
"""
edit("vocabulary(merges, specials)", "vocabulary(merges)")
edit("for i in ids", "for i in ids if i in known")

# %% exercise="bpe_decode" wrong="an_id_for_each_merge"
"""Every merge gets an id, also one whose result is a token already: all later ids are shifted, those of specials, too.

vocabulary(merges, specials) says what each id is.
"""
edit(
    "known = vocabulary(merges, specials)",
    "known = [*(bytes([b]) for b in range(256)), *(a + b for a, b in merges), *(word.encode() for word in specials)]",
)

# %% exercise="bpe_decode" wrong="unfinished_end_lost"
"""A character that is cut off at the very end disappears: an incremental decoder waits for bytes that never come.

How does the decoder learn that there is no more? Or do you have all bytes at once?
"""
edit(
    'return b"".join(known[i] for i in ids).decode("utf-8", errors="replace")',
    """
    import codecs

    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    return "".join(decoder.decode(known[i]) for i in ids)
    """,
)

# %% exercise="language_finding" wrong="greek_is_dearest"
"""Two bytes for each letter is not the most there is: Devanagari needs three.

Which row of the table has the largest median?
"""
edit('"dearest": "hi", "times": 3.6', '"dearest": "el", "times": 2.0')

# %% exercise="language_finding" wrong="all_cost_the_same"
"""The ratio of 1 is English compared with itself.

Read the median in the row of the dearest language.
"""
edit('"times": 3.6', '"times": 1.0')

# %% exercise="pad_batch" wrong="positions_count_padding"
"""With padding on the left the positions count the padding too, so the first real token does not stand at 0.

In which column does the first real token of a padded row stand, and which position should it have?
"""
edit("(mask.cumsum(dim=1) - 1).clamp(min=0) * mask", "torch.arange(longest) * mask")

# %% exercise="pad_batch" wrong="side_ignored"
"""Padding always goes to the right, whatever `side` says.

Print pad_batch([[1], [2, 3]], 0, "left"): in which column does the last real token of each row stand?
"""
edit('slice(0, len(row)) if side == "right" else slice(longest - len(row), longest)', "slice(0, len(row))")

# %% exercise="pad_batch" wrong="sides_exchanged"
"""Left and right are exchanged: padding on the right means that the padding stands behind the tokens.

Does `side` name the side of the tokens, or of the padding?
"""
edit('if side == "right"', 'if side == "left"')

# %% exercise="pad_batch" wrong="mask_by_comparing_ids"
"""The mask is found by comparing with pad_id, so a real token that has the same id is hidden.

Can pad_id be a token of the text? Where do you know the length of a row for sure?
"""
edit(
    "positions = (mask.cumsum(dim=1) - 1).clamp(min=0) * mask",
    """
    mask = ids != pad_id
    positions = (mask.cumsum(dim=1) - 1).clamp(min=0) * mask
    """,
)

# %% exercise="pad_batch" wrong="true_means_padding"
"""The mask is True on padding; here True means a real token.

Which convention did unit 02 choose: True = may look, or True = hide?
"""
edit("return ids, mask, positions", "return ids, ~mask, positions")

# %% exercise="pad_batch" wrong="changes_its_rows"
"""The rows that you were given are padded themselves; whoever calls next finds them longer than they were.

What does `row + fill` make that `row.append` does not?
"""
def pad_batch(rows, pad_id, side="right"):
    if side not in ("left", "right"):
        raise ValueError(f"side is 'left' or 'right', not {side!r}")
    lengths = torch.tensor([len(row) for row in rows])[:, None]
    longest, column = int(lengths.max()), torch.arange(int(lengths.max()))
    for row in rows:
        while len(row) < longest:
            row.insert(len(row) if side == "right" else 0, pad_id)
    mask = column < lengths if side == "right" else column >= longest - lengths
    return torch.tensor(rows), mask, (mask.cumsum(dim=1) - 1) * mask

# %% exercise="pad_batch" wrong="another_side_is_left"
"""A `side` that does not exist is taken for one of the two. The docstring asks for a ValueError.

What does your function do when somebody writes "centre", or "Right"?
"""
edit(
    """
    if side not in ("left", "right"):
        raise ValueError(f"side is 'left' or 'right', not {side!r}")
    """,
    "",
)

# %% exercise="pad_batch" wrong="padding_repeats_the_last_position"
"""Padding on the right keeps the position of the last real token; the docstring asks for 0 there.

What does cumsum do where the mask is False? What makes a 0 of it?
"""
edit(".clamp(min=0) * mask", ".clamp(min=0)")

# %% exercise="pad_batch" wrong="padding_counted_on"
"""Padding on the right is counted on, as if tokens stood there; the docstring asks for 0.

Which of your positions belong to real tokens, and what should all the others be?
"""
edit(
    "(mask.cumsum(dim=1) - 1).clamp(min=0) * mask",
    '(torch.arange(longest) - (side == "left") * (longest - mask.sum(dim=1, keepdim=True))).clamp(min=0)',
)

# %% exercise="pad_batch" wrong="padding_at_position_one"
"""Padding stands at position 1, as in the code of `transformers`; here it stands at 0.

Nobody reads these positions, so any number would do. Which one did the docstring choose?
"""
edit("(mask.cumsum(dim=1) - 1).clamp(min=0) * mask", "(mask.cumsum(dim=1) - 1).masked_fill(~mask, 1)")

# %% exercise="embed" wrong="columns_looked_up"
"""Columns of the table are read instead of rows.

The table is (V, D): which axis do the ids number?
"""
edit("return table[ids]", "return table.T[ids]")
edit("hot @ table", "hot @ table.T")

# %% exercise="embed" wrong="one_hot_ignored"
"""The one-hot product uses a table of ones and zeros for the last axis only: every token gets the sum of all rows.

How many ones does the one-hot vector of one token have?
"""
edit(
    "hot = (ids[..., None] == torch.arange(table.shape[0])).to(table.dtype)",
    "hot = torch.ones(*ids.shape, table.shape[0], dtype=table.dtype)",
)

# %% exercise="embed" wrong="gradient_cut"
"""The table is detached, so it never learns: its gradient is missing.

Which call cuts a tensor off from its history?
"""
edit("return table[ids]", "return table.detach()[ids] + 0 * table.sum()")
edit("hot @ table", "hot @ table.detach() + 0 * table.sum()")

# %% exercise="embed" wrong="gradient_of_a_token_counted_once"
"""A token that stands in several places passes back the gradient of only one of them.

Row 2 was read three times. What is its gradient?
"""
def embed(ids, table, one_hot=False):
    seen, parts = set(), []
    for i in ids.flatten().tolist():
        parts.append(table[i].detach() if i in seen else table[i])
        seen.add(i)
    return torch.stack(parts).reshape(*ids.shape, table.shape[1])

# %% exercise="embed" wrong="first_token_gets_no_gradient"
"""Token 0 gets no gradient, as with padding_idx=0 in torch's embedding; here every row of the table learns.

Which row never moves in your version?
"""
edit("return table[ids]", "return nn.functional.embedding(ids, table, padding_idx=0)")

# %% exercise="embed" wrong="gradients_averaged"
"""A token that stands in several places gets the mean of their gradients, as with scale_grad_by_freq; asked is the sum.

The loss depends on row 2 through three places. What does the chain rule do with three paths?
"""
edit("return table[ids]", "return nn.functional.embedding(ids, table, scale_grad_by_freq=True)")

# %% exercise="embed" wrong="seen_ids_renumbered"
"""The one-hot vectors number the ids that occur, so they read the first rows of the table and not those of the ids.

How long is the one-hot vector of id 5 when only the ids 2 and 5 occur?
"""
edit(
    "hot = (ids[..., None] == torch.arange(table.shape[0])).to(table.dtype)  # (..., V)",
    """
    seen, place = ids.unique(return_inverse=True)
    hot = nn.functional.one_hot(place, len(seen)).to(table.dtype)
    """,
)
edit("hot @ table", "hot @ table[: len(seen)]")

# %% exercise="embed" wrong="ids_compared_as_floats"
"""Ids are compared in the table's dtype. float16 holds no odd numbers beyond 2048: neighbours share a one-hot vector.

Which number is 2049 in float16?
"""
edit("ids[..., None] ==", "ids[..., None].to(table.dtype) ==")
edit("torch.arange(table.shape[0])", "torch.arange(table.shape[0]).to(table.dtype)")

# %% exercise="TiedEmbedding" wrong="head_is_a_copy"
"""The head has its own copy of the matrix: equal at the start, different after one step.

Same values or same tensor? Count the parameters.
"""
edit(
    "self.weight = nn.Parameter(torch.randn(vocab_size, d_model) / math.sqrt(d_model))",
    """
    self.weight = nn.Parameter(torch.randn(vocab_size, d_model) / math.sqrt(d_model))
    self.head = nn.Parameter(self.weight.detach().clone())
    """,
)
edit("states @ self.weight.T", "states @ self.head.T")

# %% exercise="TiedEmbedding" wrong="no_factor"
"""The rows are not multiplied by sqrt(D).

What does section 3.4 of the paper do to the embeddings?
"""
edit("self.weight[ids] * math.sqrt(self.weight.shape[1])", "self.weight[ids]")

# %% exercise="TiedEmbedding" wrong="factor_at_both_ends"
"""The factor sqrt(D) is in the logits too, so the softmax is far too sharp.

Which of the two methods multiplies by sqrt(D)?
"""
edit("states @ self.weight.T", "states @ self.weight.T * math.sqrt(self.weight.shape[1])")

# %% exercise="TiedEmbedding" wrong="head_detached"
"""The head uses the matrix without passing a gradient to it: it only learns from the input side.

Which call cuts a tensor off from its history?
"""
edit("states @ self.weight.T", "states @ self.weight.detach().T + 0 * self.weight.sum()")

# %% exercise="TiedEmbedding" wrong="factor_rounded_down"
"""The factor is a whole number: isqrt rounds the root down, which is right only where D is a square.

What is sqrt(6), and what does math.isqrt(6) give?
"""
edit("math.sqrt(self.weight.shape[1])", "math.isqrt(self.weight.shape[1])")

# %% exercise="TiedEmbedding" wrong="divided_by_the_factor"
"""The rows are divided by sqrt(D), as scores are in attention; an embedding is multiplied by it.

A row's numbers have a size of about 1 / sqrt(D) at the start. Which of the two brings them to 1?
"""
edit("self.weight[ids] * math", "self.weight[ids] / math")

# %% exercise="TiedEmbedding" wrong="factor_taken_out_again"
"""The logits are divided by sqrt(D), to take the factor of `embed` out again; but they hold no such factor.

What do the states consist of when they arrive at the head: rows of the table, or what a model made of them?
"""
edit("states @ self.weight.T", "states @ self.weight.T / math.sqrt(self.weight.shape[1])")

# %% exercise="sinusoidal_encoding" wrong="exponent_doubled"
"""The exponent is doubled: `i` runs in steps of two already, and 2i is used on top.

Print the exponents: should the last be near 1 or near 2?
"""
edit("-torch.arange(0, d_model, 2, dtype=torch.float64)", "-2 * torch.arange(0, d_model, 2, dtype=torch.float64)")

# %% exercise="sinusoidal_encoding" wrong="halves_instead_of_interleaved"
"""All sines stand before all cosines; in the paper they alternate.

Column 1 of the paper's matrix is which function?
"""
edit("torch.stack([turn.sin(), turn.cos()], dim=-1).flatten(1)", "torch.cat([turn.sin(), turn.cos()], dim=-1)")

# %% exercise="sinusoidal_encoding" wrong="positions_start_at_one"
"""The first position is 1.

What is sin(0), and where should it stand?
"""
edit("torch.arange(length, dtype=torch.float64)", "torch.arange(1, length + 1, dtype=torch.float64)")

# %% exercise="sinusoidal_encoding" wrong="sine_and_cosine_swapped"
"""Cosines stand in the even columns.

Even columns: sin or cos? What must row 0 look like?
"""
edit("[turn.sin(), turn.cos()]", "[turn.cos(), turn.sin()]")

# %% exercise="sinusoidal_encoding" wrong="every_column_its_own_frequency"
"""Each column has its own frequency; a sine and its cosine share one.

Which columns belong to the same angle?
"""
edit("torch.arange(0, d_model, 2, dtype=torch.float64)", "torch.arange(d_model, dtype=torch.float64)")
edit("[turn.sin(), turn.cos()]", "[turn[:, 0::2].sin(), turn[:, 1::2].cos()]")

# %% exercise="sinusoidal_encoding" wrong="exponent_halved"
"""The index i runs over 0, 1, 2 ... and the 2 of the formula is missing: the slowest clock turns far too fast.

With D = 6 the exponents should be 0, 2/6 and 4/6.
"""
edit("torch.arange(0, d_model, 2, dtype=torch.float64)", "torch.arange(d_model // 2, dtype=torch.float64)")

# %% exercise="sinusoidal_encoding" wrong="ends_at_10000"
"""The slowest clock has the frequency 1/10000 exactly, as in tensor2tensor. The paper divides by D, not by D - 2.

With D = 6 the exponents should be 0, 2/6 and 4/6. Which is your last one?
"""
edit(
    "(-torch.arange(0, d_model, 2, dtype=torch.float64) / d_model)",
    "-torch.linspace(0, 1, d_model // 2, dtype=torch.float64)",
)

# %% exercise="sinusoidal_encoding" wrong="angles_in_half_precision"
"""Positions, frequencies and their products are bfloat16: with 8 binary digits, far positions share an angle.

Which number is 257 in bfloat16?
"""
edit("t = torch.arange(length, dtype=torch.float64)[:, None]", "t = torch.arange(length).bfloat16()[:, None]")
edit(
    "turn = t * 10000.0 ** (-torch.arange(0, d_model, 2, dtype=torch.float64) / d_model)",
    "turn = (t * (10000.0 ** (-torch.arange(0, d_model, 2) / d_model)).bfloat16()).float()",
)

# %% exercise="rope_frequencies" wrong="exponent_doubled"
"""The frequencies are squared: the exponent is divided by d/2 instead of d.

Print the first three frequencies and compare them with the formula.
"""
edit("torch.arange(0, d, 2, dtype=torch.float64) / d", "torch.arange(0, d, 2, dtype=torch.float64) / (d // 2)")

# %% exercise="rope_frequencies" wrong="exponent_halved"
"""The index i runs over 0, 1, 2 ... and the 2 of the formula is missing: the slowest pair turns far too fast.

With d = 8 the exponents should be 0, 2/8, 4/8, 6/8.
"""
edit("torch.arange(0, d, 2, dtype=torch.float64)", "torch.arange(d // 2, dtype=torch.float64)")

# %% exercise="rope_frequencies" wrong="wavelengths"
"""These are 1 / frequency: the sign of the exponent is missing.

Which pair should turn fastest, the first or the last?
"""
edit("-torch.arange(0, d, 2, dtype=torch.float64)", "torch.arange(0, d, 2, dtype=torch.float64)")

# %% exercise="rope_frequencies" wrong="base_ignored"
"""The base is always 10000.

Does your function use its second argument?
"""
edit("base **", "10000.0 **")

# %% exercise="rope_frequencies" wrong="one_for_each_coordinate"
"""There is one number for each coordinate; the exercise asks for one for each pair.

How many pairs has a head of width d?
"""
edit(".float()", ".float().repeat_interleave(2)")

# %% exercise="rope_frequencies" wrong="ends_at_one_over_base"
"""The exponents run from 0 to -1 with both ends, so the last frequency is 1 / base and all but the first are off.

With d = 8 the exponents should be 0, -2/8, -4/8, -6/8. Which is your last one?
"""
edit("(-torch.arange(0, d, 2, dtype=torch.float64) / d)", "-torch.linspace(0, 1, d // 2, dtype=torch.float64)")

# %% exercise="rope_frequencies" wrong="counted_from_one"
"""The pairs are counted from 1, so even the fastest pair turns by less than 1 for each position.

What is base^0, and which pair has it?
"""
edit("torch.arange(0, d, 2, dtype", "torch.arange(2, d + 1, 2, dtype")

# %% exercise="rope_frequencies" wrong="slowest_first"
"""The frequencies are right and stand in the opposite order.

Which pair turns fastest, the first or the last?
"""
edit(".float()", ".float().flip(0)")

# %% exercise="apply_rope" wrong="identity"
"""Nothing is turned. Lengths and shapes look right, and so does the dot product at equal positions.

Turn the pair (1, 0) at position 1 by hand: which two numbers should come out?
"""
def apply_rope(x, positions, pairing="interleaved", base=10000.0):
    if pairing not in ("interleaved", "half"):
        raise ValueError(pairing)
    return x.clone()

# %% exercise="apply_rope" wrong="frequencies_squared"
"""The frequencies are squared: the exponent uses d/2 instead of d.

Rotate the unit vector e_2 at position 1: its cosine should be that of base^(-2/d).
"""
edit("torch.arange(0, d, 2, dtype=torch.float64) / d", "torch.arange(0, d, 2, dtype=torch.float64) / (d // 2)")

# %% exercise="apply_rope" wrong="always_half"
"""The pairs are (i, i + d/2) also where "interleaved" is asked for.

Rotate the unit vector e_0 at position 1: which index becomes sin(1)?
"""
edit('if pairing == "half":', 'if pairing in ("interleaved", "half"):')

# %% exercise="apply_rope" wrong="always_interleaved"
"""The pairs are (2i, 2i + 1) also where "half" is asked for.

Which two coordinates form a pair when a checkpoint of Llama comes from `transformers`?
"""
edit(
    """
    if pairing == "half":
        a, b = x[..., : d // 2], x[..., d // 2 :]
        return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1).to(x.dtype)
    a, b = x[..., 0::2], x[..., 1::2]
    """,
    "a, b = x[..., 0::2], x[..., 1::2]",
)

# %% exercise="apply_rope" wrong="names_of_the_pairings_exchanged"
"""The two names are exchanged: "interleaved" turns the pairs (i, i + d/2), and "half" turns (2i, 2i + 1).

Turn e_0 at position 1 with "half": sin(1) should stand d/2 places further on. Where does yours stand?
"""
edit('if pairing == "half":', 'if pairing == "interleaved":')

# %% exercise="apply_rope" wrong="second_from_the_new_first"
"""The second coordinate of each pair is computed from the first one that is turned already: a is overwritten before
b needs it.

Which a stands in a sin + b cos: the one before the rotation, or the one after it?
"""
edit(
    "a, b = x[..., : d // 2], x[..., d // 2 :]",
    "a, b = x[..., : d // 2] * cos - x[..., d // 2 :] * sin, x[..., d // 2 :]",
)
edit("a, b = x[..., 0::2], x[..., 1::2]", "a, b = x[..., 0::2] * cos - x[..., 1::2] * sin, x[..., 1::2]")
edit("[a * cos - b * sin, a * sin + b * cos]", "[a, a * sin + b * cos]", times=2)

# %% exercise="apply_rope" wrong="interleaved_tables_on_half_pairs"
"""With "half" the pairs are (i, i + d/2), but cosines and sines are laid out for neighbours: columns 0 and 1 share an
angle where columns 0 and d/2 should.

For half pairs, which two columns need the same angle?
"""
edit(
    "return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1).to(x.dtype)",
    """
    cos, sin = cos.repeat_interleave(2, -1), sin.repeat_interleave(2, -1)
    return (x * cos + torch.cat([-b, a], dim=-1) * sin).to(x.dtype)
    """,
)

# %% exercise="apply_rope" wrong="half_tables_on_interleaved_pairs"
"""The rotation pairs neighbours, but cosines and sines are laid out in two halves: the conventions are mixed.

For interleaved pairs, columns 0 and 1 need the same angle. Do they get it?
"""
edit(
    "return torch.stack([a * cos - b * sin, a * sin + b * cos], dim=-1).flatten(-2).to(x.dtype)",
    """
    cos, sin = cos.repeat(1, 2), sin.repeat(1, 2)
    return (x * cos + torch.stack([-b, a], dim=-1).flatten(-2) * sin).to(x.dtype)
    """,
)

# %% exercise="apply_rope" wrong="turned_backwards"
"""Everything is turned the other way, by minus the angle.

Pair (1, 0) at position 1 becomes (cos 1, sin 1): which sign has the second number?
"""
edit("positions.double()", "-positions.double()")

# %% exercise="apply_rope" wrong="positions_ignored"
"""The rows are numbered from 0, whatever `positions` says.

What happens to a chunk that starts at position 9?
"""
edit("positions.double()", "torch.arange(x.shape[-2]).double()")

# %% exercise="apply_rope" wrong="sign_of_the_sine"
"""Both sines have the same sign, so this is no rotation: lengths change.

In which of the two lines does the formula have a minus?
"""
edit("a * cos - b * sin", "a * cos + b * sin", times=2)

# %% exercise="apply_rope" wrong="angles_in_half_precision"
"""Positions, frequencies and angles all have the dtype of x. In float16 position 2049 becomes 2048, and an angle of
that size has no digits behind the point.

Which parts of the work may be float16, and which become wrong by whole turns?
"""
edit(
    "positions.double()[:, None] * base ** (-torch.arange(0, d, 2, dtype=torch.float64) / d)",
    "positions.to(x.dtype)[:, None] * (base ** (-torch.arange(0, d, 2) / d)).to(x.dtype)",
)
edit("torch.promote_types(x.dtype, torch.float32)", "x.dtype")

# %% exercise="apply_rope" wrong="contiguous_only"
"""`view` wants numbers that lie side by side; the heads of unit 02 come out of a transpose.

Which function gives a new shape to any tensor, and copies where it has to?
"""
edit("d = x.shape[-1]", "d, x = x.shape[-1], x.view(-1, *x.shape[-2:]).view(x.shape)")

# %% exercise="apply_rope" wrong="another_pairing_is_interleaved"
"""A `pairing` that does not exist is taken for one of the two: a typing error turns the wrong pairs without a message.

What does the docstring say about anything else?
"""
edit(
    """
    if pairing not in ("interleaved", "half"):
        raise ValueError(f"pairing is 'interleaved' or 'half', not {pairing!r}")
    """,
    "",
)

# %% exercise="apply_rope" wrong="half_put_back_interleaved"
"""For "half" the pairs are taken apart by halves, but put back side by side: right numbers in wrong places.

Pair i came from the columns i and i + d/2. Where do its two new numbers belong?
"""
edit(
    "torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1)",
    "torch.stack([a * cos - b * sin, a * sin + b * cos], dim=-1).flatten(-2)",
)

# %% exercise="apply_rope" wrong="base_not_passed_on"
"""The base is always 10000.

Does your function use its last argument?
"""
edit("[:, None] * base **", "[:, None] * 10000.0 **")

# %% exercise="apply_rope" wrong="whole_positions_only"
"""Positions are cut to whole numbers, so 0.5 turns like 0. Position interpolation lives on fractions.

Does a cosine need a whole number?
"""
edit("positions.double()", "positions.long().double()")

# %% exercise="apply_rope" wrong="negative_positions_from_the_end"
"""Angles are looked up in a table by position: there -1 is the last row, not the angle minus one.

What does table[-1] mean in Python, and what does position -1 mean?
"""
edit("positions.double()", "torch.where(positions < 0, positions + positions.abs().max() + 1, positions).double()")

# %% exercise="apply_rope" wrong="angles_of_an_earlier_call"
"""Angles are kept from the first call of each size, so a later call with other positions turns by the old ones.

On what do the angles depend? All of that must be part of the key.
"""
kept = {}


def apply_rope(x, positions, pairing="interleaved", base=10000.0):
    if pairing not in ("interleaved", "half"):
        raise ValueError(pairing)
    d = x.shape[-1]
    key = len(positions), d, base
    if key not in kept:
        kept[key] = positions.double()[:, None] * base ** (-torch.arange(0, d, 2, dtype=torch.float64) / d)
    cos, sin = kept[key].cos(), kept[key].sin()
    a, b = (x[..., 0::2], x[..., 1::2]) if pairing == "interleaved" else x.chunk(2, -1)
    turned = [a * cos - b * sin, a * sin + b * cos]
    out = torch.stack(turned, -1).flatten(-2) if pairing == "interleaved" else torch.cat(turned, -1)
    return out.to(x.dtype)

# %% exercise="rotary_qkv" wrong="keys_not_turned"
"""Queries are turned and keys are not, so scores depend on the query's position, not on the distance.

A score needs the difference of two positions. Where does yours get the second one from?
"""
edit("apply_rope(k, positions)", "k")

# %% exercise="rotary_qkv" wrong="keys_turned_backwards"
"""Keys are turned by minus the angle, so scores depend on the sum of the positions.

Does your score depend on the difference or on the sum?
"""
edit("apply_rope(k, positions)", "apply_rope(k, -positions)")

# %% exercise="rotary_qkv" wrong="values_turned_too"
"""Values are turned as well; what a position delivers should not depend on where it stands.

Which tensors carry position?
"""
edit("apply_rope(k, positions), v", "apply_rope(k, positions), apply_rope(v, positions)")

# %% exercise="rotary_qkv" wrong="turned_before_the_heads_are_split"
"""The rotation runs over the whole width before the heads are split, so each head gets other frequencies.

How wide is the part that a head sees? Its frequencies begin with 1 in each head.
"""
edit("(x @ w_q, x @ w_k, x @ w_v)", "(apply_rope(x @ w_q, positions), apply_rope(x @ w_k, positions), x @ w_v)")
edit("apply_rope(q, positions), apply_rope(k, positions), v", "q, k, v")

# %% exercise="rotary_qkv" wrong="input_turned"
"""The input is turned before the projections, so values are affected and the relative property is gone.

In which order do projection and rotation come?
"""
edit("(x @ w_q, x @ w_k, x @ w_v)", "(apply_rope(x, positions) @ w for w in (w_q, w_k, w_v))")
edit("apply_rope(q, positions), apply_rope(k, positions), v", "q, k, v")

# %% exercise="rotary_qkv" wrong="input_turned_for_queries_and_keys"
"""Queries and keys are projected from an input that was turned; the projections mix what was turned, so scores no
longer depend on the distance alone.

In which order do projection and rotation come?
"""
edit("(x @ w_q, x @ w_k, x @ w_v)", "(apply_rope(x, positions) @ w_q, apply_rope(x, positions) @ w_k, x @ w_v)")
edit("apply_rope(q, positions), apply_rope(k, positions), v", "q, k, v")

# %% exercise="rotary_qkv" wrong="heads_counted_as_positions"
"""The rotation is applied to (B, T, H, d), where the second to last axis numbers heads.

apply_rope reads positions along the axis before the last: which one is that after your split?
"""
edit("part.unflatten(-1, (num_heads, -1)).transpose(1, 2)", "part.unflatten(-1, (num_heads, -1))")
edit(
    "return apply_rope(q, positions), apply_rope(k, positions), v",
    """
    heads = torch.arange(num_heads)
    return tuple(part.transpose(1, 2) for part in (apply_rope(q, heads), apply_rope(k, heads), v))
    """,
)

# %% exercise="rotary_qkv" wrong="input_turned_in_each_head"
"""The input's own pieces are turned and then projected; the projections mix what was turned, so no score is relative.

In which order do projection and rotation come?
"""
edit(
    "q, k, v = (part.unflatten(-1, (num_heads, -1)).transpose(1, 2) for part in (x @ w_q, x @ w_k, x @ w_v))",
    """
    heads = apply_rope(x.unflatten(-1, (num_heads, -1)).transpose(1, 2), positions)
    turned = heads.transpose(1, 2).flatten(2)
    parts = (turned @ w_q, turned @ w_k, x @ w_v)
    q, k, v = (part.unflatten(-1, (num_heads, -1)).transpose(1, 2) for part in parts)
    """,
)
edit("return apply_rope(q, positions), apply_rope(k, positions), v", "return q, k, v")

# %% exercise="rotary_qkv" wrong="reshaped_without_a_transpose"
"""(B, T, D) is reshaped to (B, H, T, d) at once, so heads hold pieces of several positions.

Which axis do the D columns of one position belong to? Split that one first, then exchange two axes.
"""
edit(
    "part.unflatten(-1, (num_heads, -1)).transpose(1, 2)",
    "part.reshape(part.shape[0], num_heads, part.shape[1], -1)",
)

# %% exercise="rotary_qkv" wrong="every_hth_column"
"""Head h gets the columns h, h + H, h + 2H ...; in unit 02 it gets d columns side by side.

For D = 12 and 3 heads: which columns belong to head 0?
"""
edit("part.unflatten(-1, (num_heads, -1)).transpose(1, 2)", "part.unflatten(-1, (-1, num_heads)).permute(0, 3, 1, 2)")

# %% exercise="rotary_qkv" wrong="weights_transposed"
"""The weights are transposed, as nn.Linear does with its own; here they are applied as they are, x @ w.

Which axis of w numbers the columns of x?
"""
edit("(x @ w_q, x @ w_k, x @ w_v)", "(x @ w_q.T, x @ w_k.T, x @ w_v.T)")

# %% exercise="rotary_qkv" wrong="half_pairs"
"""The pairs are (i, i + d/2); this exercise turns interleaved ones. Scores are relative all the same, but other ones.

Which `pairing` does the docstring ask for?
"""
edit("apply_rope(q, positions)", 'apply_rope(q, positions, "half")')
edit("apply_rope(k, positions)", 'apply_rope(k, positions, "half")')

# %% exercise="rotary_qkv" wrong="positions_ignored"
"""The tokens are numbered from 0, whatever `positions` says.

A cache asks for token 11 alone. By which angle must it turn?
"""
edit(
    "return apply_rope(q, positions), apply_rope(k, positions), v",
    """
    own = torch.arange(x.shape[1])
    return apply_rope(q, own), apply_rope(k, own), v
    """,
)

# %% exercise="alibi_slopes" wrong="start_at_one"
"""The slopes are h / H; the paper's are powers of two, 2^(-8h/H).

First slope in the paper for 8 heads?
"""
edit("slopes + between[: num_heads - power]", "[1 - h / num_heads for h in range(num_heads)]")

# %% exercise="alibi_slopes" wrong="begins_with_one"
"""The first exponent is 0, so the first slope is 1 instead of 2^(-8/H).

Does h run from 0 or from 1?
"""
edit("range(1, power + 1)", "range(power)")
edit("range(1, 2 * power + 1, 2)", "range(0, 2 * power, 2)")

# %% exercise="alibi_slopes" wrong="formula_for_any_number"
"""2^(-8h/H) is used also when H is no power of two; published weights with 12 or 112 heads expect other slopes.

For H = 12 the text above takes P = 8: write down those eight slopes first. Which four are added?
"""
edit("slopes + between[: num_heads - power]", "[2.0 ** (-8 * h / num_heads) for h in range(1, num_heads + 1)]")

# %% exercise="alibi_slopes" wrong="steps_of_one_half"
"""The ratio is always 1/2, as it is for 8 heads.

Which slope is the last one for 16 heads?
"""
edit("slopes + between[: num_heads - power]", "[2.0**-h for h in range(1, num_heads + 1)]")

# %% exercise="alibi_slopes" wrong="smallest_first"
"""The slopes stand in the opposite order.

Which head has the largest slope in the paper?
"""
edit("slopes + between[: num_heads - power]", "(slopes + between[: num_heads - power])[::-1]")

# %% exercise="alibi_slopes" wrong="steps_of_one_half_and_between"
"""The first slopes halve whatever P is; only for 8 heads is the ratio 1/2. All ranges end at 2^-8.

Which slope is the last one for 4 heads?
"""
edit("-8 * h / power)", "-h)")
edit("-8 * h / (2 * power)", "-h / 2")

# %% exercise="alibi_slopes" wrong="second_ones_from_between"
"""Of the slopes for 2P the second, fourth ... are taken: those are the slopes for P once more, so heads are doubled.

Which of 2^(-4h/P) lie between the slopes for P: those of odd h, or of even h?
"""
edit("range(1, 2 * power + 1, 2)", "range(2, 2 * power + 1, 2)")

# %% exercise="alibi_slopes" wrong="none_skipped"
"""The first slopes for 2P are taken without leaving any out, so some of them are there already.

Print the slopes for P and for 2P: which ones of the second list are new?
"""
edit("range(1, 2 * power + 1, 2)", "range(1, 2 * power + 1)")

# %% exercise="alibi_slopes" wrong="sorted"
"""The slopes are right, but sorted. In published weights those for P come first, and those from between behind them.

Which slope does the ninth of twelve heads have?
"""
edit("slopes + between[: num_heads - power]", "sorted(slopes + between[: num_heads - power], reverse=True)")

# %% exercise="alibi_slopes" wrong="next_power_cut_off"
"""The slopes for the next power of two are cut off after H; the authors start with the power of two below H.

For 12 heads: is P 8 or 16?
"""
edit("math.floor(math.log2(num_heads))", "math.ceil(math.log2(num_heads))")
edit("slopes + between[: num_heads - power]", "slopes[:num_heads]")

# %% exercise="alibi_slopes" wrong="power_strictly_below"
"""A power of two is not taken for itself: for 8 heads P is 4, which gives the right slopes in another order.

What is the largest power of two that is not above 8?
"""
edit("math.floor(math.log2(num_heads))", "max(0, math.ceil(math.log2(num_heads)) - 1)")

# %% exercise="alibi_bias" wrong="far_keys_favoured"
"""The sign is positive: far keys are favoured.

Give all keys the same score: which one gets the most attention under your bias?
"""
edit("-alibi_slopes(num_heads)", "alibi_slopes(num_heads)")

# %% exercise="alibi_bias" wrong="future_not_hidden"
"""Keys after the query are not hidden, and they even get a bonus.

What should stand at query 0, key 1?
"""
edit("bias.masked_fill(back < 0, -math.inf)", "bias")

# %% exercise="alibi_bias" wrong="distance_both_ways"
"""The distance is taken without its sign and the future is open: that is the bias of an encoder.

Which keys may a causal query read?
"""
edit("alibi_slopes(num_heads)[:, None, None] * back", "alibi_slopes(num_heads)[:, None, None] * back.abs()")
edit("bias.masked_fill(back < 0, -math.inf)", "bias")

# %% exercise="alibi_bias" wrong="queries_start_at_zero"
"""With fewer queries than keys the queries are numbered from 0, as if they were the first positions.

Which position is the one query of alibi_bias(H, 1, 7)?
"""
edit("position[n_keys - n_queries :, None]", "position[:n_queries, None]")

# %% exercise="alibi_bias" wrong="one_slope_for_all"
"""All heads have the first head's slope.

alibi_slopes gives one number for each head. Along which axis of the result do they belong?
"""
edit("alibi_slopes(num_heads)[:, None, None]", "alibi_slopes(num_heads)[0].expand(num_heads, 1, 1)")

# %% exercise="alibi_bias" wrong="penalty_by_key_position"
"""The bias is slope times key position, without the distance: the same inside a softmax, but not what is asked.

What should stand on the diagonal?
"""
edit(
    "bias = -alibi_slopes(num_heads)[:, None, None] * back",
    "bias = alibi_slopes(num_heads)[:, None, None] * position.expand_as(back)",
)

# %% exercise="alibi_bias" wrong="own_key_hidden"
"""The query's own key is hidden, too; for the first query nothing is left.

Which distance does a query have from itself, and is that the future?
"""
edit("back < 0", "back <= 0")

# %% exercise="alibi_bias" wrong="mask_without_the_offset"
"""The distances know that the queries are the last positions, the mask does not: it hides keys before the query, too.

With one query and seven keys: which keys does triu(1) hide, and which should be hidden?
"""
edit("back < 0", "torch.ones_like(back).triu(1) > 0")

# %% exercise="alibi_bias" wrong="distance_from_one"
"""The query's own key counts as distance 1. The softmax is the same, but the bias is not what is asked.

What should stand on the diagonal?
"""
edit("[:, None, None] * back", "[:, None, None] * (back + 1)")

# %% exercise="alibi_bias" wrong="distance_from_the_last_position"
"""In all rows the distance is counted from the last position; each query counts from where it stands itself.

What should stand on the diagonal?
"""
edit("[:, None, None] * back", "[:, None, None] * (n_keys - 1 - position).expand_as(back)")

# %% exercise="position_interpolation" wrong="stretched"
"""The positions are stretched: the factor is upside down.

Where should the last position of the long text land?
"""
edit("min(1.0, train_length / length)", "max(1.0, length / train_length)")

# %% exercise="position_interpolation" wrong="short_texts_stretched_too"
"""A text shorter than in training is stretched; it should stay as it is.

What is the largest factor that is allowed?
"""
edit("min(1.0, train_length / length)", "train_length / length")

# %% exercise="position_interpolation" wrong="rounded_to_whole_positions"
"""The squeezed positions are rounded, so neighbours fall onto the same place.

Does a rotation need whole numbers?
"""
edit(
    "positions.float() * min(1.0, train_length / length)",
    "(positions.float() * min(1.0, train_length / length)).floor()",
)

# %% exercise="position_interpolation" wrong="positions_cut_off"
"""Positions beyond the trained length are cut off: all of them stand at the same place.

Which position should the last token of a text of twice the length get, and which the one before it?
"""
edit("positions.float() * min(1.0, train_length / length)", "positions.float().clamp(max=train_length - 1)")

# %% exercise="position_interpolation" wrong="last_on_last"
"""The factor is (L - 1) / (L' - 1), so that the last position falls on L - 1; the paper's is L / L'.

With L = 64 and L' = 512, how far apart are two neighbours in the paper?
"""
edit("min(1.0, train_length / length)", "min(1.0, (train_length - 1) / (length - 1))")

# %% exercise="position_interpolation" wrong="length_from_the_tensor"
"""The number of positions given is taken for the text's length. A part of a text is squeezed too little, or not at all.

A cache asks for one position of a text of 512. Which argument says 512?
"""
edit("train_length / length", "train_length / len(positions)")

# %% exercise="position_interpolation" wrong="length_from_the_positions"
"""The largest position given is taken for the text's end. A part of a text is then squeezed by another factor.

Which argument says how long the text is?
"""
edit("train_length / length", "train_length / (int(positions.max()) + 1)")

# %% exercise="position_interpolation" wrong="only_positions_beyond"
"""Only positions beyond the trained length are squeezed: they fall between those that stayed where they were.

May a later token stand before an earlier one? Every position has the same factor.
"""
edit(
    "positions.float() * min(1.0, train_length / length)",
    "torch.where(positions < train_length, positions.float(), positions.float() * (train_length / length))",
)

# %% exercise="position_interpolation" wrong="whole_factor"
"""The factor is rounded to one over a whole number: a text of 1.5 times the length is not squeezed at all.

Which operator divides without cutting anything off?
"""
edit("positions.float() * min(1.0, train_length / length)", "positions / max(1, length // train_length)")

# %% exercise="ntk_scaled_base" wrong="base_times_scale"
"""The base is multiplied by the scale itself, with 1 as its exponent: the slowest pair is squeezed a little too little.

With exponent d / (d - 2) the slowest frequency becomes exactly 1/scale of what it was. Yours? (And d // (d - 2) is 1.)
"""
edit("scale ** (d / (d - 2))", "scale")

# %% exercise="ntk_scaled_base" wrong="exponent_upside_down"
"""The exponent is (d - 2) / d.

Which exponent turns (d - 2) / d of the slowest pair into 1?
"""
edit("scale ** (d / (d - 2))", "scale ** ((d - 2) / d)")

# %% exercise="ntk_scaled_base" wrong="base_scaled_too"
"""The base is inside the power.

base * s^(d / (d - 2)): what is raised?
"""
edit("base * scale ** (d / (d - 2))", "(base * scale) ** (d / (d - 2))")

# %% exercise="ntk_scaled_base" wrong="base_divided"
"""The base becomes smaller, so everything turns faster.

Should the slowest pair turn slower or faster in a longer text?
"""
edit("base * scale", "base / scale")

# %% exercise="ntk_scaled_base" wrong="rounded"
"""The base is rounded to a whole number. Nothing needs that, and small bases change by much.

Does a rotation need a whole number as its base?
"""
edit("base * scale ** (d / (d - 2))", "float(round(base * scale ** (d / (d - 2))))")

# %% exercise="ntk_scaled_base" wrong="d_minus_one"
"""The exponent is d / (d - 1).

The slowest pair has the exponent -(d - 2) / d. What must yours be, so that the product is -1?
"""
edit("scale ** (d / (d - 2))", "scale ** (d / (d - 1))")

# %% exercise="ntk_scaled_base" wrong="pairs_instead_of_width"
"""The number of pairs d/2 stands where the width d belongs, so the base grows far too much.

What is `d` in the docstring: how wide a head is, or how many pairs it has?
"""
edit("scale ** (d / (d - 2))", "scale ** (d / (d - 4) if d > 4 else 1)")

# %% exercise="ntk_scaled_base" wrong="cut_to_a_whole_number"
"""The base is cut to a whole number. Nothing needs that, and small bases change by much.

Does a rotation need a whole number as its base?
"""
edit("base * scale ** (d / (d - 2))", "int(base * scale ** (d / (d - 2)))")

# %% exercise="extrapolation_finding" wrong="rope_extrapolates"
"""RoPE is named best at 512; the table says otherwise, although it is often repeated.

Which median is the smallest in the column of 512?
"""
edit('"best_at_512": "alibi"', '"best_at_512": "rope"')

# %% exercise="extrapolation_finding" wrong="alibi_best_everywhere"
"""ALiBi holds best, but within the trained length another arm has the lower loss.

Which median is the smallest in windows of 64?
"""
edit('"best_at_64": "rope"', '"best_at_64": "alibi"')

# %% exercise="extrapolation_finding" wrong="losses_instead_of_rises"
"""These are losses at 512, not how much they rise from 64 to 512.

The last column has the differences.
"""
edit('"rope_rises": 0.6', '"rope_rises": 2.7')
edit('"alibi_rises": 0.0', '"alibi_rises": 2.3')

# %% exercise="extrapolation_finding" wrong="any_positions_beat_none"
"""Arms are listed that lie above "none" at 512, or less than 0.1 below it.

Take 0.1 from the median of "none" in the column of 512. Who is below that?
"""
edit('"beats_none": ["alibi"]', '"beats_none": ["normalised", "sinusoidal", "rope", "alibi"]')

# %% exercise="repaired_choice" wrong="as_published"
"""This is the published version: printable stand-ins are compared, and a space counts as greater than any letter.

What would max() do with the byte strings themselves?
"""
edit(
    "(counts[neighbours], neighbours)",
    "(counts[neighbours], [[PRINTABLE[b] for b in token] for token in neighbours])",
)

# %% exercise="repaired_choice" wrong="first_of_the_most_frequent"
"""On a tie the pair that was counted first wins.

max() takes the first of equals. What must be in its key?
"""
edit("key=lambda neighbours: (counts[neighbours], neighbours)", "key=counts.get")

# %% exercise="repaired_choice" wrong="frequency_forgotten"
"""The greatest pair wins, however rare it is.

What comes first: how often, or how great?
"""
edit("max(counts, key=lambda neighbours: (counts[neighbours], neighbours))", "max(counts)")

# %% exercise="repaired_choice" wrong="joined_bytes_compared"
"""The joined bytes are compared, so (a, bd) wins against (ab, c); as pairs, ab is greater than a.

Compare the left tokens first.
"""
edit("(counts[neighbours], neighbours)", "(counts[neighbours], neighbours[0] + neighbours[1], neighbours[0])")

# %% exercise="repaired_choice" wrong="left_token_only"
"""On a tie only the left tokens are compared; between pairs with the same left token the first one counted wins.

What decides between (ab, b) and (ab, c)?
"""
edit("(counts[neighbours], neighbours)", "(counts[neighbours], neighbours[0])")

# %% exercise="repaired_choice" wrong="longest_wins_a_tie"
"""On a tie the longer pair wins; the greater one should, and a short one can be greater: b comes after aaaa.

How does Python compare b"b" and b"aaaa"?
"""
edit("(counts[neighbours], neighbours)", "(counts[neighbours], len(neighbours[0] + neighbours[1]), neighbours)")

# %% exercise="repaired_choice" wrong="smaller_pair_wins_a_tie"
"""On a tie the smaller pair wins; here the greater one does.

Sorting puts the smallest first. Which end do you take?
"""
edit(
    "max(counts, key=lambda neighbours: (counts[neighbours], neighbours))",
    "min(counts, key=lambda neighbours: (-counts[neighbours], neighbours))",
)

# %% exercise="repaired_choice" wrong="compared_as_numbers"
"""Tokens are compared as numbers, where more bytes always mean more; byte strings are compared from the left.

Which comes later in a dictionary, "f" or "af"?
"""
edit("(counts[neighbours], neighbours)", '(counts[neighbours], [int.from_bytes(side, "big") for side in neighbours])')

# %% exercise="repaired_choice" wrong="decoded_text_compared"
"""Tokens are decoded before they are compared. Bytes that are no text all become U+FFFD, and are then equal.

What do b"\\x80" and b"\\xff" decode to?
"""
edit("(counts[neighbours], neighbours)", '(counts[neighbours], [s.decode("utf-8", "replace") for s in neighbours])')

# %% exercise="repaired_rotations" wrong="as_published"
"""This is the published version: positions are numbered in the low precision already.

Which whole numbers between 256 and 512 can bfloat16 hold?
"""
edit("torch.arange(length, dtype=torch.float64)", "torch.arange(length).to(dtype)")
edit(
    "table = torch.outer(t, base ** (-torch.arange(0, d, 2, dtype=torch.float64) / d))",
    "table = torch.outer(t, (1.0 / base ** (torch.arange(0, d, 2).to(dtype) / d)).to(dtype))",
)

# %% exercise="repaired_rotations" wrong="angles_rounded"
"""Positions are exact now, but their products with the frequencies are rounded before the cosine is taken.

By how much may an angle near 400 be wrong after rounding to bfloat16?
"""
edit("table.cos().to(dtype), table.sin().to(dtype)", "table.to(dtype).cos(), table.to(dtype).sin()")

# %% exercise="repaired_rotations" wrong="frequencies_rounded"
"""The frequencies are still rounded to the low precision, and every position multiplies that error.

Which numbers are multiplied by a position of several hundred?
"""
edit(
    "table = torch.outer(t, base ** (-torch.arange(0, d, 2, dtype=torch.float64) / d))",
    "table = torch.outer(t, (base ** (-torch.arange(0, d, 2, dtype=torch.float64) / d)).to(dtype).double())",
)

# %% exercise="repaired_rotations" wrong="result_left_in_float64"
"""The angles are exact, but the result keeps the wide dtype.

Which dtype was asked for? Convert at the end.
"""
edit("table.cos().to(dtype), table.sin().to(dtype)", "table.cos(), table.sin()")

# %% exercise="repaired_rotations" wrong="base_ignored"
"""The base is always 10000.

Does your function use its last argument?
"""
edit("base ** (-torch", "10000.0 ** (-torch")

# %% exercise="repaired_rotations" wrong="positions_rounded"
"""Frequencies and products are exact now, but the positions are still numbered in the low precision.

Which whole numbers between 256 and 512 can bfloat16 hold?
"""
edit("torch.arange(length, dtype=torch.float64)", "torch.arange(length).to(dtype).double()")

# %% exercise="repaired_rotations" wrong="float32_throughout"
"""Everything is float32. That is enough for bfloat16, but the float32 cosine of an angle near 400 lacks digits.

By how much may an angle near 400 be wrong in float32, and how exact should a float32 cosine be?
"""
edit("torch.arange(length, dtype=torch.float64)", "torch.arange(length, dtype=torch.float32)")
edit("base ** (-torch.arange(0, d, 2, dtype=torch.float64) / d)", "1.0 / base ** (torch.arange(0, d, 2).float() / d)")

# %% exercise="repaired_rotations" wrong="frequencies_in_float32"
"""The frequencies are rounded to float32, as rope_frequencies gives them, and every position multiplies that error.

Of which numbers does a float64 product of a position and a frequency need all digits?
"""
edit(
    "base ** (-torch.arange(0, d, 2, dtype=torch.float64) / d)",
    "(base ** (-torch.arange(0, d, 2, dtype=torch.float64) / d)).float().double()",
)

# %% exercise="repaired_rotations" wrong="through_float32"
"""Cosine and sine go through float32 on their way, so a float64 result holds float32 numbers.

How many digits are left after .float().double()?
"""
edit("table.cos().to(dtype), table.sin().to(dtype)", "table.cos().float().to(dtype), table.sin().float().to(dtype)")

# %% exercise="repaired_rotations" wrong="sine_first"
"""The sines come first; the docstring asks for cosines, then sines.

Which of the two is 1 at position 0?
"""
edit("table.cos().to(dtype), table.sin().to(dtype)", "table.sin().to(dtype), table.cos().to(dtype)")
