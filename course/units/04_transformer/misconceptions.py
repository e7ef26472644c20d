# %% exercise="shift_right" wrong="not_shifted"
"""You hand the decoder the target itself: at every position the answer stands in the input.

What is the cheapest way for a model to make its loss zero then?
"""
def shift_right(target):
    return target.clone()

# %% exercise="shift_right" wrong="shifted_left"
"""You shift to the left: position t is given the token after the one it has to predict.

Which way do the tokens move when the first place must become free?
"""
def shift_right(target):
    return torch.cat([target[:, 1:], torch.full_like(target[:, :1], BOS)], dim=1)

# %% exercise="shift_right" wrong="one_column_more"
"""You put BOS in front and drop nothing: the input is one longer than the target, and the logits no longer line up.

Which token of the target is never needed as an input?
"""
def shift_right(target):
    return torch.cat([torch.full_like(target[:, :1], BOS), target], dim=1)

# %% exercise="shift_right" wrong="rolled"
"""You roll the rows: the last token of each row, padding or EOS, comes in at the front instead of BOS.

What is position 0 given when a translation begins?
"""
def shift_right(target):
    return target.roll(1, dims=1)

# %% exercise="shift_right" wrong="starts_with_pad"
"""You begin with PAD. T5 was trained like that; here a decoder begins with BOS.

What will greedy_decode put first? Training has to begin with the same token.
"""
def shift_right(target):
    return nn.functional.pad(target[:, :-1], (1, 0), value=PAD)

# %% exercise="shift_right" wrong="shifts_the_batch"
"""You shift along the batch: each sentence is given the tokens of its neighbour.

Which axis is time?
"""
def shift_right(target):
    return torch.cat([torch.full_like(target[:1], BOS), target[:-1]], dim=0)

# %% exercise="shift_right" wrong="first_token_overwritten"
"""You write BOS over the first token and move nothing: all other positions still see their own answer.

What should stand at place 1 of the input?
"""
def shift_right(target):
    given = target.clone()
    given[:, 0] = BOS
    return given

# %% exercise="shift_right" wrong="removes_eos"
"""You replace EOS by PAD in the input. That position is never scored, so nothing has to be cleaned up; the result is
another one than the docstring's.

What stands behind EOS in the target, and does its loss count?
"""
def shift_right(target):
    given = torch.cat([torch.full_like(target[:, :1], BOS), target[:, :-1]], dim=1)
    return given.masked_fill(given == EOS, PAD)

# %% exercise="smoothed_cross_entropy" wrong="padding_counts"
"""Positions whose target is PAD count like words: the loss depends on how long the longest row happens to be.

Append three columns of padding to a batch. Should its loss change?
"""
def smoothed_cross_entropy(logits, target, smoothing=0.1):
    shifted = logits - logits.amax(dim=-1, keepdim=True)
    log_probs = shifted - shifted.exp().sum(dim=-1, keepdim=True).log()
    right = log_probs.gather(-1, target[..., None])[..., 0]
    return (-(1 - smoothing) * right - smoothing * log_probs.mean(dim=-1)).mean()

# %% exercise="smoothed_cross_entropy" wrong="divides_by_all_positions"
"""Padding adds nothing to the sum, but you divide by all positions, padding too: batches with much padding get a small
loss and small gradients.

Over how many tokens do you add up?
"""
def smoothed_cross_entropy(logits, target, smoothing=0.1):
    shifted = logits - logits.amax(dim=-1, keepdim=True)
    log_probs = shifted - shifted.exp().sum(dim=-1, keepdim=True).log()
    right = log_probs.gather(-1, target[..., None])[..., 0]
    losses = -(1 - smoothing) * right - smoothing * log_probs.mean(dim=-1)
    return losses.masked_fill(target == PAD, 0.0).mean()

