"""Right answers to the exercises of unit 04 in other styles: a check must not mind how an answer is written."""

# %% exercise="shift_right" right="padded_on_the_left"
def shift_right(target):
    return nn.functional.pad(target[:, :-1], (1, 0), value=BOS)

# %% exercise="shift_right" right="row_by_row"
def shift_right(target):
    rows = []
    for row in target.tolist():
        rows.append([1] + row[: len(row) - 1])
    return torch.tensor(rows)

# %% exercise="smoothed_cross_entropy" right="whole_target_distributions"
def smoothed_cross_entropy(logits, target, smoothing=0.1):
    V = logits.shape[-1]
    real = target != PAD
    chosen, wanted = logits[real], target[real]  # (N, V), (N,)
    q = torch.full_like(chosen, smoothing / V)
    q[torch.arange(len(wanted)), wanted] += 1 - smoothing
    top = chosen.max(dim=1, keepdim=True).values
    log_sum = top + (chosen - top).exp().sum(1, keepdim=True).log()
    return (q * (log_sum - chosen)).sum() / len(wanted)

# %% exercise="smoothed_cross_entropy" right="token_by_token"
def smoothed_cross_entropy(logits, target, smoothing=0.1):
    total, count = 0.0, 0
    for row, words in zip(logits, target.tolist()):
        for scores, word in zip(row, words):
            if word == PAD:
                continue
            scores = scores - scores.max()
            losses = scores.exp().sum().log() - scores  # (V,)
            total = total + (1 - smoothing) * losses[word] + smoothing * losses.sum() / len(losses)
            count += 1
    return total / count

# %% exercise="smoothed_cross_entropy" right="classes_first"
def smoothed_cross_entropy(logits, target, smoothing=0.1):
    x = logits.permute(2, 0, 1)  # (V, B, T)
    x = x - x.amax(0)
    losses = torch.log(torch.exp(x).sum(0)) - x
    hot = torch.arange(len(x))[:, None, None] == target
    mixed = (1 - smoothing) * (losses * hot).sum(0) + smoothing * losses.mean(0)
    real = (target > 0).to(logits.dtype)
    return (mixed * real).sum() / real.sum()

# %% exercise="warmup_schedule" right="two_branches"
def warmup_schedule(step, width, warmup=4000, factor=1.0):
    if step <= 0:
        raise ValueError("the first step is 1")
    peak = factor / math.sqrt(width * warmup)
    if step < warmup:
        return peak * step / warmup
    return peak * math.sqrt(warmup / step)

# %% exercise="warmup_schedule" right="one_power"
def warmup_schedule(step, width, warmup=4000, factor=1.0):
    if not step >= 1:
        raise ValueError(f"step {step}")
    return factor * (1 / width) ** 0.5 * min(1 / math.sqrt(step), step / warmup / math.sqrt(warmup))

# %% exercise="greedy_decode" right="filled_in_advance"
@torch.no_grad()
def greedy_decode(model, source, max_length):
    memory, keep = model.encode(source)
    out = torch.zeros(len(source), max_length + 1, dtype=torch.long)
    out[:, 0] = BOS
    open_rows, t = torch.ones(len(source), dtype=torch.bool), 0
    while t < max_length and open_rows.any():
        scores = model.decode(out[:, : t + 1], memory, keep)
        out[:, t + 1] = torch.where(open_rows, scores[:, t].max(-1).indices, 0)
        open_rows &= out[:, t + 1] != EOS
        t += 1
    return out[:, 1 : t + 1]

# %% exercise="greedy_decode" right="only_the_open_rows"
def greedy_decode(model, source, max_length):
    with torch.inference_mode():
        memory, keep = model.encode(source)
        written, rows = [[] for _ in source], list(range(len(source)))
        for _ in range(max_length):
            if not rows:
                break
            given = torch.tensor([[BOS, *written[i]] for i in rows])
            scores = model.decode(given, memory[rows], keep[rows])[:, -1]
            for i, token in zip(rows, scores.argmax(-1).tolist()):
                written[i].append(token)
            rows = [i for i in rows if written[i][-1] != EOS]
    longest = max(len(row) for row in written)
    return torch.tensor([row + [PAD] * (longest - len(row)) for row in written])