# %% exercise="smoothed_cross_entropy" wrong="mean_of_sentences"
"""You take the mean of each sentence and then the mean of these: a token of a short sentence counts more than one of a
long sentence.

How much does each real token of the batch count according to the docstring?
"""
def smoothed_cross_entropy(logits, target, smoothing=0.1):
    shifted = logits - logits.amax(dim=-1, keepdim=True)
    log_probs = shifted - shifted.exp().sum(dim=-1, keepdim=True).log()
    right = log_probs.gather(-1, target[..., None])[..., 0]
    real = (target != PAD).to(logits.dtype)
    losses = -(1 - smoothing) * right - smoothing * log_probs.mean(dim=-1)
    return ((losses * real).sum(1) / real.sum(1)).mean()

# %% exercise="smoothed_cross_entropy" wrong="sum_instead_of_mean"
"""You add the losses up. A batch twice as large then takes steps twice as large.

What does the docstring divide by?
"""
def smoothed_cross_entropy(logits, target, smoothing=0.1):
    shifted = logits - logits.amax(dim=-1, keepdim=True)
    log_probs = shifted - shifted.exp().sum(dim=-1, keepdim=True).log()
    right = log_probs.gather(-1, target[..., None])[..., 0]
    losses = -(1 - smoothing) * right - smoothing * log_probs.mean(dim=-1)
    return losses[target != PAD].sum()

# %% exercise="smoothed_cross_entropy" wrong="spread_over_the_others"
"""You spread epsilon over the V - 1 wrong classes. That is tensor2tensor's convention; here every class, the right one
too, gets epsilon / V.

Add up one row of each convention: both sum to 1. Which one does the table above this exercise mark?
"""
def smoothed_cross_entropy(logits, target, smoothing=0.1):
    shifted = logits - logits.amax(dim=-1, keepdim=True)
    log_probs = shifted - shifted.exp().sum(dim=-1, keepdim=True).log()
    right = log_probs.gather(-1, target[..., None])[..., 0]
    others = (log_probs.sum(dim=-1) - right) / (logits.shape[-1] - 1)
    losses = -(1 - smoothing) * right - smoothing * others
    return losses[target != PAD].mean()

# %% exercise="smoothed_cross_entropy" wrong="nothing_for_padding"
"""You spread epsilon over all classes but PAD and the right one. That is The Annotated Transformer's convention; here
every class gets its share.

Which classes does V count in the docstring?
"""
def smoothed_cross_entropy(logits, target, smoothing=0.1):
    shifted = logits - logits.amax(dim=-1, keepdim=True)
    log_probs = shifted - shifted.exp().sum(dim=-1, keepdim=True).log()
    right = log_probs.gather(-1, target[..., None])[..., 0]
    others = (log_probs[..., 1:].sum(dim=-1) - right) / (logits.shape[-1] - 2)
    losses = -(1 - smoothing) * right - smoothing * others
    return losses[target != PAD].mean()

# %% exercise="smoothed_cross_entropy" wrong="rows_sum_to_more_than_one"
"""The right class keeps all of its 1 and the others get their share on top: a row of your target sums to 1 + epsilon.

Add up one row of your target distribution.
"""
def smoothed_cross_entropy(logits, target, smoothing=0.1):
    shifted = logits - logits.amax(dim=-1, keepdim=True)
    log_probs = shifted - shifted.exp().sum(dim=-1, keepdim=True).log()
    right = log_probs.gather(-1, target[..., None])[..., 0]
    losses = -right - smoothing * log_probs.mean(dim=-1)
    return losses[target != PAD].mean()

# %% exercise="smoothed_cross_entropy" wrong="rows_transposed"
"""You flatten (B, V, T) where (B, T, V) was meant: each row of your flat logits mixes the classes of several tokens.

Row r of the flat logits belongs to which token?
"""
def smoothed_cross_entropy(logits, target, smoothing=0.1):
    B, T, V = logits.shape
    flat, wanted = logits.transpose(1, 2).reshape(B * T, V), target.reshape(-1)
    shifted = flat - flat.amax(dim=-1, keepdim=True)
    log_probs = shifted - shifted.exp().sum(dim=-1, keepdim=True).log()
    right = log_probs.gather(-1, wanted[:, None])[:, 0]
    losses = -(1 - smoothing) * right - smoothing * log_probs.mean(dim=-1)
    return losses[wanted != PAD].mean()

# %% exercise="smoothed_cross_entropy" wrong="no_smoothing"
"""Your loss is the plain cross-entropy: smoothing changes nothing.

What share of the target does a wrong class get with epsilon 0.2 and V = 5?
"""
def smoothed_cross_entropy(logits, target, smoothing=0.1):
    shifted = logits - logits.amax(dim=-1, keepdim=True)
    log_probs = shifted - shifted.exp().sum(dim=-1, keepdim=True).log()
    right = log_probs.gather(-1, target[..., None])[..., 0]
    return -right[target != PAD].mean()

# %% exercise="smoothed_cross_entropy" wrong="overflows"
"""You exponentiate the logits as they are: with logits of several hundred the sum is infinite or zero.

What may be subtracted from all logits of a token without changing its softmax?
"""
def smoothed_cross_entropy(logits, target, smoothing=0.1):
    log_probs = logits - logits.exp().sum(dim=-1, keepdim=True).log()
    right = log_probs.gather(-1, target[..., None])[..., 0]
    losses = -(1 - smoothing) * right - smoothing * log_probs.mean(dim=-1)
    return losses[target != PAD].mean()

# %% exercise="warmup_schedule" wrong="no_warmup"
"""Your rate begins at its largest value: the rising part is missing.

Which of the two terms is smaller at step 1?
"""
def warmup_schedule(step, width, warmup=4000, factor=1.0):
    if step < 1:
        raise ValueError("steps count from 1")
    return factor * width**-0.5 * max(step, warmup) ** -0.5

# %% exercise="warmup_schedule" wrong="larger_of_the_two"
"""You take the larger of the two terms: the rate starts high, falls until the warm-up ends and rises from then on.

Draw both curves. Which one is below the other one before the warm-up ends?
"""
def warmup_schedule(step, width, warmup=4000, factor=1.0):
    if step < 1:
        raise ValueError("steps count from 1")
    return factor * width**-0.5 * max(step**-0.5, step * warmup**-1.5)

# %% exercise="warmup_schedule" wrong="steps_from_zero"
"""You count from 0: every step gets the rate of the next one.

At which step is the rate largest, warmup or warmup - 1?
"""
def warmup_schedule(step, width, warmup=4000, factor=1.0):
    if step < 1:
        raise ValueError("steps count from 1")
    return factor * width**-0.5 * min((step + 1) ** -0.5, (step + 1) * warmup**-1.5)

# %% exercise="warmup_schedule" wrong="width_forgotten"
"""The width is missing: a wide model gets the same rate as a narrow one.

Which power of D does equation 3 have?
"""
def warmup_schedule(step, width, warmup=4000, factor=1.0):
    if step < 1:
        raise ValueError("steps count from 1")
    return factor * min(step**-0.5, step * warmup**-1.5)

# %% exercise="warmup_schedule" wrong="stays_at_the_peak"
"""After the warm-up your rate stays at its largest value; the paper's falls with the square root of the step.

What is step^(-1/2) at step 4 * warmup, compared with the peak?
"""
def warmup_schedule(step, width, warmup=4000, factor=1.0):
    if step < 1:
        raise ValueError("steps count from 1")
    return factor * width**-0.5 * min(1.0, step / warmup) * warmup**-0.5

# %% exercise="warmup_schedule" wrong="scaled_to_a_peak_of_one"
"""Your rate reaches `factor` at its peak, as some libraries scale it. Equation 3 reaches D^(-1/2) * warmup^(-1/2).

What is the largest rate of the paper's base model, with width 512 and 4000 steps?
"""
def warmup_schedule(step, width, warmup=4000, factor=1.0):
    if step < 1:
        raise ValueError("steps count from 1")
    return factor * warmup**0.5 * min(step**-0.5, step * warmup**-1.5)

# %% exercise="warmup_schedule" wrong="linear_decay"
"""After the warm-up your rate falls like 1 / step, not like 1 / sqrt(step).

At step 4 * warmup: a half of the peak, or a quarter?
"""
def warmup_schedule(step, width, warmup=4000, factor=1.0):
    if step < 1:
        raise ValueError("steps count from 1")
    return factor * (width * warmup) ** -0.5 * min(step / warmup, warmup / step)