# %% exercise="bleu" right="lists_and_logarithms"
def bleu(candidates, references, max_n=4):
    logs = []
    for n in range(1, max_n + 1):
        hits = total = 0
        for words, refs in zip(candidates, references):
            found = [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
            total += len(found)
            for gram in set(found):
                most = 0
                for ref in refs:
                    most = max(most, [tuple(ref[i : i + n]) for i in range(len(ref) - n + 1)].count(gram))
                hits += min(found.count(gram), most)
        if hits == 0:
            return 0.0
        logs.append(math.log(hits / total))
    c = sum(len(words) for words in candidates)
    r = 0
    for words, refs in zip(candidates, references):
        r += sorted((len(ref) for ref in refs), key=lambda length: (abs(length - len(words)), length))[0]
    penalty = 1.0 if c > r else math.exp(1 - r / c)
    return penalty * math.exp(sum(logs) / max_n)

# %% exercise="bleu" right="positions_crossed_off"
def bleu(candidates, references, max_n=4):
    score = 1.0
    for n in range(1, max_n + 1):
        hits = total = 0
        for words, refs in zip(candidates, references):
            used = {}
            for i in range(len(words) - n + 1):
                gram = tuple(words[i : i + n])
                used[gram] = used.get(gram, 0) + 1
                there = max(sum(tuple(ref[j : j + n]) == gram for j in range(len(ref))) for ref in refs)
                hits += used[gram] <= there
                total += 1
        score *= hits / total if total else 0.0
    c, r = 0, 0
    for words, refs in zip(candidates, references):
        c += len(words)
        best = None
        for ref in refs:
            if best is None or (abs(len(ref) - len(words)), len(ref)) < (abs(best - len(words)), best):
                best = len(ref)
        r += best
    if score == 0:
        return 0.0
    return score ** (1 / max_n) * (1.0 if c >= r else math.exp((c - r) / c))

# %% exercise="translation_finding" right="another_seed"
translation_finding = {"right": 0.985, "exact": 0.942, "ceiling": 0.954, "group": "fr short", "missing": "year"}

# %% exercise="translation_finding" right="tensors_and_more_digits"
translation_finding = {"right": torch.tensor(0.99123), "exact": torch.tensor(0.9483), "ceiling": 0.95370,
                       "group": "fr short", "missing": "year"}

# %% exercise="repaired_loss" right="library_loss"
def repaired_loss(model, source, target):
    logits = model(source, shift_right(target))
    return nn.functional.cross_entropy(logits.transpose(1, 2), target, ignore_index=PAD)

# %% exercise="repaired_loss" right="bos_before_the_target_then_one_slice"
def repaired_loss(model, source, target):
    whole = torch.cat([torch.full((len(target), 1), BOS), target], dim=1)  # BOS, tokens, EOS, PAD
    log_probs = model(source, whole[:, :-1]).log_softmax(-1)
    chosen = log_probs.gather(2, whole[:, 1:, None]).squeeze(2)
    return -chosen[whole[:, 1:] != PAD].mean()

# %% exercise="repaired_validation" right="summed_losses"
@torch.no_grad()
def repaired_validation(model, batches):
    was_training = model.training
    model.train(False)
    total, tokens = 0.0, 0
    for source, target in batches:
        logits = model(source, shift_right(target))
        total += nn.functional.cross_entropy(logits.flatten(0, 1), target.flatten(), ignore_index=PAD, reduction="sum")
        tokens += int((target > PAD).sum())
    if was_training:
        model.train(True)
    return float(total / tokens)

# %% exercise="repaired_validation" right="all_tokens_in_one_list"
def repaired_validation(model, batches):
    before = model.training
    model.eval()
    losses = []
    with torch.inference_mode():
        for source, target in batches:
            log_probs = model(source, shift_right(target)).double().log_softmax(-1)
            for row, words in zip(log_probs, target.tolist()):
                losses += [-row[t, word].item() for t, word in enumerate(words) if word]
    model.train(before)
    return math.fsum(losses) / len(losses)