# %% exercise="greedy_decode" wrong="never_stops"
"""You always take max_length steps: what a row says after its EOS is in your result.

When does your loop stop, and what does a row that has ended get?
"""
def greedy_decode(model, source, max_length):
    with torch.no_grad():
        memory, keep = model.encode(source)
        tokens = torch.full((len(source), 1), BOS)
        for _ in range(max_length):
            likeliest = model.decode(tokens, memory, keep)[:, -1].argmax(-1)
            tokens = torch.cat([tokens, likeliest[:, None]], 1)
    return tokens[:, 1:]

# %% exercise="greedy_decode" wrong="stops_with_the_first_row"
"""You stop when the first row has ended: all the others are cut off.

Which rows have to have ended before the loop may stop?
"""
def greedy_decode(model, source, max_length):
    with torch.no_grad():
        memory, keep = model.encode(source)
        tokens = torch.full((len(source), 1), BOS)
        ended = torch.zeros(len(source), dtype=torch.bool)
        while tokens.shape[1] <= max_length and not ended.any():
            likeliest = model.decode(tokens, memory, keep)[:, -1].argmax(-1).masked_fill(ended, PAD)
            ended = ended | (likeliest == EOS)
            tokens = torch.cat([tokens, likeliest[:, None]], 1)
    return tokens[:, 1:]

# %% exercise="greedy_decode" wrong="waits_for_one_common_step"
"""You stop when all rows say EOS in the same step. Rows that ended earlier go on writing, and that step may never come.

A row that ended two steps ago: how do you still know?
"""
def greedy_decode(model, source, max_length):
    with torch.no_grad():
        memory, keep = model.encode(source)
        tokens = torch.full((len(source), 1), BOS)
        for _ in range(max_length):
            likeliest = model.decode(tokens, memory, keep)[:, -1].argmax(-1)
            tokens = torch.cat([tokens, likeliest[:, None]], 1)
            if (likeliest == EOS).all():
                break
    return tokens[:, 1:]

# %% exercise="greedy_decode" wrong="writes_on_after_eos"
"""You stop at the right step, but rows that ended before go on until then: there are words behind their EOS.

What goes into a row that has ended, whatever the model says?
"""
def greedy_decode(model, source, max_length):
    with torch.no_grad():
        memory, keep = model.encode(source)
        tokens = torch.full((len(source), 1), BOS)
        ended = torch.zeros(len(source), dtype=torch.bool)
        while tokens.shape[1] <= max_length and not ended.all():
            likeliest = model.decode(tokens, memory, keep)[:, -1].argmax(-1)
            ended = ended | (likeliest == EOS)
            tokens = torch.cat([tokens, likeliest[:, None]], 1)
    return tokens[:, 1:]

# %% exercise="greedy_decode" wrong="eos_overwritten"
"""You mark a row as ended before you write its token, so its EOS itself becomes PAD. Nobody can tell a finished row
from one that was cut.

In which order do you update `ended` and overwrite the tokens?
"""
def greedy_decode(model, source, max_length):
    with torch.no_grad():
        memory, keep = model.encode(source)
        tokens = torch.full((len(source), 1), BOS)
        ended = torch.zeros(len(source), dtype=torch.bool)
        while tokens.shape[1] <= max_length and not ended.all():
            likeliest = model.decode(tokens, memory, keep)[:, -1].argmax(-1)
            ended = ended | (likeliest == EOS)
            likeliest = likeliest.masked_fill(ended, PAD)
            tokens = torch.cat([tokens, likeliest[:, None]], 1)
    return tokens[:, 1:]

# %% exercise="greedy_decode" wrong="bos_in_the_result"
"""BOS is in your result: it was given, not decoded.

Which column of your tokens did the model not write?
"""
def greedy_decode(model, source, max_length):
    with torch.no_grad():
        memory, keep = model.encode(source)
        tokens = torch.full((len(source), 1), BOS)
        ended = torch.zeros(len(source), dtype=torch.bool)
        while tokens.shape[1] <= max_length and not ended.all():
            likeliest = model.decode(tokens, memory, keep)[:, -1].argmax(-1).masked_fill(ended, PAD)
            ended = ended | (likeliest == EOS)
            tokens = torch.cat([tokens, likeliest[:, None]], 1)
    return tokens

# %% exercise="greedy_decode" wrong="bos_counts"
"""You count BOS: your rows are cut one token too early.

How many tokens does the docstring allow, and which of them count?
"""
def greedy_decode(model, source, max_length):
    with torch.no_grad():
        memory, keep = model.encode(source)
        tokens = torch.full((len(source), 1), BOS)
        ended = torch.zeros(len(source), dtype=torch.bool)
        while tokens.shape[1] < max_length and not ended.all():
            likeliest = model.decode(tokens, memory, keep)[:, -1].argmax(-1).masked_fill(ended, PAD)
            ended = ended | (likeliest == EOS)
            tokens = torch.cat([tokens, likeliest[:, None]], 1)
    return tokens[:, 1:]

# %% exercise="greedy_decode" wrong="only_the_last_token_goes_in"
"""You hand the decoder only the newest token. That works with a cache (unit 11); without one the decoder forgets
everything before it.

What does decode expect: the last token, or all tokens so far?
"""
def greedy_decode(model, source, max_length):
    with torch.no_grad():
        memory, keep = model.encode(source)
        token = torch.full((len(source), 1), BOS)
        ended, columns = torch.zeros(len(source), dtype=torch.bool), []
        while len(columns) < max_length and not ended.all():
            likeliest = model.decode(token, memory, keep)[:, -1].argmax(-1).masked_fill(ended, PAD)
            ended = ended | (likeliest == EOS)
            token = likeliest[:, None]
            columns.append(likeliest)
    return torch.stack(columns, 1)

# %% exercise="greedy_decode" wrong="first_position_read"
"""You read the logits of the first position: every step writes the same token again.

Which position of the logits predicts the token that comes next?
"""
def greedy_decode(model, source, max_length):
    with torch.no_grad():
        memory, keep = model.encode(source)
        tokens = torch.full((len(source), 1), BOS)
        ended = torch.zeros(len(source), dtype=torch.bool)
        while tokens.shape[1] <= max_length and not ended.all():
            likeliest = model.decode(tokens, memory, keep)[:, 0].argmax(-1).masked_fill(ended, PAD)
            ended = ended | (likeliest == EOS)
            tokens = torch.cat([tokens, likeliest[:, None]], 1)
    return tokens[:, 1:]

# %% exercise="greedy_decode" wrong="encodes_every_step"
"""You encode the source again in every step. The result is right, the work is not: the source does not change.

What depends on the tokens written so far, and what does not?
"""
def greedy_decode(model, source, max_length):
    with torch.no_grad():
        tokens = torch.full((len(source), 1), BOS)
        ended = torch.zeros(len(source), dtype=torch.bool)
        while tokens.shape[1] <= max_length and not ended.all():
            likeliest = model.decode(tokens, *model.encode(source))[:, -1].argmax(-1).masked_fill(ended, PAD)
            ended = ended | (likeliest == EOS)
            tokens = torch.cat([tokens, likeliest[:, None]], 1)
    return tokens[:, 1:]

# %% exercise="greedy_decode" wrong="records_gradients"
"""Gradients are recorded at every step: memory grows with each token, for a backward pass that never comes.

Which context manager switches that off?
"""
def greedy_decode(model, source, max_length):
    memory, keep = model.encode(source)
    tokens = torch.full((len(source), 1), BOS)
    ended = torch.zeros(len(source), dtype=torch.bool)
    while tokens.shape[1] <= max_length and not ended.all():
        likeliest = model.decode(tokens, memory, keep)[:, -1].argmax(-1).masked_fill(ended, PAD)
        ended = ended | (likeliest == EOS)
        tokens = torch.cat([tokens, likeliest[:, None]], 1)
    return tokens[:, 1:]

# %% exercise="bleu" wrong="not_clipped"
"""You do not clip: "the the the" gets full marks for each "the".

How often may one n-gram of a reference be used?
"""
def bleu(candidates, references, max_n=4):
    def grams(tokens, n):
        return [tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1)]

    c = sum(map(len, candidates))
    r = sum(min((abs(len(x) - len(cand)), len(x)) for x in refs)[1] for cand, refs in zip(candidates, references))
    product = 1.0
    for n in range(1, max_n + 1):
        matched = total = 0
        for cand, refs in zip(candidates, references):
            known = {g for ref in refs for g in grams(ref, n)}
            matched += sum(g in known for g in grams(cand, n))
            total += len(grams(cand, n))
        if not matched:
            return 0.0
        product *= matched / total
    return product ** (1 / max_n) * min(1.0, math.exp(1 - r / c))

# %% exercise="bleu" wrong="mean_of_sentences"
"""You average the BLEU of the sentences. One sentence without a match of four tokens counts 0 then, and a short
sentence counts as much as a long one.

Where does the formula divide: inside the sum over candidates, or after it?
"""
def bleu(candidates, references, max_n=4):
    def grams(tokens, n):
        return Counter(tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1))

    scores = []
    for cand, refs in zip(candidates, references):
        r, product = min((abs(len(x) - len(cand)), len(x)) for x in refs)[1], 1.0
        for n in range(1, max_n + 1):
            allowed = Counter()
            for ref in refs:
                allowed |= grams(ref, n)
            matched, total = sum((grams(cand, n) & allowed).values()), sum(grams(cand, n).values())
            product *= matched / total if matched else 0.0
        scores.append(product ** (1 / max_n) * min(1.0, math.exp(1 - r / len(cand))) if product else 0.0)
    return sum(scores) / len(scores)

# %% exercise="bleu" wrong="no_brevity_penalty"
"""There is no brevity penalty: a candidate of four sure tokens has BLEU 1.

What does precision say about what was left out?
"""
def bleu(candidates, references, max_n=4):
    def grams(tokens, n):
        return Counter(tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1))

    product = 1.0
    for n in range(1, max_n + 1):
        matched = total = 0
        for cand, refs in zip(candidates, references):
            allowed = Counter()
            for ref in refs:
                allowed |= grams(ref, n)
            matched += sum((grams(cand, n) & allowed).values())
            total += sum(grams(cand, n).values())
        if not matched:
            return 0.0
        product *= matched / total
    return product ** (1 / max_n)

# %% exercise="bleu" wrong="arithmetic_mean"
"""You take the arithmetic mean of the four precisions. Long n-grams hardly count then, and a score of 0 is rare.

Which mean is a product with a root?
"""
def bleu(candidates, references, max_n=4):
    def grams(tokens, n):
        return Counter(tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1))

    c = sum(map(len, candidates))
    r = sum(min((abs(len(x) - len(cand)), len(x)) for x in refs)[1] for cand, refs in zip(candidates, references))
    added = 0.0
    for n in range(1, max_n + 1):
        matched = total = 0
        for cand, refs in zip(candidates, references):
            allowed = Counter()
            for ref in refs:
                allowed |= grams(ref, n)
            matched += sum((grams(cand, n) & allowed).values())
            total += sum(grams(cand, n).values())
        added += matched / total if total else 0.0
    return added / max_n * min(1.0, math.exp(1 - r / c)) if c else 0.0

# %% exercise="bleu" wrong="references_added_up"
"""You clip at the counts of all references together: with three of them a word may be used three times as often.

Is it the sum over the references, or the largest of them?
"""
def bleu(candidates, references, max_n=4):
    def grams(tokens, n):
        return Counter(tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1))

    c = sum(map(len, candidates))
    r = sum(min((abs(len(x) - len(cand)), len(x)) for x in refs)[1] for cand, refs in zip(candidates, references))
    product = 1.0
    for n in range(1, max_n + 1):
        matched = total = 0
        for cand, refs in zip(candidates, references):
            allowed = Counter()
            for ref in refs:
                allowed += grams(ref, n)
            matched += sum((grams(cand, n) & allowed).values())
            total += sum(grams(cand, n).values())
        if not matched:
            return 0.0
        product *= matched / total
    return product ** (1 / max_n) * min(1.0, math.exp(1 - r / c))

# %% exercise="bleu" wrong="first_reference_only"
"""You read only the first reference of each sentence.

What are the other references for?
"""
def bleu(candidates, references, max_n=4):
    def grams(tokens, n):
        return Counter(tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1))

    c, r, product = sum(map(len, candidates)), sum(len(refs[0]) for refs in references), 1.0
    for n in range(1, max_n + 1):
        matched = total = 0
        for cand, refs in zip(candidates, references):
            matched += sum((grams(cand, n) & grams(refs[0], n)).values())
            total += sum(grams(cand, n).values())
        if not matched:
            return 0.0
        product *= matched / total
    return product ** (1 / max_n) * min(1.0, math.exp(1 - r / c))

# %% exercise="bleu" wrong="shortest_reference"
"""r adds up the shortest references. The penalty then never asks for more than the tersest translator wrote.

Which reference length does the docstring take for each sentence?
"""
def bleu(candidates, references, max_n=4):
    def grams(tokens, n):
        return Counter(tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1))

    c, r = sum(map(len, candidates)), sum(min(map(len, refs)) for refs in references)
    product = 1.0
    for n in range(1, max_n + 1):
        matched = total = 0
        for cand, refs in zip(candidates, references):
            allowed = Counter()
            for ref in refs:
                allowed |= grams(ref, n)
            matched += sum((grams(cand, n) & allowed).values())
            total += sum(grams(cand, n).values())
        if not matched:
            return 0.0
        product *= matched / total
    return product ** (1 / max_n) * min(1.0, math.exp(1 - r / c))

# %% exercise="bleu" wrong="longer_is_penalised"
"""Your factor is also applied to candidates that are longer than their references, and exceeds 1 there.

What does the minimum in front of the formula do when c is larger than r?
"""
def bleu(candidates, references, max_n=4):
    def grams(tokens, n):
        return Counter(tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1))

    c = sum(map(len, candidates))
    r = sum(min((abs(len(x) - len(cand)), len(x)) for x in refs)[1] for cand, refs in zip(candidates, references))
    product = 1.0
    for n in range(1, max_n + 1):
        matched = total = 0
        for cand, refs in zip(candidates, references):
            allowed = Counter()
            for ref in refs:
                allowed |= grams(ref, n)
            matched += sum((grams(cand, n) & allowed).values())
            total += sum(grams(cand, n).values())
        if not matched:
            return 0.0
        product *= matched / total
    return product ** (1 / max_n) * math.exp(1 - r / c)

# %% exercise="translation_finding" wrong="exact_and_right_exchanged"
"""`right` and `exact` have changed places: an output that is not its reference can still be right, not the other way.

Which of the two can never be the smaller one?
"""
translation_finding = {"right": 0.949, "exact": 0.995, "ceiling": 0.954, "group": "fr short", "missing": "year"}

# %% exercise="translation_finding" wrong="percent"
"""Shares lie between 0 and 1; these are percentages.

What is 94.9 percent as a share?
"""
translation_finding = {"right": 99.5, "exact": 94.9, "ceiling": 95.4, "group": "fr short", "missing": "year"}

# %% exercise="translation_finding" wrong="nobody_is_limited"
"""You give the ceiling as 1: but some sources have two right answers in the data, and whoever guesses is wrong half of
the time.

How many references does "<fr>5/16/35" have?
"""
translation_finding = {"right": 0.995, "exact": 0.949, "ceiling": 1.0, "group": "fr short", "missing": "year"}

# %% exercise="translation_finding" wrong="german_is_harder"
"""The largest group is not the German one. German months have two ways to be asked for, but only May cannot be told
apart.

Look at the first two numbers of each line in the table of errors.
"""
translation_finding = {"right": 0.995, "exact": 0.949, "ceiling": 0.954, "group": "de medium", "missing": "month"}

# %% exercise="repaired_loss" wrong="still_shifted_twice"
"""You still score position t on the token after the one it was asked for.

The decoder's input is shifted already. What is left to shift?
"""
def repaired_loss(model, source, target):
    logits = model(source, shift_right(target))
    return nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), target[:, 1:].flatten(), ignore_index=PAD)

# %% exercise="repaired_loss" wrong="not_shifted_at_all"
"""Now nothing is shifted: the answer stands in the decoder's input, and the model will copy it.

Exactly one of the two sides has to move.
"""
def repaired_loss(model, source, target):
    return smoothed_cross_entropy(model(source, target), target, smoothing=0.0)

# %% exercise="repaired_loss" wrong="first_token_missing"
"""You hand the target itself to the decoder and score it on the next token. That is one shift, but nothing is ever
asked after BOS: the first token is never learned, and translating begins with BOS.

How many of the tokens of a sentence are scored?
"""
def repaired_loss(model, source, target):
    logits = model(source, target[:, :-1])
    return smoothed_cross_entropy(logits, target[:, 1:], smoothing=0.0) if target.shape[1] > 1 else logits.sum()

# %% exercise="repaired_loss" wrong="padding_counts"
"""One shift, but padding counts in the loss.

What does ignore_index do in the published code?
"""
def repaired_loss(model, source, target):
    return nn.functional.cross_entropy(model(source, shift_right(target)).flatten(0, 1), target.flatten())

# %% exercise="repaired_loss" wrong="smoothed"
"""One shift, and the loss is smoothed; the docstring asks for the plain cross-entropy.

What is the default of smoothed_cross_entropy?
"""
def repaired_loss(model, source, target):
    return smoothed_cross_entropy(model(source, shift_right(target)), target)

# %% exercise="repaired_validation" wrong="always_back_to_training"
"""You always end in training mode: a model that came in evaluation mode leaves in training mode, with dropout on.

Who knows in which mode the model came?
"""
def repaired_validation(model, batches):
    model.eval()
    total = tokens = 0
    with torch.no_grad():
        for source, target in batches:
            real = int((target != PAD).sum())
            total += repaired_loss(model, source, target).item() * real
            tokens += real
    model.train(True)
    return total / tokens

# %% exercise="repaired_validation" wrong="stays_in_evaluation"
"""The model stays in evaluation mode: from the first validation on it trains without dropout.

What did the mode say before you changed it?
"""
def repaired_validation(model, batches):
    model.eval()
    total = tokens = 0
    with torch.no_grad():
        for source, target in batches:
            real = int((target != PAD).sum())
            total += repaired_loss(model, source, target).item() * real
            tokens += real
    return total / tokens

# %% exercise="repaired_validation" wrong="never_in_evaluation"
"""You measure in whatever mode the model is in: with dropout switched on, two validations of one model differ.

What does eval() switch off?
"""
def repaired_validation(model, batches):
    total = tokens = 0
    with torch.no_grad():
        for source, target in batches:
            real = int((target != PAD).sum())
            total += repaired_loss(model, source, target).item() * real
            tokens += real
    return total / tokens

# %% exercise="repaired_validation" wrong="mean_of_batches"
"""Each batch counts the same, a last one with few tokens as much as a full one: the loss depends on how the data was
cut into batches.

By what does each batch's mean have to be multiplied before they are added up?
"""
def repaired_validation(model, batches):
    mode = model.training
    model.eval()
    with torch.no_grad():
        losses = [repaired_loss(model, source, target).item() for source, target in batches]
    model.train(mode)
    return sum(losses) / len(losses)

# %% exercise="repaired_validation" wrong="weighted_by_rows"
"""You weigh each batch by its sentences, not by its tokens.

The docstring says that every token counts the same. How many real tokens has a batch?
"""
def repaired_validation(model, batches):
    mode = model.training
    model.eval()
    with torch.no_grad():
        losses = [repaired_loss(model, source, target).item() * len(target) for source, target in batches]
    model.train(mode)
    return sum(losses) / sum(len(target) for _, target in batches)

# %% exercise="repaired_validation" wrong="records_gradients"
"""The number is right, but each forward pass records a graph: validation then needs as much memory as training.

Which context manager belongs around the loop?
"""
def repaired_validation(model, batches):
    mode = model.training
    model.eval()
    total = tokens = 0
    for source, target in batches:
        real = int((target != PAD).sum())
        total += repaired_loss(model, source, target).item() * real
        tokens += real
    model.train(mode)
    return total / tokens
