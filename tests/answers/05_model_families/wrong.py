"""Wrong answers to unit 05 by readers who saw the released notebook only: tests/test_readers.py judges them."""

# %% exercise="count_parameters" wrong="kv_width_ignored"
"""Keys and values are counted as D -> D even where query heads share them."""
def count_parameters(settings: dict) -> int:
    D, F, kv = settings["width"], settings["hidden"], settings["kv_width"]
    if settings["norm"] not in ("layer", "rms"):
        raise ValueError("norm is layer or rms")
    if settings["head"] not in ("none", "tied", "own"):
        raise ValueError("head is none, tied or own")
    norm = 2 * D if settings["norm"] == "layer" else D
    maps = [(D, D), (D, D), (D, D), (D, D)]
    maps += [(D, F), (D, F), (F, D)] if settings["gated"] else [(D, F), (F, D)]
    layer = sum(a * b + (b if settings["bias"] else 0) for a, b in maps) + 2 * norm
    total = settings["layers"] * layer
    total += norm * (settings["embedding_norm"] + settings["final_norm"])
    total += D * (settings["vocab"] + settings["positions"] + settings["segments"])
    if settings["patch"]:
        total += settings["patch"] * D + D + D
    if settings["pooler"]:
        total += D * D + D
    if settings["head"] == "own":
        total += settings["vocab"] * D
    return total

# %% exercise="count_parameters" wrong="tied_head_counted_again"
"""The token table is counted twice where the head is tied."""
def count_parameters(settings: dict) -> int:
    D, F, kv = settings["width"], settings["hidden"], settings["kv_width"]
    if settings["norm"] not in ("layer", "rms"):
        raise ValueError("norm is layer or rms")
    if settings["head"] not in ("none", "tied", "own"):
        raise ValueError("head is none, tied or own")
    norm = 2 * D if settings["norm"] == "layer" else D
    maps = [(D, D), (D, kv), (D, kv), (D, D)]
    maps += [(D, F), (D, F), (F, D)] if settings["gated"] else [(D, F), (F, D)]
    layer = sum(a * b + (b if settings["bias"] else 0) for a, b in maps) + 2 * norm
    total = settings["layers"] * layer
    total += norm * (settings["embedding_norm"] + settings["final_norm"])
    total += D * (settings["vocab"] + settings["positions"] + settings["segments"])
    if settings["patch"]:
        total += settings["patch"] * D + D + D
    if settings["pooler"]:
        total += D * D + D
    if settings["head"] in ("own", "tied"):
        total += settings["vocab"] * D
    return total

# %% exercise="count_parameters" wrong="bias_of_the_input_width"
"""Each map has as many biases as it has inputs, not outputs."""
def count_parameters(settings: dict) -> int:
    D, F, kv = settings["width"], settings["hidden"], settings["kv_width"]
    if settings["norm"] not in ("layer", "rms"):
        raise ValueError("norm is layer or rms")
    if settings["head"] not in ("none", "tied", "own"):
        raise ValueError("head is none, tied or own")
    norm = 2 * D if settings["norm"] == "layer" else D
    maps = [(D, D), (D, kv), (D, kv), (D, D)]
    maps += [(D, F), (D, F), (F, D)] if settings["gated"] else [(D, F), (F, D)]
    layer = sum(a * b + (a if settings["bias"] else 0) for a, b in maps) + 2 * norm
    total = settings["layers"] * layer
    total += norm * (settings["embedding_norm"] + settings["final_norm"])
    total += D * (settings["vocab"] + settings["positions"] + settings["segments"])
    if settings["patch"]:
        total += settings["patch"] * D + D + D
    if settings["pooler"]:
        total += D * D + D
    if settings["head"] == "own":
        total += settings["vocab"] * D
    return total

# %% exercise="count_parameters" wrong="cls_vector_forgotten"
"""The [CLS] vector of an image model is not counted."""
def count_parameters(settings: dict) -> int:
    D, F, kv = settings["width"], settings["hidden"], settings["kv_width"]
    if settings["norm"] not in ("layer", "rms"):
        raise ValueError("norm is layer or rms")
    if settings["head"] not in ("none", "tied", "own"):
        raise ValueError("head is none, tied or own")
    norm = 2 * D if settings["norm"] == "layer" else D
    maps = [(D, D), (D, kv), (D, kv), (D, D)]
    maps += [(D, F), (D, F), (F, D)] if settings["gated"] else [(D, F), (F, D)]
    layer = sum(a * b + (b if settings["bias"] else 0) for a, b in maps) + 2 * norm
    total = settings["layers"] * layer
    total += norm * (settings["embedding_norm"] + settings["final_norm"])
    total += D * (settings["vocab"] + settings["positions"] + settings["segments"])
    if settings["patch"]:
        total += settings["patch"] * D + D
    if settings["pooler"]:
        total += D * D + D
    if settings["head"] == "own":
        total += settings["vocab"] * D
    return total

# %% exercise="count_parameters" wrong="patch_bias_follows_the_setting"
"""The patch map has a bias only where the layers have some."""
def count_parameters(settings: dict) -> int:
    D, F, kv = settings["width"], settings["hidden"], settings["kv_width"]
    if settings["norm"] not in ("layer", "rms"):
        raise ValueError("norm is layer or rms")
    if settings["head"] not in ("none", "tied", "own"):
        raise ValueError("head is none, tied or own")
    norm = 2 * D if settings["norm"] == "layer" else D
    maps = [(D, D), (D, kv), (D, kv), (D, D)]
    maps += [(D, F), (D, F), (F, D)] if settings["gated"] else [(D, F), (F, D)]
    layer = sum(a * b + (b if settings["bias"] else 0) for a, b in maps) + 2 * norm
    total = settings["layers"] * layer
    total += norm * (settings["embedding_norm"] + settings["final_norm"])
    total += D * (settings["vocab"] + settings["positions"] + settings["segments"])
    if settings["patch"]:
        total += settings["patch"] * D + D + (D if settings["bias"] else 0)
    if settings["pooler"]:
        total += D * D + D
    if settings["head"] == "own":
        total += settings["vocab"] * D
    return total

# %% exercise="count_parameters" wrong="pooler_bias_follows_the_setting"
"""The pooler has a bias only where the layers have some."""
def count_parameters(settings: dict) -> int:
    D, F, kv = settings["width"], settings["hidden"], settings["kv_width"]
    if settings["norm"] not in ("layer", "rms"):
        raise ValueError("norm is layer or rms")
    if settings["head"] not in ("none", "tied", "own"):
        raise ValueError("head is none, tied or own")
    norm = 2 * D if settings["norm"] == "layer" else D
    maps = [(D, D), (D, kv), (D, kv), (D, D)]
    maps += [(D, F), (D, F), (F, D)] if settings["gated"] else [(D, F), (F, D)]
    layer = sum(a * b + (b if settings["bias"] else 0) for a, b in maps) + 2 * norm
    total = settings["layers"] * layer
    total += norm * (settings["embedding_norm"] + settings["final_norm"])
    total += D * (settings["vocab"] + settings["positions"] + settings["segments"])
    if settings["patch"]:
        total += settings["patch"] * D + D + D
    if settings["pooler"]:
        total += D * D + (D if settings["bias"] else 0)
    if settings["head"] == "own":
        total += settings["vocab"] * D
    return total

# %% exercise="count_parameters" wrong="unknown_norm_counts_as_rms"
"""A misspelled norm is taken as an RMS norm instead of raising ValueError."""
def count_parameters(settings: dict) -> int:
    D, F, kv = settings["width"], settings["hidden"], settings["kv_width"]
    if settings["head"] not in ("none", "tied", "own"):
        raise ValueError("head is none, tied or own")
    norm = 2 * D if settings["norm"] == "layer" else D
    maps = [(D, D), (D, kv), (D, kv), (D, D)]
    maps += [(D, F), (D, F), (F, D)] if settings["gated"] else [(D, F), (F, D)]
    layer = sum(a * b + (b if settings["bias"] else 0) for a, b in maps) + 2 * norm
    total = settings["layers"] * layer
    total += norm * (settings["embedding_norm"] + settings["final_norm"])
    total += D * (settings["vocab"] + settings["positions"] + settings["segments"])
    if settings["patch"]:
        total += settings["patch"] * D + D + D
    if settings["pooler"]:
        total += D * D + D
    if settings["head"] == "own":
        total += settings["vocab"] * D
    return total

# %% exercise="count_parameters" wrong="head_checked_with_a_vocabulary_only"
"""An unknown head passes where there is no token table."""
def count_parameters(settings: dict) -> int:
    D, F, kv = settings["width"], settings["hidden"], settings["kv_width"]
    if settings["norm"] not in ("layer", "rms"):
        raise ValueError("norm is layer or rms")
    if settings["vocab"] and settings["head"] not in ("none", "tied", "own"):
        raise ValueError("head is none, tied or own")
    norm = 2 * D if settings["norm"] == "layer" else D
    maps = [(D, D), (D, kv), (D, kv), (D, D)]
    maps += [(D, F), (D, F), (F, D)] if settings["gated"] else [(D, F), (F, D)]
    layer = sum(a * b + (b if settings["bias"] else 0) for a, b in maps) + 2 * norm
    total = settings["layers"] * layer
    total += norm * (settings["embedding_norm"] + settings["final_norm"])
    total += D * (settings["vocab"] + settings["positions"] + settings["segments"])
    if settings["patch"]:
        total += settings["patch"] * D + D + D
    if settings["pooler"]:
        total += D * D + D
    if settings["head"] == "own":
        total += settings["vocab"] * D
    return total

# %% exercise="count_parameters" wrong="own_head_has_a_bias"
"""A head of its own gets V biases where the layers have biases."""
def count_parameters(settings: dict) -> int:
    D, F, kv = settings["width"], settings["hidden"], settings["kv_width"]
    if settings["norm"] not in ("layer", "rms"):
        raise ValueError("norm is layer or rms")
    if settings["head"] not in ("none", "tied", "own"):
        raise ValueError("head is none, tied or own")
    norm = 2 * D if settings["norm"] == "layer" else D
    maps = [(D, D), (D, kv), (D, kv), (D, D)]
    maps += [(D, F), (D, F), (F, D)] if settings["gated"] else [(D, F), (F, D)]
    layer = sum(a * b + (b if settings["bias"] else 0) for a, b in maps) + 2 * norm
    total = settings["layers"] * layer
    total += norm * (settings["embedding_norm"] + settings["final_norm"])
    total += D * (settings["vocab"] + settings["positions"] + settings["segments"])
    if settings["patch"]:
        total += settings["patch"] * D + D + D
    if settings["pooler"]:
        total += D * D + D
    if settings["head"] == "own":
        total += settings["vocab"] * (D + (1 if settings["bias"] else 0))
    return total

# %% exercise="count_parameters" wrong="outer_norms_are_layer_norms"
"""The norms outside of the layers have a bias even where the norm is rms."""
def count_parameters(settings: dict) -> int:
    D, F, kv = settings["width"], settings["hidden"], settings["kv_width"]
    if settings["norm"] not in ("layer", "rms"):
        raise ValueError("norm is layer or rms")
    if settings["head"] not in ("none", "tied", "own"):
        raise ValueError("head is none, tied or own")
    norm = 2 * D if settings["norm"] == "layer" else D
    maps = [(D, D), (D, kv), (D, kv), (D, D)]
    maps += [(D, F), (D, F), (F, D)] if settings["gated"] else [(D, F), (F, D)]
    layer = sum(a * b + (b if settings["bias"] else 0) for a, b in maps) + 2 * norm
    total = settings["layers"] * layer
    total += 2 * D * (settings["embedding_norm"] + settings["final_norm"])
    total += D * (settings["vocab"] + settings["positions"] + settings["segments"])
    if settings["patch"]:
        total += settings["patch"] * D + D + D
    if settings["pooler"]:
        total += D * D + D
    if settings["head"] == "own":
        total += settings["vocab"] * D
    return total

# %% exercise="count_parameters" wrong="settings_lose_a_key"
"""The caller's dict has no norm any more after the call."""
def count_parameters(settings: dict) -> int:
    D, F, kv = settings["width"], settings["hidden"], settings["kv_width"]
    if settings["norm"] not in ("layer", "rms"):
        raise ValueError("norm is layer or rms")
    if settings["head"] not in ("none", "tied", "own"):
        raise ValueError("head is none, tied or own")
    norm = 2 * D if settings.pop("norm") == "layer" else D
    maps = [(D, D), (D, kv), (D, kv), (D, D)]
    maps += [(D, F), (D, F), (F, D)] if settings["gated"] else [(D, F), (F, D)]
    layer = sum(a * b + (b if settings["bias"] else 0) for a, b in maps) + 2 * norm
    total = settings["layers"] * layer
    total += norm * (settings["embedding_norm"] + settings["final_norm"])
    total += D * (settings["vocab"] + settings["positions"] + settings["segments"])
    if settings["patch"]:
        total += settings["patch"] * D + D + D
    if settings["pooler"]:
        total += D * D + D
    if settings["head"] == "own":
        total += settings["vocab"] * D
    return total

# %% exercise="count_parameters" wrong="keys_as_wide_as_queries"
"""Counts keys and values as D -> D, whatever kv_width says."""
def count_parameters(settings: dict) -> int:
    D, L, F, K = (settings[name] for name in ("width", "layers", "hidden", "kv_width"))
    if settings["norm"] not in ("layer", "rms"):
        raise ValueError(f"unknown norm {settings['norm']!r}")
    if settings["head"] not in ("none", "tied", "own"):
        raise ValueError(f"unknown head {settings['head']!r}")
    norm = 2 * D if settings["norm"] == "layer" else D
    maps = [(D, D), (D, D), (D, D), (D, D), (D, F), (F, D)]
    if settings["gated"]:
        maps.append((D, F))
    layer = 2 * norm
    for a, b in maps:
        layer += a * b
        if settings["bias"]:
            layer += b
    total = L * layer
    total += (settings["vocab"] + settings["positions"] + settings["segments"]) * D
    total += norm * (settings["embedding_norm"] + settings["final_norm"])
    if settings["patch"]:
        total += settings["patch"] * D + D + D
    if settings["pooler"]:
        total += D * D + D
    if settings["head"] == "own":
        total += settings["vocab"] * D
    return total

# %% exercise="count_parameters" wrong="kv_biases_of_width_d"
"""The weights of keys and values use kv_width, but their biases are counted as D numbers."""
def count_parameters(settings: dict) -> int:
    D, F, kv = settings["width"], settings["hidden"], settings["kv_width"]
    if settings["norm"] == "layer":
        norm = 2 * D
    elif settings["norm"] == "rms":
        norm = D
    else:
        raise ValueError("norm")
    if settings["head"] not in ("none", "tied", "own"):
        raise ValueError("head")
    attention = 2 * D * D + 2 * D * kv
    feed_forward = (3 if settings["gated"] else 2) * D * F
    if settings["bias"]:
        attention += 4 * D
        feed_forward += (2 if settings["gated"] else 1) * F + D
    total = settings["layers"] * (attention + feed_forward + 2 * norm)
    total += D * (settings["vocab"] + settings["positions"] + settings["segments"])
    total += norm * int(settings["embedding_norm"]) + norm * int(settings["final_norm"])
    total += D * (settings["patch"] + 2) if settings["patch"] else 0
    total += D * (D + 1) if settings["pooler"] else 0
    total += D * settings["vocab"] if settings["head"] == "own" else 0
    return total

# %% exercise="count_parameters" wrong="patch_map_obeys_bias"
"""The patch map has a bias only where the layers' maps have one."""
def count_parameters(settings: dict) -> int:
    D, L, F, K = (settings[name] for name in ("width", "layers", "hidden", "kv_width"))
    if settings["norm"] not in ("layer", "rms"):
        raise ValueError(f"unknown norm {settings['norm']!r}")
    if settings["head"] not in ("none", "tied", "own"):
        raise ValueError(f"unknown head {settings['head']!r}")
    norm = 2 * D if settings["norm"] == "layer" else D
    maps = [(D, D), (D, K), (D, K), (D, D), (D, F), (F, D)]
    if settings["gated"]:
        maps.append((D, F))
    layer = 2 * norm
    for a, b in maps:
        layer += a * b
        if settings["bias"]:
            layer += b
    total = L * layer
    total += (settings["vocab"] + settings["positions"] + settings["segments"]) * D
    total += norm * (settings["embedding_norm"] + settings["final_norm"])
    if settings["patch"]:
        total += settings["patch"] * D + D * bool(settings["bias"]) + D
    if settings["pooler"]:
        total += D * D + D
    if settings["head"] == "own":
        total += settings["vocab"] * D
    return total

# %% exercise="count_parameters" wrong="cls_vector_forgotten_too"
"""The learned vector of [CLS] in front of the patches is not counted."""
def count_parameters(settings: dict) -> int:
    D, L, F, K = (settings[name] for name in ("width", "layers", "hidden", "kv_width"))
    if settings["norm"] not in ("layer", "rms"):
        raise ValueError(f"unknown norm {settings['norm']!r}")
    if settings["head"] not in ("none", "tied", "own"):
        raise ValueError(f"unknown head {settings['head']!r}")
    norm = 2 * D if settings["norm"] == "layer" else D
    maps = [(D, D), (D, K), (D, K), (D, D), (D, F), (F, D)]
    if settings["gated"]:
        maps.append((D, F))
    layer = 2 * norm
    for a, b in maps:
        layer += a * b
        if settings["bias"]:
            layer += b
    total = L * layer
    total += (settings["vocab"] + settings["positions"] + settings["segments"]) * D
    total += norm * (settings["embedding_norm"] + settings["final_norm"])
    if settings["patch"]:
        total += settings["patch"] * D + D
    if settings["pooler"]:
        total += D * D + D
    if settings["head"] == "own":
        total += settings["vocab"] * D
    return total

# %% exercise="count_parameters" wrong="outer_norms_always_layer"
"""Norms outside of the layers are counted with a bias, in a model with RMS norms too."""
def count_parameters(settings: dict) -> int:
    D, L, F, K = (settings[name] for name in ("width", "layers", "hidden", "kv_width"))
    if settings["norm"] not in ("layer", "rms"):
        raise ValueError(f"unknown norm {settings['norm']!r}")
    if settings["head"] not in ("none", "tied", "own"):
        raise ValueError(f"unknown head {settings['head']!r}")
    norm = 2 * D if settings["norm"] == "layer" else D
    maps = [(D, D), (D, K), (D, K), (D, D), (D, F), (F, D)]
    if settings["gated"]:
        maps.append((D, F))
    layer = 2 * norm
    for a, b in maps:
        layer += a * b
        if settings["bias"]:
            layer += b
    total = L * layer
    total += (settings["vocab"] + settings["positions"] + settings["segments"]) * D
    total += 2 * D * (settings["embedding_norm"] + settings["final_norm"])
    if settings["patch"]:
        total += settings["patch"] * D + D + D
    if settings["pooler"]:
        total += D * D + D
    if settings["head"] == "own":
        total += settings["vocab"] * D
    return total

# %% exercise="count_parameters" wrong="unknown_norm_is_rms"
"""Everything that is not called layer counts as an RMS norm; no error is raised."""
def count_parameters(settings: dict) -> int:
    D, L, F, K = (settings[name] for name in ("width", "layers", "hidden", "kv_width"))
    if settings["head"] not in ("none", "tied", "own"):
        raise ValueError(f"unknown head {settings['head']!r}")
    norm = 2 * D if settings["norm"] == "layer" else D
    maps = [(D, D), (D, K), (D, K), (D, D), (D, F), (F, D)]
    if settings["gated"]:
        maps.append((D, F))
    layer = 2 * norm
    for a, b in maps:
        layer += a * b
        if settings["bias"]:
            layer += b
    total = L * layer
    total += (settings["vocab"] + settings["positions"] + settings["segments"]) * D
    total += norm * (settings["embedding_norm"] + settings["final_norm"])
    if settings["patch"]:
        total += settings["patch"] * D + D + D
    if settings["pooler"]:
        total += D * D + D
    if settings["head"] == "own":
        total += settings["vocab"] * D
    return total

# %% exercise="count_parameters" wrong="unknown_head_accepted"
"""A head with an unknown name counts as none; no error is raised."""
def count_parameters(settings: dict) -> int:
    D, L, F, K = (settings[name] for name in ("width", "layers", "hidden", "kv_width"))
    if settings["norm"] not in ("layer", "rms"):
        raise ValueError(f"unknown norm {settings['norm']!r}")
    norm = 2 * D if settings["norm"] == "layer" else D
    maps = [(D, D), (D, K), (D, K), (D, D), (D, F), (F, D)]
    if settings["gated"]:
        maps.append((D, F))
    layer = 2 * norm
    for a, b in maps:
        layer += a * b
        if settings["bias"]:
            layer += b
    total = L * layer
    total += (settings["vocab"] + settings["positions"] + settings["segments"]) * D
    total += norm * (settings["embedding_norm"] + settings["final_norm"])
    if settings["patch"]:
        total += settings["patch"] * D + D + D
    if settings["pooler"]:
        total += D * D + D
    if settings["head"] == "own":
        total += settings["vocab"] * D
    return total

# %% exercise="count_parameters" wrong="settings_eaten_up"
"""Takes the keys out of the caller's dict while it counts."""
def count_parameters(settings: dict) -> int:
    D, F, kv = settings.pop("width"), settings.pop("hidden"), settings.pop("kv_width")
    norm_kind, head, bias = settings.pop("norm"), settings.pop("head"), settings.pop("bias")
    if norm_kind not in ("layer", "rms") or head not in ("none", "tied", "own"):
        raise ValueError(f"unknown norm or head: {norm_kind!r}, {head!r}")
    norm = {"layer": 2, "rms": 1}[norm_kind] * D

    def linear(a, b, biased):
        return a * b + (b if biased else 0)

    layer = 2 * norm + 2 * linear(D, D, bias) + 2 * linear(D, kv, bias)
    layer += (1 + settings.pop("gated")) * linear(D, F, bias) + linear(F, D, bias)
    total = settings.pop("layers") * layer
    vocab, patch = settings.pop("vocab"), settings.pop("patch")
    total += D * (vocab + settings.pop("positions") + settings.pop("segments"))
    total += norm * (settings.pop("embedding_norm") + settings.pop("final_norm"))
    total += linear(patch, D, True) + D if patch else 0
    total += linear(D, D, True) if settings.pop("pooler") else 0
    return total + (vocab * D if head == "own" else 0)

# %% exercise="count_parameters" wrong="own_head_with_bias"
"""An own head gets V biases where the layers have biases."""
def count_parameters(settings: dict) -> int:
    D, L, F, K = (settings[name] for name in ("width", "layers", "hidden", "kv_width"))
    if settings["norm"] not in ("layer", "rms"):
        raise ValueError(f"unknown norm {settings['norm']!r}")
    if settings["head"] not in ("none", "tied", "own"):
        raise ValueError(f"unknown head {settings['head']!r}")
    norm = 2 * D if settings["norm"] == "layer" else D
    maps = [(D, D), (D, K), (D, K), (D, D), (D, F), (F, D)]
    if settings["gated"]:
        maps.append((D, F))
    layer = 2 * norm
    for a, b in maps:
        layer += a * b
        if settings["bias"]:
            layer += b
    total = L * layer
    total += (settings["vocab"] + settings["positions"] + settings["segments"]) * D
    total += norm * (settings["embedding_norm"] + settings["final_norm"])
    if settings["patch"]:
        total += settings["patch"] * D + D + D
    if settings["pooler"]:
        total += D * D + D
    if settings["head"] == "own":
        total += settings["vocab"] * D + settings["vocab"] * settings["bias"]
    return total

# %% exercise="mlm_corrupt" wrong="special_tokens_are_chosen"
"""Special tokens and padding are chosen like all others."""
def mlm_corrupt(
    ids: Tensor,
    special: Tensor,
    choose: Tensor,
    change: Tensor,
    word: Tensor,
    mask_id: int,
    vocab_size: int,
    rate: float = 0.15,
) -> tuple[Tensor, Tensor]:
    chosen = (choose < rate)
    labels = torch.where(chosen, ids, -100)
    corrupted = ids.clone()
    corrupted[chosen & (change < 0.8)] = mask_id
    randomized = chosen & (change >= 0.8) & (change < 0.9)
    words = (word * vocab_size).floor().long()
    corrupted[randomized] = words[randomized]
    return corrupted, labels

# %% exercise="mlm_corrupt" wrong="rate_is_always_fifteen"
"""The rate that was given is ignored, 15 % are always chosen."""
def mlm_corrupt(
    ids: Tensor,
    special: Tensor,
    choose: Tensor,
    change: Tensor,
    word: Tensor,
    mask_id: int,
    vocab_size: int,
    rate: float = 0.15,
) -> tuple[Tensor, Tensor]:
    chosen = (choose < 0.15) & ~special
    labels = torch.where(chosen, ids, -100)
    corrupted = ids.clone()
    corrupted[chosen & (change < 0.8)] = mask_id
    randomized = chosen & (change >= 0.8) & (change < 0.9)
    words = (word * vocab_size).floor().long()
    corrupted[randomized] = words[randomized]
    return corrupted, labels

# %% exercise="mlm_corrupt" wrong="rate_itself_is_chosen"
"""A draw that equals the rate is chosen, so a rate of 0 can choose something."""
def mlm_corrupt(
    ids: Tensor,
    special: Tensor,
    choose: Tensor,
    change: Tensor,
    word: Tensor,
    mask_id: int,
    vocab_size: int,
    rate: float = 0.15,
) -> tuple[Tensor, Tensor]:
    chosen = (choose <= rate) & ~special
    labels = torch.where(chosen, ids, -100)
    corrupted = ids.clone()
    corrupted[chosen & (change < 0.8)] = mask_id
    randomized = chosen & (change >= 0.8) & (change < 0.9)
    words = (word * vocab_size).floor().long()
    corrupted[randomized] = words[randomized]
    return corrupted, labels

# %% exercise="mlm_corrupt" wrong="a_tenth_of_the_rest_is_random"
"""Only a tenth of what is not masked gets a random word, 2 % of the chosen."""
def mlm_corrupt(
    ids: Tensor,
    special: Tensor,
    choose: Tensor,
    change: Tensor,
    word: Tensor,
    mask_id: int,
    vocab_size: int,
    rate: float = 0.15,
) -> tuple[Tensor, Tensor]:
    chosen = (choose < rate) & ~special
    labels = torch.where(chosen, ids, -100)
    corrupted = ids.clone()
    corrupted[chosen & (change < 0.8)] = mask_id
    randomized = chosen & (change >= 0.8) & (change < 0.82)
    words = (word * vocab_size).floor().long()
    corrupted[randomized] = words[randomized]
    return corrupted, labels

# %% exercise="mlm_corrupt" wrong="unchanged_positions_have_no_label"
"""Chosen positions that keep their word are not asked."""
def mlm_corrupt(
    ids: Tensor,
    special: Tensor,
    choose: Tensor,
    change: Tensor,
    word: Tensor,
    mask_id: int,
    vocab_size: int,
    rate: float = 0.15,
) -> tuple[Tensor, Tensor]:
    chosen = (choose < rate) & ~special
    labels = torch.where(chosen & (change < 0.9), ids, -100)
    corrupted = ids.clone()
    corrupted[chosen & (change < 0.8)] = mask_id
    randomized = chosen & (change >= 0.8) & (change < 0.9)
    words = (word * vocab_size).floor().long()
    corrupted[randomized] = words[randomized]
    return corrupted, labels

# %% exercise="mlm_corrupt" wrong="ids_are_overwritten"
"""The caller's ids are corrupted in place."""
def mlm_corrupt(
    ids: Tensor,
    special: Tensor,
    choose: Tensor,
    change: Tensor,
    word: Tensor,
    mask_id: int,
    vocab_size: int,
    rate: float = 0.15,
) -> tuple[Tensor, Tensor]:
    chosen = (choose < rate) & ~special
    labels = torch.where(chosen, ids, -100)
    corrupted = ids
    corrupted[chosen & (change < 0.8)] = mask_id
    randomized = chosen & (change >= 0.8) & (change < 0.9)
    words = (word * vocab_size).floor().long()
    corrupted[randomized] = words[randomized]
    return corrupted, labels

# %% exercise="mlm_corrupt" wrong="random_words_spare_the_mask"
"""A random word that happens to be mask_id is left out, the original stays."""
def mlm_corrupt(
    ids: Tensor,
    special: Tensor,
    choose: Tensor,
    change: Tensor,
    word: Tensor,
    mask_id: int,
    vocab_size: int,
    rate: float = 0.15,
) -> tuple[Tensor, Tensor]:
    chosen = (choose < rate) & ~special
    labels = torch.where(chosen, ids, -100)
    corrupted = ids.clone()
    corrupted[chosen & (change < 0.8)] = mask_id
    randomized = chosen & (change >= 0.8) & (change < 0.9) & ((word * vocab_size).long() != mask_id)
    words = (word * vocab_size).floor().long()
    corrupted[randomized] = words[randomized]
    return corrupted, labels

# %% exercise="mlm_corrupt" wrong="random_words_are_rounded"
"""The random word is rounded to the nearest id and can be vocab_size itself."""
def mlm_corrupt(
    ids: Tensor,
    special: Tensor,
    choose: Tensor,
    change: Tensor,
    word: Tensor,
    mask_id: int,
    vocab_size: int,
    rate: float = 0.15,
) -> tuple[Tensor, Tensor]:
    chosen = (choose < rate) & ~special
    labels = torch.where(chosen, ids, -100)
    corrupted = ids.clone()
    corrupted[chosen & (change < 0.8)] = mask_id
    randomized = chosen & (change >= 0.8) & (change < 0.9)
    words = (word * vocab_size).round().long()
    corrupted[randomized] = words[randomized]
    return corrupted, labels

# %% exercise="mlm_corrupt" wrong="random_words_in_float32"
"""The draw becomes float32 first, so one just below 1 gives the id vocab_size."""
def mlm_corrupt(
    ids: Tensor,
    special: Tensor,
    choose: Tensor,
    change: Tensor,
    word: Tensor,
    mask_id: int,
    vocab_size: int,
    rate: float = 0.15,
) -> tuple[Tensor, Tensor]:
    chosen = (choose < rate) & ~special
    labels = torch.where(chosen, ids, -100)
    corrupted = ids.clone()
    corrupted[chosen & (change < 0.8)] = mask_id
    randomized = chosen & (change >= 0.8) & (change < 0.9)
    words = (word.float() * vocab_size).floor().long()
    corrupted[randomized] = words[randomized]
    return corrupted, labels

# %% exercise="mlm_corrupt" wrong="upper_end_belongs_to_random"
"""A draw of exactly 0.9 gets a random word."""
def mlm_corrupt(
    ids: Tensor,
    special: Tensor,
    choose: Tensor,
    change: Tensor,
    word: Tensor,
    mask_id: int,
    vocab_size: int,
    rate: float = 0.15,
) -> tuple[Tensor, Tensor]:
    chosen = (choose < rate) & ~special
    labels = torch.where(chosen, ids, -100)
    corrupted = ids.clone()
    corrupted[chosen & (change < 0.8)] = mask_id
    randomized = chosen & (change >= 0.8) & (change <= 0.9)
    words = (word * vocab_size).floor().long()
    corrupted[randomized] = words[randomized]
    return corrupted, labels

# %% exercise="mlm_corrupt" wrong="labels_everywhere"
"""Positions that were not chosen have their own id as a label, not -100."""
def mlm_corrupt(
    ids: Tensor,
    special: Tensor,
    choose: Tensor,
    change: Tensor,
    word: Tensor,
    mask_id: int,
    vocab_size: int,
    rate: float = 0.15,
) -> tuple[Tensor, Tensor]:
    chosen = (choose < rate) & ~special
    labels = ids.clone()
    corrupted = ids.clone()
    corrupted[chosen & (change < 0.8)] = mask_id
    randomized = chosen & (change >= 0.8) & (change < 0.9)
    words = (word * vocab_size).floor().long()
    corrupted[randomized] = words[randomized]
    return corrupted, labels

# %% exercise="mlm_corrupt" wrong="labels_mark_with_zero"
"""Positions without a label hold 0, which is an id."""
def mlm_corrupt(
    ids: Tensor,
    special: Tensor,
    choose: Tensor,
    change: Tensor,
    word: Tensor,
    mask_id: int,
    vocab_size: int,
    rate: float = 0.15,
) -> tuple[Tensor, Tensor]:
    chosen = (choose < rate) & ~special
    labels = torch.where(chosen, ids, 0)
    corrupted = ids.clone()
    corrupted[chosen & (change < 0.8)] = mask_id
    randomized = chosen & (change >= 0.8) & (change < 0.9)
    words = (word * vocab_size).floor().long()
    corrupted[randomized] = words[randomized]
    return corrupted, labels

# %% exercise="mlm_corrupt" wrong="unchanged_are_not_asked"
"""Chosen positions that stay as they are get the label -100."""
def mlm_corrupt(
    ids: Tensor,
    special: Tensor,
    choose: Tensor,
    change: Tensor,
    word: Tensor,
    mask_id: int,
    vocab_size: int,
    rate: float = 0.15,
) -> tuple[Tensor, Tensor]:
    chosen = (choose < rate) & ~special
    labels = torch.where(chosen, ids, -100)
    masked = chosen & (change < 0.8)
    random = chosen & (change >= 0.8) & (change < 0.9)
    corrupted = torch.where(masked, mask_id, ids)
    corrupted = torch.where(random, (word * vocab_size).long(), corrupted)
    labels[corrupted == ids] = -100
    return corrupted, labels

# %% exercise="mlm_corrupt" wrong="special_tokens_masked"
"""Special tokens have no label, but are masked and replaced like all others."""
def mlm_corrupt(
    ids: Tensor,
    special: Tensor,
    choose: Tensor,
    change: Tensor,
    word: Tensor,
    mask_id: int,
    vocab_size: int,
    rate: float = 0.15,
) -> tuple[Tensor, Tensor]:
    drawn = choose < rate
    labels = ids.clone()
    labels[~drawn | special] = -100
    corrupted = ids.clone()
    corrupted[drawn & (change < 0.8)] = mask_id
    random = drawn & (change >= 0.8) & (change < 0.9)
    corrupted[random] = (word * vocab_size).long()[random]
    return corrupted, labels

# %% exercise="mlm_corrupt" wrong="labels_after_corruption"
"""Labels are taken from the corrupted ids: the model is asked for [MASK]."""
def mlm_corrupt(
    ids: Tensor,
    special: Tensor,
    choose: Tensor,
    change: Tensor,
    word: Tensor,
    mask_id: int,
    vocab_size: int,
    rate: float = 0.15,
) -> tuple[Tensor, Tensor]:
    chosen = (choose < rate) & ~special
    corrupted = ids.clone()
    corrupted[chosen & (change < 0.8)] = mask_id
    random = chosen & (change >= 0.8) & (change < 0.9)
    corrupted[random] = (word[random] * vocab_size).long()
    labels = torch.full_like(ids, -100)
    labels[chosen] = corrupted[chosen]
    return corrupted, labels

# %% exercise="mlm_corrupt" wrong="ids_overwritten"
"""Masks in the caller's ids and returns them."""
def mlm_corrupt(
    ids: Tensor,
    special: Tensor,
    choose: Tensor,
    change: Tensor,
    word: Tensor,
    mask_id: int,
    vocab_size: int,
    rate: float = 0.15,
) -> tuple[Tensor, Tensor]:
    chosen = (choose < rate) & ~special
    labels = torch.where(chosen, ids, -100)
    ids[chosen & (change < 0.8)] = mask_id
    random = chosen & (change >= 0.8) & (change < 0.9)
    ids[random] = (word * vocab_size).long()[random]
    return ids, labels

# %% exercise="mlm_corrupt" wrong="rate_zero_can_choose"
"""Chooses where choose <= rate, so a draw of 0 is chosen at rate 0."""
def mlm_corrupt(
    ids: Tensor,
    special: Tensor,
    choose: Tensor,
    change: Tensor,
    word: Tensor,
    mask_id: int,
    vocab_size: int,
    rate: float = 0.15,
) -> tuple[Tensor, Tensor]:
    chosen = (choose <= rate) & ~special
    labels = torch.where(chosen, ids, -100)
    masked = chosen & (change < 0.8)
    random = chosen & (change >= 0.8) & (change < 0.9)
    corrupted = torch.where(masked, mask_id, ids)
    corrupted = torch.where(random, (word * vocab_size).long(), corrupted)
    return corrupted, labels

# %% exercise="mlm_corrupt" wrong="edge_of_band_is_masked"
"""A change of exactly 0.8 becomes [MASK] in place of a random word."""
def mlm_corrupt(
    ids: Tensor,
    special: Tensor,
    choose: Tensor,
    change: Tensor,
    word: Tensor,
    mask_id: int,
    vocab_size: int,
    rate: float = 0.15,
) -> tuple[Tensor, Tensor]:
    chosen = (choose < rate) & ~special
    labels = torch.where(chosen, ids, -100)
    masked = chosen & (change <= 0.8)
    random = chosen & (change > 0.8) & (change < 0.9)
    corrupted = torch.where(masked, mask_id, ids)
    corrupted = torch.where(random, (word * vocab_size).long(), corrupted)
    return corrupted, labels

# %% exercise="mlm_corrupt" wrong="random_word_in_float32"
"""The random word is computed in float32: draws just below 1 give the id vocab_size."""
def mlm_corrupt(
    ids: Tensor,
    special: Tensor,
    choose: Tensor,
    change: Tensor,
    word: Tensor,
    mask_id: int,
    vocab_size: int,
    rate: float = 0.15,
) -> tuple[Tensor, Tensor]:
    chosen = (choose < rate) & ~special
    labels = torch.where(chosen, ids, -100)
    masked = chosen & (change < 0.8)
    random = chosen & (change >= 0.8) & (change < 0.9)
    corrupted = torch.where(masked, mask_id, ids)
    corrupted = torch.where(random, (word.float() * vocab_size).long(), corrupted)
    return corrupted, labels

# %% exercise="mlm_corrupt" wrong="random_word_rounded"
"""Rounds word * vocab_size to the nearest whole number in place of cutting off."""
def mlm_corrupt(
    ids: Tensor,
    special: Tensor,
    choose: Tensor,
    change: Tensor,
    word: Tensor,
    mask_id: int,
    vocab_size: int,
    rate: float = 0.15,
) -> tuple[Tensor, Tensor]:
    chosen = (choose < rate) & ~special
    labels = torch.where(chosen, ids, -100)
    masked = chosen & (change < 0.8)
    random = chosen & (change >= 0.8) & (change < 0.9)
    corrupted = torch.where(masked, mask_id, ids)
    corrupted = torch.where(random, torch.round(word * vocab_size).long(), corrupted)
    return corrupted, labels

# %% exercise="mlm_corrupt" wrong="mask_never_a_random_word"
"""Where the random word would be [MASK], the position stays as it is."""
def mlm_corrupt(
    ids: Tensor,
    special: Tensor,
    choose: Tensor,
    change: Tensor,
    word: Tensor,
    mask_id: int,
    vocab_size: int,
    rate: float = 0.15,
) -> tuple[Tensor, Tensor]:
    chosen = (choose < rate) & ~special
    labels = torch.where(chosen, ids, -100)
    masked = chosen & (change < 0.8)
    random = chosen & (change >= 0.8) & (change < 0.9)
    corrupted = torch.where(masked, mask_id, ids)
    words = (word * vocab_size).long()
    corrupted = torch.where(random & (words != mask_id), words, corrupted)
    return corrupted, labels

# %% exercise="mlm_corrupt" wrong="rate_ignored"
"""Always chooses 15 %, whatever the rate is."""
def mlm_corrupt(
    ids: Tensor,
    special: Tensor,
    choose: Tensor,
    change: Tensor,
    word: Tensor,
    mask_id: int,
    vocab_size: int,
    rate: float = 0.15,
) -> tuple[Tensor, Tensor]:
    chosen = (choose < 0.15) & ~special
    labels = torch.where(chosen, ids, -100)
    masked = chosen & (change < 0.8)
    random = chosen & (change >= 0.8) & (change < 0.9)
    corrupted = torch.where(masked, mask_id, ids)
    corrupted = torch.where(random, (word * vocab_size).long(), corrupted)
    return corrupted, labels

# %% exercise="corruption_shares" wrong="shares_of_all_positions"
"""Divides by the number of all positions, chosen or not."""
def corruption_shares(corrupted: Tensor, labels: Tensor, mask_id: int) -> tuple[float, float, float]:
    chosen = labels != -100
    count = chosen.sum().item()
    size = labels.numel()
    masked = ((corrupted == mask_id) & chosen).sum().item()
    same = ((corrupted == labels) & chosen).sum().item()
    other = count - masked - same
    return masked / size, other / size, same / size

# %% exercise="corruption_shares" wrong="id_zero_is_never_chosen"
"""A chosen position whose word has the id 0 does not count."""
def corruption_shares(corrupted: Tensor, labels: Tensor, mask_id: int) -> tuple[float, float, float]:
    chosen = labels > 0
    count = chosen.sum().item()
    masked = ((corrupted == mask_id) & chosen).sum().item()
    same = ((corrupted == labels) & chosen).sum().item()
    other = count - masked - same
    return masked / count, other / count, same / count

# %% exercise="corruption_shares" wrong="every_mask_counts"
"""A [MASK] at a position that was not chosen counts as well."""
def corruption_shares(corrupted: Tensor, labels: Tensor, mask_id: int) -> tuple[float, float, float]:
    chosen = labels != -100
    count = chosen.sum().item()
    masked = (corrupted == mask_id).sum().item()
    same = ((corrupted == labels) & chosen).sum().item()
    other = count - masked - same
    return masked / count, other / count, same / count

# %% exercise="corruption_shares" wrong="mask_is_another_word"
"""The share of other words includes [MASK]."""
def corruption_shares(corrupted: Tensor, labels: Tensor, mask_id: int) -> tuple[float, float, float]:
    chosen = labels != -100
    count = chosen.sum().item()
    masked = ((corrupted == mask_id) & chosen).sum().item()
    same = ((corrupted == labels) & chosen).sum().item()
    other = count - same
    return masked / count, other / count, same / count

# %% exercise="corruption_shares" wrong="last_two_swapped"
"""Gives the unchanged share second and the share of other words third."""
def corruption_shares(corrupted: Tensor, labels: Tensor, mask_id: int) -> tuple[float, float, float]:
    chosen = labels != -100
    count = chosen.sum().item()
    masked = ((corrupted == mask_id) & chosen).sum().item()
    same = ((corrupted == labels) & chosen).sum().item()
    other = count - masked - same
    return masked / count, same / count, other / count

# %% exercise="corruption_shares" wrong="percent"
"""Gives percent, not shares."""
def corruption_shares(corrupted: Tensor, labels: Tensor, mask_id: int) -> tuple[float, float, float]:
    chosen = labels != -100
    count = chosen.sum().item()
    masked = ((corrupted == mask_id) & chosen).sum().item()
    same = ((corrupted == labels) & chosen).sum().item()
    other = count - masked - same
    return 100 * masked / count, 100 * other / count, 100 * same / count

# %% exercise="corruption_shares" wrong="rounded_to_percent"
"""The shares are rounded to two digits."""
def corruption_shares(corrupted: Tensor, labels: Tensor, mask_id: int) -> tuple[float, float, float]:
    chosen = labels != -100
    count = chosen.sum().item()
    masked = ((corrupted == mask_id) & chosen).sum().item()
    same = ((corrupted == labels) & chosen).sum().item()
    other = count - masked - same
    return round(masked / count, 2), round(other / count, 2), round(same / count, 2)

# %% exercise="corruption_shares" wrong="mean_of_the_rows"
"""Takes the shares of each row and averages them, so short rows count more."""
def corruption_shares(corrupted: Tensor, labels: Tensor, mask_id: int) -> tuple[float, float, float]:
    rows = []
    for read, asked in zip(corrupted, labels):
        chosen = asked != -100
        if chosen.any():
            read, asked = read[chosen], asked[chosen]
            masked, same = read == mask_id, read == asked
            rows.append([kind.double().mean().item() for kind in (masked, ~masked & ~same, same)])
    return tuple(sum(column) / len(rows) for column in zip(*rows))

# %% exercise="corruption_shares" wrong="shares_of_all_positions_too"
"""Divides by the number of all positions, chosen or not."""
def corruption_shares(corrupted: Tensor, labels: Tensor, mask_id: int) -> tuple[float, float, float]:
    chosen = labels != -100
    read, asked = corrupted[chosen], labels[chosen]
    n = labels.numel()
    masked = (read == mask_id).sum().item() / n
    same = (read == asked).sum().item() / n
    other = ((read != mask_id) & (read != asked)).sum().item() / n
    return masked, other, same

# %% exercise="corruption_shares" wrong="other_counts_unchanged_too"
"""Another word is everything that is not [MASK], unchanged words too."""
def corruption_shares(corrupted: Tensor, labels: Tensor, mask_id: int) -> tuple[float, float, float]:
    chosen = labels != -100
    read, asked = corrupted[chosen], labels[chosen]
    n = len(asked)
    masked = (read == mask_id).sum().item() / n
    same = (read == asked).sum().item() / n
    other = (read != mask_id).sum().item() / n
    return masked, other, same

# %% exercise="corruption_shares" wrong="masks_elsewhere_counted"
"""Counts [MASK] in the whole batch, also at positions that were not chosen."""
def corruption_shares(corrupted: Tensor, labels: Tensor, mask_id: int) -> tuple[float, float, float]:
    chosen = labels != -100
    read, asked = corrupted[chosen], labels[chosen]
    n = len(asked)
    masked = (corrupted == mask_id).sum().item() / n
    same = (read == asked).sum().item() / n
    other = ((read != mask_id) & (read != asked)).sum().item() / n
    return masked, other, same

# %% exercise="corruption_shares" wrong="token_zero_not_chosen"
"""Takes a position as chosen where its label is above 0, so the id 0 is never counted."""
def corruption_shares(corrupted: Tensor, labels: Tensor, mask_id: int) -> tuple[float, float, float]:
    chosen = labels > 0
    read, asked = corrupted[chosen], labels[chosen]
    n = len(asked)
    masked = (read == mask_id).sum().item() / n
    same = (read == asked).sum().item() / n
    other = ((read != mask_id) & (read != asked)).sum().item() / n
    return masked, other, same

# %% exercise="corruption_shares" wrong="mean_of_row_shares"
"""Takes the shares of each row and averages the rows, though they have different numbers of chosen positions."""
def corruption_shares(corrupted: Tensor, labels: Tensor, mask_id: int) -> tuple[float, float, float]:
    rows = []
    for read, asked in zip(corrupted, labels):
        chosen = asked != -100
        if chosen.any():
            read, asked = read[chosen], asked[chosen]
            masked, same = read == mask_id, read == asked
            rows.append(torch.stack([masked, ~masked & ~same, same]).double().mean(1))
    masked, other, same = torch.stack(rows).mean(0).tolist()
    return masked, other, same

# %% exercise="corruption_shares" wrong="unchanged_before_other"
"""Gives the share of unchanged positions second and that of other words third."""
def corruption_shares(corrupted: Tensor, labels: Tensor, mask_id: int) -> tuple[float, float, float]:
    chosen = labels != -100
    read, asked = corrupted[chosen], labels[chosen]
    n = len(asked)
    masked = (read == mask_id).sum().item() / n
    same = (read == asked).sum().item() / n
    other = ((read != mask_id) & (read != asked)).sum().item() / n
    return masked, same, other

# %% exercise="published_shares" wrong="masked_column"
"""The first column of the table, the share of [MASK], instead of the second one."""
published_shares = {
    "mask_then_half": 80, "mask_then_tenth": 80, "random_then_mask": 90, "random_then_rest": 81,
    "right": "mask_then_half",
}

# %% exercise="published_shares" wrong="unchanged_column"
"""The third column of the table, the unchanged share."""
published_shares = {
    "mask_then_half": 10, "mask_then_tenth": 18, "random_then_mask": 9, "random_then_rest": 9,
    "right": "mask_then_half",
}

# %% exercise="published_shares" wrong="shares_instead_of_percent"
"""Shares between 0 and 1, not percent."""
published_shares = {
    "mask_then_half": 0.10, "mask_then_tenth": 0.02, "random_then_mask": 0.01, "random_then_rest": 0.10,
    "right": "mask_then_half",
}

# %% exercise="published_shares" wrong="tenth_is_right"
"""Takes the number 0.1 in the code for the ten percent of the paper."""
published_shares = {
    "mask_then_half": 10, "mask_then_tenth": 2, "random_then_mask": 1, "random_then_rest": 10,
    "right": "mask_then_tenth",
}

# %% exercise="published_shares" wrong="rest_is_right"
"""Only the share of random words is looked at, so the form with 81 % masks is called right."""
published_shares = {
    "mask_then_half": 10, "mask_then_tenth": 2, "random_then_mask": 1, "random_then_rest": 10,
    "right": "random_then_rest",
}

# %% exercise="published_shares" wrong="comments_believed"
"""The numbers that the docstrings name, not those that were counted."""
published_shares = {
    "mask_then_half": 50, "mask_then_tenth": 10, "random_then_mask": 10, "random_then_rest": 10,
    "right": "mask_then_half",
}

# %% exercise="published_shares" wrong="overwritten_words_counted"
"""Counts the random words of random_then_mask before they are masked."""
published_shares = {
    "mask_then_half": 10, "mask_then_tenth": 2, "random_then_mask": 10, "random_then_rest": 10,
    "right": "mask_then_half",
}

# %% exercise="published_shares" wrong="two_right_ones"
"""Names two forms as right."""
published_shares = {
    "mask_then_half": 10, "mask_then_tenth": 2, "random_then_mask": 1, "random_then_rest": 10,
    "right": ["mask_then_half", "random_then_rest"],
}

# %% exercise="published_shares" wrong="right_is_the_function"
"""The right form is the function itself, not its name."""
published_shares = {
    "mask_then_half": 10, "mask_then_tenth": 2, "random_then_mask": 1, "random_then_rest": 10,
    "right": mask_then_half,
}

# %% exercise="published_shares" wrong="half_of_all"
"""Believes the number in the code: half of all chosen positions get a random word."""
published_shares = {
    "mask_then_half": 50, "mask_then_tenth": 2, "random_then_mask": 1, "random_then_rest": 10,
    "right": "mask_then_half",
}

# %% exercise="published_shares" wrong="tenth_is_right_too"
"""Takes the TensorFlow form for the right one, with 10 % random words."""
published_shares = {
    "mask_then_half": 10, "mask_then_tenth": 10, "random_then_mask": 1, "random_then_rest": 10,
    "right": "mask_then_half",
}

# %% exercise="published_shares" wrong="tenth_form_called_right"
"""All four numbers are right, but the second form is named as the paper's."""
published_shares = dict(mask_then_half=10, mask_then_tenth=2, random_then_mask=1, random_then_rest=10)
published_shares["right"] = "mask_then_tenth"

# %% exercise="repaired_corrupt" wrong="first_repair_only"
"""Asks only the others, but still masks 90 % of them: 81, 10 and 9 percent."""
def repaired_corrupt(
    ids: Tensor, chosen: Tensor, random_draw: Tensor, mask_draw: Tensor, words: Tensor, mask_id: int
) -> tuple[Tensor, Tensor]:
    labels = torch.where(chosen, ids, -100)
    corrupted = ids.clone()
    random = chosen & (random_draw < 0.1)
    corrupted[random] = words[random]
    masked = chosen & ~random & (mask_draw < 0.9)
    corrupted[masked] = mask_id
    return corrupted, labels

# %% exercise="repaired_corrupt" wrong="eighty_percent_of_the_rest"
"""Masks 80 % of what is left, 72 % of the chosen."""
def repaired_corrupt(
    ids: Tensor, chosen: Tensor, random_draw: Tensor, mask_draw: Tensor, words: Tensor, mask_id: int
) -> tuple[Tensor, Tensor]:
    labels = torch.where(chosen, ids, -100)
    corrupted = ids.clone()
    random = chosen & (random_draw < 0.1)
    corrupted[random] = words[random]
    masked = chosen & ~random & (mask_draw < 0.8)
    corrupted[masked] = mask_id
    return corrupted, labels

# %% exercise="repaired_corrupt" wrong="random_words_are_masked_again"
"""A position that has its random word can still become [MASK]."""
def repaired_corrupt(
    ids: Tensor, chosen: Tensor, random_draw: Tensor, mask_draw: Tensor, words: Tensor, mask_id: int
) -> tuple[Tensor, Tensor]:
    labels = torch.where(chosen, ids, -100)
    corrupted = ids.clone()
    random = chosen & (random_draw < 0.1)
    corrupted[random] = words[random]
    masked = chosen & (mask_draw < 8 / 9)
    corrupted[masked] = mask_id
    return corrupted, labels

# %% exercise="repaired_corrupt" wrong="threshold_of_two_digits"
"""The threshold is rounded to 0.89."""
def repaired_corrupt(
    ids: Tensor, chosen: Tensor, random_draw: Tensor, mask_draw: Tensor, words: Tensor, mask_id: int
) -> tuple[Tensor, Tensor]:
    labels = torch.where(chosen, ids, -100)
    corrupted = ids.clone()
    random = chosen & (random_draw < 0.1)
    corrupted[random] = words[random]
    masked = chosen & ~random & (mask_draw < 0.89)
    corrupted[masked] = mask_id
    return corrupted, labels

# %% exercise="repaired_corrupt" wrong="overwrites_the_ids"
"""The caller's ids are corrupted in place."""
def repaired_corrupt(
    ids: Tensor, chosen: Tensor, random_draw: Tensor, mask_draw: Tensor, words: Tensor, mask_id: int
) -> tuple[Tensor, Tensor]:
    labels = torch.where(chosen, ids, -100)
    corrupted = ids
    random = chosen & (random_draw < 0.1)
    corrupted[random] = words[random]
    masked = chosen & ~random & (mask_draw < 8 / 9)
    corrupted[masked] = mask_id
    return corrupted, labels

# %% exercise="repaired_corrupt" wrong="random_words_anywhere"
"""Random words also come to positions that were not chosen."""
def repaired_corrupt(
    ids: Tensor, chosen: Tensor, random_draw: Tensor, mask_draw: Tensor, words: Tensor, mask_id: int
) -> tuple[Tensor, Tensor]:
    labels = torch.where(chosen, ids, -100)
    corrupted = ids.clone()
    random = (random_draw < 0.1)
    corrupted[random] = words[random]
    masked = chosen & ~random & (mask_draw < 8 / 9)
    corrupted[masked] = mask_id
    return corrupted, labels

# %% exercise="repaired_corrupt" wrong="masks_anywhere"
"""Positions that were not chosen can become [MASK]."""
def repaired_corrupt(
    ids: Tensor, chosen: Tensor, random_draw: Tensor, mask_draw: Tensor, words: Tensor, mask_id: int
) -> tuple[Tensor, Tensor]:
    labels = torch.where(chosen, ids, -100)
    corrupted = ids.clone()
    random = chosen & (random_draw < 0.1)
    corrupted[random] = words[random]
    masked = ~random & (mask_draw < 8 / 9)
    corrupted[masked] = mask_id
    return corrupted, labels

# %% exercise="repaired_corrupt" wrong="random_word_like_the_original_is_masked"
"""Tells random positions by a changed word, so one whose random word is the original can become [MASK]."""
def repaired_corrupt(
    ids: Tensor, chosen: Tensor, random_draw: Tensor, mask_draw: Tensor, words: Tensor, mask_id: int
) -> tuple[Tensor, Tensor]:
    labels = torch.where(chosen, ids, -100)
    corrupted = ids.clone()
    random = chosen & (random_draw < 0.1)
    corrupted[random] = words[random]
    masked = chosen & (corrupted == ids) & (mask_draw < 8 / 9)
    corrupted[masked] = mask_id
    return corrupted, labels

# %% exercise="repaired_corrupt" wrong="labels_at_changed_positions"
"""Only positions whose word has changed have a label."""
def repaired_corrupt(
    ids: Tensor, chosen: Tensor, random_draw: Tensor, mask_draw: Tensor, words: Tensor, mask_id: int
) -> tuple[Tensor, Tensor]:
    corrupted = ids.clone()
    random = chosen & (random_draw < 0.1)
    corrupted[random] = words[random]
    masked = chosen & ~random & (mask_draw < 8 / 9)
    corrupted[masked] = mask_id
    labels = torch.where(corrupted != ids, ids, -100)
    return corrupted, labels

# %% exercise="repaired_corrupt" wrong="labels_after_the_corruption"
"""Labels are taken from the corrupted ids."""
def repaired_corrupt(
    ids: Tensor, chosen: Tensor, random_draw: Tensor, mask_draw: Tensor, words: Tensor, mask_id: int
) -> tuple[Tensor, Tensor]:
    corrupted = ids.clone()
    random = chosen & (random_draw < 0.1)
    corrupted[random] = words[random]
    masked = chosen & ~random & (mask_draw < 8 / 9)
    corrupted[masked] = mask_id
    labels = torch.where(chosen, corrupted, -100)
    return corrupted, labels

# %% exercise="repaired_corrupt" wrong="mask_draw_decides_first"
"""Right shares, but masks first and then gives half of the rest a random word: not the order that is asked."""
def repaired_corrupt(
    ids: Tensor, chosen: Tensor, random_draw: Tensor, mask_draw: Tensor, words: Tensor, mask_id: int
) -> tuple[Tensor, Tensor]:
    masked = chosen & (mask_draw < 0.8)
    random = chosen & ~masked & (random_draw < 0.5)
    corrupted = torch.where(masked, mask_id, ids)
    corrupted = torch.where(random, words, corrupted)
    return corrupted, torch.where(chosen, ids, -100)

# %% exercise="repaired_corrupt" wrong="draw_of_a_tenth_is_random"
"""A random draw of exactly 0.1 already gives a random word."""
def repaired_corrupt(
    ids: Tensor, chosen: Tensor, random_draw: Tensor, mask_draw: Tensor, words: Tensor, mask_id: int
) -> tuple[Tensor, Tensor]:
    labels = torch.where(chosen, ids, -100)
    corrupted = ids.clone()
    random = chosen & (random_draw <= 0.1)
    corrupted[random] = words[random]
    masked = chosen & ~random & (mask_draw < 8 / 9)
    corrupted[masked] = mask_id
    return corrupted, labels

# %% exercise="repaired_corrupt" wrong="same_word_asked_again"
"""A random word that happens to be the original one can still become [MASK]."""
def repaired_corrupt(
    ids: Tensor, chosen: Tensor, random_draw: Tensor, mask_draw: Tensor, words: Tensor, mask_id: int
) -> tuple[Tensor, Tensor]:
    labels = torch.where(chosen, ids, -100)
    corrupted = ids.clone()
    random = chosen & (random_draw < 0.1) & (words != ids)
    corrupted[random] = words[random]
    masked = chosen & ~random & (mask_draw < 8 / 9)
    corrupted[masked] = mask_id
    return corrupted, labels

# %% exercise="repaired_corrupt" wrong="words_overwritten"
"""Builds the result inside the caller's tensor of random words."""
def repaired_corrupt(
    ids: Tensor, chosen: Tensor, random_draw: Tensor, mask_draw: Tensor, words: Tensor, mask_id: int
) -> tuple[Tensor, Tensor]:
    labels = ids.masked_fill(~chosen, -100)
    random = chosen & (random_draw < 0.1)
    masked = chosen & ~random & (mask_draw < 8 / 9)
    corrupted = words
    corrupted[~random] = ids[~random]
    corrupted[masked] = mask_id
    return corrupted, labels

# %% exercise="repaired_corrupt" wrong="labels_only_where_changed"
"""Chosen positions that keep their word have the label -100."""
def repaired_corrupt(
    ids: Tensor, chosen: Tensor, random_draw: Tensor, mask_draw: Tensor, words: Tensor, mask_id: int
) -> tuple[Tensor, Tensor]:
    labels = torch.where(chosen, ids, -100)
    corrupted = ids.clone()
    random = chosen & (random_draw < 0.1)
    corrupted[random] = words[random]
    masked = chosen & ~random & (mask_draw < 8 / 9)
    corrupted[masked] = mask_id
    labels = torch.where(corrupted == ids, -100, labels)
    return corrupted, labels

# %% exercise="next_sentence_pairs" wrong="same_document_among_the_negatives"
"""The second sentence of a wrong pair can come from the same document."""
def next_sentence_pairs(documents: list[list[str]], draws: Tensor) -> list[tuple[str, str, int]]:
    if len(documents) < 2:
        raise ValueError("a negative needs another document")
    pairs = []
    for i, document in enumerate(documents):
        others = documents
        for j in range(len(document) - 1):
            first = document[j]
            coin, which, place = draws[len(pairs)].tolist()
            if coin < 0.5:
                pairs.append((first, document[j + 1], 0))
            else:
                other = others[int(which * len(others))]
                pairs.append((first, other[int(place * len(other))], 1))
    return pairs

# %% exercise="next_sentence_pairs" wrong="documents_compared_by_text"
"""Documents of equal text are all left out, not only that of the sentence."""
def next_sentence_pairs(documents: list[list[str]], draws: Tensor) -> list[tuple[str, str, int]]:
    if len(documents) < 2:
        raise ValueError("a negative needs another document")
    pairs = []
    for i, document in enumerate(documents):
        others = [other for other in documents if other != document]
        for j in range(len(document) - 1):
            first = document[j]
            coin, which, place = draws[len(pairs)].tolist()
            if coin < 0.5:
                pairs.append((first, document[j + 1], 0))
            else:
                other = others[int(which * len(others))]
                pairs.append((first, other[int(place * len(other))], 1))
    return pairs

# %% exercise="next_sentence_pairs" wrong="place_of_the_first_equal_document"
"""Finds the document by its text, so of two equal ones the first is left out."""
def next_sentence_pairs(documents: list[list[str]], draws: Tensor) -> list[tuple[str, str, int]]:
    if len(documents) < 2:
        raise ValueError("a negative needs another document")
    pairs = []
    for i, document in enumerate(documents):
        at = documents.index(document)
        others = documents[:at] + documents[at + 1 :]
        for j in range(len(document) - 1):
            first = document[j]
            coin, which, place = draws[len(pairs)].tolist()
            if coin < 0.5:
                pairs.append((first, document[j + 1], 0))
            else:
                other = others[int(which * len(others))]
                pairs.append((first, other[int(place * len(other))], 1))
    return pairs

# %% exercise="next_sentence_pairs" wrong="sentence_behind_its_first_copy"
"""A repeated sentence gets the sentence behind its first occurrence."""
def next_sentence_pairs(documents: list[list[str]], draws: Tensor) -> list[tuple[str, str, int]]:
    if len(documents) < 2:
        raise ValueError("a negative needs another document")
    pairs = []
    for i, document in enumerate(documents):
        others = documents[:i] + documents[i + 1 :]
        for j in range(len(document) - 1):
            first = document[j]
            coin, which, place = draws[len(pairs)].tolist()
            if coin < 0.5:
                pairs.append((first, document[document.index(first) + 1], 0))
            else:
                other = others[int(which * len(others))]
                pairs.append((first, other[int(place * len(other))], 1))
    return pairs

# %% exercise="next_sentence_pairs" wrong="labels_swapped"
"""1 means that the sentence follows, 0 that it is random."""
def next_sentence_pairs(documents: list[list[str]], draws: Tensor) -> list[tuple[str, str, int]]:
    if len(documents) < 2:
        raise ValueError("a negative needs another document")
    pairs = []
    for i, document in enumerate(documents):
        others = documents[:i] + documents[i + 1 :]
        for j in range(len(document) - 1):
            first = document[j]
            coin, which, place = draws[len(pairs)].tolist()
            if coin < 0.5:
                pairs.append((first, document[j + 1], 1))
            else:
                other = others[int(which * len(others))]
                pairs.append((first, other[int(place * len(other))], 0))
    return pairs

# %% exercise="next_sentence_pairs" wrong="half_itself_is_a_positive"
"""A draw of exactly 0.5 gives a true pair."""
def next_sentence_pairs(documents: list[list[str]], draws: Tensor) -> list[tuple[str, str, int]]:
    if len(documents) < 2:
        raise ValueError("a negative needs another document")
    pairs = []
    for i, document in enumerate(documents):
        others = documents[:i] + documents[i + 1 :]
        for j in range(len(document) - 1):
            first = document[j]
            coin, which, place = draws[len(pairs)].tolist()
            if coin <= 0.5:
                pairs.append((first, document[j + 1], 0))
            else:
                other = others[int(which * len(others))]
                pairs.append((first, other[int(place * len(other))], 1))
    return pairs

# %% exercise="next_sentence_pairs" wrong="one_document_is_accepted"
"""No ValueError for fewer than two documents."""
def next_sentence_pairs(documents: list[list[str]], draws: Tensor) -> list[tuple[str, str, int]]:
    pairs = []
    for i, document in enumerate(documents):
        others = documents[:i] + documents[i + 1 :]
        for j in range(len(document) - 1):
            first = document[j]
            coin, which, place = draws[len(pairs)].tolist()
            if coin < 0.5:
                pairs.append((first, document[j + 1], 0))
            else:
                other = others[int(which * len(others))]
                pairs.append((first, other[int(place * len(other))], 1))
    return pairs

# %% exercise="next_sentence_pairs" wrong="only_long_documents_give_negatives"
"""Documents of one sentence are no source of negatives."""
def next_sentence_pairs(documents: list[list[str]], draws: Tensor) -> list[tuple[str, str, int]]:
    if len(documents) < 2:
        raise ValueError("a negative needs another document")
    pairs = []
    for i, document in enumerate(documents):
        others = [other for k, other in enumerate(documents) if k != i and len(other) > 1]
        others = others or documents[:i] + documents[i + 1 :]
        for j in range(len(document) - 1):
            first = document[j]
            coin, which, place = draws[len(pairs)].tolist()
            if coin < 0.5:
                pairs.append((first, document[j + 1], 0))
            else:
                other = others[int(which * len(others))]
                pairs.append((first, other[int(place * len(other))], 1))
    return pairs

# %% exercise="next_sentence_pairs" wrong="pairs_do_not_overlap"
"""Sentences are taken two by two, so half of the pairs are missing."""
def next_sentence_pairs(documents: list[list[str]], draws: Tensor) -> list[tuple[str, str, int]]:
    if len(documents) < 2:
        raise ValueError("a negative needs another document")
    pairs = []
    for i, document in enumerate(documents):
        others = documents[:i] + documents[i + 1 :]
        for j in range(0, len(document) - 1, 2):
            first = document[j]
            coin, which, place = draws[len(pairs)].tolist()
            if coin < 0.5:
                pairs.append((first, document[j + 1], 0))
            else:
                other = others[int(which * len(others))]
                pairs.append((first, other[int(place * len(other))], 1))
    return pairs

# %% exercise="next_sentence_pairs" wrong="draws_are_rounded"
"""A draw is rounded to the nearest number, and cut at the last one."""
def next_sentence_pairs(documents: list[list[str]], draws: Tensor) -> list[tuple[str, str, int]]:
    if len(documents) < 2:
        raise ValueError("a negative needs another document")
    pairs = []
    for i, document in enumerate(documents):
        others = documents[:i] + documents[i + 1 :]
        for j in range(len(document) - 1):
            first = document[j]
            coin, which, place = draws[len(pairs)].tolist()
            if coin < 0.5:
                pairs.append((first, document[j + 1], 0))
            else:
                other = others[min(round(which * len(others)), len(others) - 1)]
                pairs.append((first, other[min(round(place * len(other)), len(other) - 1)], 1))
    return pairs

# %% exercise="next_sentence_pairs" wrong="one_draw_for_document_and_sentence"
"""The sentence is picked with the draw of the document."""
def next_sentence_pairs(documents: list[list[str]], draws: Tensor) -> list[tuple[str, str, int]]:
    if len(documents) < 2:
        raise ValueError("a negative needs another document")
    pairs = []
    for i, document in enumerate(documents):
        others = documents[:i] + documents[i + 1 :]
        for j in range(len(document) - 1):
            first = document[j]
            coin, which, place = draws[len(pairs)].tolist()
            if coin < 0.5:
                pairs.append((first, document[j + 1], 0))
            else:
                other = others[int(which * len(others))]
                pairs.append((first, other[int(which * len(other))], 1))
    return pairs

# %% exercise="next_sentence_pairs" wrong="draws_counted_by_sentences"
"""Rows of draws are counted by sentences, also by last ones, which have no pair."""
def next_sentence_pairs(documents: list[list[str]], draws: Tensor) -> list[tuple[str, str, int]]:
    if len(documents) < 2:
        raise ValueError("a negative needs another document")
    pairs, row = [], 0
    for i, document in enumerate(documents):
        others = documents[:i] + documents[i + 1 :]
        for j, first in enumerate(document):
            coin, which, place = draws[row].tolist()
            row += 1
            if j + 1 == len(document):
                continue
            if coin < 0.5:
                pairs.append((first, document[j + 1], 0))
            else:
                other = others[int(which * len(others))]
                pairs.append((first, other[int(place * len(other))], 1))
    return pairs

# %% exercise="next_sentence_pairs" wrong="sentences_pooled"
"""Picks among all sentences of the other documents at once, so long documents come more often."""
def next_sentence_pairs(documents: list[list[str]], draws: Tensor) -> list[tuple[str, str, int]]:
    if len(documents) < 2:
        raise ValueError("a negative needs another document")
    pairs = []
    for i, document in enumerate(documents):
        pool = [sentence for k, other in enumerate(documents) if k != i for sentence in other]
        for first, following in zip(document, document[1:]):
            coin, _, place = draws[len(pairs)].tolist()
            if coin < 0.5:
                pairs.append((first, following, 0))
            else:
                pairs.append((first, pool[int(place * len(pool))], 1))
    return pairs

# %% exercise="next_sentence_pairs" wrong="one_means_follows"
"""Uses the other convention: 1 where the second sentence follows."""
def next_sentence_pairs(documents: list[list[str]], draws: Tensor) -> list[tuple[str, str, int]]:
    if len(documents) < 2:
        raise ValueError("a negative needs a second document")
    pairs = []
    for i, document in enumerate(documents):
        others = documents[:i] + documents[i + 1 :]
        for j in range(len(document) - 1):
            coin, which, where = draws[len(pairs)].tolist()
            if coin < 0.5:
                pairs.append((document[j], document[j + 1], 1))
            else:
                other = others[math.floor(which * len(others))]
                pairs.append((document[j], other[math.floor(where * len(other))], 0))
    return pairs

# %% exercise="next_sentence_pairs" wrong="equal_documents_left_out"
"""Finds the other documents by comparing texts, so a second document with the same text is no candidate."""
def next_sentence_pairs(documents: list[list[str]], draws: Tensor) -> list[tuple[str, str, int]]:
    if len(documents) < 2:
        raise ValueError("a negative needs a second document")
    pairs = []
    for i, document in enumerate(documents):
        others = [other for other in documents if other != document] or [document]
        for j in range(len(document) - 1):
            coin, which, where = draws[len(pairs)].tolist()
            if coin < 0.5:
                pairs.append((document[j], document[j + 1], 0))
            else:
                other = others[math.floor(which * len(others))]
                pairs.append((document[j], other[math.floor(where * len(other))], 1))
    return pairs

# %% exercise="next_sentence_pairs" wrong="next_by_first_occurrence"
"""Looks up where a sentence stands by its text: a repeated one gets the successor of the first occurrence."""
def next_sentence_pairs(documents: list[list[str]], draws: Tensor) -> list[tuple[str, str, int]]:
    if len(documents) < 2:
        raise ValueError("two or more documents are needed")
    pairs, row = [], 0
    for number, document in enumerate(documents):
        others = [other for n, other in enumerate(documents) if n != number]
        for first in document[:-1]:
            u = draws[row].tolist()
            row += 1
            if u[0] < 0.5:
                pairs.append((first, document[document.index(first) + 1], 0))
            else:
                other = others[int(u[1] * len(others))]
                pairs.append((first, other[int(u[2] * len(other))], 1))
    return pairs

# %% exercise="next_sentence_pairs" wrong="same_document_can_be_drawn"
"""Draws from all documents, that of the first sentence among them."""
def next_sentence_pairs(documents: list[list[str]], draws: Tensor) -> list[tuple[str, str, int]]:
    if len(documents) < 2:
        raise ValueError("a negative needs a second document")
    pairs = []
    for i, document in enumerate(documents):
        others = documents
        for j in range(len(document) - 1):
            coin, which, where = draws[len(pairs)].tolist()
            if coin < 0.5:
                pairs.append((document[j], document[j + 1], 0))
            else:
                other = others[math.floor(which * len(others))]
                pairs.append((document[j], other[math.floor(where * len(other))], 1))
    return pairs

# %% exercise="next_sentence_pairs" wrong="pool_of_sentences"
"""Draws the negative from all other sentences at once, so long documents are picked more often."""
def next_sentence_pairs(documents: list[list[str]], draws: Tensor) -> list[tuple[str, str, int]]:
    if len(documents) < 2:
        raise ValueError("two or more documents are needed")
    pairs = []
    for i, document in enumerate(documents):
        pool = [sentence for j, other in enumerate(documents) if j != i for sentence in other]
        for first, following in zip(document, document[1:]):
            u = draws[len(pairs)]
            if u[0] < 0.5:
                pairs.append((first, following, 0))
            else:
                pairs.append((first, pool[int(u[1].item() * len(pool))], 1))
    return pairs

# %% exercise="next_sentence_pairs" wrong="row_for_every_sentence"
"""The row of draws counts all sentences, also the last one of each document."""
def next_sentence_pairs(documents: list[list[str]], draws: Tensor) -> list[tuple[str, str, int]]:
    if len(documents) < 2:
        raise ValueError("two or more documents are needed")
    pairs, row = [], 0
    for i, document in enumerate(documents):
        others = documents[:i] + documents[i + 1 :]
        for j, first in enumerate(document):
            coin, which, where = draws[min(row, len(draws) - 1)].tolist()
            row += 1
            if j + 1 == len(document):
                continue
            if coin < 0.5:
                pairs.append((first, document[j + 1], 0))
            else:
                other = others[int(which * len(others))]
                pairs.append((first, other[int(where * len(other))], 1))
    return pairs

# %% exercise="next_sentence_pairs" wrong="half_still_follows"
"""A first draw of exactly 0.5 gives the true next sentence."""
def next_sentence_pairs(documents: list[list[str]], draws: Tensor) -> list[tuple[str, str, int]]:
    if len(documents) < 2:
        raise ValueError("a negative needs a second document")
    pairs = []
    for i, document in enumerate(documents):
        others = documents[:i] + documents[i + 1 :]
        for j in range(len(document) - 1):
            coin, which, where = draws[len(pairs)].tolist()
            if coin <= 0.5:
                pairs.append((document[j], document[j + 1], 0))
            else:
                other = others[math.floor(which * len(others))]
                pairs.append((document[j], other[math.floor(where * len(other))], 1))
    return pairs

# %% exercise="next_sentence_pairs" wrong="one_document_accepted"
"""A single document raises no ValueError as long as no negative is drawn."""
def next_sentence_pairs(documents: list[list[str]], draws: Tensor) -> list[tuple[str, str, int]]:
    if not documents:
        raise ValueError("no documents")
    pairs = []
    for i, document in enumerate(documents):
        others = documents[:i] + documents[i + 1 :] or documents
        for first, following in zip(document, document[1:]):
            coin, which, where = draws[len(pairs)].tolist()
            if coin < 0.5:
                pairs.append((first, following, 0))
                continue
            other = others[int(which * len(others))]
            pairs.append((first, other[int(where * len(other))], 1))
    return pairs

# %% exercise="next_sentence_pairs" wrong="draws_in_float32"
"""Rounds the draws to float32: a draw just below 0.5 becomes a negative, one just below 1 runs over the end."""
def next_sentence_pairs(documents: list[list[str]], draws: Tensor) -> list[tuple[str, str, int]]:
    if len(documents) < 2:
        raise ValueError("a negative needs a second document")
    pairs, draws = [], draws.float()
    for i, document in enumerate(documents):
        others = documents[:i] + documents[i + 1 :]
        for j in range(len(document) - 1):
            coin, which, where = draws[len(pairs)].tolist()
            if coin < 0.5:
                pairs.append((document[j], document[j + 1], 0))
            else:
                other = others[math.floor(which * len(others))]
                pairs.append((document[j], other[math.floor(where * len(other))], 1))
    return pairs

# %% exercise="next_sentence_pairs" wrong="short_documents_thrown_out"
"""Documents of one sentence are removed first, so no negative comes from them."""
def next_sentence_pairs(documents: list[list[str]], draws: Tensor) -> list[tuple[str, str, int]]:
    if len(documents) < 2:
        raise ValueError("two or more documents are needed")
    long = [document for document in documents if len(document) > 1]
    pairs = []
    for i, document in enumerate(long):
        others = long[:i] + long[i + 1 :] or documents
        for j in range(len(document) - 1):
            coin, which, where = draws[len(pairs)].tolist()
            if coin < 0.5:
                pairs.append((document[j], document[j + 1], 0))
            else:
                other = others[int(which * len(others))]
                pairs.append((document[j], other[int(where * len(other))], 1))
    return pairs

# %% exercise="next_sentence_pairs" wrong="others_from_the_next_one_on"
"""Counts the other documents from the one behind, round the end, not in their order."""
def next_sentence_pairs(documents: list[list[str]], draws: Tensor) -> list[tuple[str, str, int]]:
    if len(documents) < 2:
        raise ValueError("a negative needs a second document")
    pairs = []
    for i, document in enumerate(documents):
        others = documents[i + 1 :] + documents[:i]
        for j in range(len(document) - 1):
            coin, which, where = draws[len(pairs)].tolist()
            if coin < 0.5:
                pairs.append((document[j], document[j + 1], 0))
            else:
                other = others[math.floor(which * len(others))]
                pairs.append((document[j], other[math.floor(where * len(other))], 1))
    return pairs

# %% exercise="BertEncoder" wrong="eps_of_torch"
"""All norms have torch's eps, 1e-5."""
class BertLayer(nn.Module):
    def __init__(self, width, heads, hidden):
        super().__init__()
        self.attention = MultiHeadAttention(width, heads)
        self.norm1 = nn.LayerNorm(width)
        self.feed_forward = nn.ModuleDict({"up": nn.Linear(width, hidden), "down": nn.Linear(hidden, width)})
        self.norm2 = nn.LayerNorm(width)

    def forward(self, x, mask):
        out, weights = self.attention(x, mask)
        x = self.norm1(x + out)
        inner = nn.functional.gelu(self.feed_forward["up"](x))
        return self.norm2(x + self.feed_forward["down"](inner)), weights


class BertEncoder(nn.Module):
    def __init__(
        self,
        vocab_size: int,
        width: int,
        heads: int,
        layers: int,
        hidden: int,
        max_length: int = 512,
        segments: int = 2,
    ):
        super().__init__()
        self.max_length = max_length
        self.token_embedding = nn.Embedding(vocab_size, width)
        self.position_embedding = nn.Embedding(max_length, width)
        self.segment_embedding = nn.Embedding(segments, width)
        self.embedding_norm = nn.LayerNorm(width)
        self.encoder = nn.ModuleList(BertLayer(width, heads, hidden) for _ in range(layers))

    def inspect(
        self, ids: Tensor, keep: Tensor | None = None, segments: Tensor | None = None
    ) -> tuple[list[Tensor], list[Tensor]]:
        if ids.shape[1] > self.max_length:
            raise ValueError("the sequence is longer than the table of positions")
        positions = torch.arange(ids.shape[1], device=ids.device)
        if segments is None:
            segments = torch.zeros_like(ids)
        x = self.token_embedding(ids) + self.position_embedding(positions) + self.segment_embedding(segments)
        x = self.embedding_norm(x)
        mask = None if keep is None else keep[:, None, None, :]
        states, weights = [x], []
        for layer in self.encoder:
            x, looks = layer(x, mask)
            states.append(x)
            weights.append(looks)
        return states, weights

    def forward(self, ids: Tensor, keep: Tensor | None = None, segments: Tensor | None = None) -> Tensor:
        return self.inspect(ids, keep, segments)[0][-1]

# %% exercise="BertEncoder" wrong="eps_of_torch_behind_the_embeddings"
"""The norm behind the embeddings has torch's eps, the others have 1e-12."""
class BertLayer(nn.Module):
    def __init__(self, width, heads, hidden):
        super().__init__()
        self.attention = MultiHeadAttention(width, heads)
        self.norm1 = nn.LayerNorm(width, eps=1e-12)
        self.feed_forward = nn.ModuleDict({"up": nn.Linear(width, hidden), "down": nn.Linear(hidden, width)})
        self.norm2 = nn.LayerNorm(width, eps=1e-12)

    def forward(self, x, mask):
        out, weights = self.attention(x, mask)
        x = self.norm1(x + out)
        inner = nn.functional.gelu(self.feed_forward["up"](x))
        return self.norm2(x + self.feed_forward["down"](inner)), weights


class BertEncoder(nn.Module):
    def __init__(
        self,
        vocab_size: int,
        width: int,
        heads: int,
        layers: int,
        hidden: int,
        max_length: int = 512,
        segments: int = 2,
    ):
        super().__init__()
        self.max_length = max_length
        self.token_embedding = nn.Embedding(vocab_size, width)
        self.position_embedding = nn.Embedding(max_length, width)
        self.segment_embedding = nn.Embedding(segments, width)
        self.embedding_norm = nn.LayerNorm(width)
        self.encoder = nn.ModuleList(BertLayer(width, heads, hidden) for _ in range(layers))

    def inspect(
        self, ids: Tensor, keep: Tensor | None = None, segments: Tensor | None = None
    ) -> tuple[list[Tensor], list[Tensor]]:
        if ids.shape[1] > self.max_length:
            raise ValueError("the sequence is longer than the table of positions")
        positions = torch.arange(ids.shape[1], device=ids.device)
        if segments is None:
            segments = torch.zeros_like(ids)
        x = self.token_embedding(ids) + self.position_embedding(positions) + self.segment_embedding(segments)
        x = self.embedding_norm(x)
        mask = None if keep is None else keep[:, None, None, :]
        states, weights = [x], []
        for layer in self.encoder:
            x, looks = layer(x, mask)
            states.append(x)
            weights.append(looks)
        return states, weights

    def forward(self, ids: Tensor, keep: Tensor | None = None, segments: Tensor | None = None) -> Tensor:
        return self.inspect(ids, keep, segments)[0][-1]

# %% exercise="BertEncoder" wrong="gelu_of_gpt"
"""The tanh form of GELU."""
class BertLayer(nn.Module):
    def __init__(self, width, heads, hidden):
        super().__init__()
        self.attention = MultiHeadAttention(width, heads)
        self.norm1 = nn.LayerNorm(width, eps=1e-12)
        self.feed_forward = nn.ModuleDict({"up": nn.Linear(width, hidden), "down": nn.Linear(hidden, width)})
        self.norm2 = nn.LayerNorm(width, eps=1e-12)

    def forward(self, x, mask):
        out, weights = self.attention(x, mask)
        x = self.norm1(x + out)
        inner = nn.functional.gelu(self.feed_forward["up"](x), approximate="tanh")
        return self.norm2(x + self.feed_forward["down"](inner)), weights


class BertEncoder(nn.Module):
    def __init__(
        self,
        vocab_size: int,
        width: int,
        heads: int,
        layers: int,
        hidden: int,
        max_length: int = 512,
        segments: int = 2,
    ):
        super().__init__()
        self.max_length = max_length
        self.token_embedding = nn.Embedding(vocab_size, width)
        self.position_embedding = nn.Embedding(max_length, width)
        self.segment_embedding = nn.Embedding(segments, width)
        self.embedding_norm = nn.LayerNorm(width, eps=1e-12)
        self.encoder = nn.ModuleList(BertLayer(width, heads, hidden) for _ in range(layers))

    def inspect(
        self, ids: Tensor, keep: Tensor | None = None, segments: Tensor | None = None
    ) -> tuple[list[Tensor], list[Tensor]]:
        if ids.shape[1] > self.max_length:
            raise ValueError("the sequence is longer than the table of positions")
        positions = torch.arange(ids.shape[1], device=ids.device)
        if segments is None:
            segments = torch.zeros_like(ids)
        x = self.token_embedding(ids) + self.position_embedding(positions) + self.segment_embedding(segments)
        x = self.embedding_norm(x)
        mask = None if keep is None else keep[:, None, None, :]
        states, weights = [x], []
        for layer in self.encoder:
            x, looks = layer(x, mask)
            states.append(x)
            weights.append(looks)
        return states, weights

    def forward(self, ids: Tensor, keep: Tensor | None = None, segments: Tensor | None = None) -> Tensor:
        return self.inspect(ids, keep, segments)[0][-1]

# %% exercise="BertEncoder" wrong="relu_of_2017"
"""ReLU as in the Transformer of 2017."""
class BertLayer(nn.Module):
    def __init__(self, width, heads, hidden):
        super().__init__()
        self.attention = MultiHeadAttention(width, heads)
        self.norm1 = nn.LayerNorm(width, eps=1e-12)
        self.feed_forward = nn.ModuleDict({"up": nn.Linear(width, hidden), "down": nn.Linear(hidden, width)})
        self.norm2 = nn.LayerNorm(width, eps=1e-12)

    def forward(self, x, mask):
        out, weights = self.attention(x, mask)
        x = self.norm1(x + out)
        inner = nn.functional.relu(self.feed_forward["up"](x))
        return self.norm2(x + self.feed_forward["down"](inner)), weights


class BertEncoder(nn.Module):
    def __init__(
        self,
        vocab_size: int,
        width: int,
        heads: int,
        layers: int,
        hidden: int,
        max_length: int = 512,
        segments: int = 2,
    ):
        super().__init__()
        self.max_length = max_length
        self.token_embedding = nn.Embedding(vocab_size, width)
        self.position_embedding = nn.Embedding(max_length, width)
        self.segment_embedding = nn.Embedding(segments, width)
        self.embedding_norm = nn.LayerNorm(width, eps=1e-12)
        self.encoder = nn.ModuleList(BertLayer(width, heads, hidden) for _ in range(layers))

    def inspect(
        self, ids: Tensor, keep: Tensor | None = None, segments: Tensor | None = None
    ) -> tuple[list[Tensor], list[Tensor]]:
        if ids.shape[1] > self.max_length:
            raise ValueError("the sequence is longer than the table of positions")
        positions = torch.arange(ids.shape[1], device=ids.device)
        if segments is None:
            segments = torch.zeros_like(ids)
        x = self.token_embedding(ids) + self.position_embedding(positions) + self.segment_embedding(segments)
        x = self.embedding_norm(x)
        mask = None if keep is None else keep[:, None, None, :]
        states, weights = [x], []
        for layer in self.encoder:
            x, looks = layer(x, mask)
            states.append(x)
            weights.append(looks)
        return states, weights

    def forward(self, ids: Tensor, keep: Tensor | None = None, segments: Tensor | None = None) -> Tensor:
        return self.inspect(ids, keep, segments)[0][-1]

# %% exercise="BertEncoder" wrong="embeddings_scaled"
"""Token embeddings are multiplied by the root of D, as in 2017."""
class BertLayer(nn.Module):
    def __init__(self, width, heads, hidden):
        super().__init__()
        self.attention = MultiHeadAttention(width, heads)
        self.norm1 = nn.LayerNorm(width, eps=1e-12)
        self.feed_forward = nn.ModuleDict({"up": nn.Linear(width, hidden), "down": nn.Linear(hidden, width)})
        self.norm2 = nn.LayerNorm(width, eps=1e-12)

    def forward(self, x, mask):
        out, weights = self.attention(x, mask)
        x = self.norm1(x + out)
        inner = nn.functional.gelu(self.feed_forward["up"](x))
        return self.norm2(x + self.feed_forward["down"](inner)), weights


class BertEncoder(nn.Module):
    def __init__(
        self,
        vocab_size: int,
        width: int,
        heads: int,
        layers: int,
        hidden: int,
        max_length: int = 512,
        segments: int = 2,
    ):
        super().__init__()
        self.max_length = max_length
        self.token_embedding = nn.Embedding(vocab_size, width)
        self.position_embedding = nn.Embedding(max_length, width)
        self.segment_embedding = nn.Embedding(segments, width)
        self.embedding_norm = nn.LayerNorm(width, eps=1e-12)
        self.encoder = nn.ModuleList(BertLayer(width, heads, hidden) for _ in range(layers))

    def inspect(
        self, ids: Tensor, keep: Tensor | None = None, segments: Tensor | None = None
    ) -> tuple[list[Tensor], list[Tensor]]:
        if ids.shape[1] > self.max_length:
            raise ValueError("the sequence is longer than the table of positions")
        positions = torch.arange(ids.shape[1], device=ids.device)
        if segments is None:
            segments = torch.zeros_like(ids)
        scale = self.token_embedding.embedding_dim**0.5
        x = scale * self.token_embedding(ids)
        x = x + self.position_embedding(positions) + self.segment_embedding(segments)
        x = self.embedding_norm(x)
        mask = None if keep is None else keep[:, None, None, :]
        states, weights = [x], []
        for layer in self.encoder:
            x, looks = layer(x, mask)
            states.append(x)
            weights.append(looks)
        return states, weights

    def forward(self, ids: Tensor, keep: Tensor | None = None, segments: Tensor | None = None) -> Tensor:
        return self.inspect(ids, keep, segments)[0][-1]

# %% exercise="BertEncoder" wrong="pre_norm"
"""Norms stand before the sublayers, the sums are not normalised."""
class BertLayer(nn.Module):
    def __init__(self, width, heads, hidden):
        super().__init__()
        self.attention = MultiHeadAttention(width, heads)
        self.norm1 = nn.LayerNorm(width, eps=1e-12)
        self.feed_forward = nn.ModuleDict({"up": nn.Linear(width, hidden), "down": nn.Linear(hidden, width)})
        self.norm2 = nn.LayerNorm(width, eps=1e-12)

    def forward(self, x, mask):
        out, weights = self.attention(self.norm1(x), mask)
        x = x + out
        inner = nn.functional.gelu(self.feed_forward["up"](self.norm2(x)))
        return x + self.feed_forward["down"](inner), weights


class BertEncoder(nn.Module):
    def __init__(
        self,
        vocab_size: int,
        width: int,
        heads: int,
        layers: int,
        hidden: int,
        max_length: int = 512,
        segments: int = 2,
    ):
        super().__init__()
        self.max_length = max_length
        self.token_embedding = nn.Embedding(vocab_size, width)
        self.position_embedding = nn.Embedding(max_length, width)
        self.segment_embedding = nn.Embedding(segments, width)
        self.embedding_norm = nn.LayerNorm(width, eps=1e-12)
        self.encoder = nn.ModuleList(BertLayer(width, heads, hidden) for _ in range(layers))

    def inspect(
        self, ids: Tensor, keep: Tensor | None = None, segments: Tensor | None = None
    ) -> tuple[list[Tensor], list[Tensor]]:
        if ids.shape[1] > self.max_length:
            raise ValueError("the sequence is longer than the table of positions")
        positions = torch.arange(ids.shape[1], device=ids.device)
        if segments is None:
            segments = torch.zeros_like(ids)
        x = self.token_embedding(ids) + self.position_embedding(positions) + self.segment_embedding(segments)
        x = self.embedding_norm(x)
        mask = None if keep is None else keep[:, None, None, :]
        states, weights = [x], []
        for layer in self.encoder:
            x, looks = layer(x, mask)
            states.append(x)
            weights.append(looks)
        return states, weights

    def forward(self, ids: Tensor, keep: Tensor | None = None, segments: Tensor | None = None) -> Tensor:
        return self.inspect(ids, keep, segments)[0][-1]

# %% exercise="BertEncoder" wrong="padding_is_what_is_seen"
"""The mask has torch's polarity: real tokens are hidden, padding is seen."""
class BertLayer(nn.Module):
    def __init__(self, width, heads, hidden):
        super().__init__()
        self.attention = MultiHeadAttention(width, heads)
        self.norm1 = nn.LayerNorm(width, eps=1e-12)
        self.feed_forward = nn.ModuleDict({"up": nn.Linear(width, hidden), "down": nn.Linear(hidden, width)})
        self.norm2 = nn.LayerNorm(width, eps=1e-12)

    def forward(self, x, mask):
        out, weights = self.attention(x, mask)
        x = self.norm1(x + out)
        inner = nn.functional.gelu(self.feed_forward["up"](x))
        return self.norm2(x + self.feed_forward["down"](inner)), weights


class BertEncoder(nn.Module):
    def __init__(
        self,
        vocab_size: int,
        width: int,
        heads: int,
        layers: int,
        hidden: int,
        max_length: int = 512,
        segments: int = 2,
    ):
        super().__init__()
        self.max_length = max_length
        self.token_embedding = nn.Embedding(vocab_size, width)
        self.position_embedding = nn.Embedding(max_length, width)
        self.segment_embedding = nn.Embedding(segments, width)
        self.embedding_norm = nn.LayerNorm(width, eps=1e-12)
        self.encoder = nn.ModuleList(BertLayer(width, heads, hidden) for _ in range(layers))

    def inspect(
        self, ids: Tensor, keep: Tensor | None = None, segments: Tensor | None = None
    ) -> tuple[list[Tensor], list[Tensor]]:
        if ids.shape[1] > self.max_length:
            raise ValueError("the sequence is longer than the table of positions")
        positions = torch.arange(ids.shape[1], device=ids.device)
        if segments is None:
            segments = torch.zeros_like(ids)
        x = self.token_embedding(ids) + self.position_embedding(positions) + self.segment_embedding(segments)
        x = self.embedding_norm(x)
        mask = None if keep is None else ~keep[:, None, None, :]
        states, weights = [x], []
        for layer in self.encoder:
            x, looks = layer(x, mask)
            states.append(x)
            weights.append(looks)
        return states, weights

    def forward(self, ids: Tensor, keep: Tensor | None = None, segments: Tensor | None = None) -> Tensor:
        return self.inspect(ids, keep, segments)[0][-1]

# %% exercise="BertEncoder" wrong="queries_masked_not_keys"
"""Padded queries see nothing, but padded keys are seen by all real tokens."""
class BertLayer(nn.Module):
    def __init__(self, width, heads, hidden):
        super().__init__()
        self.attention = MultiHeadAttention(width, heads)
        self.norm1 = nn.LayerNorm(width, eps=1e-12)
        self.feed_forward = nn.ModuleDict({"up": nn.Linear(width, hidden), "down": nn.Linear(hidden, width)})
        self.norm2 = nn.LayerNorm(width, eps=1e-12)

    def forward(self, x, mask):
        out, weights = self.attention(x, mask)
        x = self.norm1(x + out)
        inner = nn.functional.gelu(self.feed_forward["up"](x))
        return self.norm2(x + self.feed_forward["down"](inner)), weights


class BertEncoder(nn.Module):
    def __init__(
        self,
        vocab_size: int,
        width: int,
        heads: int,
        layers: int,
        hidden: int,
        max_length: int = 512,
        segments: int = 2,
    ):
        super().__init__()
        self.max_length = max_length
        self.token_embedding = nn.Embedding(vocab_size, width)
        self.position_embedding = nn.Embedding(max_length, width)
        self.segment_embedding = nn.Embedding(segments, width)
        self.embedding_norm = nn.LayerNorm(width, eps=1e-12)
        self.encoder = nn.ModuleList(BertLayer(width, heads, hidden) for _ in range(layers))

    def inspect(
        self, ids: Tensor, keep: Tensor | None = None, segments: Tensor | None = None
    ) -> tuple[list[Tensor], list[Tensor]]:
        if ids.shape[1] > self.max_length:
            raise ValueError("the sequence is longer than the table of positions")
        positions = torch.arange(ids.shape[1], device=ids.device)
        if segments is None:
            segments = torch.zeros_like(ids)
        x = self.token_embedding(ids) + self.position_embedding(positions) + self.segment_embedding(segments)
        x = self.embedding_norm(x)
        mask = None if keep is None else keep[:, None, :, None]
        states, weights = [x], []
        for layer in self.encoder:
            x, looks = layer(x, mask)
            states.append(x)
            weights.append(looks)
        return states, weights

    def forward(self, ids: Tensor, keep: Tensor | None = None, segments: Tensor | None = None) -> Tensor:
        return self.inspect(ids, keep, segments)[0][-1]

# %% exercise="BertEncoder" wrong="mask_as_numbers"
"""Keep is given as ones and zeros, which are added to the scores and hide nothing."""
class BertLayer(nn.Module):
    def __init__(self, width, heads, hidden):
        super().__init__()
        self.attention = MultiHeadAttention(width, heads)
        self.norm1 = nn.LayerNorm(width, eps=1e-12)
        self.feed_forward = nn.ModuleDict({"up": nn.Linear(width, hidden), "down": nn.Linear(hidden, width)})
        self.norm2 = nn.LayerNorm(width, eps=1e-12)

    def forward(self, x, mask):
        out, weights = self.attention(x, mask)
        x = self.norm1(x + out)
        inner = nn.functional.gelu(self.feed_forward["up"](x))
        return self.norm2(x + self.feed_forward["down"](inner)), weights


class BertEncoder(nn.Module):
    def __init__(
        self,
        vocab_size: int,
        width: int,
        heads: int,
        layers: int,
        hidden: int,
        max_length: int = 512,
        segments: int = 2,
    ):
        super().__init__()
        self.max_length = max_length
        self.token_embedding = nn.Embedding(vocab_size, width)
        self.position_embedding = nn.Embedding(max_length, width)
        self.segment_embedding = nn.Embedding(segments, width)
        self.embedding_norm = nn.LayerNorm(width, eps=1e-12)
        self.encoder = nn.ModuleList(BertLayer(width, heads, hidden) for _ in range(layers))

    def inspect(
        self, ids: Tensor, keep: Tensor | None = None, segments: Tensor | None = None
    ) -> tuple[list[Tensor], list[Tensor]]:
        if ids.shape[1] > self.max_length:
            raise ValueError("the sequence is longer than the table of positions")
        positions = torch.arange(ids.shape[1], device=ids.device)
        if segments is None:
            segments = torch.zeros_like(ids)
        x = self.token_embedding(ids) + self.position_embedding(positions) + self.segment_embedding(segments)
        x = self.embedding_norm(x)
        mask = None if keep is None else keep[:, None, None, :].to(x.dtype)
        states, weights = [x], []
        for layer in self.encoder:
            x, looks = layer(x, mask)
            states.append(x)
            weights.append(looks)
        return states, weights

    def forward(self, ids: Tensor, keep: Tensor | None = None, segments: Tensor | None = None) -> Tensor:
        return self.inspect(ids, keep, segments)[0][-1]

# %% exercise="BertEncoder" wrong="padding_hidden_in_the_first_layer_only"
"""Only the first layer hides padding."""
class BertLayer(nn.Module):
    def __init__(self, width, heads, hidden):
        super().__init__()
        self.attention = MultiHeadAttention(width, heads)
        self.norm1 = nn.LayerNorm(width, eps=1e-12)
        self.feed_forward = nn.ModuleDict({"up": nn.Linear(width, hidden), "down": nn.Linear(hidden, width)})
        self.norm2 = nn.LayerNorm(width, eps=1e-12)

    def forward(self, x, mask):
        out, weights = self.attention(x, mask)
        x = self.norm1(x + out)
        inner = nn.functional.gelu(self.feed_forward["up"](x))
        return self.norm2(x + self.feed_forward["down"](inner)), weights


class BertEncoder(nn.Module):
    def __init__(
        self,
        vocab_size: int,
        width: int,
        heads: int,
        layers: int,
        hidden: int,
        max_length: int = 512,
        segments: int = 2,
    ):
        super().__init__()
        self.max_length = max_length
        self.token_embedding = nn.Embedding(vocab_size, width)
        self.position_embedding = nn.Embedding(max_length, width)
        self.segment_embedding = nn.Embedding(segments, width)
        self.embedding_norm = nn.LayerNorm(width, eps=1e-12)
        self.encoder = nn.ModuleList(BertLayer(width, heads, hidden) for _ in range(layers))

    def inspect(
        self, ids: Tensor, keep: Tensor | None = None, segments: Tensor | None = None
    ) -> tuple[list[Tensor], list[Tensor]]:
        if ids.shape[1] > self.max_length:
            raise ValueError("the sequence is longer than the table of positions")
        positions = torch.arange(ids.shape[1], device=ids.device)
        if segments is None:
            segments = torch.zeros_like(ids)
        x = self.token_embedding(ids) + self.position_embedding(positions) + self.segment_embedding(segments)
        x = self.embedding_norm(x)
        mask = None if keep is None else keep[:, None, None, :]
        states, weights = [x], []
        for layer in self.encoder:
            x, looks = layer(x, mask)
            states.append(x)
            weights.append(looks)
            mask = None
        return states, weights

    def forward(self, ids: Tensor, keep: Tensor | None = None, segments: Tensor | None = None) -> Tensor:
        return self.inspect(ids, keep, segments)[0][-1]

# %% exercise="BertEncoder" wrong="positions_skip_padding"
"""Positions count real tokens only, as RoBERTa does."""
class BertLayer(nn.Module):
    def __init__(self, width, heads, hidden):
        super().__init__()
        self.attention = MultiHeadAttention(width, heads)
        self.norm1 = nn.LayerNorm(width, eps=1e-12)
        self.feed_forward = nn.ModuleDict({"up": nn.Linear(width, hidden), "down": nn.Linear(hidden, width)})
        self.norm2 = nn.LayerNorm(width, eps=1e-12)

    def forward(self, x, mask):
        out, weights = self.attention(x, mask)
        x = self.norm1(x + out)
        inner = nn.functional.gelu(self.feed_forward["up"](x))
        return self.norm2(x + self.feed_forward["down"](inner)), weights


class BertEncoder(nn.Module):
    def __init__(
        self,
        vocab_size: int,
        width: int,
        heads: int,
        layers: int,
        hidden: int,
        max_length: int = 512,
        segments: int = 2,
    ):
        super().__init__()
        self.max_length = max_length
        self.token_embedding = nn.Embedding(vocab_size, width)
        self.position_embedding = nn.Embedding(max_length, width)
        self.segment_embedding = nn.Embedding(segments, width)
        self.embedding_norm = nn.LayerNorm(width, eps=1e-12)
        self.encoder = nn.ModuleList(BertLayer(width, heads, hidden) for _ in range(layers))

    def inspect(
        self, ids: Tensor, keep: Tensor | None = None, segments: Tensor | None = None
    ) -> tuple[list[Tensor], list[Tensor]]:
        if ids.shape[1] > self.max_length:
            raise ValueError("the sequence is longer than the table of positions")
        positions = torch.arange(ids.shape[1], device=ids.device)
        if keep is not None:
            positions = (keep.cumsum(1) - 1).clamp(min=0)
        if segments is None:
            segments = torch.zeros_like(ids)
        x = self.token_embedding(ids) + self.position_embedding(positions) + self.segment_embedding(segments)
        x = self.embedding_norm(x)
        mask = None if keep is None else keep[:, None, None, :]
        states, weights = [x], []
        for layer in self.encoder:
            x, looks = layer(x, mask)
            states.append(x)
            weights.append(looks)
        return states, weights

    def forward(self, ids: Tensor, keep: Tensor | None = None, segments: Tensor | None = None) -> Tensor:
        return self.inspect(ids, keep, segments)[0][-1]

# %% exercise="BertEncoder" wrong="no_segment_added_where_none_is_given"
"""Without segments nothing is added, not the row of segment 0."""
class BertLayer(nn.Module):
    def __init__(self, width, heads, hidden):
        super().__init__()
        self.attention = MultiHeadAttention(width, heads)
        self.norm1 = nn.LayerNorm(width, eps=1e-12)
        self.feed_forward = nn.ModuleDict({"up": nn.Linear(width, hidden), "down": nn.Linear(hidden, width)})
        self.norm2 = nn.LayerNorm(width, eps=1e-12)

    def forward(self, x, mask):
        out, weights = self.attention(x, mask)
        x = self.norm1(x + out)
        inner = nn.functional.gelu(self.feed_forward["up"](x))
        return self.norm2(x + self.feed_forward["down"](inner)), weights


class BertEncoder(nn.Module):
    def __init__(
        self,
        vocab_size: int,
        width: int,
        heads: int,
        layers: int,
        hidden: int,
        max_length: int = 512,
        segments: int = 2,
    ):
        super().__init__()
        self.max_length = max_length
        self.token_embedding = nn.Embedding(vocab_size, width)
        self.position_embedding = nn.Embedding(max_length, width)
        self.segment_embedding = nn.Embedding(segments, width)
        self.embedding_norm = nn.LayerNorm(width, eps=1e-12)
        self.encoder = nn.ModuleList(BertLayer(width, heads, hidden) for _ in range(layers))

    def inspect(
        self, ids: Tensor, keep: Tensor | None = None, segments: Tensor | None = None
    ) -> tuple[list[Tensor], list[Tensor]]:
        if ids.shape[1] > self.max_length:
            raise ValueError("the sequence is longer than the table of positions")
        positions = torch.arange(ids.shape[1], device=ids.device)
        x = self.token_embedding(ids) + self.position_embedding(positions)
        if segments is not None:
            x = x + self.segment_embedding(segments)
        x = self.embedding_norm(x)
        mask = None if keep is None else keep[:, None, None, :]
        states, weights = [x], []
        for layer in self.encoder:
            x, looks = layer(x, mask)
            states.append(x)
            weights.append(looks)
        return states, weights

    def forward(self, ids: Tensor, keep: Tensor | None = None, segments: Tensor | None = None) -> Tensor:
        return self.inspect(ids, keep, segments)[0][-1]

# %% exercise="BertEncoder" wrong="forward_drops_the_segments"
"""forward does not hand the segments on."""
class BertLayer(nn.Module):
    def __init__(self, width, heads, hidden):
        super().__init__()
        self.attention = MultiHeadAttention(width, heads)
        self.norm1 = nn.LayerNorm(width, eps=1e-12)
        self.feed_forward = nn.ModuleDict({"up": nn.Linear(width, hidden), "down": nn.Linear(hidden, width)})
        self.norm2 = nn.LayerNorm(width, eps=1e-12)

    def forward(self, x, mask):
        out, weights = self.attention(x, mask)
        x = self.norm1(x + out)
        inner = nn.functional.gelu(self.feed_forward["up"](x))
        return self.norm2(x + self.feed_forward["down"](inner)), weights


class BertEncoder(nn.Module):
    def __init__(
        self,
        vocab_size: int,
        width: int,
        heads: int,
        layers: int,
        hidden: int,
        max_length: int = 512,
        segments: int = 2,
    ):
        super().__init__()
        self.max_length = max_length
        self.token_embedding = nn.Embedding(vocab_size, width)
        self.position_embedding = nn.Embedding(max_length, width)
        self.segment_embedding = nn.Embedding(segments, width)
        self.embedding_norm = nn.LayerNorm(width, eps=1e-12)
        self.encoder = nn.ModuleList(BertLayer(width, heads, hidden) for _ in range(layers))

    def inspect(
        self, ids: Tensor, keep: Tensor | None = None, segments: Tensor | None = None
    ) -> tuple[list[Tensor], list[Tensor]]:
        if ids.shape[1] > self.max_length:
            raise ValueError("the sequence is longer than the table of positions")
        positions = torch.arange(ids.shape[1], device=ids.device)
        if segments is None:
            segments = torch.zeros_like(ids)
        x = self.token_embedding(ids) + self.position_embedding(positions) + self.segment_embedding(segments)
        x = self.embedding_norm(x)
        mask = None if keep is None else keep[:, None, None, :]
        states, weights = [x], []
        for layer in self.encoder:
            x, looks = layer(x, mask)
            states.append(x)
            weights.append(looks)
        return states, weights

    def forward(self, ids: Tensor, keep: Tensor | None = None, segments: Tensor | None = None) -> Tensor:
        return self.inspect(ids, keep)[0][-1]

# %% exercise="BertEncoder" wrong="first_state_before_the_norm"
"""The first of the states is the sum of the embeddings, not what is behind the norm."""
class BertLayer(nn.Module):
    def __init__(self, width, heads, hidden):
        super().__init__()
        self.attention = MultiHeadAttention(width, heads)
        self.norm1 = nn.LayerNorm(width, eps=1e-12)
        self.feed_forward = nn.ModuleDict({"up": nn.Linear(width, hidden), "down": nn.Linear(hidden, width)})
        self.norm2 = nn.LayerNorm(width, eps=1e-12)

    def forward(self, x, mask):
        out, weights = self.attention(x, mask)
        x = self.norm1(x + out)
        inner = nn.functional.gelu(self.feed_forward["up"](x))
        return self.norm2(x + self.feed_forward["down"](inner)), weights


class BertEncoder(nn.Module):
    def __init__(
        self,
        vocab_size: int,
        width: int,
        heads: int,
        layers: int,
        hidden: int,
        max_length: int = 512,
        segments: int = 2,
    ):
        super().__init__()
        self.max_length = max_length
        self.token_embedding = nn.Embedding(vocab_size, width)
        self.position_embedding = nn.Embedding(max_length, width)
        self.segment_embedding = nn.Embedding(segments, width)
        self.embedding_norm = nn.LayerNorm(width, eps=1e-12)
        self.encoder = nn.ModuleList(BertLayer(width, heads, hidden) for _ in range(layers))

    def inspect(
        self, ids: Tensor, keep: Tensor | None = None, segments: Tensor | None = None
    ) -> tuple[list[Tensor], list[Tensor]]:
        if ids.shape[1] > self.max_length:
            raise ValueError("the sequence is longer than the table of positions")
        positions = torch.arange(ids.shape[1], device=ids.device)
        if segments is None:
            segments = torch.zeros_like(ids)
        x = self.token_embedding(ids) + self.position_embedding(positions) + self.segment_embedding(segments)
        mask = None if keep is None else keep[:, None, None, :]
        states, weights = [x], []
        x = self.embedding_norm(x)
        for layer in self.encoder:
            x, looks = layer(x, mask)
            states.append(x)
            weights.append(looks)
        return states, weights

    def forward(self, ids: Tensor, keep: Tensor | None = None, segments: Tensor | None = None) -> Tensor:
        return self.inspect(ids, keep, segments)[0][-1]

# %% exercise="BertEncoder" wrong="too_long_is_an_index_error"
"""A sequence that is too long fails in the table with IndexError, not ValueError."""
class BertLayer(nn.Module):
    def __init__(self, width, heads, hidden):
        super().__init__()
        self.attention = MultiHeadAttention(width, heads)
        self.norm1 = nn.LayerNorm(width, eps=1e-12)
        self.feed_forward = nn.ModuleDict({"up": nn.Linear(width, hidden), "down": nn.Linear(hidden, width)})
        self.norm2 = nn.LayerNorm(width, eps=1e-12)

    def forward(self, x, mask):
        out, weights = self.attention(x, mask)
        x = self.norm1(x + out)
        inner = nn.functional.gelu(self.feed_forward["up"](x))
        return self.norm2(x + self.feed_forward["down"](inner)), weights


class BertEncoder(nn.Module):
    def __init__(
        self,
        vocab_size: int,
        width: int,
        heads: int,
        layers: int,
        hidden: int,
        max_length: int = 512,
        segments: int = 2,
    ):
        super().__init__()
        self.max_length = max_length
        self.token_embedding = nn.Embedding(vocab_size, width)
        self.position_embedding = nn.Embedding(max_length, width)
        self.segment_embedding = nn.Embedding(segments, width)
        self.embedding_norm = nn.LayerNorm(width, eps=1e-12)
        self.encoder = nn.ModuleList(BertLayer(width, heads, hidden) for _ in range(layers))

    def inspect(
        self, ids: Tensor, keep: Tensor | None = None, segments: Tensor | None = None
    ) -> tuple[list[Tensor], list[Tensor]]:
        positions = torch.arange(ids.shape[1], device=ids.device)
        if segments is None:
            segments = torch.zeros_like(ids)
        x = self.token_embedding(ids) + self.position_embedding(positions) + self.segment_embedding(segments)
        x = self.embedding_norm(x)
        mask = None if keep is None else keep[:, None, None, :]
        states, weights = [x], []
        for layer in self.encoder:
            x, looks = layer(x, mask)
            states.append(x)
            weights.append(looks)
        return states, weights

    def forward(self, ids: Tensor, keep: Tensor | None = None, segments: Tensor | None = None) -> Tensor:
        return self.inspect(ids, keep, segments)[0][-1]

# %% exercise="BertEncoder" wrong="first_norm_used_twice"
"""The second norm of a layer exists, but the first one is used in its place."""
class BertLayer(nn.Module):
    def __init__(self, width, heads, hidden):
        super().__init__()
        self.attention = MultiHeadAttention(width, heads)
        self.norm1 = nn.LayerNorm(width, eps=1e-12)
        self.feed_forward = nn.ModuleDict({"up": nn.Linear(width, hidden), "down": nn.Linear(hidden, width)})
        self.norm2 = nn.LayerNorm(width, eps=1e-12)

    def forward(self, x, mask):
        out, weights = self.attention(x, mask)
        x = self.norm1(x + out)
        inner = nn.functional.gelu(self.feed_forward["up"](x))
        return self.norm1(x + self.feed_forward["down"](inner)), weights


class BertEncoder(nn.Module):
    def __init__(
        self,
        vocab_size: int,
        width: int,
        heads: int,
        layers: int,
        hidden: int,
        max_length: int = 512,
        segments: int = 2,
    ):
        super().__init__()
        self.max_length = max_length
        self.token_embedding = nn.Embedding(vocab_size, width)
        self.position_embedding = nn.Embedding(max_length, width)
        self.segment_embedding = nn.Embedding(segments, width)
        self.embedding_norm = nn.LayerNorm(width, eps=1e-12)
        self.encoder = nn.ModuleList(BertLayer(width, heads, hidden) for _ in range(layers))

    def inspect(
        self, ids: Tensor, keep: Tensor | None = None, segments: Tensor | None = None
    ) -> tuple[list[Tensor], list[Tensor]]:
        if ids.shape[1] > self.max_length:
            raise ValueError("the sequence is longer than the table of positions")
        positions = torch.arange(ids.shape[1], device=ids.device)
        if segments is None:
            segments = torch.zeros_like(ids)
        x = self.token_embedding(ids) + self.position_embedding(positions) + self.segment_embedding(segments)
        x = self.embedding_norm(x)
        mask = None if keep is None else keep[:, None, None, :]
        states, weights = [x], []
        for layer in self.encoder:
            x, looks = layer(x, mask)
            states.append(x)
            weights.append(looks)
        return states, weights

    def forward(self, ids: Tensor, keep: Tensor | None = None, segments: Tensor | None = None) -> Tensor:
        return self.inspect(ids, keep, segments)[0][-1]

# %% exercise="BertEncoder" wrong="second_sum_adds_the_layers_input"
"""The feed-forward layer's result is added to the layer's input."""
class BertLayer(nn.Module):
    def __init__(self, width, heads, hidden):
        super().__init__()
        self.attention = MultiHeadAttention(width, heads)
        self.norm1 = nn.LayerNorm(width, eps=1e-12)
        self.feed_forward = nn.ModuleDict({"up": nn.Linear(width, hidden), "down": nn.Linear(hidden, width)})
        self.norm2 = nn.LayerNorm(width, eps=1e-12)

    def forward(self, x, mask):
        out, weights = self.attention(x, mask)
        before, x = x, self.norm1(x + out)
        inner = nn.functional.gelu(self.feed_forward["up"](x))
        return self.norm2(before + self.feed_forward["down"](inner)), weights


class BertEncoder(nn.Module):
    def __init__(
        self,
        vocab_size: int,
        width: int,
        heads: int,
        layers: int,
        hidden: int,
        max_length: int = 512,
        segments: int = 2,
    ):
        super().__init__()
        self.max_length = max_length
        self.token_embedding = nn.Embedding(vocab_size, width)
        self.position_embedding = nn.Embedding(max_length, width)
        self.segment_embedding = nn.Embedding(segments, width)
        self.embedding_norm = nn.LayerNorm(width, eps=1e-12)
        self.encoder = nn.ModuleList(BertLayer(width, heads, hidden) for _ in range(layers))

    def inspect(
        self, ids: Tensor, keep: Tensor | None = None, segments: Tensor | None = None
    ) -> tuple[list[Tensor], list[Tensor]]:
        if ids.shape[1] > self.max_length:
            raise ValueError("the sequence is longer than the table of positions")
        positions = torch.arange(ids.shape[1], device=ids.device)
        if segments is None:
            segments = torch.zeros_like(ids)
        x = self.token_embedding(ids) + self.position_embedding(positions) + self.segment_embedding(segments)
        x = self.embedding_norm(x)
        mask = None if keep is None else keep[:, None, None, :]
        states, weights = [x], []
        for layer in self.encoder:
            x, looks = layer(x, mask)
            states.append(x)
            weights.append(looks)
        return states, weights

    def forward(self, ids: Tensor, keep: Tensor | None = None, segments: Tensor | None = None) -> Tensor:
        return self.inspect(ids, keep, segments)[0][-1]

# %% exercise="BertEncoder" wrong="tanh_gelu"
"""The feed-forward layers use the tanh form of GELU."""
class BertFeedForward(nn.Module):
    def __init__(self, width, hidden):
        super().__init__()
        self.up, self.down = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x):
        return self.down(nn.functional.gelu(self.up(x), approximate="tanh"))


class BertLayer(nn.Module):
    def __init__(self, width, heads, hidden):
        super().__init__()
        self.attention = MultiHeadAttention(width, heads)
        self.norm1 = nn.LayerNorm(width, eps=1e-12)
        self.feed_forward = BertFeedForward(width, hidden)
        self.norm2 = nn.LayerNorm(width, eps=1e-12)

    def forward(self, x, mask):
        out, weights = self.attention(x, mask)
        x = self.norm1(x + out)
        return self.norm2(x + self.feed_forward(x)), weights


class BertEncoder(nn.Module):
    def __init__(
        self,
        vocab_size: int,
        width: int,
        heads: int,
        layers: int,
        hidden: int,
        max_length: int = 512,
        segments: int = 2,
    ):
        super().__init__()
        self.max_length = max_length
        self.token_embedding = nn.Embedding(vocab_size, width)
        self.position_embedding = nn.Embedding(max_length, width)
        self.segment_embedding = nn.Embedding(segments, width)
        self.embedding_norm = nn.LayerNorm(width, eps=1e-12)
        self.encoder = nn.ModuleList([BertLayer(width, heads, hidden) for _ in range(layers)])

    def inspect(
        self, ids: Tensor, keep: Tensor | None = None, segments: Tensor | None = None
    ) -> tuple[list[Tensor], list[Tensor]]:
        if ids.shape[1] > self.max_length:
            raise ValueError(f"{ids.shape[1]} tokens, but only {self.max_length} positions")
        if segments is None:
            segments = torch.zeros_like(ids)
        positions = torch.arange(ids.shape[1], device=ids.device)
        x = self.token_embedding(ids) + self.position_embedding(positions) + self.segment_embedding(segments)
        x = self.embedding_norm(x)
        mask = None if keep is None else keep[:, None, None, :]
        states, weights = [x], []
        for layer in self.encoder:
            x, layer_weights = layer(x, mask)
            states.append(x)
            weights.append(layer_weights)
        return states, weights

    def forward(self, ids: Tensor, keep: Tensor | None = None, segments: Tensor | None = None) -> Tensor:
        return self.inspect(ids, keep, segments)[0][-1]

# %% exercise="BertEncoder" wrong="one_norm_with_torchs_eps"
"""The norm behind the embeddings has torch's own eps, 1e-5."""
class BertFeedForward(nn.Module):
    def __init__(self, width, hidden):
        super().__init__()
        self.up, self.down = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x):
        return self.down(nn.functional.gelu(self.up(x)))


class BertLayer(nn.Module):
    def __init__(self, width, heads, hidden):
        super().__init__()
        self.attention = MultiHeadAttention(width, heads)
        self.norm1 = nn.LayerNorm(width, eps=1e-12)
        self.feed_forward = BertFeedForward(width, hidden)
        self.norm2 = nn.LayerNorm(width, eps=1e-12)

    def forward(self, x, mask):
        out, weights = self.attention(x, mask)
        x = self.norm1(x + out)
        return self.norm2(x + self.feed_forward(x)), weights


class BertEncoder(nn.Module):
    def __init__(
        self,
        vocab_size: int,
        width: int,
        heads: int,
        layers: int,
        hidden: int,
        max_length: int = 512,
        segments: int = 2,
    ):
        super().__init__()
        self.max_length = max_length
        self.token_embedding = nn.Embedding(vocab_size, width)
        self.position_embedding = nn.Embedding(max_length, width)
        self.segment_embedding = nn.Embedding(segments, width)
        self.embedding_norm = nn.LayerNorm(width)
        self.encoder = nn.ModuleList([BertLayer(width, heads, hidden) for _ in range(layers)])

    def inspect(
        self, ids: Tensor, keep: Tensor | None = None, segments: Tensor | None = None
    ) -> tuple[list[Tensor], list[Tensor]]:
        if ids.shape[1] > self.max_length:
            raise ValueError(f"{ids.shape[1]} tokens, but only {self.max_length} positions")
        if segments is None:
            segments = torch.zeros_like(ids)
        positions = torch.arange(ids.shape[1], device=ids.device)
        x = self.token_embedding(ids) + self.position_embedding(positions) + self.segment_embedding(segments)
        x = self.embedding_norm(x)
        mask = None if keep is None else keep[:, None, None, :]
        states, weights = [x], []
        for layer in self.encoder:
            x, layer_weights = layer(x, mask)
            states.append(x)
            weights.append(layer_weights)
        return states, weights

    def forward(self, ids: Tensor, keep: Tensor | None = None, segments: Tensor | None = None) -> Tensor:
        return self.inspect(ids, keep, segments)[0][-1]

# %% exercise="BertEncoder" wrong="pre_norm_layers"
"""The norms stand before the sublayers, and the sums are not normalised."""
class BertFeedForward(nn.Module):
    def __init__(self, width, hidden):
        super().__init__()
        self.up, self.down = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x):
        return self.down(nn.functional.gelu(self.up(x)))


class BertLayer(nn.Module):
    def __init__(self, width, heads, hidden):
        super().__init__()
        self.attention = MultiHeadAttention(width, heads)
        self.norm1 = nn.LayerNorm(width, eps=1e-12)
        self.feed_forward = BertFeedForward(width, hidden)
        self.norm2 = nn.LayerNorm(width, eps=1e-12)

    def forward(self, x, mask):
        out, weights = self.attention(self.norm1(x), mask)
        x = x + out
        return x + self.feed_forward(self.norm2(x)), weights


class BertEncoder(nn.Module):
    def __init__(
        self,
        vocab_size: int,
        width: int,
        heads: int,
        layers: int,
        hidden: int,
        max_length: int = 512,
        segments: int = 2,
    ):
        super().__init__()
        self.max_length = max_length
        self.token_embedding = nn.Embedding(vocab_size, width)
        self.position_embedding = nn.Embedding(max_length, width)
        self.segment_embedding = nn.Embedding(segments, width)
        self.embedding_norm = nn.LayerNorm(width, eps=1e-12)
        self.encoder = nn.ModuleList([BertLayer(width, heads, hidden) for _ in range(layers)])

    def inspect(
        self, ids: Tensor, keep: Tensor | None = None, segments: Tensor | None = None
    ) -> tuple[list[Tensor], list[Tensor]]:
        if ids.shape[1] > self.max_length:
            raise ValueError(f"{ids.shape[1]} tokens, but only {self.max_length} positions")
        if segments is None:
            segments = torch.zeros_like(ids)
        positions = torch.arange(ids.shape[1], device=ids.device)
        x = self.token_embedding(ids) + self.position_embedding(positions) + self.segment_embedding(segments)
        x = self.embedding_norm(x)
        mask = None if keep is None else keep[:, None, None, :]
        states, weights = [x], []
        for layer in self.encoder:
            x, layer_weights = layer(x, mask)
            states.append(x)
            weights.append(layer_weights)
        return states, weights

    def forward(self, ids: Tensor, keep: Tensor | None = None, segments: Tensor | None = None) -> Tensor:
        return self.inspect(ids, keep, segments)[0][-1]

# %% exercise="BertEncoder" wrong="forward_forgets_segments"
"""forward does not hand the segments on: every token is in segment 0 there."""
class BertFeedForward(nn.Module):
    def __init__(self, width, hidden):
        super().__init__()
        self.up, self.down = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x):
        return self.down(nn.functional.gelu(self.up(x)))


class BertLayer(nn.Module):
    def __init__(self, width, heads, hidden):
        super().__init__()
        self.attention = MultiHeadAttention(width, heads)
        self.norm1 = nn.LayerNorm(width, eps=1e-12)
        self.feed_forward = BertFeedForward(width, hidden)
        self.norm2 = nn.LayerNorm(width, eps=1e-12)

    def forward(self, x, mask):
        out, weights = self.attention(x, mask)
        x = self.norm1(x + out)
        return self.norm2(x + self.feed_forward(x)), weights


class BertEncoder(nn.Module):
    def __init__(
        self,
        vocab_size: int,
        width: int,
        heads: int,
        layers: int,
        hidden: int,
        max_length: int = 512,
        segments: int = 2,
    ):
        super().__init__()
        self.max_length = max_length
        self.token_embedding = nn.Embedding(vocab_size, width)
        self.position_embedding = nn.Embedding(max_length, width)
        self.segment_embedding = nn.Embedding(segments, width)
        self.embedding_norm = nn.LayerNorm(width, eps=1e-12)
        self.encoder = nn.ModuleList([BertLayer(width, heads, hidden) for _ in range(layers)])

    def inspect(
        self, ids: Tensor, keep: Tensor | None = None, segments: Tensor | None = None
    ) -> tuple[list[Tensor], list[Tensor]]:
        if ids.shape[1] > self.max_length:
            raise ValueError(f"{ids.shape[1]} tokens, but only {self.max_length} positions")
        if segments is None:
            segments = torch.zeros_like(ids)
        positions = torch.arange(ids.shape[1], device=ids.device)
        x = self.token_embedding(ids) + self.position_embedding(positions) + self.segment_embedding(segments)
        x = self.embedding_norm(x)
        mask = None if keep is None else keep[:, None, None, :]
        states, weights = [x], []
        for layer in self.encoder:
            x, layer_weights = layer(x, mask)
            states.append(x)
            weights.append(layer_weights)
        return states, weights

    def forward(self, ids: Tensor, keep: Tensor | None = None, segments: Tensor | None = None) -> Tensor:
        return self.inspect(ids, keep)[0][-1]

# %% exercise="BertEncoder" wrong="positions_count_real_tokens"
"""Positions count real tokens only, as RoBERTa's do, and not the places of the row."""
class BertFeedForward(nn.Module):
    def __init__(self, width, hidden):
        super().__init__()
        self.up, self.down = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x):
        return self.down(nn.functional.gelu(self.up(x)))


class BertLayer(nn.Module):
    def __init__(self, width, heads, hidden):
        super().__init__()
        self.attention = MultiHeadAttention(width, heads)
        self.norm1 = nn.LayerNorm(width, eps=1e-12)
        self.feed_forward = BertFeedForward(width, hidden)
        self.norm2 = nn.LayerNorm(width, eps=1e-12)

    def forward(self, x, mask):
        out, weights = self.attention(x, mask)
        x = self.norm1(x + out)
        return self.norm2(x + self.feed_forward(x)), weights


class BertEncoder(nn.Module):
    def __init__(
        self,
        vocab_size: int,
        width: int,
        heads: int,
        layers: int,
        hidden: int,
        max_length: int = 512,
        segments: int = 2,
    ):
        super().__init__()
        self.max_length = max_length
        self.token_embedding = nn.Embedding(vocab_size, width)
        self.position_embedding = nn.Embedding(max_length, width)
        self.segment_embedding = nn.Embedding(segments, width)
        self.embedding_norm = nn.LayerNorm(width, eps=1e-12)
        self.encoder = nn.ModuleList([BertLayer(width, heads, hidden) for _ in range(layers)])

    def inspect(
        self, ids: Tensor, keep: Tensor | None = None, segments: Tensor | None = None
    ) -> tuple[list[Tensor], list[Tensor]]:
        if ids.shape[1] > self.max_length:
            raise ValueError(f"{ids.shape[1]} tokens, but only {self.max_length} positions")
        if segments is None:
            segments = torch.zeros_like(ids)
        positions = torch.arange(ids.shape[1], device=ids.device).expand_as(ids)
        if keep is not None:
            positions = (keep.long().cumsum(1) - 1).clamp(min=0)
        x = self.token_embedding(ids) + self.position_embedding(positions) + self.segment_embedding(segments)
        x = self.embedding_norm(x)
        mask = None if keep is None else keep[:, None, None, :]
        states, weights = [x], []
        for layer in self.encoder:
            x, layer_weights = layer(x, mask)
            states.append(x)
            weights.append(layer_weights)
        return states, weights

    def forward(self, ids: Tensor, keep: Tensor | None = None, segments: Tensor | None = None) -> Tensor:
        return self.inspect(ids, keep, segments)[0][-1]

# %% exercise="BertEncoder" wrong="queries_hidden_not_keys"
"""keep hides padded queries, and real ones still look at padded keys."""
class BertFeedForward(nn.Module):
    def __init__(self, width, hidden):
        super().__init__()
        self.up, self.down = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x):
        return self.down(nn.functional.gelu(self.up(x)))


class BertLayer(nn.Module):
    def __init__(self, width, heads, hidden):
        super().__init__()
        self.attention = MultiHeadAttention(width, heads)
        self.norm1 = nn.LayerNorm(width, eps=1e-12)
        self.feed_forward = BertFeedForward(width, hidden)
        self.norm2 = nn.LayerNorm(width, eps=1e-12)

    def forward(self, x, mask):
        out, weights = self.attention(x, mask)
        x = self.norm1(x + out)
        return self.norm2(x + self.feed_forward(x)), weights


class BertEncoder(nn.Module):
    def __init__(
        self,
        vocab_size: int,
        width: int,
        heads: int,
        layers: int,
        hidden: int,
        max_length: int = 512,
        segments: int = 2,
    ):
        super().__init__()
        self.max_length = max_length
        self.token_embedding = nn.Embedding(vocab_size, width)
        self.position_embedding = nn.Embedding(max_length, width)
        self.segment_embedding = nn.Embedding(segments, width)
        self.embedding_norm = nn.LayerNorm(width, eps=1e-12)
        self.encoder = nn.ModuleList([BertLayer(width, heads, hidden) for _ in range(layers)])

    def inspect(
        self, ids: Tensor, keep: Tensor | None = None, segments: Tensor | None = None
    ) -> tuple[list[Tensor], list[Tensor]]:
        if ids.shape[1] > self.max_length:
            raise ValueError(f"{ids.shape[1]} tokens, but only {self.max_length} positions")
        if segments is None:
            segments = torch.zeros_like(ids)
        positions = torch.arange(ids.shape[1], device=ids.device)
        x = self.token_embedding(ids) + self.position_embedding(positions) + self.segment_embedding(segments)
        x = self.embedding_norm(x)
        mask = None if keep is None else keep[:, None, :, None]
        states, weights = [x], []
        for layer in self.encoder:
            x, layer_weights = layer(x, mask)
            states.append(x)
            weights.append(layer_weights)
        return states, weights

    def forward(self, ids: Tensor, keep: Tensor | None = None, segments: Tensor | None = None) -> Tensor:
        return self.inspect(ids, keep, segments)[0][-1]

# %% exercise="BertEncoder" wrong="padding_hidden_in_first_layer_only"
"""keep is used in the first layer only."""
class BertFeedForward(nn.Module):
    def __init__(self, width, hidden):
        super().__init__()
        self.up, self.down = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x):
        return self.down(nn.functional.gelu(self.up(x)))


class BertLayer(nn.Module):
    def __init__(self, width, heads, hidden):
        super().__init__()
        self.attention = MultiHeadAttention(width, heads)
        self.norm1 = nn.LayerNorm(width, eps=1e-12)
        self.feed_forward = BertFeedForward(width, hidden)
        self.norm2 = nn.LayerNorm(width, eps=1e-12)

    def forward(self, x, mask):
        out, weights = self.attention(x, mask)
        x = self.norm1(x + out)
        return self.norm2(x + self.feed_forward(x)), weights


class BertEncoder(nn.Module):
    def __init__(
        self,
        vocab_size: int,
        width: int,
        heads: int,
        layers: int,
        hidden: int,
        max_length: int = 512,
        segments: int = 2,
    ):
        super().__init__()
        self.max_length = max_length
        self.token_embedding = nn.Embedding(vocab_size, width)
        self.position_embedding = nn.Embedding(max_length, width)
        self.segment_embedding = nn.Embedding(segments, width)
        self.embedding_norm = nn.LayerNorm(width, eps=1e-12)
        self.encoder = nn.ModuleList([BertLayer(width, heads, hidden) for _ in range(layers)])

    def inspect(
        self, ids: Tensor, keep: Tensor | None = None, segments: Tensor | None = None
    ) -> tuple[list[Tensor], list[Tensor]]:
        if ids.shape[1] > self.max_length:
            raise ValueError(f"{ids.shape[1]} tokens, but only {self.max_length} positions")
        if segments is None:
            segments = torch.zeros_like(ids)
        positions = torch.arange(ids.shape[1], device=ids.device)
        x = self.token_embedding(ids) + self.position_embedding(positions) + self.segment_embedding(segments)
        x = self.embedding_norm(x)
        mask = None if keep is None else keep[:, None, None, :]
        states, weights = [x], []
        for layer in self.encoder:
            x, layer_weights = layer(x, mask)
            mask = None
            states.append(x)
            weights.append(layer_weights)
        return states, weights

    def forward(self, ids: Tensor, keep: Tensor | None = None, segments: Tensor | None = None) -> Tensor:
        return self.inspect(ids, keep, segments)[0][-1]

# %% exercise="BertEncoder" wrong="padding_idx_zero"
"""Token 0 is declared as padding: its row starts at zero and never gets a gradient."""
class BertFeedForward(nn.Module):
    def __init__(self, width, hidden):
        super().__init__()
        self.up, self.down = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x):
        return self.down(nn.functional.gelu(self.up(x)))


class BertLayer(nn.Module):
    def __init__(self, width, heads, hidden):
        super().__init__()
        self.attention = MultiHeadAttention(width, heads)
        self.norm1 = nn.LayerNorm(width, eps=1e-12)
        self.feed_forward = BertFeedForward(width, hidden)
        self.norm2 = nn.LayerNorm(width, eps=1e-12)

    def forward(self, x, mask):
        out, weights = self.attention(x, mask)
        x = self.norm1(x + out)
        return self.norm2(x + self.feed_forward(x)), weights


class BertEncoder(nn.Module):
    def __init__(
        self,
        vocab_size: int,
        width: int,
        heads: int,
        layers: int,
        hidden: int,
        max_length: int = 512,
        segments: int = 2,
    ):
        super().__init__()
        self.max_length = max_length
        self.token_embedding = nn.Embedding(vocab_size, width, padding_idx=0)
        self.position_embedding = nn.Embedding(max_length, width)
        self.segment_embedding = nn.Embedding(segments, width)
        self.embedding_norm = nn.LayerNorm(width, eps=1e-12)
        self.encoder = nn.ModuleList([BertLayer(width, heads, hidden) for _ in range(layers)])

    def inspect(
        self, ids: Tensor, keep: Tensor | None = None, segments: Tensor | None = None
    ) -> tuple[list[Tensor], list[Tensor]]:
        if ids.shape[1] > self.max_length:
            raise ValueError(f"{ids.shape[1]} tokens, but only {self.max_length} positions")
        if segments is None:
            segments = torch.zeros_like(ids)
        positions = torch.arange(ids.shape[1], device=ids.device)
        x = self.token_embedding(ids) + self.position_embedding(positions) + self.segment_embedding(segments)
        x = self.embedding_norm(x)
        mask = None if keep is None else keep[:, None, None, :]
        states, weights = [x], []
        for layer in self.encoder:
            x, layer_weights = layer(x, mask)
            states.append(x)
            weights.append(layer_weights)
        return states, weights

    def forward(self, ids: Tensor, keep: Tensor | None = None, segments: Tensor | None = None) -> Tensor:
        return self.inspect(ids, keep, segments)[0][-1]

# %% exercise="BertEncoder" wrong="states_before_the_norm"
"""The first of the states is the sum of the embeddings, before their norm."""
class BertFeedForward(nn.Module):
    def __init__(self, width, hidden):
        super().__init__()
        self.up, self.down = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x):
        return self.down(nn.functional.gelu(self.up(x)))


class BertLayer(nn.Module):
    def __init__(self, width, heads, hidden):
        super().__init__()
        self.attention = MultiHeadAttention(width, heads)
        self.norm1 = nn.LayerNorm(width, eps=1e-12)
        self.feed_forward = BertFeedForward(width, hidden)
        self.norm2 = nn.LayerNorm(width, eps=1e-12)

    def forward(self, x, mask):
        out, weights = self.attention(x, mask)
        x = self.norm1(x + out)
        return self.norm2(x + self.feed_forward(x)), weights


class BertEncoder(nn.Module):
    def __init__(
        self,
        vocab_size: int,
        width: int,
        heads: int,
        layers: int,
        hidden: int,
        max_length: int = 512,
        segments: int = 2,
    ):
        super().__init__()
        self.max_length = max_length
        self.token_embedding = nn.Embedding(vocab_size, width)
        self.position_embedding = nn.Embedding(max_length, width)
        self.segment_embedding = nn.Embedding(segments, width)
        self.embedding_norm = nn.LayerNorm(width, eps=1e-12)
        self.encoder = nn.ModuleList([BertLayer(width, heads, hidden) for _ in range(layers)])

    def inspect(
        self, ids: Tensor, keep: Tensor | None = None, segments: Tensor | None = None
    ) -> tuple[list[Tensor], list[Tensor]]:
        if ids.shape[1] > self.max_length:
            raise ValueError(f"{ids.shape[1]} tokens, but only {self.max_length} positions")
        if segments is None:
            segments = torch.zeros_like(ids)
        positions = torch.arange(ids.shape[1], device=ids.device)
        x = self.token_embedding(ids) + self.position_embedding(positions) + self.segment_embedding(segments)
        mask = None if keep is None else keep[:, None, None, :]
        states, weights = [x], []
        x = self.embedding_norm(x)
        for layer in self.encoder:
            x, layer_weights = layer(x, mask)
            states.append(x)
            weights.append(layer_weights)
        return states, weights

    def forward(self, ids: Tensor, keep: Tensor | None = None, segments: Tensor | None = None) -> Tensor:
        return self.inspect(ids, keep, segments)[0][-1]

# %% exercise="BertEncoder" wrong="one_layer_many_names"
"""All layers are the same module, so they share their weights."""
class BertFeedForward(nn.Module):
    def __init__(self, width, hidden):
        super().__init__()
        self.up, self.down = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x):
        return self.down(nn.functional.gelu(self.up(x)))


class BertLayer(nn.Module):
    def __init__(self, width, heads, hidden):
        super().__init__()
        self.attention = MultiHeadAttention(width, heads)
        self.norm1 = nn.LayerNorm(width, eps=1e-12)
        self.feed_forward = BertFeedForward(width, hidden)
        self.norm2 = nn.LayerNorm(width, eps=1e-12)

    def forward(self, x, mask):
        out, weights = self.attention(x, mask)
        x = self.norm1(x + out)
        return self.norm2(x + self.feed_forward(x)), weights


class BertEncoder(nn.Module):
    def __init__(
        self,
        vocab_size: int,
        width: int,
        heads: int,
        layers: int,
        hidden: int,
        max_length: int = 512,
        segments: int = 2,
    ):
        super().__init__()
        self.max_length = max_length
        self.token_embedding = nn.Embedding(vocab_size, width)
        self.position_embedding = nn.Embedding(max_length, width)
        self.segment_embedding = nn.Embedding(segments, width)
        self.embedding_norm = nn.LayerNorm(width, eps=1e-12)
        self.encoder = nn.ModuleList([BertLayer(width, heads, hidden)] * layers)

    def inspect(
        self, ids: Tensor, keep: Tensor | None = None, segments: Tensor | None = None
    ) -> tuple[list[Tensor], list[Tensor]]:
        if ids.shape[1] > self.max_length:
            raise ValueError(f"{ids.shape[1]} tokens, but only {self.max_length} positions")
        if segments is None:
            segments = torch.zeros_like(ids)
        positions = torch.arange(ids.shape[1], device=ids.device)
        x = self.token_embedding(ids) + self.position_embedding(positions) + self.segment_embedding(segments)
        x = self.embedding_norm(x)
        mask = None if keep is None else keep[:, None, None, :]
        states, weights = [x], []
        for layer in self.encoder:
            x, layer_weights = layer(x, mask)
            states.append(x)
            weights.append(layer_weights)
        return states, weights

    def forward(self, ids: Tensor, keep: Tensor | None = None, segments: Tensor | None = None) -> Tensor:
        return self.inspect(ids, keep, segments)[0][-1]

# %% exercise="BertEncoder" wrong="longest_sentence_refused"
"""A sequence of exactly max_length tokens already raises ValueError."""
class BertFeedForward(nn.Module):
    def __init__(self, width, hidden):
        super().__init__()
        self.up, self.down = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x):
        return self.down(nn.functional.gelu(self.up(x)))


class BertLayer(nn.Module):
    def __init__(self, width, heads, hidden):
        super().__init__()
        self.attention = MultiHeadAttention(width, heads)
        self.norm1 = nn.LayerNorm(width, eps=1e-12)
        self.feed_forward = BertFeedForward(width, hidden)
        self.norm2 = nn.LayerNorm(width, eps=1e-12)

    def forward(self, x, mask):
        out, weights = self.attention(x, mask)
        x = self.norm1(x + out)
        return self.norm2(x + self.feed_forward(x)), weights


class BertEncoder(nn.Module):
    def __init__(
        self,
        vocab_size: int,
        width: int,
        heads: int,
        layers: int,
        hidden: int,
        max_length: int = 512,
        segments: int = 2,
    ):
        super().__init__()
        self.max_length = max_length
        self.token_embedding = nn.Embedding(vocab_size, width)
        self.position_embedding = nn.Embedding(max_length, width)
        self.segment_embedding = nn.Embedding(segments, width)
        self.embedding_norm = nn.LayerNorm(width, eps=1e-12)
        self.encoder = nn.ModuleList([BertLayer(width, heads, hidden) for _ in range(layers)])

    def inspect(
        self, ids: Tensor, keep: Tensor | None = None, segments: Tensor | None = None
    ) -> tuple[list[Tensor], list[Tensor]]:
        if ids.shape[1] >= self.max_length:
            raise ValueError(f"{ids.shape[1]} tokens, but only {self.max_length} positions")
        if segments is None:
            segments = torch.zeros_like(ids)
        positions = torch.arange(ids.shape[1], device=ids.device)
        x = self.token_embedding(ids) + self.position_embedding(positions) + self.segment_embedding(segments)
        x = self.embedding_norm(x)
        mask = None if keep is None else keep[:, None, None, :]
        states, weights = [x], []
        for layer in self.encoder:
            x, layer_weights = layer(x, mask)
            states.append(x)
            weights.append(layer_weights)
        return states, weights

    def forward(self, ids: Tensor, keep: Tensor | None = None, segments: Tensor | None = None) -> Tensor:
        return self.inspect(ids, keep, segments)[0][-1]

# %% exercise="BertEncoder" wrong="index_error_when_too_long"
"""A sequence beyond max_length ends in torch's IndexError."""
class BertFeedForward(nn.Module):
    def __init__(self, width, hidden):
        super().__init__()
        self.up, self.down = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x):
        return self.down(nn.functional.gelu(self.up(x)))


class BertLayer(nn.Module):
    def __init__(self, width, heads, hidden):
        super().__init__()
        self.attention = MultiHeadAttention(width, heads)
        self.norm1 = nn.LayerNorm(width, eps=1e-12)
        self.feed_forward = BertFeedForward(width, hidden)
        self.norm2 = nn.LayerNorm(width, eps=1e-12)

    def forward(self, x, mask):
        out, weights = self.attention(x, mask)
        x = self.norm1(x + out)
        return self.norm2(x + self.feed_forward(x)), weights


class BertEncoder(nn.Module):
    def __init__(
        self,
        vocab_size: int,
        width: int,
        heads: int,
        layers: int,
        hidden: int,
        max_length: int = 512,
        segments: int = 2,
    ):
        super().__init__()
        self.token_embedding = nn.Embedding(vocab_size, width)
        self.position_embedding = nn.Embedding(max_length, width)
        self.segment_embedding = nn.Embedding(segments, width)
        self.embedding_norm = nn.LayerNorm(width, eps=1e-12)
        self.encoder = nn.ModuleList([BertLayer(width, heads, hidden) for _ in range(layers)])

    def inspect(
        self, ids: Tensor, keep: Tensor | None = None, segments: Tensor | None = None
    ) -> tuple[list[Tensor], list[Tensor]]:
        if segments is None:
            segments = torch.zeros_like(ids)
        positions = torch.arange(ids.shape[1], device=ids.device)
        x = self.token_embedding(ids) + self.position_embedding(positions) + self.segment_embedding(segments)
        x = self.embedding_norm(x)
        mask = None if keep is None else keep[:, None, None, :]
        states, weights = [x], []
        for layer in self.encoder:
            x, layer_weights = layer(x, mask)
            states.append(x)
            weights.append(layer_weights)
        return states, weights

    def forward(self, ids: Tensor, keep: Tensor | None = None, segments: Tensor | None = None) -> Tensor:
        return self.inspect(ids, keep, segments)[0][-1]

# %% exercise="BertEncoder" wrong="embeddings_times_root"
"""Token embeddings are multiplied by sqrt(D), as in the model of 2017."""
class BertFeedForward(nn.Module):
    def __init__(self, width, hidden):
        super().__init__()
        self.up, self.down = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x):
        return self.down(nn.functional.gelu(self.up(x)))


class BertLayer(nn.Module):
    def __init__(self, width, heads, hidden):
        super().__init__()
        self.attention = MultiHeadAttention(width, heads)
        self.norm1 = nn.LayerNorm(width, eps=1e-12)
        self.feed_forward = BertFeedForward(width, hidden)
        self.norm2 = nn.LayerNorm(width, eps=1e-12)

    def forward(self, x, mask):
        out, weights = self.attention(x, mask)
        x = self.norm1(x + out)
        return self.norm2(x + self.feed_forward(x)), weights


class BertEncoder(nn.Module):
    def __init__(
        self,
        vocab_size: int,
        width: int,
        heads: int,
        layers: int,
        hidden: int,
        max_length: int = 512,
        segments: int = 2,
    ):
        super().__init__()
        self.max_length = max_length
        self.token_embedding = nn.Embedding(vocab_size, width)
        self.position_embedding = nn.Embedding(max_length, width)
        self.segment_embedding = nn.Embedding(segments, width)
        self.embedding_norm = nn.LayerNorm(width, eps=1e-12)
        self.encoder = nn.ModuleList([BertLayer(width, heads, hidden) for _ in range(layers)])

    def inspect(
        self, ids: Tensor, keep: Tensor | None = None, segments: Tensor | None = None
    ) -> tuple[list[Tensor], list[Tensor]]:
        if ids.shape[1] > self.max_length:
            raise ValueError(f"{ids.shape[1]} tokens, but only {self.max_length} positions")
        if segments is None:
            segments = torch.zeros_like(ids)
        positions = torch.arange(ids.shape[1], device=ids.device)
        x = self.token_embedding(ids) * self.token_embedding.embedding_dim**0.5
        x = x + self.position_embedding(positions) + self.segment_embedding(segments)
        x = self.embedding_norm(x)
        mask = None if keep is None else keep[:, None, None, :]
        states, weights = [x], []
        for layer in self.encoder:
            x, layer_weights = layer(x, mask)
            states.append(x)
            weights.append(layer_weights)
        return states, weights

    def forward(self, ids: Tensor, keep: Tensor | None = None, segments: Tensor | None = None) -> Tensor:
        return self.inspect(ids, keep, segments)[0][-1]

# %% exercise="BertEncoder" wrong="two_segments_always"
"""The segment table has two rows, whatever the argument says."""
class BertFeedForward(nn.Module):
    def __init__(self, width, hidden):
        super().__init__()
        self.up, self.down = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x):
        return self.down(nn.functional.gelu(self.up(x)))


class BertLayer(nn.Module):
    def __init__(self, width, heads, hidden):
        super().__init__()
        self.attention = MultiHeadAttention(width, heads)
        self.norm1 = nn.LayerNorm(width, eps=1e-12)
        self.feed_forward = BertFeedForward(width, hidden)
        self.norm2 = nn.LayerNorm(width, eps=1e-12)

    def forward(self, x, mask):
        out, weights = self.attention(x, mask)
        x = self.norm1(x + out)
        return self.norm2(x + self.feed_forward(x)), weights


class BertEncoder(nn.Module):
    def __init__(
        self,
        vocab_size: int,
        width: int,
        heads: int,
        layers: int,
        hidden: int,
        max_length: int = 512,
        segments: int = 2,
    ):
        super().__init__()
        self.max_length = max_length
        self.token_embedding = nn.Embedding(vocab_size, width)
        self.position_embedding = nn.Embedding(max_length, width)
        self.segment_embedding = nn.Embedding(2, width)
        self.embedding_norm = nn.LayerNorm(width, eps=1e-12)
        self.encoder = nn.ModuleList([BertLayer(width, heads, hidden) for _ in range(layers)])

    def inspect(
        self, ids: Tensor, keep: Tensor | None = None, segments: Tensor | None = None
    ) -> tuple[list[Tensor], list[Tensor]]:
        if ids.shape[1] > self.max_length:
            raise ValueError(f"{ids.shape[1]} tokens, but only {self.max_length} positions")
        if segments is None:
            segments = torch.zeros_like(ids)
        positions = torch.arange(ids.shape[1], device=ids.device)
        x = self.token_embedding(ids) + self.position_embedding(positions) + self.segment_embedding(segments)
        x = self.embedding_norm(x)
        mask = None if keep is None else keep[:, None, None, :]
        states, weights = [x], []
        for layer in self.encoder:
            x, layer_weights = layer(x, mask)
            states.append(x)
            weights.append(layer_weights)
        return states, weights

    def forward(self, ids: Tensor, keep: Tensor | None = None, segments: Tensor | None = None) -> Tensor:
        return self.inspect(ids, keep, segments)[0][-1]

# %% exercise="BertEncoder" wrong="sum_in_place"
"""Adds to the stream in place, so the states behind the embeddings are overwritten by the first layer."""
class BertFeedForward(nn.Module):
    def __init__(self, width, hidden):
        super().__init__()
        self.up, self.down = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x):
        return self.down(nn.functional.gelu(self.up(x)))


class BertLayer(nn.Module):
    def __init__(self, width, heads, hidden):
        super().__init__()
        self.attention = MultiHeadAttention(width, heads)
        self.norm1 = nn.LayerNorm(width, eps=1e-12)
        self.feed_forward = BertFeedForward(width, hidden)
        self.norm2 = nn.LayerNorm(width, eps=1e-12)

    def forward(self, x, mask):
        out, weights = self.attention(x, mask)
        x += out
        x = self.norm1(x)
        return self.norm2(x + self.feed_forward(x)), weights


class BertEncoder(nn.Module):
    def __init__(
        self,
        vocab_size: int,
        width: int,
        heads: int,
        layers: int,
        hidden: int,
        max_length: int = 512,
        segments: int = 2,
    ):
        super().__init__()
        self.max_length = max_length
        self.token_embedding = nn.Embedding(vocab_size, width)
        self.position_embedding = nn.Embedding(max_length, width)
        self.segment_embedding = nn.Embedding(segments, width)
        self.embedding_norm = nn.LayerNorm(width, eps=1e-12)
        self.encoder = nn.ModuleList([BertLayer(width, heads, hidden) for _ in range(layers)])

    def inspect(
        self, ids: Tensor, keep: Tensor | None = None, segments: Tensor | None = None
    ) -> tuple[list[Tensor], list[Tensor]]:
        if ids.shape[1] > self.max_length:
            raise ValueError(f"{ids.shape[1]} tokens, but only {self.max_length} positions")
        if segments is None:
            segments = torch.zeros_like(ids)
        positions = torch.arange(ids.shape[1], device=ids.device)
        x = self.token_embedding(ids) + self.position_embedding(positions) + self.segment_embedding(segments)
        x = self.embedding_norm(x)
        mask = None if keep is None else keep[:, None, None, :]
        states, weights = [x], []
        for layer in self.encoder:
            x, layer_weights = layer(x, mask)
            states.append(x)
            weights.append(layer_weights)
        return states, weights

    def forward(self, ids: Tensor, keep: Tensor | None = None, segments: Tensor | None = None) -> Tensor:
        return self.inspect(ids, keep, segments)[0][-1]

# %% exercise="masked_mean_pool" wrong="divides_by_the_length"
"""Padded states are zero, but the sum is divided by T."""
def masked_mean_pool(states: Tensor, keep: Tensor) -> Tensor:
    return states.masked_fill(~keep[..., None], 0).mean(dim=1)

# %% exercise="masked_mean_pool" wrong="padding_in_the_sum"
"""The count is right, but padded states come into the sum."""
def masked_mean_pool(states: Tensor, keep: Tensor) -> Tensor:
    return states.sum(dim=1) / keep.sum(dim=1, keepdim=True).clamp(min=1)

# %% exercise="masked_mean_pool" wrong="empty_row_is_nan"
"""A row without a real token is 0 / 0."""
def masked_mean_pool(states: Tensor, keep: Tensor) -> Tensor:
    real = keep[..., None].to(states.dtype)
    return (states * real).sum(dim=1) / real.sum(dim=1)

# %% exercise="masked_mean_pool" wrong="empty_row_repaired_behind_the_division"
"""The empty row is 0, but its gradient is NaN."""
def masked_mean_pool(states: Tensor, keep: Tensor) -> Tensor:
    real = keep[..., None].to(states.dtype)
    mean = (states * real).sum(dim=1) / real.sum(dim=1)
    return torch.where(keep.any(dim=1, keepdim=True), mean, 0.0)

# %% exercise="masked_mean_pool" wrong="nan_to_num_behind_the_division"
"""nan_to_num hides the 0 / 0 of an empty row, not its gradient."""
def masked_mean_pool(states: Tensor, keep: Tensor) -> Tensor:
    weights = keep.to(states.dtype)[..., None]
    return torch.nan_to_num((weights * states).sum(1) / weights.sum(1))

# %% exercise="masked_mean_pool" wrong="padding_subtracted_again"
"""Subtracts the sum of padding from the sum of all: large padding leaves rounding errors."""
def masked_mean_pool(states: Tensor, keep: Tensor) -> Tensor:
    padding = (states * ~keep[..., None]).sum(1)
    return (states.sum(1) - padding) / keep.sum(1, keepdim=True).clamp(min=1)

# %% exercise="masked_mean_pool" wrong="real_tokens_stand_first"
"""Takes the first n states, as if padding could only stand at the end."""
def masked_mean_pool(states: Tensor, keep: Tensor) -> Tensor:
    rows = []
    for row, real in zip(states, keep):
        n = int(real.sum())
        rows.append(row[:n].sum(0) / max(n, 1))
    return torch.stack(rows)

# %% exercise="masked_mean_pool" wrong="count_of_the_batch"
"""Divides by the number of real tokens of the whole batch."""
def masked_mean_pool(states: Tensor, keep: Tensor) -> Tensor:
    total = states.masked_fill(~keep[..., None], 0).sum(1)
    return total / keep.sum().clamp(min=1)

# %% exercise="masked_mean_pool" wrong="count_plus_one"
"""Adds 1 to the count so that it is never 0."""
def masked_mean_pool(states: Tensor, keep: Tensor) -> Tensor:
    total = states.masked_fill(~keep[..., None], 0).sum(1)
    return total / (keep.sum(1, keepdim=True) + 1)

# %% exercise="masked_mean_pool" wrong="float32_only"
"""Computes in float32 and returns it, also for float64 states."""
def masked_mean_pool(states: Tensor, keep: Tensor) -> Tensor:
    real = keep[..., None].float()
    return (states.float() * real).sum(1) / real.sum(1).clamp(min=1e-9)

# %% exercise="masked_mean_pool" wrong="polarity_turned"
"""The mean of the padded states."""
def masked_mean_pool(states: Tensor, keep: Tensor) -> Tensor:
    total = states.masked_fill(keep[..., None], 0).sum(1)
    return total / (~keep).sum(1, keepdim=True).clamp(min=1)

# %% exercise="masked_mean_pool" wrong="caller_loses_padding"
"""Sets padded states to zero in the caller's tensor."""
def masked_mean_pool(states: Tensor, keep: Tensor) -> Tensor:
    with torch.no_grad():
        states[~keep] = 0
    return states.sum(1) / keep.sum(1, keepdim=True).clamp(min=1)

# %% exercise="masked_mean_pool" wrong="last_token"
"""The state of the last real token, as decoders are pooled."""
def masked_mean_pool(states: Tensor, keep: Tensor) -> Tensor:
    last = (keep * torch.arange(1, keep.shape[1] + 1)).argmax(1)
    picked = states[torch.arange(len(states)), last]
    return picked.masked_fill(~keep.any(1, keepdim=True), 0)

# %% exercise="masked_mean_pool" wrong="divided_by_length"
"""Leaves padding out of the sum, but divides by T."""
def masked_mean_pool(states: Tensor, keep: Tensor) -> Tensor:
    total = states.masked_fill(~keep[:, :, None], 0).sum(1)
    count = states.shape[1]
    return total / count

# %% exercise="masked_mean_pool" wrong="empty_row_is_nan_too"
"""A row without a real token is divided by 0."""
def masked_mean_pool(states: Tensor, keep: Tensor) -> Tensor:
    total = states.masked_fill(~keep[:, :, None], 0).sum(1)
    count = keep.sum(1, keepdim=True)
    return total / count

# %% exercise="masked_mean_pool" wrong="nan_replaced_afterwards"
"""Divides by 0 and replaces the NaN afterwards: the result is 0, but its gradient is NaN."""
def masked_mean_pool(states: Tensor, keep: Tensor) -> Tensor:
    total = (states * keep.unsqueeze(-1)).sum(dim=1)
    count = keep.sum(dim=1, keepdim=True)
    return torch.where(count > 0, total / count, 0.0)

# %% exercise="masked_mean_pool" wrong="padding_subtracted"
"""Subtracts the padding's sum from the sum of all, so very large padding swallows the real tokens."""
def masked_mean_pool(states: Tensor, keep: Tensor) -> Tensor:
    weights = (~keep).to(states.dtype)[:, :, None]
    total = states.sum(1) - (states * weights).sum(1)
    return total / keep.sum(1, keepdim=True).clamp(min=1)

# %% exercise="masked_mean_pool" wrong="padding_zeroed_in_place"
"""Sets the padded places of the caller's tensor to 0."""
def masked_mean_pool(states: Tensor, keep: Tensor) -> Tensor:
    states[~keep] = 0
    return states.sum(1) / keep.sum(1, keepdim=True).clamp(min=1)

# %% exercise="masked_mean_pool" wrong="always_float32"
"""Gives float32 for float64 states."""
def masked_mean_pool(states: Tensor, keep: Tensor) -> Tensor:
    weights = keep[:, :, None].float()
    total = (states.float() * weights).sum(1)
    return total / weights.sum(1).clamp(min=1e-9)

# %% exercise="masked_mean_pool" wrong="count_promotes_to_float64"
"""Multiplies by float64 weights, so float32 states give a float64 result."""
def masked_mean_pool(states: Tensor, keep: Tensor) -> Tensor:
    weights = keep.double()
    weights = weights / weights.sum(1, keepdim=True).clamp(min=1)
    return (states * weights[:, :, None]).sum(1)

# %% exercise="masked_mean_pool" wrong="divided_by_root_of_count"
"""Divides by the square root of the number of real tokens, the other pooling of Sentence-BERT's code."""
def masked_mean_pool(states: Tensor, keep: Tensor) -> Tensor:
    total = states.masked_fill(~keep[:, :, None], 0).sum(1)
    count = keep.sum(1, keepdim=True).clamp(min=1)
    return total / count.sqrt()

# %% exercise="masked_mean_pool" wrong="count_plus_small_number"
"""Adds 1e-5 to the count in place of a lower bound, so every mean is a little too small."""
def masked_mean_pool(states: Tensor, keep: Tensor) -> Tensor:
    total = states.masked_fill(~keep[:, :, None], 0).sum(1)
    count = keep.sum(1, keepdim=True) + 1e-5
    return total / count

# %% exercise="masked_mean_pool" wrong="first_tokens_taken"
"""Takes the first n tokens of a row with n real ones, as if padding stood always on the right."""
def masked_mean_pool(states: Tensor, keep: Tensor) -> Tensor:
    count = keep.sum(1, keepdim=True)
    first = torch.arange(keep.shape[1], device=keep.device) < count
    total = states.masked_fill(~first[:, :, None], 0).sum(1)
    return total / count.clamp(min=1)

# %% exercise="masked_mean_pool" wrong="shares_in_float32"
"""The shares 1 / n of the real tokens are float32, also where the states are float64."""
def masked_mean_pool(states: Tensor, keep: Tensor) -> Tensor:
    shares = keep.float()
    shares = shares / shares.sum(1, keepdim=True).clamp(min=1)
    return (states * shares[:, :, None]).sum(1)

# %% exercise="repaired_distances" wrong="still_divided_by_the_length"
"""Zeros written in another way, still divided by T."""
def repaired_distances(query: Tensor, states: Tensor, keep: Tensor) -> Tensor:
    states = states.masked_fill(~keep[:, :, None], 0)
    return (states.sum(dim=1) / states.shape[1] - query).norm(dim=1)

# %% exercise="repaired_distances" wrong="padding_in_the_sum"
"""Divides by the number of real tokens, but padded states are in the sum."""
def repaired_distances(query: Tensor, states: Tensor, keep: Tensor) -> Tensor:
    vectors = states.sum(dim=1) / keep.sum(dim=1, keepdim=True)
    return (vectors - query).norm(dim=1)

# %% exercise="repaired_distances" wrong="plain_mean"
"""The mean of all states, padding included."""
def repaired_distances(query: Tensor, states: Tensor, keep: Tensor) -> Tensor:
    return (states.mean(dim=1) - query).norm(dim=1)

# %% exercise="repaired_distances" wrong="count_of_the_batch"
"""Divides by the mean number of real tokens of the batch, one number for all rows."""
def repaired_distances(query: Tensor, states: Tensor, keep: Tensor) -> Tensor:
    vectors = (states * keep[:, :, None]).sum(dim=1) / keep.sum(dim=1).double().mean().to(states.dtype)
    return (vectors - query).norm(dim=1)

# %% exercise="repaired_distances" wrong="squared"
"""Squared distances."""
def repaired_distances(query: Tensor, states: Tensor, keep: Tensor) -> Tensor:
    vectors = (states * keep[:, :, None]).sum(dim=1) / keep.sum(dim=1, keepdim=True)
    return ((vectors - query) ** 2).sum(dim=1)

# %% exercise="repaired_distances" wrong="cosine_distance"
"""One minus the cosine, not the Euclidean distance."""
def repaired_distances(query: Tensor, states: Tensor, keep: Tensor) -> Tensor:
    vectors = (states * keep[:, :, None]).sum(dim=1) / keep.sum(dim=1, keepdim=True)
    return 1 - nn.functional.cosine_similarity(vectors, query[None], dim=1)

# %% exercise="repaired_distances" wrong="normalised_first"
"""Query and sentences are brought to length 1 before they are compared."""
def repaired_distances(query: Tensor, states: Tensor, keep: Tensor) -> Tensor:
    vectors = (states * keep[:, :, None]).sum(dim=1) / keep.sum(dim=1, keepdim=True)
    normalize = nn.functional.normalize
    return (normalize(vectors, dim=1) - normalize(query, dim=0)).norm(dim=1)

# %% exercise="repaired_distances" wrong="mean_of_token_distances"
"""The mean of the tokens' distances, not the distance of their mean."""
def repaired_distances(query: Tensor, states: Tensor, keep: Tensor) -> Tensor:
    distances = (states - query).norm(dim=2).masked_fill(~keep, 0)
    return distances.sum(dim=1) / keep.sum(dim=1)

# %% exercise="repaired_distances" wrong="nearest_token"
"""The distance of the nearest token of each sentence."""
def repaired_distances(query: Tensor, states: Tensor, keep: Tensor) -> Tensor:
    distances = (states - query).norm(dim=2)
    return distances.masked_fill(~keep, math.inf).amin(dim=1)

# %% exercise="repaired_distances" wrong="query_comes_in_at_padding"
"""Subtracts the query at every place, also at padded ones, before it sums."""
def repaired_distances(query: Tensor, states: Tensor, keep: Tensor) -> Tensor:
    differences = states * keep[:, :, None] - query
    return (differences.sum(dim=1) / keep.sum(dim=1, keepdim=True)).norm(dim=1)

# %% exercise="repaired_distances" wrong="norm_over_the_batch"
"""The norm is taken over all sentences at once, with one number for all."""
def repaired_distances(query: Tensor, states: Tensor, keep: Tensor) -> Tensor:
    vectors = (states * keep[:, :, None]).sum(dim=1) / keep.sum(dim=1, keepdim=True)
    return (vectors - query).norm().expand(len(states))

# %% exercise="repaired_distances" wrong="longest_of_the_batch"
"""Divides by the number of real tokens of the longest sentence."""
def repaired_distances(query: Tensor, states: Tensor, keep: Tensor) -> Tensor:
    states = states * keep[:, :, None]
    vectors = states.sum(dim=1) / keep.sum(dim=1).max()
    return (vectors - query).norm(dim=1)

# %% exercise="repaired_distances" wrong="squared_too"
"""Gives the squared distance."""
def repaired_distances(query: Tensor, states: Tensor, keep: Tensor) -> Tensor:
    states = states * keep[:, :, None]
    vectors = states.sum(dim=1) / keep.sum(dim=1, keepdim=True)
    return (vectors - query).square().sum(dim=1)

# %% exercise="repaired_distances" wrong="states_changed_in_place"
"""Sets the padding of the caller's states to zero."""
def repaired_distances(query: Tensor, states: Tensor, keep: Tensor) -> Tensor:
    states *= keep[:, :, None]
    vectors = states.sum(dim=1) / keep.sum(dim=1, keepdim=True)
    return (vectors - query).norm(dim=1)

# %% exercise="repaired_distances" wrong="eps_of_pairwise_distance"
"""F.pairwise_distance adds 1e-6 to every difference, so a distance of 0 does not come out as 0."""
def repaired_distances(query: Tensor, states: Tensor, keep: Tensor) -> Tensor:
    states = states * keep[:, :, None]
    vectors = states.sum(dim=1) / keep.sum(dim=1, keepdim=True)
    return nn.functional.pairwise_distance(vectors, query[None])

# %% exercise="repaired_distances" wrong="cosine"
"""Goes over to another measure, one minus the cosine, in place of repairing the mean."""
def repaired_distances(query: Tensor, states: Tensor, keep: Tensor) -> Tensor:
    states = states * keep[:, :, None]
    vectors = states.sum(dim=1) / keep.sum(dim=1, keepdim=True)
    return 1 - nn.functional.cosine_similarity(vectors, query[None], dim=1)

# %% exercise="repaired_distances" wrong="mean_of_distances"
"""Averages the distances of the tokens in place of taking the distance of their mean."""
def repaired_distances(query: Tensor, states: Tensor, keep: Tensor) -> Tensor:
    apart = (states - query).norm(dim=-1) * keep
    return apart.sum(dim=1) / keep.sum(dim=1)

# %% exercise="repaired_distances" wrong="padding_on_the_right_only"
"""Cuts each row behind its number of real tokens, wherever they stand."""
def repaired_distances(query: Tensor, states: Tensor, keep: Tensor) -> Tensor:
    vectors = [row[: int(real.sum())].mean(dim=0) for row, real in zip(states, keep)]
    return (torch.stack(vectors) - query).norm(dim=1)

# %% exercise="repaired_distances" wrong="unit_vectors"
"""Brings vectors and query to length 1 before it takes the distance."""
def repaired_distances(query: Tensor, states: Tensor, keep: Tensor) -> Tensor:
    states = states * keep[:, :, None]
    vectors = states.sum(dim=1) / keep.sum(dim=1, keepdim=True)
    return (nn.functional.normalize(vectors, dim=1) - nn.functional.normalize(query, dim=0)).norm(dim=1)

# %% exercise="repaired_distances" wrong="float32_result"
"""Gives float32, whatever the states have."""
def repaired_distances(query: Tensor, states: Tensor, keep: Tensor) -> Tensor:
    states = states * keep[:, :, None]
    vectors = states.sum(dim=1) / keep.sum(dim=1, keepdim=True)
    return (vectors.float() - query.float()).norm(dim=1)

# %% exercise="repaired_distances" wrong="shares_in_float32"
"""Divides a bool by an int, which gives float32: float64 states get shares of seven digits."""
def repaired_distances(query: Tensor, states: Tensor, keep: Tensor) -> Tensor:
    shares = keep / keep.sum(dim=1, keepdim=True)
    vectors = (states * shares[:, :, None]).sum(dim=1)
    return (vectors - query).norm(dim=1)

# %% exercise="ClassificationHead" wrong="mean_pooling"
"""Pools the mean of all states, not the first one."""
class ClassificationHead(nn.Module):
    def __init__(self, width: int, classes: int, dropout: float = 0.1):
        super().__init__()
        self.pooler = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(width, classes)

    def forward(self, states: Tensor) -> Tensor:
        pooled = torch.tanh(self.pooler(states.mean(dim=1)))
        return self.classifier(self.dropout(pooled))

# %% exercise="ClassificationHead" wrong="last_token"
"""Takes the state of the last token."""
class ClassificationHead(nn.Module):
    def __init__(self, width: int, classes: int, dropout: float = 0.1):
        super().__init__()
        self.pooler = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(width, classes)

    def forward(self, states: Tensor) -> Tensor:
        pooled = torch.tanh(self.pooler(states[:, -1]))
        return self.classifier(self.dropout(pooled))

# %% exercise="ClassificationHead" wrong="first_sentence"
"""Takes the first sentence of the batch, not the first token."""
class ClassificationHead(nn.Module):
    def __init__(self, width: int, classes: int, dropout: float = 0.1):
        super().__init__()
        self.pooler = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(width, classes)

    def forward(self, states: Tensor) -> Tensor:
        pooled = torch.tanh(self.pooler(states[0]))
        return self.classifier(self.dropout(pooled))

# %% exercise="ClassificationHead" wrong="no_tanh"
"""The tanh is missing."""
class ClassificationHead(nn.Module):
    def __init__(self, width: int, classes: int, dropout: float = 0.1):
        super().__init__()
        self.pooler = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(width, classes)

    def forward(self, states: Tensor) -> Tensor:
        pooled = self.pooler(states[:, 0])
        return self.classifier(self.dropout(pooled))

# %% exercise="ClassificationHead" wrong="gelu_instead_of_tanh"
"""GELU stands in the place of tanh."""
class ClassificationHead(nn.Module):
    def __init__(self, width: int, classes: int, dropout: float = 0.1):
        super().__init__()
        self.pooler = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(width, classes)

    def forward(self, states: Tensor) -> Tensor:
        pooled = nn.functional.gelu(self.pooler(states[:, 0]))
        return self.classifier(self.dropout(pooled))

# %% exercise="ClassificationHead" wrong="dropout_before_the_pooler"
"""Dropout acts on the encoder's state, not on the pooled vector."""
class ClassificationHead(nn.Module):
    def __init__(self, width: int, classes: int, dropout: float = 0.1):
        super().__init__()
        self.pooler = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(width, classes)

    def forward(self, states: Tensor) -> Tensor:
        pooled = torch.tanh(self.pooler(self.dropout(states[:, 0])))
        return self.classifier(pooled)

# %% exercise="ClassificationHead" wrong="dropout_inside_the_tanh"
"""Dropout acts before the tanh."""
class ClassificationHead(nn.Module):
    def __init__(self, width: int, classes: int, dropout: float = 0.1):
        super().__init__()
        self.pooler = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(width, classes)

    def forward(self, states: Tensor) -> Tensor:
        pooled = torch.tanh(self.dropout(self.pooler(states[:, 0])))
        return self.classifier(pooled)

# %% exercise="ClassificationHead" wrong="dropout_on_the_logits"
"""Dropout acts on the logits."""
class ClassificationHead(nn.Module):
    def __init__(self, width: int, classes: int, dropout: float = 0.1):
        super().__init__()
        self.pooler = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(width, classes)

    def forward(self, states: Tensor) -> Tensor:
        pooled = torch.tanh(self.pooler(states[:, 0]))
        return self.dropout(self.classifier(pooled))

# %% exercise="ClassificationHead" wrong="dropout_argument_ignored"
"""Drops a tenth, whatever was asked."""
class ClassificationHead(nn.Module):
    def __init__(self, width: int, classes: int, dropout: float = 0.1):
        super().__init__()
        self.pooler = nn.Linear(width, width)
        self.dropout = nn.Dropout(0.1)
        self.classifier = nn.Linear(width, classes)

    def forward(self, states: Tensor) -> Tensor:
        pooled = torch.tanh(self.pooler(states[:, 0]))
        return self.classifier(self.dropout(pooled))

# %% exercise="ClassificationHead" wrong="dropout_in_evaluation_too"
"""Drops in evaluation, too."""
class ClassificationHead(nn.Module):
    def __init__(self, width: int, classes: int, dropout: float = 0.1):
        super().__init__()
        self.pooler = nn.Linear(width, width)
        self.dropout = dropout
        self.classifier = nn.Linear(width, classes)

    def forward(self, states: Tensor) -> Tensor:
        pooled = torch.tanh(self.pooler(states[:, 0]))
        return self.classifier(nn.functional.dropout(pooled, self.dropout))

# %% exercise="ClassificationHead" wrong="dropout_is_the_kept_share"
"""Takes the probability for that of being kept."""
class ClassificationHead(nn.Module):
    def __init__(self, width: int, classes: int, dropout: float = 0.1):
        super().__init__()
        self.pooler = nn.Linear(width, width)
        self.dropout = nn.Dropout(1 - dropout)
        self.classifier = nn.Linear(width, classes)

    def forward(self, states: Tensor) -> Tensor:
        pooled = torch.tanh(self.pooler(states[:, 0]))
        return self.classifier(self.dropout(pooled))

# %% exercise="ClassificationHead" wrong="nothing_grows"
"""The numbers that stay are not multiplied by 1 / (1 - dropout)."""
class ClassificationHead(nn.Module):
    def __init__(self, width: int, classes: int, dropout: float = 0.1):
        super().__init__()
        self.pooler = nn.Linear(width, width)
        self.dropout = dropout
        self.classifier = nn.Linear(width, classes)

    def forward(self, states: Tensor) -> Tensor:
        pooled = torch.tanh(self.pooler(states[:, 0]))
        if self.training:
            pooled = pooled * (torch.rand_like(pooled) >= self.dropout)
        return self.classifier(pooled)

# %% exercise="ClassificationHead" wrong="all_dropped_is_nan"
"""A dropout of 1 divides by zero."""
class ClassificationHead(nn.Module):
    def __init__(self, width: int, classes: int, dropout: float = 0.1):
        super().__init__()
        self.pooler = nn.Linear(width, width)
        self.p = torch.tensor(dropout, dtype=torch.float64)
        self.classifier = nn.Linear(width, classes)

    def forward(self, states: Tensor) -> Tensor:
        pooled = torch.tanh(self.pooler(states[:, 0]))
        if self.training:
            kept = (torch.rand_like(pooled) >= self.p).to(pooled.dtype)
            pooled = pooled * kept / (1 - self.p).to(pooled.dtype)
        return self.classifier(pooled)

# %% exercise="ClassificationHead" wrong="whole_vectors_dropped"
"""Drops whole vectors: a sentence loses all numbers of its pooled vector or none."""
class ClassificationHead(nn.Module):
    def __init__(self, width: int, classes: int, dropout: float = 0.1):
        super().__init__()
        self.pooler = nn.Linear(width, width)
        self.dropout = nn.Dropout1d(dropout)
        self.classifier = nn.Linear(width, classes)

    def forward(self, states: Tensor) -> Tensor:
        pooled = torch.tanh(self.pooler(states[:, 0]))
        return self.classifier(self.dropout(pooled))

# %% exercise="ClassificationHead" wrong="probabilities"
"""Returns softmax probabilities, not logits."""
class ClassificationHead(nn.Module):
    def __init__(self, width: int, classes: int, dropout: float = 0.1):
        super().__init__()
        self.pooler = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(width, classes)

    def forward(self, states: Tensor) -> Tensor:
        pooled = torch.tanh(self.pooler(states[:, 0]))
        return self.classifier(self.dropout(pooled)).softmax(dim=-1)

# %% exercise="ClassificationHead" wrong="classifier_without_bias"
"""The classifier has no bias."""
class ClassificationHead(nn.Module):
    def __init__(self, width: int, classes: int, dropout: float = 0.1):
        super().__init__()
        self.pooler = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(width, classes, bias=False)

    def forward(self, states: Tensor) -> Tensor:
        pooled = torch.tanh(self.pooler(states[:, 0]))
        return self.classifier(self.dropout(pooled))

# %% exercise="ClassificationHead" wrong="mean_of_tokens"
"""Pools the mean of all tokens in place of the first one."""
class ClassificationHead(nn.Module):
    def __init__(self, width: int, classes: int, dropout: float = 0.1):
        super().__init__()
        self.pooler = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(width, classes)

    def forward(self, states: Tensor) -> Tensor:
        pooled = torch.tanh(self.pooler(states.mean(1)))
        return self.classifier(self.dropout(pooled))

# %% exercise="ClassificationHead" wrong="relu_pooler"
"""ReLU stands where the tanh belongs."""
class ClassificationHead(nn.Module):
    def __init__(self, width: int, classes: int, dropout: float = 0.1):
        super().__init__()
        self.pooler = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(width, classes)

    def forward(self, states: Tensor) -> Tensor:
        pooled = torch.relu(self.pooler(states[:, 0]))
        return self.classifier(self.dropout(pooled))

# %% exercise="ClassificationHead" wrong="dropout_in_evaluation"
"""The functional form without a mode drops in evaluation, too."""
class ClassificationHead(nn.Module):
    def __init__(self, width: int, classes: int, dropout: float = 0.1):
        super().__init__()
        self.p = dropout
        self.pooler, self.classifier = nn.Linear(width, width), nn.Linear(width, classes)

    def forward(self, states: Tensor) -> Tensor:
        pooled = self.pooler(states[:, 0]).tanh()
        return self.classifier(nn.functional.dropout(pooled, self.p))

# %% exercise="ClassificationHead" wrong="dropout_of_one_is_nan"
"""Drops by hand and divides by 1 - p, which gives NaN where everything is dropped."""
class ClassificationHead(nn.Module):
    def __init__(self, width: int, classes: int, dropout: float = 0.1):
        super().__init__()
        self.kept = 1.0 - dropout
        self.pooler, self.classifier = nn.Linear(width, width), nn.Linear(width, classes)

    def forward(self, states: Tensor) -> Tensor:
        pooled = torch.tanh(self.pooler(states[:, 0]))
        if self.training:
            pooled = pooled * (torch.rand_like(pooled) < self.kept) / self.kept
        return self.classifier(pooled)

# %% exercise="ClassificationHead" wrong="survivors_do_not_grow"
"""Sets numbers to zero, but does not scale up those that are left."""
class ClassificationHead(nn.Module):
    def __init__(self, width: int, classes: int, dropout: float = 0.1):
        super().__init__()
        self.rate = dropout
        self.pooler = nn.Linear(width, width)
        self.classifier = nn.Linear(width, classes)

    def forward(self, states: Tensor) -> Tensor:
        pooled = torch.tanh(self.pooler(states[:, 0]))
        if self.training:
            pooled = pooled.masked_fill(torch.rand_like(pooled) < self.rate, 0)
        return self.classifier(pooled)

# %% exercise="ClassificationHead" wrong="dropout_in_place"
"""Dropout overwrites the output that the tanh needs for its gradient, so backward fails in training."""
class ClassificationHead(nn.Module):
    def __init__(self, width: int, classes: int, dropout: float = 0.1):
        super().__init__()
        self.pooler = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout, inplace=True)
        self.classifier = nn.Linear(width, classes)

    def forward(self, states: Tensor) -> Tensor:
        pooled = torch.tanh(self.pooler(states[:, 0]))
        return self.classifier(self.dropout(pooled))

# %% exercise="ClassificationHead" wrong="length_axis_kept"
"""Keeps an axis of length 1: the logits are (B, 1, C)."""
class ClassificationHead(nn.Module):
    def __init__(self, width: int, classes: int, dropout: float = 0.1):
        super().__init__()
        self.pooler = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(width, classes)

    def forward(self, states: Tensor) -> Tensor:
        pooled = torch.tanh(self.pooler(states[:, :1]))
        return self.classifier(self.dropout(pooled))

# %% exercise="tagging_loss" wrong="every_piece_counts"
"""Every piece of a word is asked, so long words count more."""
def tagging_loss(logits: Tensor, tags: Tensor, word_of: Tensor) -> Tensor:
    before = torch.cat([torch.full_like(word_of[:, :1], -1), word_of[:, :-1]], dim=1)
    first = word_of >= 0
    asked = tags.gather(1, word_of.clamp(min=0))[first]
    total = nn.functional.cross_entropy(logits[first], asked, reduction="sum")
    return total / first.sum().clamp(min=1)

# %% exercise="tagging_loss" wrong="last_piece_speaks"
"""The last piece of a word is asked."""
def tagging_loss(logits: Tensor, tags: Tensor, word_of: Tensor) -> Tensor:
    behind = torch.cat([word_of[:, 1:], torch.full_like(word_of[:, :1], -1)], dim=1)
    first = (word_of >= 0) & (word_of != behind)
    asked = tags.gather(1, word_of.clamp(min=0))[first]
    total = nn.functional.cross_entropy(logits[first], asked, reduction="sum")
    return total / first.sum().clamp(min=1)

# %% exercise="tagging_loss" wrong="row_is_a_ring"
"""The piece before the first one is the last of the row: a row of a single word is never asked."""
def tagging_loss(logits: Tensor, tags: Tensor, word_of: Tensor) -> Tensor:
    before = word_of.roll(1, dims=1)
    first = (word_of >= 0) & (word_of != before)
    asked = tags.gather(1, word_of.clamp(min=0))[first]
    total = nn.functional.cross_entropy(logits[first], asked, reduction="sum")
    return total / first.sum().clamp(min=1)

# %% exercise="tagging_loss" wrong="front_counts_as_word_zero"
"""The shift fills in 0, so a word 0 at the front of a row is not asked."""
def tagging_loss(logits: Tensor, tags: Tensor, word_of: Tensor) -> Tensor:
    before = torch.cat([torch.zeros_like(word_of[:, :1]), word_of[:, :-1]], dim=1)
    first = (word_of >= 0) & (word_of != before)
    asked = tags.gather(1, word_of.clamp(min=0))[first]
    total = nn.functional.cross_entropy(logits[first], asked, reduction="sum")
    return total / first.sum().clamp(min=1)

# %% exercise="tagging_loss" wrong="words_have_no_gaps"
"""A first piece is one whose number is one more than the number before: cut words hide others."""
def tagging_loss(logits: Tensor, tags: Tensor, word_of: Tensor) -> Tensor:
    before = torch.cat([torch.full_like(word_of[:, :1], -1), word_of[:, :-1]], dim=1)
    first = (word_of >= 0) & (word_of == before.cummax(1).values + 1)
    asked = tags.gather(1, word_of.clamp(min=0))[first]
    total = nn.functional.cross_entropy(logits[first], asked, reduction="sum")
    return total / first.sum().clamp(min=1)

# %% exercise="tagging_loss" wrong="special_tokens_ask_for_word_zero"
"""Special tokens and padding count as pieces of word 0."""
def tagging_loss(logits: Tensor, tags: Tensor, word_of: Tensor) -> Tensor:
    before = torch.cat([torch.full_like(word_of[:, :1], -1), word_of[:, :-1]], dim=1)
    first = word_of != before
    asked = tags.gather(1, word_of.clamp(min=0))[first]
    total = nn.functional.cross_entropy(logits[first], asked, reduction="sum")
    return total / first.sum().clamp(min=1)

# %% exercise="tagging_loss" wrong="divided_by_all_words"
"""Divides by the number of entries of tags, also of words that have no piece."""
def tagging_loss(logits: Tensor, tags: Tensor, word_of: Tensor) -> Tensor:
    before = torch.cat([torch.full_like(word_of[:, :1], -1), word_of[:, :-1]], dim=1)
    first = (word_of >= 0) & (word_of != before)
    asked = tags.gather(1, word_of.clamp(min=0))[first]
    total = nn.functional.cross_entropy(logits[first], asked, reduction="sum")
    return total / tags.numel()

# %% exercise="tagging_loss" wrong="divided_by_all_pieces"
"""Divides by the number of pieces of words, not of words."""
def tagging_loss(logits: Tensor, tags: Tensor, word_of: Tensor) -> Tensor:
    before = torch.cat([torch.full_like(word_of[:, :1], -1), word_of[:, :-1]], dim=1)
    first = (word_of >= 0) & (word_of != before)
    asked = tags.gather(1, word_of.clamp(min=0))[first]
    total = nn.functional.cross_entropy(logits[first], asked, reduction="sum")
    return total / (word_of >= 0).sum().clamp(min=1)

# %% exercise="tagging_loss" wrong="mean_of_nothing_is_nan"
"""Takes torch's mean, which is NaN where no sentence has a word."""
def tagging_loss(logits: Tensor, tags: Tensor, word_of: Tensor) -> Tensor:
    before = torch.cat([torch.full_like(word_of[:, :1], -1), word_of[:, :-1]], dim=1)
    first = (word_of >= 0) & (word_of != before)
    asked = tags.gather(1, word_of.clamp(min=0))[first]
    total = nn.functional.cross_entropy(logits[first], asked)
    return total

# %% exercise="tagging_loss" wrong="constant_where_nothing_is_asked"
"""Without words it returns a new zero that no gradient flows from."""
def tagging_loss(logits: Tensor, tags: Tensor, word_of: Tensor) -> Tensor:
    before = torch.cat([torch.full_like(word_of[:, :1], -1), word_of[:, :-1]], dim=1)
    first = (word_of >= 0) & (word_of != before)
    if not first.any():
        return torch.zeros((), dtype=logits.dtype)
    asked = tags.gather(1, word_of.clamp(min=0))[first]
    total = nn.functional.cross_entropy(logits[first], asked, reduction="sum")
    return total / first.sum().clamp(min=1)

# %% exercise="tagging_loss" wrong="summed"
"""The sum over the words, not the mean."""
def tagging_loss(logits: Tensor, tags: Tensor, word_of: Tensor) -> Tensor:
    before = torch.cat([torch.full_like(word_of[:, :1], -1), word_of[:, :-1]], dim=1)
    first = (word_of >= 0) & (word_of != before)
    asked = tags.gather(1, word_of.clamp(min=0))[first]
    total = nn.functional.cross_entropy(logits[first], asked, reduction="sum")
    return total

# %% exercise="tagging_loss" wrong="word_numbers_overwritten"
"""Sets -1 to 0 in the caller's word_of."""
def tagging_loss(logits: Tensor, tags: Tensor, word_of: Tensor) -> Tensor:
    before = torch.cat([torch.full_like(word_of[:, :1], -1), word_of[:, :-1]], dim=1)
    first = (word_of >= 0) & (word_of != before)
    asked = tags.gather(1, word_of.clamp_(min=0))[first]
    total = nn.functional.cross_entropy(logits[first], asked, reduction="sum")
    return total / first.sum().clamp(min=1)

# %% exercise="tagging_loss" wrong="loss_in_float32"
"""The loss is float32 also for float64 logits."""
def tagging_loss(logits: Tensor, tags: Tensor, word_of: Tensor) -> Tensor:
    before = torch.cat([torch.full_like(word_of[:, :1], -1), word_of[:, :-1]], dim=1)
    first = (word_of >= 0) & (word_of != before)
    asked = tags.gather(1, word_of.clamp(min=0))[first]
    total = nn.functional.cross_entropy(logits[first].float(), asked, reduction="sum")
    return total / first.sum().clamp(min=1)

# %% exercise="tagging_loss" wrong="sentences_count_the_same"
"""The mean over sentences of their mean over words: short sentences count more."""
def tagging_loss(logits: Tensor, tags: Tensor, word_of: Tensor) -> Tensor:
    before = nn.functional.pad(word_of, (1, 0), value=-1)[:, :-1]
    first = (word_of >= 0) & (word_of != before)
    asked = tags.gather(1, word_of.clamp(min=0)).masked_fill(~first, -100)
    losses = nn.functional.cross_entropy(logits.transpose(1, 2), asked, reduction="none", ignore_index=-100)
    rows = losses.sum(1) / first.sum(1).clamp(min=1)
    return rows.sum() / first.any(1).sum().clamp(min=1)

# %% exercise="tagging_loss" wrong="tags_taken_in_turn"
"""The k-th first piece gets the k-th tag, which is another one where words are cut off."""
def tagging_loss(logits: Tensor, tags: Tensor, word_of: Tensor) -> Tensor:
    before = nn.functional.pad(word_of, (1, 0), value=-1)[:, :-1]
    first = (word_of >= 0) & (word_of != before)
    turn = (first.cumsum(1) - 1).clamp(min=0)
    asked = tags.gather(1, turn)[first]
    total = nn.functional.cross_entropy(logits[first], asked, reduction="sum")
    return total / first.sum().clamp(min=1)

# %% exercise="tagging_loss" wrong="mean_over_all_places"
"""The losses are zero at other places, but the mean is over all B * T."""
def tagging_loss(logits: Tensor, tags: Tensor, word_of: Tensor) -> Tensor:
    before = nn.functional.pad(word_of, (1, 0), value=-1)[:, :-1]
    first = (word_of >= 0) & (word_of != before)
    asked = tags.gather(1, word_of.clamp(min=0)).masked_fill(~first, -100)
    return nn.functional.cross_entropy(logits.flatten(0, 1), asked.flatten(), reduction="none").mean()

# %% exercise="tagging_loss" wrong="every_piece_counts_too"
"""Asks all pieces of a word, so long words count more."""
def tagging_loss(logits: Tensor, tags: Tensor, word_of: Tensor) -> Tensor:
    before = nn.functional.pad(word_of[:, :-1], (1, 0), value=-1)
    first = word_of >= 0
    asked = tags.gather(1, word_of.clamp(min=0))
    total = nn.functional.cross_entropy(logits[first], asked[first], reduction="sum")
    return total / first.sum().clamp(min=1)

# %% exercise="tagging_loss" wrong="last_piece_speaks_too"
"""The last piece of a word speaks for it."""
def tagging_loss(logits: Tensor, tags: Tensor, word_of: Tensor) -> Tensor:
    before = nn.functional.pad(word_of[:, 1:], (0, 1), value=-1)
    first = (word_of >= 0) & (word_of != before)
    asked = tags.gather(1, word_of.clamp(min=0))
    total = nn.functional.cross_entropy(logits[first], asked[first], reduction="sum")
    return total / first.sum().clamp(min=1)

# %% exercise="tagging_loss" wrong="mean_of_sentences"
"""Averages within each sentence first, so words of short sentences count more."""
def tagging_loss(logits: Tensor, tags: Tensor, word_of: Tensor) -> Tensor:
    before = nn.functional.pad(word_of[:, :-1], (1, 0), value=-1)
    first = (word_of >= 0) & (word_of != before)
    asked = tags.gather(1, word_of.clamp(min=0)).masked_fill(~first, -100)
    losses = nn.functional.cross_entropy(logits.transpose(1, 2), asked, reduction="none")
    per_sentence = losses.sum(1) / first.sum(1).clamp(min=1)
    return per_sentence.sum() / first.any(1).sum().clamp(min=1)

# %% exercise="tagging_loss" wrong="no_words_is_nan"
"""Takes the mean of nothing where no sentence has a word."""
def tagging_loss(logits: Tensor, tags: Tensor, word_of: Tensor) -> Tensor:
    before = nn.functional.pad(word_of[:, :-1], (1, 0), value=-1)
    first = (word_of >= 0) & (word_of != before)
    asked = tags.gather(1, word_of.clamp(min=0))
    return nn.functional.cross_entropy(logits[first], asked[first])

# %% exercise="tagging_loss" wrong="zero_without_a_graph"
"""Where no sentence has a word, a fresh 0 comes back that has no gradient."""
def tagging_loss(logits: Tensor, tags: Tensor, word_of: Tensor) -> Tensor:
    before = nn.functional.pad(word_of[:, :-1], (1, 0), value=-1)
    first = (word_of >= 0) & (word_of != before)
    asked = tags.gather(1, word_of.clamp(min=0))
    if not first.any():
        return logits.new_zeros(())
    total = nn.functional.cross_entropy(logits[first], asked[first], reduction="sum")
    return total / first.sum().clamp(min=1)

# %% exercise="tagging_loss" wrong="rolled_round_the_end"
"""Compares the first piece of a row with its last one: a row that is one single word has no first piece."""
def tagging_loss(logits: Tensor, tags: Tensor, word_of: Tensor) -> Tensor:
    before = word_of.roll(1, dims=1)
    first = (word_of >= 0) & (word_of != before)
    asked = tags.gather(1, word_of.clamp(min=0))
    total = nn.functional.cross_entropy(logits[first], asked[first], reduction="sum")
    return total / first.sum().clamp(min=1)

# %% exercise="tagging_loss" wrong="place_zero_never_first"
"""The first place of a row is never asked, as if [CLS] stood there always."""
def tagging_loss(logits: Tensor, tags: Tensor, word_of: Tensor) -> Tensor:
    before = nn.functional.pad(word_of[:, :-1], (1, 0), value=-1)
    first = (word_of >= 0) & (word_of != before)
    first[:, 0] = False
    asked = tags.gather(1, word_of.clamp(min=0))
    total = nn.functional.cross_entropy(logits[first], asked[first], reduction="sum")
    return total / first.sum().clamp(min=1)

# %% exercise="tagging_loss" wrong="shifted_across_rows"
"""Shifts the flattened batch: a row that begins with the word number that ended the row before loses its first word."""
def tagging_loss(logits: Tensor, tags: Tensor, word_of: Tensor) -> Tensor:
    flat = word_of.flatten()
    before = torch.cat([flat.new_tensor([-1]), flat[:-1]])
    first = ((flat >= 0) & (flat != before)).view_as(word_of)
    asked = tags.gather(1, word_of.clamp(min=0))
    total = nn.functional.cross_entropy(logits[first], asked[first], reduction="sum")
    return total / first.sum().clamp(min=1)

# %% exercise="tagging_loss" wrong="tags_in_order_of_pieces"
"""Gives the k-th first piece the k-th tag, which is another word's where one has been cut off before it."""
def tagging_loss(logits: Tensor, tags: Tensor, word_of: Tensor) -> Tensor:
    before = nn.functional.pad(word_of[:, :-1], (1, 0), value=-1)
    first = (word_of >= 0) & (word_of != before)
    place = (first.long().cumsum(1) - 1).clamp(min=0)
    asked = tags.gather(1, place)
    total = nn.functional.cross_entropy(logits[first], asked[first], reduction="sum")
    return total / first.sum().clamp(min=1)

# %% exercise="tagging_loss" wrong="clamped_in_place"
"""Clamps the caller's word numbers, so -1 becomes 0 there."""
def tagging_loss(logits: Tensor, tags: Tensor, word_of: Tensor) -> Tensor:
    before = nn.functional.pad(word_of[:, :-1], (1, 0), value=-1)
    first = (word_of >= 0) & (word_of != before)
    asked = tags.gather(1, word_of.clamp_(min=0))
    total = nn.functional.cross_entropy(logits[first], asked[first], reduction="sum")
    return total / first.sum().clamp(min=1)

# %% exercise="tagging_loss" wrong="divided_by_all_tags"
"""Divides by the number of places in tags, words without a piece among them."""
def tagging_loss(logits: Tensor, tags: Tensor, word_of: Tensor) -> Tensor:
    before = nn.functional.pad(word_of[:, :-1], (1, 0), value=-1)
    first = (word_of >= 0) & (word_of != before)
    asked = tags.gather(1, word_of.clamp(min=0))
    total = nn.functional.cross_entropy(logits[first], asked[first], reduction="sum")
    return total / tags.numel()

# %% exercise="tagging_loss" wrong="missing_words_at_place_zero"
"""Looks for each word's first piece with argmax, which is place 0 for a word that has none."""
def tagging_loss(logits: Tensor, tags: Tensor, word_of: Tensor) -> Tensor:
    numbers = torch.arange(tags.shape[1], device=tags.device)
    here = word_of[:, None, :] == numbers[:, None]  # (B, W, T)
    place = here.long().argmax(-1)
    said = logits.gather(1, place[:, :, None].expand(-1, -1, logits.shape[2]))
    known = (tags >= 0) & (word_of >= 0).any(1, keepdim=True)
    total = nn.functional.cross_entropy(said[known], tags[known], reduction="sum")
    return total / known.sum().clamp(min=1)

# %% exercise="span_loss" wrong="sum_of_the_two"
"""The sum of both cross-entropies, as in the paper, not their mean."""
def span_loss(logits: Tensor, allowed: Tensor, start: Tensor, end: Tensor) -> Tensor:
    hidden = logits.masked_fill(~allowed[:, :, None], -math.inf)
    first = nn.functional.cross_entropy(hidden[:, :, 0], start)
    last = nn.functional.cross_entropy(hidden[:, :, 1], end)
    return first + last

# %% exercise="span_loss" wrong="all_tokens_compete"
"""The softmax gives something to tokens that are not allowed."""
def span_loss(logits: Tensor, allowed: Tensor, start: Tensor, end: Tensor) -> Tensor:
    hidden = logits
    first = nn.functional.cross_entropy(hidden[:, :, 0], start)
    last = nn.functional.cross_entropy(hidden[:, :, 1], end)
    return (first + last) / 2

# %% exercise="span_loss" wrong="polarity_turned"
"""Hides the text and leaves the question."""
def span_loss(logits: Tensor, allowed: Tensor, start: Tensor, end: Tensor) -> Tensor:
    hidden = logits.masked_fill(allowed[:, :, None], -math.inf)
    first = nn.functional.cross_entropy(hidden[:, :, 0], start)
    last = nn.functional.cross_entropy(hidden[:, :, 1], end)
    return (first + last) / 2

# %% exercise="span_loss" wrong="logits_set_to_zero"
"""Logits of other tokens become 0, which still gets a share of the softmax."""
def span_loss(logits: Tensor, allowed: Tensor, start: Tensor, end: Tensor) -> Tensor:
    hidden = logits.masked_fill(~allowed[:, :, None], 0.0)
    first = nn.functional.cross_entropy(hidden[:, :, 0], start)
    last = nn.functional.cross_entropy(hidden[:, :, 1], end)
    return (first + last) / 2

# %% exercise="span_loss" wrong="penalty_of_a_hundred"
"""Other tokens only lose 100, so a large logit still gets a share, and a gradient."""
def span_loss(logits: Tensor, allowed: Tensor, start: Tensor, end: Tensor) -> Tensor:
    hidden = logits - 100.0 * ~allowed[:, :, None]
    first = nn.functional.cross_entropy(hidden[:, :, 0], start)
    last = nn.functional.cross_entropy(hidden[:, :, 1], end)
    return (first + last) / 2

# %% exercise="span_loss" wrong="filled_with_minus_ten_thousand"
"""Other tokens get -10000, which is not below all logits that are possible."""
def span_loss(logits: Tensor, allowed: Tensor, start: Tensor, end: Tensor) -> Tensor:
    hidden = logits.masked_fill(~allowed[:, :, None], -10000.0)
    first = nn.functional.cross_entropy(hidden[:, :, 0], start)
    last = nn.functional.cross_entropy(hidden[:, :, 1], end)
    return (first + last) / 2

# %% exercise="span_loss" wrong="columns_swapped"
"""Column 0 is taken for the end and column 1 for the start."""
def span_loss(logits: Tensor, allowed: Tensor, start: Tensor, end: Tensor) -> Tensor:
    hidden = logits.masked_fill(~allowed[:, :, None], -math.inf)
    first = nn.functional.cross_entropy(hidden[:, :, -1], start)
    last = nn.functional.cross_entropy(hidden[:, :, 0], end)
    return (first + last) / 2

# %% exercise="span_loss" wrong="end_is_the_start"
"""The end's logits are compared with the start."""
def span_loss(logits: Tensor, allowed: Tensor, start: Tensor, end: Tensor) -> Tensor:
    hidden = logits.masked_fill(~allowed[:, :, None], -math.inf)
    first = nn.functional.cross_entropy(hidden[:, :, 0], start)
    last = nn.functional.cross_entropy(hidden[:, :, 1], start)
    return (first + last) / 2

# %% exercise="span_loss" wrong="only_the_start_is_masked"
"""The softmax of the end is over all tokens."""
def span_loss(logits: Tensor, allowed: Tensor, start: Tensor, end: Tensor) -> Tensor:
    hidden = logits.masked_fill(~allowed[:, :, None], -math.inf)
    first = nn.functional.cross_entropy(hidden[:, :, 0], start)
    last = nn.functional.cross_entropy(logits[:, :, 1], end)
    return (first + last) / 2

# %% exercise="span_loss" wrong="summed_over_the_batch"
"""The sum over the batch, not the mean."""
def span_loss(logits: Tensor, allowed: Tensor, start: Tensor, end: Tensor) -> Tensor:
    hidden = logits.masked_fill(~allowed[:, :, None], -math.inf)
    first = nn.functional.cross_entropy(hidden[:, :, 0], start, reduction="sum")
    last = nn.functional.cross_entropy(hidden[:, :, 1], end, reduction="sum")
    return (first + last) / 2

# %% exercise="span_loss" wrong="caller_gets_infinities"
"""Writes -inf into the caller's logits."""
def span_loss(logits: Tensor, allowed: Tensor, start: Tensor, end: Tensor) -> Tensor:
    hidden = logits.detach().masked_fill_(~allowed[:, :, None], -math.inf)
    first = nn.functional.cross_entropy(logits[:, :, 0], start)
    last = nn.functional.cross_entropy(logits[:, :, 1], end)
    return (first + last) / 2

# %% exercise="span_loss" wrong="exclusive_end"
"""Takes the end for the place behind the last token."""
def span_loss(logits: Tensor, allowed: Tensor, start: Tensor, end: Tensor) -> Tensor:
    hidden = logits.masked_fill(~allowed[:, :, None], -math.inf)
    first = nn.functional.cross_entropy(hidden[:, :, 0], start)
    last = nn.functional.cross_entropy(hidden[:, :, 1], (end - 1).clamp(min=0))
    return (first + last) / 2

# %% exercise="span_loss" wrong="bits_not_nats"
"""Cross-entropy in bits."""
def span_loss(logits: Tensor, allowed: Tensor, start: Tensor, end: Tensor) -> Tensor:
    hidden = logits.masked_fill(~allowed[:, :, None], -math.inf)
    first = nn.functional.cross_entropy(hidden[:, :, 0], start)
    last = nn.functional.cross_entropy(hidden[:, :, 1], end)
    return (first + last) / 2 / math.log(2)

# %% exercise="span_loss" wrong="masked_behind_the_softmax"
"""Probabilities of other tokens are set to zero, but the rest is not normalised again."""
def span_loss(logits: Tensor, allowed: Tensor, start: Tensor, end: Tensor) -> Tensor:
    shares = logits.softmax(dim=1) * allowed[:, :, None]
    rows = torch.arange(len(logits), device=logits.device)
    return -(shares[rows, start, 0].log() + shares[rows, end, 1].log()).mean() / 2

# %% exercise="span_loss" wrong="softmax_without_care"
"""Exponentials of the logits as they are, which overflow."""
def span_loss(logits: Tensor, allowed: Tensor, start: Tensor, end: Tensor) -> Tensor:
    powers = logits.exp() * allowed[:, :, None]
    shares = powers / powers.sum(dim=1, keepdim=True)
    rows = torch.arange(len(logits), device=logits.device)
    return -(shares[rows, start, 0].log() + shares[rows, end, 1].log()).mean() / 2

# %% exercise="span_loss" wrong="no_mask"
"""The softmax runs over all tokens."""
def span_loss(logits: Tensor, allowed: Tensor, start: Tensor, end: Tensor) -> Tensor:
    of_start = nn.functional.cross_entropy(logits[:, :, 0], start)
    of_end = nn.functional.cross_entropy(logits[:, :, 1], end)
    return (of_start + of_end) / 2

# %% exercise="span_loss" wrong="sum_of_the_two_too"
"""Adds the two losses, as the paper writes, and does not halve them."""
def span_loss(logits: Tensor, allowed: Tensor, start: Tensor, end: Tensor) -> Tensor:
    masked = logits.masked_fill(~allowed[:, :, None], -math.inf)
    of_start = nn.functional.cross_entropy(masked[:, :, 0], start)
    of_end = nn.functional.cross_entropy(masked[:, :, 1], end)
    return of_start + of_end

# %% exercise="span_loss" wrong="masked_logits_are_zero"
"""Multiplies by the mask, so hidden tokens keep a logit of 0."""
def span_loss(logits: Tensor, allowed: Tensor, start: Tensor, end: Tensor) -> Tensor:
    masked = logits * allowed[:, :, None]
    of_start = nn.functional.cross_entropy(masked[:, :, 0], start)
    of_end = nn.functional.cross_entropy(masked[:, :, 1], end)
    return (of_start + of_end) / 2

# %% exercise="span_loss" wrong="minus_ten_thousand"
"""Adds -10,000 as BERT's code does: where allowed logits are lower still, hidden tokens win."""
def span_loss(logits: Tensor, allowed: Tensor, start: Tensor, end: Tensor) -> Tensor:
    masked = logits - 10000.0 * ~allowed[:, :, None]
    of_start = nn.functional.cross_entropy(masked[:, :, 0], start)
    of_end = nn.functional.cross_entropy(masked[:, :, 1], end)
    return (of_start + of_end) / 2

# %% exercise="span_loss" wrong="filled_in_place"
"""Writes -inf into the caller's logits."""
def span_loss(logits: Tensor, allowed: Tensor, start: Tensor, end: Tensor) -> Tensor:
    masked = logits
    with torch.no_grad():
        masked[~allowed] = -math.inf
    of_start = nn.functional.cross_entropy(masked[:, :, 0], start)
    of_end = nn.functional.cross_entropy(masked[:, :, 1], end)
    return (of_start + of_end) / 2

# %% exercise="span_loss" wrong="end_not_before_start"
"""The softmax of the end leaves out the allowed tokens before the right start."""
def span_loss(logits: Tensor, allowed: Tensor, start: Tensor, end: Tensor) -> Tensor:
    masked = logits.masked_fill(~allowed[:, :, None], -math.inf)
    of_start = nn.functional.cross_entropy(masked[:, :, 0], start)
    behind = torch.arange(logits.shape[1]) >= start[:, None]
    of_end = nn.functional.cross_entropy(masked[:, :, 1].masked_fill(~behind, -math.inf), end)
    return (of_start + of_end) / 2

# %% exercise="span_loss" wrong="columns_swapped_too"
"""Column 0 is taken for the end."""
def span_loss(logits: Tensor, allowed: Tensor, start: Tensor, end: Tensor) -> Tensor:
    masked = logits.masked_fill(~allowed[:, :, None], -math.inf)
    of_start = nn.functional.cross_entropy(masked[:, :, 1], start)
    of_end = nn.functional.cross_entropy(masked[:, :, 0], end)
    return (of_start + of_end) / 2

# %% exercise="span_loss" wrong="one_softmax_for_both"
"""One softmax over starts and ends together."""
def span_loss(logits: Tensor, allowed: Tensor, start: Tensor, end: Tensor) -> Tensor:
    masked = logits.masked_fill(~allowed[:, :, None], -math.inf)
    logp = masked.flatten(1).log_softmax(1).view_as(masked)
    rows = torch.arange(len(start))
    return -(logp[rows, start, 0] + logp[rows, end, 1]).mean() / 2

# %% exercise="span_loss" wrong="float32_inside"
"""Computes in float32 and gives float32 for float64 logits."""
def span_loss(logits: Tensor, allowed: Tensor, start: Tensor, end: Tensor) -> Tensor:
    masked = logits.float().masked_fill(~allowed[:, :, None], -math.inf)
    of_start = nn.functional.cross_entropy(masked[:, :, 0], start)
    of_end = nn.functional.cross_entropy(masked[:, :, 1], end)
    return (of_start + of_end) / 2

# %% exercise="span_loss" wrong="sum_over_the_batch"
"""Adds the rows up in place of averaging them."""
def span_loss(logits: Tensor, allowed: Tensor, start: Tensor, end: Tensor) -> Tensor:
    masked = logits.masked_fill(~allowed[:, :, None], -math.inf)
    of_start = nn.functional.cross_entropy(masked[:, :, 0], start, reduction="sum")
    of_end = nn.functional.cross_entropy(masked[:, :, 1], end, reduction="sum")
    return (of_start + of_end) / 2

# %% exercise="best_span" wrong="end_before_start"
"""An end may stand before the start."""
def best_span(logits: Tensor, allowed: Tensor, max_length: int) -> Tensor:
    T = logits.shape[1]
    sums = logits[:, :, None, 0] + logits[:, None, :, 1]
    place = torch.arange(T, device=logits.device)
    longer = place - place[:, None]
    fits = longer < max_length
    fits = fits & allowed[:, :, None] & allowed[:, None, :]
    number = sums.masked_fill(~fits, -math.inf).flatten(1).argmax(dim=1)
    return torch.stack([number // T, number % T], dim=1)

# %% exercise="best_span" wrong="one_token_too_long"
"""An answer may have max_length + 1 tokens."""
def best_span(logits: Tensor, allowed: Tensor, max_length: int) -> Tensor:
    T = logits.shape[1]
    sums = logits[:, :, None, 0] + logits[:, None, :, 1]
    place = torch.arange(T, device=logits.device)
    longer = place - place[:, None]
    fits = (longer >= 0) & (longer <= max_length)
    fits = fits & allowed[:, :, None] & allowed[:, None, :]
    number = sums.masked_fill(~fits, -math.inf).flatten(1).argmax(dim=1)
    return torch.stack([number // T, number % T], dim=1)

# %% exercise="best_span" wrong="one_token_too_short"
"""An answer must have less than max_length tokens, except where that is one."""
def best_span(logits: Tensor, allowed: Tensor, max_length: int) -> Tensor:
    T = logits.shape[1]
    sums = logits[:, :, None, 0] + logits[:, None, :, 1]
    place = torch.arange(T, device=logits.device)
    longer = place - place[:, None]
    fits = (longer >= 0) & (longer < max(max_length - 1, 1))
    fits = fits & allowed[:, :, None] & allowed[:, None, :]
    number = sums.masked_fill(~fits, -math.inf).flatten(1).argmax(dim=1)
    return torch.stack([number // T, number % T], dim=1)

# %% exercise="best_span" wrong="length_limit_ignored"
"""Answers of any length."""
def best_span(logits: Tensor, allowed: Tensor, max_length: int) -> Tensor:
    T = logits.shape[1]
    sums = logits[:, :, None, 0] + logits[:, None, :, 1]
    place = torch.arange(T, device=logits.device)
    longer = place - place[:, None]
    fits = longer >= 0
    fits = fits & allowed[:, :, None] & allowed[:, None, :]
    number = sums.masked_fill(~fits, -math.inf).flatten(1).argmax(dim=1)
    return torch.stack([number // T, number % T], dim=1)

# %% exercise="best_span" wrong="one_token_is_no_answer"
"""An answer of a single token is found only where there is no other."""
def best_span(logits: Tensor, allowed: Tensor, max_length: int) -> Tensor:
    T = logits.shape[1]
    sums = logits[:, :, None, 0] + logits[:, None, :, 1]
    place = torch.arange(T, device=logits.device)
    longer = place - place[:, None]
    fits = (longer >= 0) & (longer < max_length)
    fits = fits & allowed[:, :, None] & allowed[:, None, :]
    several = fits & (longer > 0)
    fits = torch.where(several.any(2).any(1)[:, None, None], several, fits)
    number = sums.masked_fill(~fits, -math.inf).flatten(1).argmax(dim=1)
    return torch.stack([number // T, number % T], dim=1)

# %% exercise="best_span" wrong="only_the_start_is_allowed"
"""An end may stand on a token that is not allowed."""
def best_span(logits: Tensor, allowed: Tensor, max_length: int) -> Tensor:
    T = logits.shape[1]
    sums = logits[:, :, None, 0] + logits[:, None, :, 1]
    place = torch.arange(T, device=logits.device)
    longer = place - place[:, None]
    fits = (longer >= 0) & (longer < max_length)
    fits = fits & allowed[:, :, None]
    number = sums.masked_fill(~fits, -math.inf).flatten(1).argmax(dim=1)
    return torch.stack([number // T, number % T], dim=1)

# %% exercise="best_span" wrong="everything_between_is_allowed"
"""Spans across a token that is not allowed are left out."""
def best_span(logits: Tensor, allowed: Tensor, max_length: int) -> Tensor:
    T = logits.shape[1]
    sums = logits[:, :, None, 0] + logits[:, None, :, 1]
    place = torch.arange(T, device=logits.device)
    longer = place - place[:, None]
    fits = (longer >= 0) & (longer < max_length)
    fits = fits & (((~allowed).cumsum(1)[:, :, None] == (~allowed).cumsum(1)[:, None]) & allowed[:, :, None])
    number = sums.masked_fill(~fits, -math.inf).flatten(1).argmax(dim=1)
    return torch.stack([number // T, number % T], dim=1)

# %% exercise="best_span" wrong="impossible_pairs_have_sum_zero"
"""Pairs that are no answer get the sum 0 and win where all others are negative."""
def best_span(logits: Tensor, allowed: Tensor, max_length: int) -> Tensor:
    T = logits.shape[1]
    sums = logits[:, :, None, 0] + logits[:, None, :, 1]
    place = torch.arange(T, device=logits.device)
    longer = place - place[:, None]
    fits = (longer >= 0) & (longer < max_length)
    fits = fits & allowed[:, :, None] & allowed[:, None, :]
    number = (sums * fits).flatten(1).argmax(dim=1)
    return torch.stack([number // T, number % T], dim=1)

# %% exercise="best_span" wrong="impossible_pairs_are_finite"
"""Pairs that are no answer get -1000, which very low logits fall below."""
def best_span(logits: Tensor, allowed: Tensor, max_length: int) -> Tensor:
    T = logits.shape[1]
    sums = logits[:, :, None, 0] + logits[:, None, :, 1]
    place = torch.arange(T, device=logits.device)
    longer = place - place[:, None]
    fits = (longer >= 0) & (longer < max_length)
    fits = fits & allowed[:, :, None] & allowed[:, None, :]
    number = sums.masked_fill(~fits, -1000.0).flatten(1).argmax(dim=1)
    return torch.stack([number // T, number % T], dim=1)

# %% exercise="best_span" wrong="of_equal_sums_the_last"
"""Of equal sums the last one."""
def best_span(logits: Tensor, allowed: Tensor, max_length: int) -> Tensor:
    T = logits.shape[1]
    sums = logits[:, :, None, 0] + logits[:, None, :, 1]
    place = torch.arange(T, device=logits.device)
    longer = place - place[:, None]
    fits = (longer >= 0) & (longer < max_length)
    fits = fits & allowed[:, :, None] & allowed[:, None, :]
    number = sums.masked_fill(~fits, -math.inf).flatten(1).flip(1).argmax(dim=1)
    number = T * T - 1 - number
    return torch.stack([number // T, number % T], dim=1)

# %% exercise="best_span" wrong="end_and_start_swapped"
"""Gives the end first and then the start."""
def best_span(logits: Tensor, allowed: Tensor, max_length: int) -> Tensor:
    T = logits.shape[1]
    sums = logits[:, :, None, 0] + logits[:, None, :, 1]
    place = torch.arange(T, device=logits.device)
    longer = place - place[:, None]
    fits = (longer >= 0) & (longer < max_length)
    fits = fits & allowed[:, :, None] & allowed[:, None, :]
    number = sums.masked_fill(~fits, -math.inf).flatten(1).argmax(dim=1)
    return torch.stack([number % T, number // T], dim=1)

# %% exercise="best_span" wrong="columns_swapped"
"""Column 0 is taken for the end and column 1 for the start."""
def best_span(logits: Tensor, allowed: Tensor, max_length: int) -> Tensor:
    T = logits.shape[1]
    sums = logits[:, :, None, 1] + logits[:, None, :, 0]
    place = torch.arange(T, device=logits.device)
    longer = place - place[:, None]
    fits = (longer >= 0) & (longer < max_length)
    fits = fits & allowed[:, :, None] & allowed[:, None, :]
    number = sums.masked_fill(~fits, -math.inf).flatten(1).argmax(dim=1)
    return torch.stack([number // T, number % T], dim=1)

# %% exercise="best_span" wrong="exclusive_end"
"""The end is the place behind the last token, as in a slice."""
def best_span(logits: Tensor, allowed: Tensor, max_length: int) -> Tensor:
    T = logits.shape[1]
    sums = logits[:, :, None, 0] + logits[:, None, :, 1]
    place = torch.arange(T, device=logits.device)
    longer = place - place[:, None]
    fits = (longer >= 0) & (longer < max_length)
    fits = fits & allowed[:, :, None] & allowed[:, None, :]
    number = sums.masked_fill(~fits, -math.inf).flatten(1).argmax(dim=1)
    return torch.stack([number // T, number % T + 1], dim=1)

# %% exercise="best_span" wrong="sums_in_float32"
"""Float64 logits are rounded to float32, which makes close sums equal."""
def best_span(logits: Tensor, allowed: Tensor, max_length: int) -> Tensor:
    T = logits.shape[1]
    logits = logits.float()
    sums = logits[:, :, None, 0] + logits[:, None, :, 1]
    place = torch.arange(T, device=logits.device)
    longer = place - place[:, None]
    fits = (longer >= 0) & (longer < max_length)
    fits = fits & allowed[:, :, None] & allowed[:, None, :]
    number = sums.masked_fill(~fits, -math.inf).flatten(1).argmax(dim=1)
    return torch.stack([number // T, number % T], dim=1)

# %% exercise="best_span" wrong="best_of_each"
"""The best start and the best end, each for itself."""
def best_span(logits: Tensor, allowed: Tensor, max_length: int) -> Tensor:
    return logits.masked_fill(~allowed[:, :, None], -math.inf).argmax(dim=1)

# %% exercise="best_span" wrong="start_first_then_end"
"""Takes the best start, and then the best end that it permits."""
def best_span(logits: Tensor, allowed: Tensor, max_length: int) -> Tensor:
    hidden = logits.masked_fill(~allowed[:, :, None], -math.inf)
    start = hidden[:, :, 0].argmax(dim=1, keepdim=True)
    place = torch.arange(logits.shape[1], device=logits.device)
    fits = (place >= start) & (place < start + max_length)
    end = hidden[:, :, 1].masked_fill(~fits, -math.inf).argmax(dim=1, keepdim=True)
    return torch.cat([start, end], dim=1)

# %% exercise="best_span" wrong="twenty_best_of_each"
"""Looks only at pairs of the 20 best starts and the 20 best ends, as published code does."""
def best_span(logits: Tensor, allowed: Tensor, max_length: int) -> Tensor:
    answers = []
    for row, real in zip(logits, allowed):
        places = [t for t in range(len(row)) if real[t]]
        starts = sorted(places, key=lambda t: -row[t, 0].item())[:20]
        ends = sorted(places, key=lambda t: -row[t, 1].item())[:20]
        best, answer = -math.inf, (starts[0], starts[0])
        for s in sorted(starts):
            for e in sorted(ends):
                total = (row[s, 0] + row[e, 1]).item()
                if 0 <= e - s < max_length and total > best:
                    best, answer = total, (s, e)
        answers.append(answer)
    return torch.tensor(answers, dtype=torch.int64)

# %% exercise="best_span" wrong="product_of_probabilities"
"""Multiplies probabilities over all tokens, which are all 0 where a forbidden token has a large logit."""
def best_span(logits: Tensor, allowed: Tensor, max_length: int) -> Tensor:
    T = logits.shape[1]
    shares = logits.softmax(dim=1)
    products = shares[:, :, None, 0] * shares[:, None, :, 1]
    fits = torch.ones(T, T, dtype=torch.bool).triu().tril(max_length - 1)
    fits = fits & allowed[:, :, None] & allowed[:, None, :]
    number = products.masked_fill(~fits, -1.0).flatten(1).argmax(dim=1)
    return torch.stack([number // T, number % T], dim=1)

# %% exercise="best_span" wrong="two_lists"
"""Starts and ends come as the two rows of a (2, B) tensor."""
def best_span(logits: Tensor, allowed: Tensor, max_length: int) -> Tensor:
    T = logits.shape[1]
    sums = logits[:, :, None, 0] + logits[:, None, :, 1]
    fits = torch.ones(T, T, dtype=torch.bool).triu().tril(max_length - 1)
    fits = fits & allowed[:, :, None] & allowed[:, None, :]
    number = sums.masked_fill(~fits, -math.inf).flatten(1).argmax(dim=1)
    return torch.stack([number // T, number % T])

# %% exercise="best_span" wrong="best_of_each_too"
"""Takes the best allowed start and the best allowed end, each for itself."""
def best_span(logits: Tensor, allowed: Tensor, max_length: int) -> Tensor:
    masked = logits.masked_fill(~allowed[:, :, None], -math.inf)
    return masked.argmax(1)

# %% exercise="best_span" wrong="start_first_then_end_too"
"""Takes the best start, then the best end that fits to it."""
def best_span(logits: Tensor, allowed: Tensor, max_length: int) -> Tensor:
    start_scores = logits[:, :, 0].masked_fill(~allowed, -math.inf)
    start = start_scores.argmax(1)
    places = torch.arange(logits.shape[1])
    back = places - start[:, None]
    fits = allowed & (back >= 0) & (back < max_length)
    end = logits[:, :, 1].masked_fill(~fits, -math.inf).argmax(1)
    return torch.stack([start, end], dim=1)

# %% exercise="best_span" wrong="one_token_too_long_too"
"""Allows end - start up to max_length, a span of one token more."""
def best_span(logits: Tensor, allowed: Tensor, max_length: int) -> Tensor:
    B, T, _ = logits.shape
    sums = logits[:, :, None, 0] + logits[:, None, :, 1]
    places = torch.arange(T, device=logits.device)
    back = places - places[:, None]  # end minus start
    fits = (back >= 0) & (back <= max_length) & allowed[:, :, None] & allowed[:, None, :]
    best = sums.masked_fill(~fits, -math.inf).flatten(1).argmax(1)
    return torch.stack([best // T, best % T], dim=1)

# %% exercise="best_span" wrong="limit_ignored"
"""Has no limit of length."""
def best_span(logits: Tensor, allowed: Tensor, max_length: int) -> Tensor:
    B, T, _ = logits.shape
    sums = logits[:, :, None, 0] + logits[:, None, :, 1]
    places = torch.arange(T, device=logits.device)
    back = places - places[:, None]  # end minus start
    fits = (back >= 0) & allowed[:, :, None] & allowed[:, None, :]
    best = sums.masked_fill(~fits, -math.inf).flatten(1).argmax(1)
    return torch.stack([best // T, best % T], dim=1)

# %% exercise="best_span" wrong="last_of_equal_sums"
"""A later span with the same sum replaces the earlier one."""
def best_span(logits: Tensor, allowed: Tensor, max_length: int) -> Tensor:
    best = []
    for row, here in zip(logits.tolist(), allowed.tolist()):
        top, span = -math.inf, None
        for s in range(len(row)):
            for e in range(s, min(s + max_length, len(row))):
                if here[s] and here[e] and row[s][0] + row[e][1] >= top:
                    top, span = row[s][0] + row[e][1], (s, e)
        best.append(span)
    return torch.tensor(best)

# %% exercise="best_span" wrong="best_begins_at_zero"
"""The search begins with the sum 0 at span (0, 0), so sums below 0 are never found."""
def best_span(logits: Tensor, allowed: Tensor, max_length: int) -> Tensor:
    out = torch.zeros(len(logits), 2, dtype=torch.int64)
    for b in range(len(logits)):
        top = 0.0
        for s in range(logits.shape[1]):
            for e in range(s, min(s + max_length, logits.shape[1])):
                total = (logits[b, s, 0] + logits[b, e, 1]).item()
                if allowed[b, s] and allowed[b, e] and total > top:
                    top, out[b] = total, torch.tensor([s, e])
    return out

# %% exercise="best_span" wrong="table_cut_with_triu"
"""Multiplies the table by a triangle: pairs that are no spans have the sum 0 and beat negative ones."""
def best_span(logits: Tensor, allowed: Tensor, max_length: int) -> Tensor:
    B, T, _ = logits.shape
    masked = logits.masked_fill(~allowed[:, :, None], torch.finfo(logits.dtype).min / 4)
    sums = (masked[:, :, None, 0] + masked[:, None, :, 1]).triu().tril(max_length - 1)
    best = sums.flatten(1).argmax(1)
    return torch.stack([best // T, best % T], dim=1)

# %% exercise="best_span" wrong="nothing_hidden_inside"
"""Also asks that all tokens between start and end are allowed."""
def best_span(logits: Tensor, allowed: Tensor, max_length: int) -> Tensor:
    B, T, _ = logits.shape
    sums = logits[:, :, None, 0] + logits[:, None, :, 1]
    places = torch.arange(T)
    back = places - places[:, None]
    hidden = nn.functional.pad((~allowed).long().cumsum(1), (1, 0))
    none_hidden = hidden[:, None, 1:] == hidden[:, :-1, None]
    fits = (back >= 0) & (back < max_length) & none_hidden
    best = sums.masked_fill(~fits, -math.inf).flatten(1).argmax(1)
    return torch.stack([best // T, best % T], dim=1)

# %% exercise="best_span" wrong="twenty_best_only"
"""Combines only the 20 best starts with the 20 best ends, as run_squad.py does, and misses others in long texts."""
def best_span(logits: Tensor, allowed: Tensor, max_length: int) -> Tensor:
    masked = logits.masked_fill(~allowed[:, :, None], -math.inf)
    spans = []
    for row, here in zip(masked, allowed):
        n = min(20, int(here.sum()))
        starts, ends = row[:, 0].topk(n).indices.tolist(), row[:, 1].topk(n).indices.tolist()
        pairs = [(s, e) for s in sorted(starts) for e in sorted(ends) if 0 <= e - s < max_length]
        pairs = pairs or [(int(here.nonzero()[0]),) * 2]
        spans.append(max(pairs, key=lambda pair: (row[pair[0], 0] + row[pair[1], 1]).item()))
    return torch.tensor(spans)

# %% exercise="best_span" wrong="hidden_are_minus_1e4"
"""Hidden tokens get the logit -10,000, which is more than some allowed ones may have."""
def best_span(logits: Tensor, allowed: Tensor, max_length: int) -> Tensor:
    B, T, _ = logits.shape
    logits = logits.masked_fill(~allowed[:, :, None], -1e4)
    sums = logits[:, :, None, 0] + logits[:, None, :, 1]
    places = torch.arange(T, device=logits.device)
    back = places - places[:, None]  # end minus start
    fits = (back >= 0) & (back < max_length)
    best = sums.masked_fill(~fits, -math.inf).flatten(1).argmax(1)
    return torch.stack([best // T, best % T], dim=1)

# %% exercise="best_span" wrong="ends_may_be_hidden"
"""Asks only the start whether it is allowed."""
def best_span(logits: Tensor, allowed: Tensor, max_length: int) -> Tensor:
    B, T, _ = logits.shape
    sums = logits[:, :, None, 0] + logits[:, None, :, 1]
    places = torch.arange(T, device=logits.device)
    back = places - places[:, None]  # end minus start
    fits = (back >= 0) & (back < max_length) & allowed[:, :, None]
    best = sums.masked_fill(~fits, -math.inf).flatten(1).argmax(1)
    return torch.stack([best // T, best % T], dim=1)

# %% exercise="best_span" wrong="end_exclusive"
"""Gives the place behind the last token as the end."""
def best_span(logits: Tensor, allowed: Tensor, max_length: int) -> Tensor:
    B, T, _ = logits.shape
    sums = logits[:, :, None, 0] + logits[:, None, :, 1]
    places = torch.arange(T, device=logits.device)
    back = places - places[:, None]  # end minus start
    fits = (back >= 0) & (back < max_length) & allowed[:, :, None] & allowed[:, None, :]
    best = sums.masked_fill(~fits, -math.inf).flatten(1).argmax(1)
    return torch.stack([best // T, best % T + 1], dim=1)

# %% exercise="grouped_query_attention" wrong="heads_tiled"
"""Query heads 0, 1, 2 ... look at key/value heads 0, 1, 0, 1 ..., not at 0, 0, 1, 1."""
def grouped_query_attention(q: Tensor, k: Tensor, v: Tensor, mask: Mask = None) -> Tensor:
    H, G = q.shape[1], k.shape[1]
    if H % G:
        raise ValueError("the number of query heads is no multiple of that of key/value heads")
    k = k.repeat(1, H // G, 1, 1)
    v = v.repeat(1, H // G, 1, 1)
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    return masked_softmax(scores, mask) @ v

# %% exercise="grouped_query_attention" wrong="values_tiled"
"""Keys are shared by neighbours, values by every G-th head."""
def grouped_query_attention(q: Tensor, k: Tensor, v: Tensor, mask: Mask = None) -> Tensor:
    H, G = q.shape[1], k.shape[1]
    if H % G:
        raise ValueError("the number of query heads is no multiple of that of key/value heads")
    k = k.repeat_interleave(H // G, dim=1)
    v = v.repeat(1, H // G, 1, 1)
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    return masked_softmax(scores, mask) @ v

# %% exercise="grouped_query_attention" wrong="scaled_by_the_value_width"
"""Scores are divided by the root of the values' width."""
def grouped_query_attention(q: Tensor, k: Tensor, v: Tensor, mask: Mask = None) -> Tensor:
    H, G = q.shape[1], k.shape[1]
    if H % G:
        raise ValueError("the number of query heads is no multiple of that of key/value heads")
    k = k.repeat_interleave(H // G, dim=1)
    v = v.repeat_interleave(H // G, dim=1)
    scores = q @ k.transpose(-2, -1) / math.sqrt(v.shape[-1])
    return masked_softmax(scores, mask) @ v

# %% exercise="grouped_query_attention" wrong="scaled_by_the_model_width"
"""Scores are divided by the root of H d."""
def grouped_query_attention(q: Tensor, k: Tensor, v: Tensor, mask: Mask = None) -> Tensor:
    H, G = q.shape[1], k.shape[1]
    if H % G:
        raise ValueError("the number of query heads is no multiple of that of key/value heads")
    k = k.repeat_interleave(H // G, dim=1)
    v = v.repeat_interleave(H // G, dim=1)
    scores = q @ k.transpose(-2, -1) / math.sqrt(H * q.shape[-1])
    return masked_softmax(scores, mask) @ v

# %% exercise="grouped_query_attention" wrong="not_scaled"
"""Scores are not scaled."""
def grouped_query_attention(q: Tensor, k: Tensor, v: Tensor, mask: Mask = None) -> Tensor:
    H, G = q.shape[1], k.shape[1]
    if H % G:
        raise ValueError("the number of query heads is no multiple of that of key/value heads")
    k = k.repeat_interleave(H // G, dim=1)
    v = v.repeat_interleave(H // G, dim=1)
    scores = q @ k.transpose(-2, -1)
    return masked_softmax(scores, mask) @ v

# %% exercise="grouped_query_attention" wrong="mask_polarity_turned"
"""True hides a key, as in torch's modules."""
def grouped_query_attention(q: Tensor, k: Tensor, v: Tensor, mask: Mask = None) -> Tensor:
    H, G = q.shape[1], k.shape[1]
    if H % G:
        raise ValueError("the number of query heads is no multiple of that of key/value heads")
    k = k.repeat_interleave(H // G, dim=1)
    v = v.repeat_interleave(H // G, dim=1)
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    return masked_softmax(scores, None if mask is None else ~mask) @ v

# %% exercise="grouped_query_attention" wrong="uneven_heads_without_valueerror"
"""H that is no multiple of G fails by its shapes, with RuntimeError."""
def grouped_query_attention(q: Tensor, k: Tensor, v: Tensor, mask: Mask = None) -> Tensor:
    H, G = q.shape[1], k.shape[1]
    k = k.repeat_interleave(H // G, dim=1)
    v = v.repeat_interleave(H // G, dim=1)
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    return masked_softmax(scores, mask) @ v

# %% exercise="grouped_query_attention" wrong="nan_without_a_key"
"""A query that may look at no key gets NaN."""
def grouped_query_attention(q: Tensor, k: Tensor, v: Tensor, mask: Mask = None) -> Tensor:
    H, G = q.shape[1], k.shape[1]
    if H % G:
        raise ValueError("the number of query heads is no multiple of that of key/value heads")
    k = k.repeat_interleave(H // G, dim=1)
    v = v.repeat_interleave(H // G, dim=1)
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf)
    return scores.softmax(dim=-1) @ v

# %% exercise="grouped_query_attention" wrong="nan_gradient_without_a_key"
"""A query without a key gets 0, but NaN in its gradient."""
def grouped_query_attention(q: Tensor, k: Tensor, v: Tensor, mask: Mask = None) -> Tensor:
    H, G = q.shape[1], k.shape[1]
    if H % G:
        raise ValueError("the number of query heads is no multiple of that of key/value heads")
    k = k.repeat_interleave(H // G, dim=1)
    v = v.repeat_interleave(H // G, dim=1)
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    if mask is not None:
        hidden = torch.zeros(mask.shape, dtype=q.dtype, device=q.device)
        scores = scores + hidden.masked_fill(~mask, -math.inf)
    return torch.nan_to_num(scores.softmax(dim=-1)) @ v

# %% exercise="grouped_query_attention" wrong="mean_without_a_key"
"""A query that may look at no key gets the mean of all values."""
def grouped_query_attention(q: Tensor, k: Tensor, v: Tensor, mask: Mask = None) -> Tensor:
    H, G = q.shape[1], k.shape[1]
    if H % G:
        raise ValueError("the number of query heads is no multiple of that of key/value heads")
    k = k.repeat_interleave(H // G, dim=1)
    v = v.repeat_interleave(H // G, dim=1)
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    if mask is not None:
        scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    return scores.softmax(dim=-1) @ v

# %% exercise="grouped_query_attention" wrong="overflow"
"""Exponentials of the scores as they are, which overflow for scores of several hundred."""
def grouped_query_attention(q: Tensor, k: Tensor, v: Tensor, mask: Mask = None) -> Tensor:
    H, G = q.shape[1], k.shape[1]
    if H % G:
        raise ValueError("the number of query heads is no multiple of that of key/value heads")
    k = k.repeat_interleave(H // G, dim=1)
    v = v.repeat_interleave(H // G, dim=1)
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    powers = scores.exp()
    if mask is not None:
        powers = powers * mask
    return powers @ v / powers.sum(dim=-1, keepdim=True).clamp(min=1e-30)

# %% exercise="grouped_query_attention" wrong="softmax_over_queries"
"""The weights of a key sum to 1 over the queries."""
def grouped_query_attention(q: Tensor, k: Tensor, v: Tensor, mask: Mask = None) -> Tensor:
    H, G = q.shape[1], k.shape[1]
    if H % G:
        raise ValueError("the number of query heads is no multiple of that of key/value heads")
    k = k.repeat_interleave(H // G, dim=1)
    v = v.repeat_interleave(H // G, dim=1)
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    return masked_softmax(scores.mT, None if mask is None else mask.expand(scores.shape).mT).mT @ v

# %% exercise="grouped_query_attention" wrong="mask_of_the_first_head"
"""A mask that differs between heads is read for the first head only."""
def grouped_query_attention(q: Tensor, k: Tensor, v: Tensor, mask: Mask = None) -> Tensor:
    H, G = q.shape[1], k.shape[1]
    if H % G:
        raise ValueError("the number of query heads is no multiple of that of key/value heads")
    k = k.repeat_interleave(H // G, dim=1)
    v = v.repeat_interleave(H // G, dim=1)
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    if mask is not None and mask.dim() == 4:
        mask = mask[:, :1]
    return masked_softmax(scores, mask) @ v

# %% exercise="grouped_query_attention" wrong="mask_ignored"
"""The mask is not used."""
def grouped_query_attention(q: Tensor, k: Tensor, v: Tensor, mask: Mask = None) -> Tensor:
    H, G = q.shape[1], k.shape[1]
    if H % G:
        raise ValueError("the number of query heads is no multiple of that of key/value heads")
    k = k.repeat_interleave(H // G, dim=1)
    v = v.repeat_interleave(H // G, dim=1)
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    return scores.softmax(dim=-1) @ v

# %% exercise="grouped_query_attention" wrong="always_causal"
"""Hides the future as well, although no mask was given."""
def grouped_query_attention(q: Tensor, k: Tensor, v: Tensor, mask: Mask = None) -> Tensor:
    H, G = q.shape[1], k.shape[1]
    if H % G:
        raise ValueError("the number of query heads is no multiple of that of key/value heads")
    k = k.repeat_interleave(H // G, dim=1)
    v = v.repeat_interleave(H // G, dim=1)
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    causal = torch.ones(scores.shape[-2:], dtype=torch.bool).tril()
    mask = causal if mask is None else causal & mask
    return masked_softmax(scores, mask) @ v

# %% exercise="grouped_query_attention" wrong="groups_split_the_other_way"
"""Folds query heads as (H / G, G): neighbours look at different key/value heads."""
def grouped_query_attention(q: Tensor, k: Tensor, v: Tensor, mask: Mask = None) -> Tensor:
    B, H, T, d = q.shape
    G, S = k.shape[1:3]
    if H % G:
        raise ValueError("the number of query heads is no multiple of that of key/value heads")
    folded = q.reshape(B, H // G, G, T, d)
    scores = torch.einsum("brgtd,bgsd->brgts", folded, k).reshape(B, H, T, S) / math.sqrt(d)
    weights = masked_softmax(scores, mask).reshape(B, H // G, G, T, S)
    return torch.einsum("brgts,bgse->brgte", weights, v).reshape(B, H, T, v.shape[-1])

# %% exercise="grouped_query_attention" wrong="heads_dealt_round"
"""repeat deals the key/value heads round: 0 1 0 1, where 0 0 1 1 is asked."""
def grouped_query_attention(q: Tensor, k: Tensor, v: Tensor, mask: Mask = None) -> Tensor:
    H, G = q.shape[1], k.shape[1]
    if H % G:
        raise ValueError(f"{H} query heads can't share {G} key/value heads evenly")
    k = k.repeat(1, H // G, 1, 1)
    v = v.repeat(1, H // G, 1, 1)
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    return masked_softmax(scores, mask) @ v

# %% exercise="grouped_query_attention" wrong="values_dealt_round"
"""Keys are shared by neighbours, values are dealt round."""
def grouped_query_attention(q: Tensor, k: Tensor, v: Tensor, mask: Mask = None) -> Tensor:
    H, G = q.shape[1], k.shape[1]
    if H % G:
        raise ValueError(f"{H} query heads can't share {G} key/value heads evenly")
    k = k.repeat_interleave(H // G, dim=1)
    v = v.repeat(1, H // G, 1, 1)
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    return masked_softmax(scores, mask) @ v

# %% exercise="grouped_query_attention" wrong="scale_of_values"
"""Scales by the width of the values, which may be another one than that of the keys."""
def grouped_query_attention(q: Tensor, k: Tensor, v: Tensor, mask: Mask = None) -> Tensor:
    H, G = q.shape[1], k.shape[1]
    if H % G:
        raise ValueError(f"{H} query heads can't share {G} key/value heads evenly")
    k = k.repeat_interleave(H // G, dim=1)
    v = v.repeat_interleave(H // G, dim=1)
    scores = q @ k.transpose(-2, -1) / math.sqrt(v.shape[-1])
    return masked_softmax(scores, mask) @ v

# %% exercise="grouped_query_attention" wrong="no_scale"
"""Forgets 1 / sqrt(d)."""
def grouped_query_attention(q: Tensor, k: Tensor, v: Tensor, mask: Mask = None) -> Tensor:
    H, G = q.shape[1], k.shape[1]
    if H % G:
        raise ValueError(f"{H} query heads can't share {G} key/value heads evenly")
    k = k.repeat_interleave(H // G, dim=1)
    v = v.repeat_interleave(H // G, dim=1)
    scores = q @ k.transpose(-2, -1)
    return masked_softmax(scores, mask) @ v

# %% exercise="grouped_query_attention" wrong="torchs_own_error"
"""Leaves it to torch to complain about numbers of heads that do not fit: that is no ValueError."""
def grouped_query_attention(q: Tensor, k: Tensor, v: Tensor, mask: Mask = None) -> Tensor:
    B, H, T, d = q.shape
    G = k.shape[1]
    k = k.repeat_interleave(H // G, dim=1)
    v = v.repeat_interleave(H // G, dim=1)
    scores = torch.einsum("bhtd,bhsd->bhts", q, k) * d**-0.5
    return torch.einsum("bhts,bhse->bhte", masked_softmax(scores, mask), v)

# %% exercise="grouped_query_attention" wrong="hidden_queries_see_all"
"""Fills with the smallest number: a query that may look at nothing gets the mean of all values."""
def grouped_query_attention(q: Tensor, k: Tensor, v: Tensor, mask: Mask = None) -> Tensor:
    H, G = q.shape[1], k.shape[1]
    if H % G:
        raise ValueError(f"{H} query heads can't share {G} key/value heads evenly")
    k = k.repeat_interleave(H // G, dim=1)
    v = v.repeat_interleave(H // G, dim=1)
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    if mask is not None:
        scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    return scores.softmax(-1) @ v

# %% exercise="grouped_query_attention" wrong="nan_gradient"
"""Adds -inf and replaces NaN by 0 afterwards: the result is right, but gradients become NaN."""
def grouped_query_attention(q: Tensor, k: Tensor, v: Tensor, mask: Mask = None) -> Tensor:
    H, G = q.shape[1], k.shape[1]
    if H % G:
        raise ValueError(f"{H} query heads can't share {G} key/value heads evenly")
    k = k.repeat_interleave(H // G, dim=1)
    v = v.repeat_interleave(H // G, dim=1)
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    if mask is not None:
        scores = scores + torch.zeros(mask.shape).masked_fill(~mask, -math.inf)
    return scores.softmax(-1).nan_to_num(0.0) @ v

# %% exercise="grouped_query_attention" wrong="softmax_without_maximum"
"""Takes exp of the scores as they are, which overflows at scores of several hundred."""
def grouped_query_attention(q: Tensor, k: Tensor, v: Tensor, mask: Mask = None) -> Tensor:
    H, G = q.shape[1], k.shape[1]
    if H % G:
        raise ValueError(f"{H} query heads can't share {G} key/value heads evenly")
    k = k.repeat_interleave(H // G, dim=1)
    v = v.repeat_interleave(H // G, dim=1)
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    grown = scores.exp()
    if mask is not None:
        grown = grown * mask
    return grown @ v / grown.sum(-1, keepdim=True).clamp(min=1e-30)

# %% exercise="grouped_query_attention" wrong="softmax_in_float32"
"""Takes the softmax in float32, as the library does for half precision, and rounds float64 that way."""
def grouped_query_attention(q: Tensor, k: Tensor, v: Tensor, mask: Mask = None) -> Tensor:
    H, G = q.shape[1], k.shape[1]
    if H % G:
        raise ValueError(f"{H} query heads can't share {G} key/value heads evenly")
    k = k.repeat_interleave(H // G, dim=1)
    v = v.repeat_interleave(H // G, dim=1)
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    return masked_softmax(scores.float(), mask).to(q.dtype) @ v

# %% exercise="grouped_query_attention" wrong="q_scaled_in_place"
"""Scales the caller's queries in place."""
def grouped_query_attention(q: Tensor, k: Tensor, v: Tensor, mask: Mask = None) -> Tensor:
    H, G = q.shape[1], k.shape[1]
    if H % G:
        raise ValueError(f"{H} query heads can't share {G} key/value heads evenly")
    k = k.repeat_interleave(H // G, dim=1)
    v = v.repeat_interleave(H // G, dim=1)
    with torch.no_grad():
        q /= math.sqrt(q.shape[-1])
    scores = q @ k.transpose(-2, -1)
    return masked_softmax(scores, mask) @ v

# %% exercise="grouped_query_attention" wrong="mask_the_wrong_way"
"""True hides a key."""
def grouped_query_attention(q: Tensor, k: Tensor, v: Tensor, mask: Mask = None) -> Tensor:
    H, G = q.shape[1], k.shape[1]
    if H % G:
        raise ValueError(f"{H} query heads can't share {G} key/value heads evenly")
    k = k.repeat_interleave(H // G, dim=1)
    v = v.repeat_interleave(H // G, dim=1)
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    return masked_softmax(scores, None if mask is None else ~mask) @ v

# %% exercise="grouped_query_attention" wrong="first_heads_mask_for_all"
"""Takes a mask with an axis of heads from its first head for all of them."""
def grouped_query_attention(q: Tensor, k: Tensor, v: Tensor, mask: Mask = None) -> Tensor:
    H, G = q.shape[1], k.shape[1]
    if H % G:
        raise ValueError(f"{H} query heads can't share {G} key/value heads evenly")
    k = k.repeat_interleave(H // G, dim=1)
    v = v.repeat_interleave(H // G, dim=1)
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    if mask is not None and mask.dim() == 4:
        mask = mask[:, :1]
    return masked_softmax(scores, mask) @ v

# %% exercise="LlamaBlock" wrong="stream_is_normalised"
"""The normalised input is added, not the stream itself."""
class LlamaBlock(nn.Module):
    def __init__(
        self, width: int, heads: int, kv_heads: int, hidden: int, head_width: int | None = None,
        base: float = 10000.0, eps: float = 1e-6, qk_norm: bool = False,
    ):  # fmt: skip
        super().__init__()
        if heads % kv_heads:
            raise ValueError("heads is no multiple of kv_heads")
        if head_width is None:
            if width % heads:
                raise ValueError("width is no multiple of heads")
            head_width = width // heads
        self.heads, self.kv_heads, self.head_width, self.base = heads, kv_heads, head_width, base
        self.norm1 = RMSNorm(width, eps)
        self.w_q = nn.Linear(width, heads * head_width, bias=False)
        self.w_k = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_v = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_o = nn.Linear(heads * head_width, width, bias=False)
        self.norm2 = RMSNorm(width, eps)
        self.feed_forward = SwiGLU(width, hidden)
        self.q_norm = RMSNorm(head_width, eps) if qk_norm else None
        self.k_norm = RMSNorm(head_width, eps) if qk_norm else None

    def attend(self, x, positions, mask):
        B, T, _ = x.shape
        q = self.w_q(x).view(B, T, self.heads, self.head_width).transpose(1, 2)
        k = self.w_k(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        v = self.w_v(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        if self.q_norm is not None:
            q, k = self.q_norm(q), self.k_norm(k)
        if positions is None:
            positions = torch.arange(T, device=x.device)
        q, k = apply_rope(q, positions, self.base), apply_rope(k, positions, self.base)
        seen = torch.ones(T, T, dtype=torch.bool, device=x.device).tril()
        if mask is not None:
            seen = seen & mask
        out = grouped_query_attention(q, k, v, seen)
        return self.w_o(out.transpose(1, 2).reshape(B, T, -1))

    def forward(self, x: Tensor, positions: Tensor | None = None, mask: Mask = None) -> Tensor:
        x = self.norm1(x)
        x = x + self.attend(x, positions, mask)
        return x + self.feed_forward(self.norm2(x))

# %% exercise="LlamaBlock" wrong="norm_behind_the_sum"
"""Post-norm: the sums are normalised, the sublayers' inputs are not."""
class LlamaBlock(nn.Module):
    def __init__(
        self, width: int, heads: int, kv_heads: int, hidden: int, head_width: int | None = None,
        base: float = 10000.0, eps: float = 1e-6, qk_norm: bool = False,
    ):  # fmt: skip
        super().__init__()
        if heads % kv_heads:
            raise ValueError("heads is no multiple of kv_heads")
        if head_width is None:
            if width % heads:
                raise ValueError("width is no multiple of heads")
            head_width = width // heads
        self.heads, self.kv_heads, self.head_width, self.base = heads, kv_heads, head_width, base
        self.norm1 = RMSNorm(width, eps)
        self.w_q = nn.Linear(width, heads * head_width, bias=False)
        self.w_k = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_v = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_o = nn.Linear(heads * head_width, width, bias=False)
        self.norm2 = RMSNorm(width, eps)
        self.feed_forward = SwiGLU(width, hidden)
        self.q_norm = RMSNorm(head_width, eps) if qk_norm else None
        self.k_norm = RMSNorm(head_width, eps) if qk_norm else None

    def attend(self, x, positions, mask):
        B, T, _ = x.shape
        q = self.w_q(x).view(B, T, self.heads, self.head_width).transpose(1, 2)
        k = self.w_k(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        v = self.w_v(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        if self.q_norm is not None:
            q, k = self.q_norm(q), self.k_norm(k)
        if positions is None:
            positions = torch.arange(T, device=x.device)
        q, k = apply_rope(q, positions, self.base), apply_rope(k, positions, self.base)
        seen = torch.ones(T, T, dtype=torch.bool, device=x.device).tril()
        if mask is not None:
            seen = seen & mask
        out = grouped_query_attention(q, k, v, seen)
        return self.w_o(out.transpose(1, 2).reshape(B, T, -1))

    def forward(self, x: Tensor, positions: Tensor | None = None, mask: Mask = None) -> Tensor:
        x = self.norm1(x + self.attend(x, positions, mask))
        return self.norm2(x + self.feed_forward(x))

# %% exercise="LlamaBlock" wrong="sublayers_in_parallel"
"""The feed-forward layer reads the block's input, not what attention has added to."""
class LlamaBlock(nn.Module):
    def __init__(
        self, width: int, heads: int, kv_heads: int, hidden: int, head_width: int | None = None,
        base: float = 10000.0, eps: float = 1e-6, qk_norm: bool = False,
    ):  # fmt: skip
        super().__init__()
        if heads % kv_heads:
            raise ValueError("heads is no multiple of kv_heads")
        if head_width is None:
            if width % heads:
                raise ValueError("width is no multiple of heads")
            head_width = width // heads
        self.heads, self.kv_heads, self.head_width, self.base = heads, kv_heads, head_width, base
        self.norm1 = RMSNorm(width, eps)
        self.w_q = nn.Linear(width, heads * head_width, bias=False)
        self.w_k = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_v = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_o = nn.Linear(heads * head_width, width, bias=False)
        self.norm2 = RMSNorm(width, eps)
        self.feed_forward = SwiGLU(width, hidden)
        self.q_norm = RMSNorm(head_width, eps) if qk_norm else None
        self.k_norm = RMSNorm(head_width, eps) if qk_norm else None

    def attend(self, x, positions, mask):
        B, T, _ = x.shape
        q = self.w_q(x).view(B, T, self.heads, self.head_width).transpose(1, 2)
        k = self.w_k(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        v = self.w_v(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        if self.q_norm is not None:
            q, k = self.q_norm(q), self.k_norm(k)
        if positions is None:
            positions = torch.arange(T, device=x.device)
        q, k = apply_rope(q, positions, self.base), apply_rope(k, positions, self.base)
        seen = torch.ones(T, T, dtype=torch.bool, device=x.device).tril()
        if mask is not None:
            seen = seen & mask
        out = grouped_query_attention(q, k, v, seen)
        return self.w_o(out.transpose(1, 2).reshape(B, T, -1))

    def forward(self, x: Tensor, positions: Tensor | None = None, mask: Mask = None) -> Tensor:
        out = self.attend(self.norm1(x), positions, mask)
        return x + out + self.feed_forward(self.norm2(x))

# %% exercise="LlamaBlock" wrong="values_turned"
"""Values are turned as well."""
class LlamaBlock(nn.Module):
    def __init__(
        self, width: int, heads: int, kv_heads: int, hidden: int, head_width: int | None = None,
        base: float = 10000.0, eps: float = 1e-6, qk_norm: bool = False,
    ):  # fmt: skip
        super().__init__()
        if heads % kv_heads:
            raise ValueError("heads is no multiple of kv_heads")
        if head_width is None:
            if width % heads:
                raise ValueError("width is no multiple of heads")
            head_width = width // heads
        self.heads, self.kv_heads, self.head_width, self.base = heads, kv_heads, head_width, base
        self.norm1 = RMSNorm(width, eps)
        self.w_q = nn.Linear(width, heads * head_width, bias=False)
        self.w_k = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_v = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_o = nn.Linear(heads * head_width, width, bias=False)
        self.norm2 = RMSNorm(width, eps)
        self.feed_forward = SwiGLU(width, hidden)
        self.q_norm = RMSNorm(head_width, eps) if qk_norm else None
        self.k_norm = RMSNorm(head_width, eps) if qk_norm else None

    def attend(self, x, positions, mask):
        B, T, _ = x.shape
        q = self.w_q(x).view(B, T, self.heads, self.head_width).transpose(1, 2)
        k = self.w_k(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        v = self.w_v(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        if self.q_norm is not None:
            q, k = self.q_norm(q), self.k_norm(k)
        if positions is None:
            positions = torch.arange(T, device=x.device)
        q, k = apply_rope(q, positions, self.base), apply_rope(k, positions, self.base)
        v = apply_rope(v, positions, self.base)
        seen = torch.ones(T, T, dtype=torch.bool, device=x.device).tril()
        if mask is not None:
            seen = seen & mask
        out = grouped_query_attention(q, k, v, seen)
        return self.w_o(out.transpose(1, 2).reshape(B, T, -1))

    def forward(self, x: Tensor, positions: Tensor | None = None, mask: Mask = None) -> Tensor:
        x = x + self.attend(self.norm1(x), positions, mask)
        return x + self.feed_forward(self.norm2(x))

# %% exercise="LlamaBlock" wrong="normalised_behind_the_rotation"
"""q_norm and k_norm act on turned heads."""
class LlamaBlock(nn.Module):
    def __init__(
        self, width: int, heads: int, kv_heads: int, hidden: int, head_width: int | None = None,
        base: float = 10000.0, eps: float = 1e-6, qk_norm: bool = False,
    ):  # fmt: skip
        super().__init__()
        if heads % kv_heads:
            raise ValueError("heads is no multiple of kv_heads")
        if head_width is None:
            if width % heads:
                raise ValueError("width is no multiple of heads")
            head_width = width // heads
        self.heads, self.kv_heads, self.head_width, self.base = heads, kv_heads, head_width, base
        self.norm1 = RMSNorm(width, eps)
        self.w_q = nn.Linear(width, heads * head_width, bias=False)
        self.w_k = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_v = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_o = nn.Linear(heads * head_width, width, bias=False)
        self.norm2 = RMSNorm(width, eps)
        self.feed_forward = SwiGLU(width, hidden)
        self.q_norm = RMSNorm(head_width, eps) if qk_norm else None
        self.k_norm = RMSNorm(head_width, eps) if qk_norm else None

    def attend(self, x, positions, mask):
        B, T, _ = x.shape
        q = self.w_q(x).view(B, T, self.heads, self.head_width).transpose(1, 2)
        k = self.w_k(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        v = self.w_v(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        if positions is None:
            positions = torch.arange(T, device=x.device)
        q, k = apply_rope(q, positions, self.base), apply_rope(k, positions, self.base)
        if self.q_norm is not None:
            q, k = self.q_norm(q), self.k_norm(k)
        seen = torch.ones(T, T, dtype=torch.bool, device=x.device).tril()
        if mask is not None:
            seen = seen & mask
        out = grouped_query_attention(q, k, v, seen)
        return self.w_o(out.transpose(1, 2).reshape(B, T, -1))

    def forward(self, x: Tensor, positions: Tensor | None = None, mask: Mask = None) -> Tensor:
        x = x + self.attend(self.norm1(x), positions, mask)
        return x + self.feed_forward(self.norm2(x))

# %% exercise="LlamaBlock" wrong="one_norm_for_both"
"""Keys are normalised by q_norm; k_norm exists and is not used."""
class LlamaBlock(nn.Module):
    def __init__(
        self, width: int, heads: int, kv_heads: int, hidden: int, head_width: int | None = None,
        base: float = 10000.0, eps: float = 1e-6, qk_norm: bool = False,
    ):  # fmt: skip
        super().__init__()
        if heads % kv_heads:
            raise ValueError("heads is no multiple of kv_heads")
        if head_width is None:
            if width % heads:
                raise ValueError("width is no multiple of heads")
            head_width = width // heads
        self.heads, self.kv_heads, self.head_width, self.base = heads, kv_heads, head_width, base
        self.norm1 = RMSNorm(width, eps)
        self.w_q = nn.Linear(width, heads * head_width, bias=False)
        self.w_k = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_v = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_o = nn.Linear(heads * head_width, width, bias=False)
        self.norm2 = RMSNorm(width, eps)
        self.feed_forward = SwiGLU(width, hidden)
        self.q_norm = RMSNorm(head_width, eps) if qk_norm else None
        self.k_norm = RMSNorm(head_width, eps) if qk_norm else None

    def attend(self, x, positions, mask):
        B, T, _ = x.shape
        q = self.w_q(x).view(B, T, self.heads, self.head_width).transpose(1, 2)
        k = self.w_k(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        v = self.w_v(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        if self.q_norm is not None:
            q, k = self.q_norm(q), self.q_norm(k)
        if positions is None:
            positions = torch.arange(T, device=x.device)
        q, k = apply_rope(q, positions, self.base), apply_rope(k, positions, self.base)
        seen = torch.ones(T, T, dtype=torch.bool, device=x.device).tril()
        if mask is not None:
            seen = seen & mask
        out = grouped_query_attention(q, k, v, seen)
        return self.w_o(out.transpose(1, 2).reshape(B, T, -1))

    def forward(self, x: Tensor, positions: Tensor | None = None, mask: Mask = None) -> Tensor:
        x = x + self.attend(self.norm1(x), positions, mask)
        return x + self.feed_forward(self.norm2(x))

# %% exercise="LlamaBlock" wrong="qk_norm_makes_no_difference"
"""The norms of queries and keys exist, but are not applied."""
class LlamaBlock(nn.Module):
    def __init__(
        self, width: int, heads: int, kv_heads: int, hidden: int, head_width: int | None = None,
        base: float = 10000.0, eps: float = 1e-6, qk_norm: bool = False,
    ):  # fmt: skip
        super().__init__()
        if heads % kv_heads:
            raise ValueError("heads is no multiple of kv_heads")
        if head_width is None:
            if width % heads:
                raise ValueError("width is no multiple of heads")
            head_width = width // heads
        self.heads, self.kv_heads, self.head_width, self.base = heads, kv_heads, head_width, base
        self.norm1 = RMSNorm(width, eps)
        self.w_q = nn.Linear(width, heads * head_width, bias=False)
        self.w_k = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_v = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_o = nn.Linear(heads * head_width, width, bias=False)
        self.norm2 = RMSNorm(width, eps)
        self.feed_forward = SwiGLU(width, hidden)
        self.q_norm = RMSNorm(head_width, eps) if qk_norm else None
        self.k_norm = RMSNorm(head_width, eps) if qk_norm else None

    def attend(self, x, positions, mask):
        B, T, _ = x.shape
        q = self.w_q(x).view(B, T, self.heads, self.head_width).transpose(1, 2)
        k = self.w_k(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        v = self.w_v(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        if positions is None:
            positions = torch.arange(T, device=x.device)
        q, k = apply_rope(q, positions, self.base), apply_rope(k, positions, self.base)
        seen = torch.ones(T, T, dtype=torch.bool, device=x.device).tril()
        if mask is not None:
            seen = seen & mask
        out = grouped_query_attention(q, k, v, seen)
        return self.w_o(out.transpose(1, 2).reshape(B, T, -1))

    def forward(self, x: Tensor, positions: Tensor | None = None, mask: Mask = None) -> Tensor:
        x = x + self.attend(self.norm1(x), positions, mask)
        return x + self.feed_forward(self.norm2(x))

# %% exercise="LlamaBlock" wrong="qk_norm_over_all_heads"
"""One norm over all heads of a token together, of width H d, as in OLMo 2."""
class LlamaBlock(nn.Module):
    def __init__(
        self, width: int, heads: int, kv_heads: int, hidden: int, head_width: int | None = None,
        base: float = 10000.0, eps: float = 1e-6, qk_norm: bool = False,
    ):  # fmt: skip
        super().__init__()
        if heads % kv_heads:
            raise ValueError("heads is no multiple of kv_heads")
        if head_width is None:
            if width % heads:
                raise ValueError("width is no multiple of heads")
            head_width = width // heads
        self.heads, self.kv_heads, self.head_width, self.base = heads, kv_heads, head_width, base
        self.norm1 = RMSNorm(width, eps)
        self.w_q = nn.Linear(width, heads * head_width, bias=False)
        self.w_k = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_v = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_o = nn.Linear(heads * head_width, width, bias=False)
        self.norm2 = RMSNorm(width, eps)
        self.feed_forward = SwiGLU(width, hidden)
        self.q_norm = RMSNorm(heads * head_width, eps) if qk_norm else None
        self.k_norm = RMSNorm(kv_heads * head_width, eps) if qk_norm else None

    def attend(self, x, positions, mask):
        B, T, _ = x.shape
        q = self.w_q(x).view(B, T, self.heads, self.head_width).transpose(1, 2)
        k = self.w_k(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        v = self.w_v(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        if self.q_norm is not None:
            q = self.q_norm(self.w_q(x)).view(B, T, self.heads, self.head_width).transpose(1, 2)
            k = self.k_norm(self.w_k(x)).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        if positions is None:
            positions = torch.arange(T, device=x.device)
        q, k = apply_rope(q, positions, self.base), apply_rope(k, positions, self.base)
        seen = torch.ones(T, T, dtype=torch.bool, device=x.device).tril()
        if mask is not None:
            seen = seen & mask
        out = grouped_query_attention(q, k, v, seen)
        return self.w_o(out.transpose(1, 2).reshape(B, T, -1))

    def forward(self, x: Tensor, positions: Tensor | None = None, mask: Mask = None) -> Tensor:
        x = x + self.attend(self.norm1(x), positions, mask)
        return x + self.feed_forward(self.norm2(x))

# %% exercise="LlamaBlock" wrong="qk_norm_has_its_own_eps"
"""The eps that was given does not reach the norms of queries and keys."""
class LlamaBlock(nn.Module):
    def __init__(
        self, width: int, heads: int, kv_heads: int, hidden: int, head_width: int | None = None,
        base: float = 10000.0, eps: float = 1e-6, qk_norm: bool = False,
    ):  # fmt: skip
        super().__init__()
        if heads % kv_heads:
            raise ValueError("heads is no multiple of kv_heads")
        if head_width is None:
            if width % heads:
                raise ValueError("width is no multiple of heads")
            head_width = width // heads
        self.heads, self.kv_heads, self.head_width, self.base = heads, kv_heads, head_width, base
        self.norm1 = RMSNorm(width, eps)
        self.w_q = nn.Linear(width, heads * head_width, bias=False)
        self.w_k = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_v = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_o = nn.Linear(heads * head_width, width, bias=False)
        self.norm2 = RMSNorm(width, eps)
        self.feed_forward = SwiGLU(width, hidden)
        self.q_norm = RMSNorm(head_width) if qk_norm else None
        self.k_norm = RMSNorm(head_width) if qk_norm else None

    def attend(self, x, positions, mask):
        B, T, _ = x.shape
        q = self.w_q(x).view(B, T, self.heads, self.head_width).transpose(1, 2)
        k = self.w_k(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        v = self.w_v(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        if self.q_norm is not None:
            q, k = self.q_norm(q), self.k_norm(k)
        if positions is None:
            positions = torch.arange(T, device=x.device)
        q, k = apply_rope(q, positions, self.base), apply_rope(k, positions, self.base)
        seen = torch.ones(T, T, dtype=torch.bool, device=x.device).tril()
        if mask is not None:
            seen = seen & mask
        out = grouped_query_attention(q, k, v, seen)
        return self.w_o(out.transpose(1, 2).reshape(B, T, -1))

    def forward(self, x: Tensor, positions: Tensor | None = None, mask: Mask = None) -> Tensor:
        x = x + self.attend(self.norm1(x), positions, mask)
        return x + self.feed_forward(self.norm2(x))

# %% exercise="LlamaBlock" wrong="eps_ignored"
"""The eps that was given does not reach norm1 and norm2."""
class LlamaBlock(nn.Module):
    def __init__(
        self, width: int, heads: int, kv_heads: int, hidden: int, head_width: int | None = None,
        base: float = 10000.0, eps: float = 1e-6, qk_norm: bool = False,
    ):  # fmt: skip
        super().__init__()
        if heads % kv_heads:
            raise ValueError("heads is no multiple of kv_heads")
        if head_width is None:
            if width % heads:
                raise ValueError("width is no multiple of heads")
            head_width = width // heads
        self.heads, self.kv_heads, self.head_width, self.base = heads, kv_heads, head_width, base
        self.norm1 = RMSNorm(width)
        self.w_q = nn.Linear(width, heads * head_width, bias=False)
        self.w_k = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_v = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_o = nn.Linear(heads * head_width, width, bias=False)
        self.norm2 = RMSNorm(width)
        self.feed_forward = SwiGLU(width, hidden)
        self.q_norm = RMSNorm(head_width, eps) if qk_norm else None
        self.k_norm = RMSNorm(head_width, eps) if qk_norm else None

    def attend(self, x, positions, mask):
        B, T, _ = x.shape
        q = self.w_q(x).view(B, T, self.heads, self.head_width).transpose(1, 2)
        k = self.w_k(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        v = self.w_v(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        if self.q_norm is not None:
            q, k = self.q_norm(q), self.k_norm(k)
        if positions is None:
            positions = torch.arange(T, device=x.device)
        q, k = apply_rope(q, positions, self.base), apply_rope(k, positions, self.base)
        seen = torch.ones(T, T, dtype=torch.bool, device=x.device).tril()
        if mask is not None:
            seen = seen & mask
        out = grouped_query_attention(q, k, v, seen)
        return self.w_o(out.transpose(1, 2).reshape(B, T, -1))

    def forward(self, x: Tensor, positions: Tensor | None = None, mask: Mask = None) -> Tensor:
        x = x + self.attend(self.norm1(x), positions, mask)
        return x + self.feed_forward(self.norm2(x))

# %% exercise="LlamaBlock" wrong="base_ignored"
"""Rotations always have base 10000."""
class LlamaBlock(nn.Module):
    def __init__(
        self, width: int, heads: int, kv_heads: int, hidden: int, head_width: int | None = None,
        base: float = 10000.0, eps: float = 1e-6, qk_norm: bool = False,
    ):  # fmt: skip
        super().__init__()
        if heads % kv_heads:
            raise ValueError("heads is no multiple of kv_heads")
        if head_width is None:
            if width % heads:
                raise ValueError("width is no multiple of heads")
            head_width = width // heads
        self.heads, self.kv_heads, self.head_width, self.base = heads, kv_heads, head_width, base
        self.norm1 = RMSNorm(width, eps)
        self.w_q = nn.Linear(width, heads * head_width, bias=False)
        self.w_k = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_v = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_o = nn.Linear(heads * head_width, width, bias=False)
        self.norm2 = RMSNorm(width, eps)
        self.feed_forward = SwiGLU(width, hidden)
        self.q_norm = RMSNorm(head_width, eps) if qk_norm else None
        self.k_norm = RMSNorm(head_width, eps) if qk_norm else None

    def attend(self, x, positions, mask):
        B, T, _ = x.shape
        q = self.w_q(x).view(B, T, self.heads, self.head_width).transpose(1, 2)
        k = self.w_k(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        v = self.w_v(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        if self.q_norm is not None:
            q, k = self.q_norm(q), self.k_norm(k)
        if positions is None:
            positions = torch.arange(T, device=x.device)
        q, k = apply_rope(q, positions), apply_rope(k, positions)
        seen = torch.ones(T, T, dtype=torch.bool, device=x.device).tril()
        if mask is not None:
            seen = seen & mask
        out = grouped_query_attention(q, k, v, seen)
        return self.w_o(out.transpose(1, 2).reshape(B, T, -1))

    def forward(self, x: Tensor, positions: Tensor | None = None, mask: Mask = None) -> Tensor:
        x = x + self.attend(self.norm1(x), positions, mask)
        return x + self.feed_forward(self.norm2(x))

# %% exercise="LlamaBlock" wrong="positions_ignored"
"""Positions are 0 to T - 1 whatever was given."""
class LlamaBlock(nn.Module):
    def __init__(
        self, width: int, heads: int, kv_heads: int, hidden: int, head_width: int | None = None,
        base: float = 10000.0, eps: float = 1e-6, qk_norm: bool = False,
    ):  # fmt: skip
        super().__init__()
        if heads % kv_heads:
            raise ValueError("heads is no multiple of kv_heads")
        if head_width is None:
            if width % heads:
                raise ValueError("width is no multiple of heads")
            head_width = width // heads
        self.heads, self.kv_heads, self.head_width, self.base = heads, kv_heads, head_width, base
        self.norm1 = RMSNorm(width, eps)
        self.w_q = nn.Linear(width, heads * head_width, bias=False)
        self.w_k = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_v = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_o = nn.Linear(heads * head_width, width, bias=False)
        self.norm2 = RMSNorm(width, eps)
        self.feed_forward = SwiGLU(width, hidden)
        self.q_norm = RMSNorm(head_width, eps) if qk_norm else None
        self.k_norm = RMSNorm(head_width, eps) if qk_norm else None

    def attend(self, x, positions, mask):
        B, T, _ = x.shape
        q = self.w_q(x).view(B, T, self.heads, self.head_width).transpose(1, 2)
        k = self.w_k(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        v = self.w_v(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        if self.q_norm is not None:
            q, k = self.q_norm(q), self.k_norm(k)
        positions = torch.arange(T, device=x.device)
        q, k = apply_rope(q, positions, self.base), apply_rope(k, positions, self.base)
        seen = torch.ones(T, T, dtype=torch.bool, device=x.device).tril()
        if mask is not None:
            seen = seen & mask
        out = grouped_query_attention(q, k, v, seen)
        return self.w_o(out.transpose(1, 2).reshape(B, T, -1))

    def forward(self, x: Tensor, positions: Tensor | None = None, mask: Mask = None) -> Tensor:
        x = x + self.attend(self.norm1(x), positions, mask)
        return x + self.feed_forward(self.norm2(x))

# %% exercise="LlamaBlock" wrong="interleaved_pairs"
"""Turns the pairs 2i and 2i + 1, as in the paper."""
class LlamaBlock(nn.Module):
    def __init__(
        self, width: int, heads: int, kv_heads: int, hidden: int, head_width: int | None = None,
        base: float = 10000.0, eps: float = 1e-6, qk_norm: bool = False,
    ):  # fmt: skip
        super().__init__()
        if heads % kv_heads:
            raise ValueError("heads is no multiple of kv_heads")
        if head_width is None:
            if width % heads:
                raise ValueError("width is no multiple of heads")
            head_width = width // heads
        self.heads, self.kv_heads, self.head_width, self.base = heads, kv_heads, head_width, base
        self.norm1 = RMSNorm(width, eps)
        self.w_q = nn.Linear(width, heads * head_width, bias=False)
        self.w_k = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_v = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_o = nn.Linear(heads * head_width, width, bias=False)
        self.norm2 = RMSNorm(width, eps)
        self.feed_forward = SwiGLU(width, hidden)
        self.q_norm = RMSNorm(head_width, eps) if qk_norm else None
        self.k_norm = RMSNorm(head_width, eps) if qk_norm else None

    def attend(self, x, positions, mask):
        B, T, _ = x.shape
        q = self.w_q(x).view(B, T, self.heads, self.head_width).transpose(1, 2)
        k = self.w_k(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        v = self.w_v(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        if self.q_norm is not None:
            q, k = self.q_norm(q), self.k_norm(k)
        if positions is None:
            positions = torch.arange(T, device=x.device)
        q, k = apply_rope(q, positions, self.base, "interleaved"), apply_rope(k, positions, self.base, "interleaved")
        seen = torch.ones(T, T, dtype=torch.bool, device=x.device).tril()
        if mask is not None:
            seen = seen & mask
        out = grouped_query_attention(q, k, v, seen)
        return self.w_o(out.transpose(1, 2).reshape(B, T, -1))

    def forward(self, x: Tensor, positions: Tensor | None = None, mask: Mask = None) -> Tensor:
        x = x + self.attend(self.norm1(x), positions, mask)
        return x + self.feed_forward(self.norm2(x))

# %% exercise="LlamaBlock" wrong="queries_only_are_turned"
"""Keys are not turned."""
class LlamaBlock(nn.Module):
    def __init__(
        self, width: int, heads: int, kv_heads: int, hidden: int, head_width: int | None = None,
        base: float = 10000.0, eps: float = 1e-6, qk_norm: bool = False,
    ):  # fmt: skip
        super().__init__()
        if heads % kv_heads:
            raise ValueError("heads is no multiple of kv_heads")
        if head_width is None:
            if width % heads:
                raise ValueError("width is no multiple of heads")
            head_width = width // heads
        self.heads, self.kv_heads, self.head_width, self.base = heads, kv_heads, head_width, base
        self.norm1 = RMSNorm(width, eps)
        self.w_q = nn.Linear(width, heads * head_width, bias=False)
        self.w_k = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_v = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_o = nn.Linear(heads * head_width, width, bias=False)
        self.norm2 = RMSNorm(width, eps)
        self.feed_forward = SwiGLU(width, hidden)
        self.q_norm = RMSNorm(head_width, eps) if qk_norm else None
        self.k_norm = RMSNorm(head_width, eps) if qk_norm else None

    def attend(self, x, positions, mask):
        B, T, _ = x.shape
        q = self.w_q(x).view(B, T, self.heads, self.head_width).transpose(1, 2)
        k = self.w_k(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        v = self.w_v(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        if self.q_norm is not None:
            q, k = self.q_norm(q), self.k_norm(k)
        if positions is None:
            positions = torch.arange(T, device=x.device)
        q, k = apply_rope(q, positions, self.base), k
        seen = torch.ones(T, T, dtype=torch.bool, device=x.device).tril()
        if mask is not None:
            seen = seen & mask
        out = grouped_query_attention(q, k, v, seen)
        return self.w_o(out.transpose(1, 2).reshape(B, T, -1))

    def forward(self, x: Tensor, positions: Tensor | None = None, mask: Mask = None) -> Tensor:
        x = x + self.attend(self.norm1(x), positions, mask)
        return x + self.feed_forward(self.norm2(x))

# %% exercise="LlamaBlock" wrong="mask_replaces_the_future"
"""With a mask the future is visible."""
class LlamaBlock(nn.Module):
    def __init__(
        self, width: int, heads: int, kv_heads: int, hidden: int, head_width: int | None = None,
        base: float = 10000.0, eps: float = 1e-6, qk_norm: bool = False,
    ):  # fmt: skip
        super().__init__()
        if heads % kv_heads:
            raise ValueError("heads is no multiple of kv_heads")
        if head_width is None:
            if width % heads:
                raise ValueError("width is no multiple of heads")
            head_width = width // heads
        self.heads, self.kv_heads, self.head_width, self.base = heads, kv_heads, head_width, base
        self.norm1 = RMSNorm(width, eps)
        self.w_q = nn.Linear(width, heads * head_width, bias=False)
        self.w_k = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_v = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_o = nn.Linear(heads * head_width, width, bias=False)
        self.norm2 = RMSNorm(width, eps)
        self.feed_forward = SwiGLU(width, hidden)
        self.q_norm = RMSNorm(head_width, eps) if qk_norm else None
        self.k_norm = RMSNorm(head_width, eps) if qk_norm else None

    def attend(self, x, positions, mask):
        B, T, _ = x.shape
        q = self.w_q(x).view(B, T, self.heads, self.head_width).transpose(1, 2)
        k = self.w_k(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        v = self.w_v(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        if self.q_norm is not None:
            q, k = self.q_norm(q), self.k_norm(k)
        if positions is None:
            positions = torch.arange(T, device=x.device)
        q, k = apply_rope(q, positions, self.base), apply_rope(k, positions, self.base)
        seen = torch.ones(T, T, dtype=torch.bool, device=x.device).tril()
        if mask is not None:
            seen = mask
        out = grouped_query_attention(q, k, v, seen)
        return self.w_o(out.transpose(1, 2).reshape(B, T, -1))

    def forward(self, x: Tensor, positions: Tensor | None = None, mask: Mask = None) -> Tensor:
        x = x + self.attend(self.norm1(x), positions, mask)
        return x + self.feed_forward(self.norm2(x))

# %% exercise="LlamaBlock" wrong="mask_uncovers_the_future"
"""What the mask allows is seen even in the future."""
class LlamaBlock(nn.Module):
    def __init__(
        self, width: int, heads: int, kv_heads: int, hidden: int, head_width: int | None = None,
        base: float = 10000.0, eps: float = 1e-6, qk_norm: bool = False,
    ):  # fmt: skip
        super().__init__()
        if heads % kv_heads:
            raise ValueError("heads is no multiple of kv_heads")
        if head_width is None:
            if width % heads:
                raise ValueError("width is no multiple of heads")
            head_width = width // heads
        self.heads, self.kv_heads, self.head_width, self.base = heads, kv_heads, head_width, base
        self.norm1 = RMSNorm(width, eps)
        self.w_q = nn.Linear(width, heads * head_width, bias=False)
        self.w_k = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_v = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_o = nn.Linear(heads * head_width, width, bias=False)
        self.norm2 = RMSNorm(width, eps)
        self.feed_forward = SwiGLU(width, hidden)
        self.q_norm = RMSNorm(head_width, eps) if qk_norm else None
        self.k_norm = RMSNorm(head_width, eps) if qk_norm else None

    def attend(self, x, positions, mask):
        B, T, _ = x.shape
        q = self.w_q(x).view(B, T, self.heads, self.head_width).transpose(1, 2)
        k = self.w_k(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        v = self.w_v(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        if self.q_norm is not None:
            q, k = self.q_norm(q), self.k_norm(k)
        if positions is None:
            positions = torch.arange(T, device=x.device)
        q, k = apply_rope(q, positions, self.base), apply_rope(k, positions, self.base)
        seen = torch.ones(T, T, dtype=torch.bool, device=x.device).tril()
        if mask is not None:
            seen = seen | mask
        out = grouped_query_attention(q, k, v, seen)
        return self.w_o(out.transpose(1, 2).reshape(B, T, -1))

    def forward(self, x: Tensor, positions: Tensor | None = None, mask: Mask = None) -> Tensor:
        x = x + self.attend(self.norm1(x), positions, mask)
        return x + self.feed_forward(self.norm2(x))

# %% exercise="LlamaBlock" wrong="mask_ignored"
"""The mask is not used."""
class LlamaBlock(nn.Module):
    def __init__(
        self, width: int, heads: int, kv_heads: int, hidden: int, head_width: int | None = None,
        base: float = 10000.0, eps: float = 1e-6, qk_norm: bool = False,
    ):  # fmt: skip
        super().__init__()
        if heads % kv_heads:
            raise ValueError("heads is no multiple of kv_heads")
        if head_width is None:
            if width % heads:
                raise ValueError("width is no multiple of heads")
            head_width = width // heads
        self.heads, self.kv_heads, self.head_width, self.base = heads, kv_heads, head_width, base
        self.norm1 = RMSNorm(width, eps)
        self.w_q = nn.Linear(width, heads * head_width, bias=False)
        self.w_k = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_v = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_o = nn.Linear(heads * head_width, width, bias=False)
        self.norm2 = RMSNorm(width, eps)
        self.feed_forward = SwiGLU(width, hidden)
        self.q_norm = RMSNorm(head_width, eps) if qk_norm else None
        self.k_norm = RMSNorm(head_width, eps) if qk_norm else None

    def attend(self, x, positions, mask):
        B, T, _ = x.shape
        q = self.w_q(x).view(B, T, self.heads, self.head_width).transpose(1, 2)
        k = self.w_k(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        v = self.w_v(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        if self.q_norm is not None:
            q, k = self.q_norm(q), self.k_norm(k)
        if positions is None:
            positions = torch.arange(T, device=x.device)
        q, k = apply_rope(q, positions, self.base), apply_rope(k, positions, self.base)
        seen = torch.ones(T, T, dtype=torch.bool, device=x.device).tril()
        out = grouped_query_attention(q, k, v, seen)
        return self.w_o(out.transpose(1, 2).reshape(B, T, -1))

    def forward(self, x: Tensor, positions: Tensor | None = None, mask: Mask = None) -> Tensor:
        x = x + self.attend(self.norm1(x), positions, mask)
        return x + self.feed_forward(self.norm2(x))

# %% exercise="LlamaBlock" wrong="future_told_by_positions"
"""A key is hidden where its position's number is larger, not where it stands behind."""
class LlamaBlock(nn.Module):
    def __init__(
        self, width: int, heads: int, kv_heads: int, hidden: int, head_width: int | None = None,
        base: float = 10000.0, eps: float = 1e-6, qk_norm: bool = False,
    ):  # fmt: skip
        super().__init__()
        if heads % kv_heads:
            raise ValueError("heads is no multiple of kv_heads")
        if head_width is None:
            if width % heads:
                raise ValueError("width is no multiple of heads")
            head_width = width // heads
        self.heads, self.kv_heads, self.head_width, self.base = heads, kv_heads, head_width, base
        self.norm1 = RMSNorm(width, eps)
        self.w_q = nn.Linear(width, heads * head_width, bias=False)
        self.w_k = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_v = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_o = nn.Linear(heads * head_width, width, bias=False)
        self.norm2 = RMSNorm(width, eps)
        self.feed_forward = SwiGLU(width, hidden)
        self.q_norm = RMSNorm(head_width, eps) if qk_norm else None
        self.k_norm = RMSNorm(head_width, eps) if qk_norm else None

    def attend(self, x, positions, mask):
        B, T, _ = x.shape
        q = self.w_q(x).view(B, T, self.heads, self.head_width).transpose(1, 2)
        k = self.w_k(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        v = self.w_v(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        if self.q_norm is not None:
            q, k = self.q_norm(q), self.k_norm(k)
        if positions is None:
            positions = torch.arange(T, device=x.device)
        q, k = apply_rope(q, positions, self.base), apply_rope(k, positions, self.base)
        seen = positions[:, None] >= positions
        if mask is not None:
            seen = seen & mask
        out = grouped_query_attention(q, k, v, seen)
        return self.w_o(out.transpose(1, 2).reshape(B, T, -1))

    def forward(self, x: Tensor, positions: Tensor | None = None, mask: Mask = None) -> Tensor:
        x = x + self.attend(self.norm1(x), positions, mask)
        return x + self.feed_forward(self.norm2(x))

# %% exercise="LlamaBlock" wrong="a_token_does_not_see_itself"
"""Only what stands before a token is seen, not itself."""
class LlamaBlock(nn.Module):
    def __init__(
        self, width: int, heads: int, kv_heads: int, hidden: int, head_width: int | None = None,
        base: float = 10000.0, eps: float = 1e-6, qk_norm: bool = False,
    ):  # fmt: skip
        super().__init__()
        if heads % kv_heads:
            raise ValueError("heads is no multiple of kv_heads")
        if head_width is None:
            if width % heads:
                raise ValueError("width is no multiple of heads")
            head_width = width // heads
        self.heads, self.kv_heads, self.head_width, self.base = heads, kv_heads, head_width, base
        self.norm1 = RMSNorm(width, eps)
        self.w_q = nn.Linear(width, heads * head_width, bias=False)
        self.w_k = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_v = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_o = nn.Linear(heads * head_width, width, bias=False)
        self.norm2 = RMSNorm(width, eps)
        self.feed_forward = SwiGLU(width, hidden)
        self.q_norm = RMSNorm(head_width, eps) if qk_norm else None
        self.k_norm = RMSNorm(head_width, eps) if qk_norm else None

    def attend(self, x, positions, mask):
        B, T, _ = x.shape
        q = self.w_q(x).view(B, T, self.heads, self.head_width).transpose(1, 2)
        k = self.w_k(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        v = self.w_v(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        if self.q_norm is not None:
            q, k = self.q_norm(q), self.k_norm(k)
        if positions is None:
            positions = torch.arange(T, device=x.device)
        q, k = apply_rope(q, positions, self.base), apply_rope(k, positions, self.base)
        seen = torch.ones(T, T, dtype=torch.bool, device=x.device).tril(-1)
        if mask is not None:
            seen = seen & mask
        out = grouped_query_attention(q, k, v, seen)
        return self.w_o(out.transpose(1, 2).reshape(B, T, -1))

    def forward(self, x: Tensor, positions: Tensor | None = None, mask: Mask = None) -> Tensor:
        x = x + self.attend(self.norm1(x), positions, mask)
        return x + self.feed_forward(self.norm2(x))

# %% exercise="LlamaBlock" wrong="heads_cut_across_tokens"
"""The projection is reshaped to (B, H, T, d) without a transpose."""
class LlamaBlock(nn.Module):
    def __init__(
        self, width: int, heads: int, kv_heads: int, hidden: int, head_width: int | None = None,
        base: float = 10000.0, eps: float = 1e-6, qk_norm: bool = False,
    ):  # fmt: skip
        super().__init__()
        if heads % kv_heads:
            raise ValueError("heads is no multiple of kv_heads")
        if head_width is None:
            if width % heads:
                raise ValueError("width is no multiple of heads")
            head_width = width // heads
        self.heads, self.kv_heads, self.head_width, self.base = heads, kv_heads, head_width, base
        self.norm1 = RMSNorm(width, eps)
        self.w_q = nn.Linear(width, heads * head_width, bias=False)
        self.w_k = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_v = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_o = nn.Linear(heads * head_width, width, bias=False)
        self.norm2 = RMSNorm(width, eps)
        self.feed_forward = SwiGLU(width, hidden)
        self.q_norm = RMSNorm(head_width, eps) if qk_norm else None
        self.k_norm = RMSNorm(head_width, eps) if qk_norm else None

    def attend(self, x, positions, mask):
        B, T, _ = x.shape
        q = self.w_q(x).view(B, self.heads, T, self.head_width)
        k = self.w_k(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        v = self.w_v(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        if self.q_norm is not None:
            q, k = self.q_norm(q), self.k_norm(k)
        if positions is None:
            positions = torch.arange(T, device=x.device)
        q, k = apply_rope(q, positions, self.base), apply_rope(k, positions, self.base)
        seen = torch.ones(T, T, dtype=torch.bool, device=x.device).tril()
        if mask is not None:
            seen = seen & mask
        out = grouped_query_attention(q, k, v, seen)
        return self.w_o(out.transpose(1, 2).reshape(B, T, -1))

    def forward(self, x: Tensor, positions: Tensor | None = None, mask: Mask = None) -> Tensor:
        x = x + self.attend(self.norm1(x), positions, mask)
        return x + self.feed_forward(self.norm2(x))

# %% exercise="LlamaBlock" wrong="heads_joined_without_transpose"
"""(B, H, T, d) is joined as it lies in memory."""
class LlamaBlock(nn.Module):
    def __init__(
        self, width: int, heads: int, kv_heads: int, hidden: int, head_width: int | None = None,
        base: float = 10000.0, eps: float = 1e-6, qk_norm: bool = False,
    ):  # fmt: skip
        super().__init__()
        if heads % kv_heads:
            raise ValueError("heads is no multiple of kv_heads")
        if head_width is None:
            if width % heads:
                raise ValueError("width is no multiple of heads")
            head_width = width // heads
        self.heads, self.kv_heads, self.head_width, self.base = heads, kv_heads, head_width, base
        self.norm1 = RMSNorm(width, eps)
        self.w_q = nn.Linear(width, heads * head_width, bias=False)
        self.w_k = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_v = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_o = nn.Linear(heads * head_width, width, bias=False)
        self.norm2 = RMSNorm(width, eps)
        self.feed_forward = SwiGLU(width, hidden)
        self.q_norm = RMSNorm(head_width, eps) if qk_norm else None
        self.k_norm = RMSNorm(head_width, eps) if qk_norm else None

    def attend(self, x, positions, mask):
        B, T, _ = x.shape
        q = self.w_q(x).view(B, T, self.heads, self.head_width).transpose(1, 2)
        k = self.w_k(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        v = self.w_v(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        if self.q_norm is not None:
            q, k = self.q_norm(q), self.k_norm(k)
        if positions is None:
            positions = torch.arange(T, device=x.device)
        q, k = apply_rope(q, positions, self.base), apply_rope(k, positions, self.base)
        seen = torch.ones(T, T, dtype=torch.bool, device=x.device).tril()
        if mask is not None:
            seen = seen & mask
        out = grouped_query_attention(q, k, v, seen)
        return self.w_o(out.reshape(B, T, -1))

    def forward(self, x: Tensor, positions: Tensor | None = None, mask: Mask = None) -> Tensor:
        x = x + self.attend(self.norm1(x), positions, mask)
        return x + self.feed_forward(self.norm2(x))

# %% exercise="LlamaBlock" wrong="heads_interleaved"
"""Head h owns columns h, h + H, h + 2 H ... of the queries and of w_o."""
class LlamaBlock(nn.Module):
    def __init__(
        self, width: int, heads: int, kv_heads: int, hidden: int, head_width: int | None = None,
        base: float = 10000.0, eps: float = 1e-6, qk_norm: bool = False,
    ):  # fmt: skip
        super().__init__()
        if heads % kv_heads:
            raise ValueError("heads is no multiple of kv_heads")
        if head_width is None:
            if width % heads:
                raise ValueError("width is no multiple of heads")
            head_width = width // heads
        self.heads, self.kv_heads, self.head_width, self.base = heads, kv_heads, head_width, base
        self.norm1 = RMSNorm(width, eps)
        self.w_q = nn.Linear(width, heads * head_width, bias=False)
        self.w_k = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_v = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_o = nn.Linear(heads * head_width, width, bias=False)
        self.norm2 = RMSNorm(width, eps)
        self.feed_forward = SwiGLU(width, hidden)
        self.q_norm = RMSNorm(head_width, eps) if qk_norm else None
        self.k_norm = RMSNorm(head_width, eps) if qk_norm else None

    def attend(self, x, positions, mask):
        B, T, _ = x.shape
        q = self.w_q(x).view(B, T, self.head_width, self.heads).permute(0, 3, 1, 2)
        k = self.w_k(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        v = self.w_v(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        if self.q_norm is not None:
            q, k = self.q_norm(q), self.k_norm(k)
        if positions is None:
            positions = torch.arange(T, device=x.device)
        q, k = apply_rope(q, positions, self.base), apply_rope(k, positions, self.base)
        seen = torch.ones(T, T, dtype=torch.bool, device=x.device).tril()
        if mask is not None:
            seen = seen & mask
        out = grouped_query_attention(q, k, v, seen)
        return self.w_o(out.permute(0, 2, 3, 1).reshape(B, T, -1))

    def forward(self, x: Tensor, positions: Tensor | None = None, mask: Mask = None) -> Tensor:
        x = x + self.attend(self.norm1(x), positions, mask)
        return x + self.feed_forward(self.norm2(x))

# %% exercise="LlamaBlock" wrong="given_head_width_still_has_to_divide"
"""A width that is no multiple of heads is refused with a given head_width, too."""
class LlamaBlock(nn.Module):
    def __init__(
        self, width: int, heads: int, kv_heads: int, hidden: int, head_width: int | None = None,
        base: float = 10000.0, eps: float = 1e-6, qk_norm: bool = False,
    ):  # fmt: skip
        super().__init__()
        if heads % kv_heads:
            raise ValueError("heads is no multiple of kv_heads")
        if width % heads:
            raise ValueError("width is no multiple of heads")
        head_width = width // heads if head_width is None else head_width
        self.heads, self.kv_heads, self.head_width, self.base = heads, kv_heads, head_width, base
        self.norm1 = RMSNorm(width, eps)
        self.w_q = nn.Linear(width, heads * head_width, bias=False)
        self.w_k = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_v = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_o = nn.Linear(heads * head_width, width, bias=False)
        self.norm2 = RMSNorm(width, eps)
        self.feed_forward = SwiGLU(width, hidden)
        self.q_norm = RMSNorm(head_width, eps) if qk_norm else None
        self.k_norm = RMSNorm(head_width, eps) if qk_norm else None

    def attend(self, x, positions, mask):
        B, T, _ = x.shape
        q = self.w_q(x).view(B, T, self.heads, self.head_width).transpose(1, 2)
        k = self.w_k(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        v = self.w_v(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        if self.q_norm is not None:
            q, k = self.q_norm(q), self.k_norm(k)
        if positions is None:
            positions = torch.arange(T, device=x.device)
        q, k = apply_rope(q, positions, self.base), apply_rope(k, positions, self.base)
        seen = torch.ones(T, T, dtype=torch.bool, device=x.device).tril()
        if mask is not None:
            seen = seen & mask
        out = grouped_query_attention(q, k, v, seen)
        return self.w_o(out.transpose(1, 2).reshape(B, T, -1))

    def forward(self, x: Tensor, positions: Tensor | None = None, mask: Mask = None) -> Tensor:
        x = x + self.attend(self.norm1(x), positions, mask)
        return x + self.feed_forward(self.norm2(x))

# %% exercise="LlamaBlock" wrong="uneven_width_rounded_down"
"""A width that is no multiple of heads gives a smaller head, no ValueError."""
class LlamaBlock(nn.Module):
    def __init__(
        self, width: int, heads: int, kv_heads: int, hidden: int, head_width: int | None = None,
        base: float = 10000.0, eps: float = 1e-6, qk_norm: bool = False,
    ):  # fmt: skip
        super().__init__()
        if heads % kv_heads:
            raise ValueError("heads is no multiple of kv_heads")
        if head_width is None:
            head_width = width // heads
        self.heads, self.kv_heads, self.head_width, self.base = heads, kv_heads, head_width, base
        self.norm1 = RMSNorm(width, eps)
        self.w_q = nn.Linear(width, heads * head_width, bias=False)
        self.w_k = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_v = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_o = nn.Linear(heads * head_width, width, bias=False)
        self.norm2 = RMSNorm(width, eps)
        self.feed_forward = SwiGLU(width, hidden)
        self.q_norm = RMSNorm(head_width, eps) if qk_norm else None
        self.k_norm = RMSNorm(head_width, eps) if qk_norm else None

    def attend(self, x, positions, mask):
        B, T, _ = x.shape
        q = self.w_q(x).view(B, T, self.heads, self.head_width).transpose(1, 2)
        k = self.w_k(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        v = self.w_v(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        if self.q_norm is not None:
            q, k = self.q_norm(q), self.k_norm(k)
        if positions is None:
            positions = torch.arange(T, device=x.device)
        q, k = apply_rope(q, positions, self.base), apply_rope(k, positions, self.base)
        seen = torch.ones(T, T, dtype=torch.bool, device=x.device).tril()
        if mask is not None:
            seen = seen & mask
        out = grouped_query_attention(q, k, v, seen)
        return self.w_o(out.transpose(1, 2).reshape(B, T, -1))

    def forward(self, x: Tensor, positions: Tensor | None = None, mask: Mask = None) -> Tensor:
        x = x + self.attend(self.norm1(x), positions, mask)
        return x + self.feed_forward(self.norm2(x))

# %% exercise="LlamaBlock" wrong="uneven_heads_found_late"
"""Heads that are no multiple of kv_heads are found in forward, not when the block is made."""
class LlamaBlock(nn.Module):
    def __init__(
        self, width: int, heads: int, kv_heads: int, hidden: int, head_width: int | None = None,
        base: float = 10000.0, eps: float = 1e-6, qk_norm: bool = False,
    ):  # fmt: skip
        super().__init__()
        if head_width is None:
            if width % heads:
                raise ValueError("width is no multiple of heads")
            head_width = width // heads
        self.heads, self.kv_heads, self.head_width, self.base = heads, kv_heads, head_width, base
        self.norm1 = RMSNorm(width, eps)
        self.w_q = nn.Linear(width, heads * head_width, bias=False)
        self.w_k = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_v = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_o = nn.Linear(heads * head_width, width, bias=False)
        self.norm2 = RMSNorm(width, eps)
        self.feed_forward = SwiGLU(width, hidden)
        self.q_norm = RMSNorm(head_width, eps) if qk_norm else None
        self.k_norm = RMSNorm(head_width, eps) if qk_norm else None

    def attend(self, x, positions, mask):
        B, T, _ = x.shape
        q = self.w_q(x).view(B, T, self.heads, self.head_width).transpose(1, 2)
        k = self.w_k(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        v = self.w_v(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        if self.q_norm is not None:
            q, k = self.q_norm(q), self.k_norm(k)
        if positions is None:
            positions = torch.arange(T, device=x.device)
        q, k = apply_rope(q, positions, self.base), apply_rope(k, positions, self.base)
        seen = torch.ones(T, T, dtype=torch.bool, device=x.device).tril()
        if mask is not None:
            seen = seen & mask
        out = grouped_query_attention(q, k, v, seen)
        return self.w_o(out.transpose(1, 2).reshape(B, T, -1))

    def forward(self, x: Tensor, positions: Tensor | None = None, mask: Mask = None) -> Tensor:
        x = x + self.attend(self.norm1(x), positions, mask)
        return x + self.feed_forward(self.norm2(x))

# %% exercise="LlamaBlock" wrong="linear_maps_have_biases"
"""The maps of attention have biases."""
class LlamaBlock(nn.Module):
    def __init__(
        self, width: int, heads: int, kv_heads: int, hidden: int, head_width: int | None = None,
        base: float = 10000.0, eps: float = 1e-6, qk_norm: bool = False,
    ):  # fmt: skip
        super().__init__()
        if heads % kv_heads:
            raise ValueError("heads is no multiple of kv_heads")
        if head_width is None:
            if width % heads:
                raise ValueError("width is no multiple of heads")
            head_width = width // heads
        self.heads, self.kv_heads, self.head_width, self.base = heads, kv_heads, head_width, base
        self.norm1 = RMSNorm(width, eps)
        self.w_q = nn.Linear(width, heads * head_width)
        self.w_k = nn.Linear(width, kv_heads * head_width)
        self.w_v = nn.Linear(width, kv_heads * head_width)
        self.w_o = nn.Linear(heads * head_width, width)
        self.norm2 = RMSNorm(width, eps)
        self.feed_forward = SwiGLU(width, hidden)
        self.q_norm = RMSNorm(head_width, eps) if qk_norm else None
        self.k_norm = RMSNorm(head_width, eps) if qk_norm else None

    def attend(self, x, positions, mask):
        B, T, _ = x.shape
        q = self.w_q(x).view(B, T, self.heads, self.head_width).transpose(1, 2)
        k = self.w_k(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        v = self.w_v(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        if self.q_norm is not None:
            q, k = self.q_norm(q), self.k_norm(k)
        if positions is None:
            positions = torch.arange(T, device=x.device)
        q, k = apply_rope(q, positions, self.base), apply_rope(k, positions, self.base)
        seen = torch.ones(T, T, dtype=torch.bool, device=x.device).tril()
        if mask is not None:
            seen = seen & mask
        out = grouped_query_attention(q, k, v, seen)
        return self.w_o(out.transpose(1, 2).reshape(B, T, -1))

    def forward(self, x: Tensor, positions: Tensor | None = None, mask: Mask = None) -> Tensor:
        x = x + self.attend(self.norm1(x), positions, mask)
        return x + self.feed_forward(self.norm2(x))

# %% exercise="LlamaBlock" wrong="key_heads_tiled"
"""Query head h looks at key/value head h mod G."""
class LlamaBlock(nn.Module):
    def __init__(
        self, width: int, heads: int, kv_heads: int, hidden: int, head_width: int | None = None,
        base: float = 10000.0, eps: float = 1e-6, qk_norm: bool = False,
    ):  # fmt: skip
        super().__init__()
        if heads % kv_heads:
            raise ValueError("heads is no multiple of kv_heads")
        if head_width is None:
            if width % heads:
                raise ValueError("width is no multiple of heads")
            head_width = width // heads
        self.heads, self.kv_heads, self.head_width, self.base = heads, kv_heads, head_width, base
        self.norm1 = RMSNorm(width, eps)
        self.w_q = nn.Linear(width, heads * head_width, bias=False)
        self.w_k = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_v = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_o = nn.Linear(heads * head_width, width, bias=False)
        self.norm2 = RMSNorm(width, eps)
        self.feed_forward = SwiGLU(width, hidden)
        self.q_norm = RMSNorm(head_width, eps) if qk_norm else None
        self.k_norm = RMSNorm(head_width, eps) if qk_norm else None

    def attend(self, x, positions, mask):
        B, T, _ = x.shape
        q = self.w_q(x).view(B, T, self.heads, self.head_width).transpose(1, 2)
        k = self.w_k(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        v = self.w_v(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        if self.q_norm is not None:
            q, k = self.q_norm(q), self.k_norm(k)
        if positions is None:
            positions = torch.arange(T, device=x.device)
        q, k = apply_rope(q, positions, self.base), apply_rope(k, positions, self.base)
        seen = torch.ones(T, T, dtype=torch.bool, device=x.device).tril()
        if mask is not None:
            seen = seen & mask
        k, v = (z.repeat(1, self.heads // self.kv_heads, 1, 1) for z in (k, v))
        out = grouped_query_attention(q, k, v, seen)
        return self.w_o(out.transpose(1, 2).reshape(B, T, -1))

    def forward(self, x: Tensor, positions: Tensor | None = None, mask: Mask = None) -> Tensor:
        x = x + self.attend(self.norm1(x), positions, mask)
        return x + self.feed_forward(self.norm2(x))

# %% exercise="LlamaBlock" wrong="future_by_positions"
"""Decides by the numbers of the positions what lies in the future, not by places in the row."""
class LlamaBlock(nn.Module):
    def __init__(
        self, width: int, heads: int, kv_heads: int, hidden: int, head_width: int | None = None,
        base: float = 10000.0, eps: float = 1e-6, qk_norm: bool = False,
    ):  # fmt: skip
        super().__init__()
        if heads % kv_heads:
            raise ValueError(f"{heads} heads are no multiple of {kv_heads}")
        if head_width is None:
            if width % heads:
                raise ValueError(f"width {width} is no multiple of {heads} heads")
            head_width = width // heads
        self.heads, self.kv_heads, self.head_width, self.base = heads, kv_heads, head_width, base
        self.norm1 = RMSNorm(width, eps)
        self.w_q = nn.Linear(width, heads * head_width, bias=False)
        self.w_k = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_v = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_o = nn.Linear(heads * head_width, width, bias=False)
        self.norm2 = RMSNorm(width, eps)
        self.feed_forward = SwiGLU(width, hidden)
        self.qk_norm = qk_norm
        if qk_norm:
            self.q_norm = RMSNorm(head_width, eps)
            self.k_norm = RMSNorm(head_width, eps)

    def attention(self, x, positions, mask):
        B, T, _ = x.shape
        if positions is None:
            positions = torch.arange(T, device=x.device)
        q = self.w_q(x).view(B, T, self.heads, self.head_width).transpose(1, 2)
        k = self.w_k(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        v = self.w_v(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        if self.qk_norm:
            q, k = self.q_norm(q), self.k_norm(k)
        q, k = apply_rope(q, positions, self.base), apply_rope(k, positions, self.base)
        causal = positions[:, None] >= positions
        visible = causal if mask is None else causal & mask
        groups = self.heads // self.kv_heads
        k, v = k.repeat_interleave(groups, dim=1), v.repeat_interleave(groups, dim=1)
        scores = q @ k.transpose(-2, -1) / math.sqrt(self.head_width)
        out = masked_softmax(scores, visible) @ v
        return out.transpose(1, 2).reshape(B, T, -1)

    def forward(self, x: Tensor, positions: Tensor | None = None, mask: Mask = None) -> Tensor:
        x = x + self.w_o(self.attention(self.norm1(x), positions, mask))
        return x + self.feed_forward(self.norm2(x))

# %% exercise="LlamaBlock" wrong="mask_replaces_the_causal_one"
"""A mask takes the place of the causal one: what it leaves open in the future is seen."""
class LlamaBlock(nn.Module):
    def __init__(
        self, width: int, heads: int, kv_heads: int, hidden: int, head_width: int | None = None,
        base: float = 10000.0, eps: float = 1e-6, qk_norm: bool = False,
    ):  # fmt: skip
        super().__init__()
        if heads % kv_heads:
            raise ValueError(f"{heads} heads are no multiple of {kv_heads}")
        if head_width is None:
            if width % heads:
                raise ValueError(f"width {width} is no multiple of {heads} heads")
            head_width = width // heads
        self.heads, self.kv_heads, self.head_width, self.base = heads, kv_heads, head_width, base
        self.norm1 = RMSNorm(width, eps)
        self.w_q = nn.Linear(width, heads * head_width, bias=False)
        self.w_k = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_v = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_o = nn.Linear(heads * head_width, width, bias=False)
        self.norm2 = RMSNorm(width, eps)
        self.feed_forward = SwiGLU(width, hidden)
        self.qk_norm = qk_norm
        if qk_norm:
            self.q_norm = RMSNorm(head_width, eps)
            self.k_norm = RMSNorm(head_width, eps)

    def attention(self, x, positions, mask):
        B, T, _ = x.shape
        if positions is None:
            positions = torch.arange(T, device=x.device)
        q = self.w_q(x).view(B, T, self.heads, self.head_width).transpose(1, 2)
        k = self.w_k(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        v = self.w_v(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        if self.qk_norm:
            q, k = self.q_norm(q), self.k_norm(k)
        q, k = apply_rope(q, positions, self.base), apply_rope(k, positions, self.base)
        causal = torch.ones(T, T, dtype=torch.bool, device=x.device).tril()
        visible = causal if mask is None else mask
        groups = self.heads // self.kv_heads
        k, v = k.repeat_interleave(groups, dim=1), v.repeat_interleave(groups, dim=1)
        scores = q @ k.transpose(-2, -1) / math.sqrt(self.head_width)
        out = masked_softmax(scores, visible) @ v
        return out.transpose(1, 2).reshape(B, T, -1)

    def forward(self, x: Tensor, positions: Tensor | None = None, mask: Mask = None) -> Tensor:
        x = x + self.w_o(self.attention(self.norm1(x), positions, mask))
        return x + self.feed_forward(self.norm2(x))

# %% exercise="LlamaBlock" wrong="turned_before_normalised"
"""Rotates first and normalises afterwards, which differs once the norms' weights are not all alike."""
class LlamaBlock(nn.Module):
    def __init__(
        self, width: int, heads: int, kv_heads: int, hidden: int, head_width: int | None = None,
        base: float = 10000.0, eps: float = 1e-6, qk_norm: bool = False,
    ):  # fmt: skip
        super().__init__()
        if heads % kv_heads:
            raise ValueError(f"{heads} heads are no multiple of {kv_heads}")
        if head_width is None:
            if width % heads:
                raise ValueError(f"width {width} is no multiple of {heads} heads")
            head_width = width // heads
        self.heads, self.kv_heads, self.head_width, self.base = heads, kv_heads, head_width, base
        self.norm1 = RMSNorm(width, eps)
        self.w_q = nn.Linear(width, heads * head_width, bias=False)
        self.w_k = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_v = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_o = nn.Linear(heads * head_width, width, bias=False)
        self.norm2 = RMSNorm(width, eps)
        self.feed_forward = SwiGLU(width, hidden)
        self.qk_norm = qk_norm
        if qk_norm:
            self.q_norm = RMSNorm(head_width, eps)
            self.k_norm = RMSNorm(head_width, eps)

    def attention(self, x, positions, mask):
        B, T, _ = x.shape
        if positions is None:
            positions = torch.arange(T, device=x.device)
        q = self.w_q(x).view(B, T, self.heads, self.head_width).transpose(1, 2)
        k = self.w_k(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        v = self.w_v(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        q, k = apply_rope(q, positions, self.base), apply_rope(k, positions, self.base)
        if self.qk_norm:
            q, k = self.q_norm(q), self.k_norm(k)
        causal = torch.ones(T, T, dtype=torch.bool, device=x.device).tril()
        visible = causal if mask is None else causal & mask
        groups = self.heads // self.kv_heads
        k, v = k.repeat_interleave(groups, dim=1), v.repeat_interleave(groups, dim=1)
        scores = q @ k.transpose(-2, -1) / math.sqrt(self.head_width)
        out = masked_softmax(scores, visible) @ v
        return out.transpose(1, 2).reshape(B, T, -1)

    def forward(self, x: Tensor, positions: Tensor | None = None, mask: Mask = None) -> Tensor:
        x = x + self.w_o(self.attention(self.norm1(x), positions, mask))
        return x + self.feed_forward(self.norm2(x))

# %% exercise="LlamaBlock" wrong="eps_not_for_heads"
"""The norms of queries and keys have RMSNorm's own eps."""
class LlamaBlock(nn.Module):
    def __init__(
        self, width: int, heads: int, kv_heads: int, hidden: int, head_width: int | None = None,
        base: float = 10000.0, eps: float = 1e-6, qk_norm: bool = False,
    ):  # fmt: skip
        super().__init__()
        if heads % kv_heads:
            raise ValueError(f"{heads} heads are no multiple of {kv_heads}")
        if head_width is None:
            if width % heads:
                raise ValueError(f"width {width} is no multiple of {heads} heads")
            head_width = width // heads
        self.heads, self.kv_heads, self.head_width, self.base = heads, kv_heads, head_width, base
        self.norm1 = RMSNorm(width, eps)
        self.w_q = nn.Linear(width, heads * head_width, bias=False)
        self.w_k = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_v = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_o = nn.Linear(heads * head_width, width, bias=False)
        self.norm2 = RMSNorm(width, eps)
        self.feed_forward = SwiGLU(width, hidden)
        self.qk_norm = qk_norm
        if qk_norm:
            self.q_norm = RMSNorm(head_width)
            self.k_norm = RMSNorm(head_width)

    def attention(self, x, positions, mask):
        B, T, _ = x.shape
        if positions is None:
            positions = torch.arange(T, device=x.device)
        q = self.w_q(x).view(B, T, self.heads, self.head_width).transpose(1, 2)
        k = self.w_k(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        v = self.w_v(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        if self.qk_norm:
            q, k = self.q_norm(q), self.k_norm(k)
        q, k = apply_rope(q, positions, self.base), apply_rope(k, positions, self.base)
        causal = torch.ones(T, T, dtype=torch.bool, device=x.device).tril()
        visible = causal if mask is None else causal & mask
        groups = self.heads // self.kv_heads
        k, v = k.repeat_interleave(groups, dim=1), v.repeat_interleave(groups, dim=1)
        scores = q @ k.transpose(-2, -1) / math.sqrt(self.head_width)
        out = masked_softmax(scores, visible) @ v
        return out.transpose(1, 2).reshape(B, T, -1)

    def forward(self, x: Tensor, positions: Tensor | None = None, mask: Mask = None) -> Tensor:
        x = x + self.w_o(self.attention(self.norm1(x), positions, mask))
        return x + self.feed_forward(self.norm2(x))

# %% exercise="LlamaBlock" wrong="base_ignored_too"
"""Always turns with the base 10,000."""
class LlamaBlock(nn.Module):
    def __init__(
        self, width: int, heads: int, kv_heads: int, hidden: int, head_width: int | None = None,
        base: float = 10000.0, eps: float = 1e-6, qk_norm: bool = False,
    ):  # fmt: skip
        super().__init__()
        if heads % kv_heads:
            raise ValueError(f"{heads} heads are no multiple of {kv_heads}")
        if head_width is None:
            if width % heads:
                raise ValueError(f"width {width} is no multiple of {heads} heads")
            head_width = width // heads
        self.heads, self.kv_heads, self.head_width, self.base = heads, kv_heads, head_width, base
        self.norm1 = RMSNorm(width, eps)
        self.w_q = nn.Linear(width, heads * head_width, bias=False)
        self.w_k = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_v = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_o = nn.Linear(heads * head_width, width, bias=False)
        self.norm2 = RMSNorm(width, eps)
        self.feed_forward = SwiGLU(width, hidden)
        self.qk_norm = qk_norm
        if qk_norm:
            self.q_norm = RMSNorm(head_width, eps)
            self.k_norm = RMSNorm(head_width, eps)

    def attention(self, x, positions, mask):
        B, T, _ = x.shape
        if positions is None:
            positions = torch.arange(T, device=x.device)
        q = self.w_q(x).view(B, T, self.heads, self.head_width).transpose(1, 2)
        k = self.w_k(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        v = self.w_v(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        if self.qk_norm:
            q, k = self.q_norm(q), self.k_norm(k)
        q, k = apply_rope(q, positions), apply_rope(k, positions)
        causal = torch.ones(T, T, dtype=torch.bool, device=x.device).tril()
        visible = causal if mask is None else causal & mask
        groups = self.heads // self.kv_heads
        k, v = k.repeat_interleave(groups, dim=1), v.repeat_interleave(groups, dim=1)
        scores = q @ k.transpose(-2, -1) / math.sqrt(self.head_width)
        out = masked_softmax(scores, visible) @ v
        return out.transpose(1, 2).reshape(B, T, -1)

    def forward(self, x: Tensor, positions: Tensor | None = None, mask: Mask = None) -> Tensor:
        x = x + self.w_o(self.attention(self.norm1(x), positions, mask))
        return x + self.feed_forward(self.norm2(x))

# %% exercise="LlamaBlock" wrong="positions_ignored_too"
"""Always counts positions from 0 in steps of 1; shifted positions don't show it, others do."""
class LlamaBlock(nn.Module):
    def __init__(
        self, width: int, heads: int, kv_heads: int, hidden: int, head_width: int | None = None,
        base: float = 10000.0, eps: float = 1e-6, qk_norm: bool = False,
    ):  # fmt: skip
        super().__init__()
        if heads % kv_heads:
            raise ValueError(f"{heads} heads are no multiple of {kv_heads}")
        if head_width is None:
            if width % heads:
                raise ValueError(f"width {width} is no multiple of {heads} heads")
            head_width = width // heads
        self.heads, self.kv_heads, self.head_width, self.base = heads, kv_heads, head_width, base
        self.norm1 = RMSNorm(width, eps)
        self.w_q = nn.Linear(width, heads * head_width, bias=False)
        self.w_k = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_v = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_o = nn.Linear(heads * head_width, width, bias=False)
        self.norm2 = RMSNorm(width, eps)
        self.feed_forward = SwiGLU(width, hidden)
        self.qk_norm = qk_norm
        if qk_norm:
            self.q_norm = RMSNorm(head_width, eps)
            self.k_norm = RMSNorm(head_width, eps)

    def attention(self, x, positions, mask):
        B, T, _ = x.shape
        positions = torch.arange(T, device=x.device)
        q = self.w_q(x).view(B, T, self.heads, self.head_width).transpose(1, 2)
        k = self.w_k(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        v = self.w_v(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        if self.qk_norm:
            q, k = self.q_norm(q), self.k_norm(k)
        q, k = apply_rope(q, positions, self.base), apply_rope(k, positions, self.base)
        causal = torch.ones(T, T, dtype=torch.bool, device=x.device).tril()
        visible = causal if mask is None else causal & mask
        groups = self.heads // self.kv_heads
        k, v = k.repeat_interleave(groups, dim=1), v.repeat_interleave(groups, dim=1)
        scores = q @ k.transpose(-2, -1) / math.sqrt(self.head_width)
        out = masked_softmax(scores, visible) @ v
        return out.transpose(1, 2).reshape(B, T, -1)

    def forward(self, x: Tensor, positions: Tensor | None = None, mask: Mask = None) -> Tensor:
        x = x + self.w_o(self.attention(self.norm1(x), positions, mask))
        return x + self.feed_forward(self.norm2(x))

# %% exercise="LlamaBlock" wrong="values_turned_too"
"""Turns the values like the keys."""
class LlamaBlock(nn.Module):
    def __init__(
        self, width: int, heads: int, kv_heads: int, hidden: int, head_width: int | None = None,
        base: float = 10000.0, eps: float = 1e-6, qk_norm: bool = False,
    ):  # fmt: skip
        super().__init__()
        if heads % kv_heads:
            raise ValueError(f"{heads} heads are no multiple of {kv_heads}")
        if head_width is None:
            if width % heads:
                raise ValueError(f"width {width} is no multiple of {heads} heads")
            head_width = width // heads
        self.heads, self.kv_heads, self.head_width, self.base = heads, kv_heads, head_width, base
        self.norm1 = RMSNorm(width, eps)
        self.w_q = nn.Linear(width, heads * head_width, bias=False)
        self.w_k = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_v = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_o = nn.Linear(heads * head_width, width, bias=False)
        self.norm2 = RMSNorm(width, eps)
        self.feed_forward = SwiGLU(width, hidden)
        self.qk_norm = qk_norm
        if qk_norm:
            self.q_norm = RMSNorm(head_width, eps)
            self.k_norm = RMSNorm(head_width, eps)

    def attention(self, x, positions, mask):
        B, T, _ = x.shape
        if positions is None:
            positions = torch.arange(T, device=x.device)
        q = self.w_q(x).view(B, T, self.heads, self.head_width).transpose(1, 2)
        k = self.w_k(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        v = self.w_v(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        if self.qk_norm:
            q, k = self.q_norm(q), self.k_norm(k)
        q, k = apply_rope(q, positions, self.base), apply_rope(k, positions, self.base)
        v = apply_rope(v, positions, self.base)
        causal = torch.ones(T, T, dtype=torch.bool, device=x.device).tril()
        visible = causal if mask is None else causal & mask
        groups = self.heads // self.kv_heads
        k, v = k.repeat_interleave(groups, dim=1), v.repeat_interleave(groups, dim=1)
        scores = q @ k.transpose(-2, -1) / math.sqrt(self.head_width)
        out = masked_softmax(scores, visible) @ v
        return out.transpose(1, 2).reshape(B, T, -1)

    def forward(self, x: Tensor, positions: Tensor | None = None, mask: Mask = None) -> Tensor:
        x = x + self.w_o(self.attention(self.norm1(x), positions, mask))
        return x + self.feed_forward(self.norm2(x))

# %% exercise="LlamaBlock" wrong="scale_from_the_width"
"""Scales by sqrt(D / H) also where head_width is given and is another number."""
class LlamaBlock(nn.Module):
    def __init__(
        self, width: int, heads: int, kv_heads: int, hidden: int, head_width: int | None = None,
        base: float = 10000.0, eps: float = 1e-6, qk_norm: bool = False,
    ):  # fmt: skip
        super().__init__()
        if heads % kv_heads:
            raise ValueError(f"{heads} heads are no multiple of {kv_heads}")
        if head_width is None:
            if width % heads:
                raise ValueError(f"width {width} is no multiple of {heads} heads")
            head_width = width // heads
        self.heads, self.kv_heads, self.head_width, self.base = heads, kv_heads, head_width, base
        self.norm1 = RMSNorm(width, eps)
        self.w_q = nn.Linear(width, heads * head_width, bias=False)
        self.w_k = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_v = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_o = nn.Linear(heads * head_width, width, bias=False)
        self.norm2 = RMSNorm(width, eps)
        self.feed_forward = SwiGLU(width, hidden)
        self.qk_norm = qk_norm
        if qk_norm:
            self.q_norm = RMSNorm(head_width, eps)
            self.k_norm = RMSNorm(head_width, eps)

    def attention(self, x, positions, mask):
        B, T, _ = x.shape
        if positions is None:
            positions = torch.arange(T, device=x.device)
        q = self.w_q(x).view(B, T, self.heads, self.head_width).transpose(1, 2)
        k = self.w_k(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        v = self.w_v(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        if self.qk_norm:
            q, k = self.q_norm(q), self.k_norm(k)
        q, k = apply_rope(q, positions, self.base), apply_rope(k, positions, self.base)
        causal = torch.ones(T, T, dtype=torch.bool, device=x.device).tril()
        visible = causal if mask is None else causal & mask
        groups = self.heads // self.kv_heads
        k, v = k.repeat_interleave(groups, dim=1), v.repeat_interleave(groups, dim=1)
        scores = q @ k.transpose(-2, -1) / math.sqrt(x.shape[-1] / self.heads)
        out = masked_softmax(scores, visible) @ v
        return out.transpose(1, 2).reshape(B, T, -1)

    def forward(self, x: Tensor, positions: Tensor | None = None, mask: Mask = None) -> Tensor:
        x = x + self.w_o(self.attention(self.norm1(x), positions, mask))
        return x + self.feed_forward(self.norm2(x))

# %% exercise="LlamaBlock" wrong="width_checked_always"
"""A width that is no multiple of the heads is refused even where head_width is given."""
class LlamaBlock(nn.Module):
    def __init__(
        self, width: int, heads: int, kv_heads: int, hidden: int, head_width: int | None = None,
        base: float = 10000.0, eps: float = 1e-6, qk_norm: bool = False,
    ):  # fmt: skip
        super().__init__()
        if heads % kv_heads:
            raise ValueError(f"{heads} heads are no multiple of {kv_heads}")
        if width % heads:
            raise ValueError(f"width {width} is no multiple of {heads} heads")
        head_width = head_width or width // heads
        self.heads, self.kv_heads, self.head_width, self.base = heads, kv_heads, head_width, base
        self.norm1 = RMSNorm(width, eps)
        self.w_q = nn.Linear(width, heads * head_width, bias=False)
        self.w_k = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_v = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_o = nn.Linear(heads * head_width, width, bias=False)
        self.norm2 = RMSNorm(width, eps)
        self.feed_forward = SwiGLU(width, hidden)
        self.qk_norm = qk_norm
        if qk_norm:
            self.q_norm = RMSNorm(head_width, eps)
            self.k_norm = RMSNorm(head_width, eps)

    def attention(self, x, positions, mask):
        B, T, _ = x.shape
        if positions is None:
            positions = torch.arange(T, device=x.device)
        q = self.w_q(x).view(B, T, self.heads, self.head_width).transpose(1, 2)
        k = self.w_k(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        v = self.w_v(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        if self.qk_norm:
            q, k = self.q_norm(q), self.k_norm(k)
        q, k = apply_rope(q, positions, self.base), apply_rope(k, positions, self.base)
        causal = torch.ones(T, T, dtype=torch.bool, device=x.device).tril()
        visible = causal if mask is None else causal & mask
        groups = self.heads // self.kv_heads
        k, v = k.repeat_interleave(groups, dim=1), v.repeat_interleave(groups, dim=1)
        scores = q @ k.transpose(-2, -1) / math.sqrt(self.head_width)
        out = masked_softmax(scores, visible) @ v
        return out.transpose(1, 2).reshape(B, T, -1)

    def forward(self, x: Tensor, positions: Tensor | None = None, mask: Mask = None) -> Tensor:
        x = x + self.w_o(self.attention(self.norm1(x), positions, mask))
        return x + self.feed_forward(self.norm2(x))

# %% exercise="LlamaBlock" wrong="width_rounded_down"
"""D / H is rounded down without an error where it is no whole number."""
class LlamaBlock(nn.Module):
    def __init__(
        self, width: int, heads: int, kv_heads: int, hidden: int, head_width: int | None = None,
        base: float = 10000.0, eps: float = 1e-6, qk_norm: bool = False,
    ):  # fmt: skip
        super().__init__()
        if heads % kv_heads:
            raise ValueError(f"{heads} heads are no multiple of {kv_heads}")
        if head_width is None:
            head_width = width // heads
        self.heads, self.kv_heads, self.head_width, self.base = heads, kv_heads, head_width, base
        self.norm1 = RMSNorm(width, eps)
        self.w_q = nn.Linear(width, heads * head_width, bias=False)
        self.w_k = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_v = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_o = nn.Linear(heads * head_width, width, bias=False)
        self.norm2 = RMSNorm(width, eps)
        self.feed_forward = SwiGLU(width, hidden)
        self.qk_norm = qk_norm
        if qk_norm:
            self.q_norm = RMSNorm(head_width, eps)
            self.k_norm = RMSNorm(head_width, eps)

    def attention(self, x, positions, mask):
        B, T, _ = x.shape
        if positions is None:
            positions = torch.arange(T, device=x.device)
        q = self.w_q(x).view(B, T, self.heads, self.head_width).transpose(1, 2)
        k = self.w_k(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        v = self.w_v(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        if self.qk_norm:
            q, k = self.q_norm(q), self.k_norm(k)
        q, k = apply_rope(q, positions, self.base), apply_rope(k, positions, self.base)
        causal = torch.ones(T, T, dtype=torch.bool, device=x.device).tril()
        visible = causal if mask is None else causal & mask
        groups = self.heads // self.kv_heads
        k, v = k.repeat_interleave(groups, dim=1), v.repeat_interleave(groups, dim=1)
        scores = q @ k.transpose(-2, -1) / math.sqrt(self.head_width)
        out = masked_softmax(scores, visible) @ v
        return out.transpose(1, 2).reshape(B, T, -1)

    def forward(self, x: Tensor, positions: Tensor | None = None, mask: Mask = None) -> Tensor:
        x = x + self.w_o(self.attention(self.norm1(x), positions, mask))
        return x + self.feed_forward(self.norm2(x))

# %% exercise="LlamaBlock" wrong="heads_refused_too_late"
"""Heads that do not fit raise ValueError in forward only, not when the block is made."""
class LlamaBlock(nn.Module):
    def __init__(
        self, width: int, heads: int, kv_heads: int, hidden: int, head_width: int | None = None,
        base: float = 10000.0, eps: float = 1e-6, qk_norm: bool = False,
    ):  # fmt: skip
        super().__init__()
        if head_width is None:
            if width % heads:
                raise ValueError(f"width {width} is no multiple of {heads} heads")
            head_width = width // heads
        self.heads, self.kv_heads, self.head_width, self.base = heads, kv_heads, head_width, base
        self.norm1 = RMSNorm(width, eps)
        self.w_q = nn.Linear(width, heads * head_width, bias=False)
        self.w_k = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_v = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_o = nn.Linear(heads * head_width, width, bias=False)
        self.norm2 = RMSNorm(width, eps)
        self.feed_forward = SwiGLU(width, hidden)
        self.qk_norm = qk_norm
        if qk_norm:
            self.q_norm = RMSNorm(head_width, eps)
            self.k_norm = RMSNorm(head_width, eps)

    def attention(self, x, positions, mask):
        B, T, _ = x.shape
        if self.heads % self.kv_heads:
            raise ValueError(f"{self.heads} heads are no multiple of {self.kv_heads}")
        if positions is None:
            positions = torch.arange(T, device=x.device)
        q = self.w_q(x).view(B, T, self.heads, self.head_width).transpose(1, 2)
        k = self.w_k(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        v = self.w_v(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        if self.qk_norm:
            q, k = self.q_norm(q), self.k_norm(k)
        q, k = apply_rope(q, positions, self.base), apply_rope(k, positions, self.base)
        causal = torch.ones(T, T, dtype=torch.bool, device=x.device).tril()
        visible = causal if mask is None else causal & mask
        groups = self.heads // self.kv_heads
        k, v = k.repeat_interleave(groups, dim=1), v.repeat_interleave(groups, dim=1)
        scores = q @ k.transpose(-2, -1) / math.sqrt(self.head_width)
        out = masked_softmax(scores, visible) @ v
        return out.transpose(1, 2).reshape(B, T, -1)

    def forward(self, x: Tensor, positions: Tensor | None = None, mask: Mask = None) -> Tensor:
        x = x + self.w_o(self.attention(self.norm1(x), positions, mask))
        return x + self.feed_forward(self.norm2(x))

# %% exercise="LlamaBlock" wrong="stream_added_in_place"
"""Adds to the caller's x in place."""
class LlamaBlock(nn.Module):
    def __init__(
        self, width: int, heads: int, kv_heads: int, hidden: int, head_width: int | None = None,
        base: float = 10000.0, eps: float = 1e-6, qk_norm: bool = False,
    ):  # fmt: skip
        super().__init__()
        if heads % kv_heads:
            raise ValueError(f"{heads} heads are no multiple of {kv_heads}")
        if head_width is None:
            if width % heads:
                raise ValueError(f"width {width} is no multiple of {heads} heads")
            head_width = width // heads
        self.heads, self.kv_heads, self.head_width, self.base = heads, kv_heads, head_width, base
        self.norm1 = RMSNorm(width, eps)
        self.w_q = nn.Linear(width, heads * head_width, bias=False)
        self.w_k = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_v = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_o = nn.Linear(heads * head_width, width, bias=False)
        self.norm2 = RMSNorm(width, eps)
        self.feed_forward = SwiGLU(width, hidden)
        self.qk_norm = qk_norm
        if qk_norm:
            self.q_norm = RMSNorm(head_width, eps)
            self.k_norm = RMSNorm(head_width, eps)

    def attention(self, x, positions, mask):
        B, T, _ = x.shape
        if positions is None:
            positions = torch.arange(T, device=x.device)
        q = self.w_q(x).view(B, T, self.heads, self.head_width).transpose(1, 2)
        k = self.w_k(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        v = self.w_v(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        if self.qk_norm:
            q, k = self.q_norm(q), self.k_norm(k)
        q, k = apply_rope(q, positions, self.base), apply_rope(k, positions, self.base)
        causal = torch.ones(T, T, dtype=torch.bool, device=x.device).tril()
        visible = causal if mask is None else causal & mask
        groups = self.heads // self.kv_heads
        k, v = k.repeat_interleave(groups, dim=1), v.repeat_interleave(groups, dim=1)
        scores = q @ k.transpose(-2, -1) / math.sqrt(self.head_width)
        out = masked_softmax(scores, visible) @ v
        return out.transpose(1, 2).reshape(B, T, -1)

    def forward(self, x: Tensor, positions: Tensor | None = None, mask: Mask = None) -> Tensor:
        x += self.w_o(self.attention(self.norm1(x), positions, mask))
        return x + self.feed_forward(self.norm2(x))

# %% exercise="LlamaBlock" wrong="parallel_sublayers"
"""Both sublayers read the same input, as in GPT-J; the second one does not see the attention's result."""
class LlamaBlock(nn.Module):
    def __init__(
        self, width: int, heads: int, kv_heads: int, hidden: int, head_width: int | None = None,
        base: float = 10000.0, eps: float = 1e-6, qk_norm: bool = False,
    ):  # fmt: skip
        super().__init__()
        if heads % kv_heads:
            raise ValueError(f"{heads} heads are no multiple of {kv_heads}")
        if head_width is None:
            if width % heads:
                raise ValueError(f"width {width} is no multiple of {heads} heads")
            head_width = width // heads
        self.heads, self.kv_heads, self.head_width, self.base = heads, kv_heads, head_width, base
        self.norm1 = RMSNorm(width, eps)
        self.w_q = nn.Linear(width, heads * head_width, bias=False)
        self.w_k = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_v = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_o = nn.Linear(heads * head_width, width, bias=False)
        self.norm2 = RMSNorm(width, eps)
        self.feed_forward = SwiGLU(width, hidden)
        self.qk_norm = qk_norm
        if qk_norm:
            self.q_norm = RMSNorm(head_width, eps)
            self.k_norm = RMSNorm(head_width, eps)

    def attention(self, x, positions, mask):
        B, T, _ = x.shape
        if positions is None:
            positions = torch.arange(T, device=x.device)
        q = self.w_q(x).view(B, T, self.heads, self.head_width).transpose(1, 2)
        k = self.w_k(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        v = self.w_v(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        if self.qk_norm:
            q, k = self.q_norm(q), self.k_norm(k)
        q, k = apply_rope(q, positions, self.base), apply_rope(k, positions, self.base)
        causal = torch.ones(T, T, dtype=torch.bool, device=x.device).tril()
        visible = causal if mask is None else causal & mask
        groups = self.heads // self.kv_heads
        k, v = k.repeat_interleave(groups, dim=1), v.repeat_interleave(groups, dim=1)
        scores = q @ k.transpose(-2, -1) / math.sqrt(self.head_width)
        out = masked_softmax(scores, visible) @ v
        return out.transpose(1, 2).reshape(B, T, -1)

    def forward(self, x: Tensor, positions: Tensor | None = None, mask: Mask = None) -> Tensor:
        attended = self.w_o(self.attention(self.norm1(x), positions, mask))
        return x + attended + self.feed_forward(self.norm2(x))

# %% exercise="LlamaBlock" wrong="biases_in_queries_and_keys"
"""Queries, keys and values have biases, as in Qwen2."""
class LlamaBlock(nn.Module):
    def __init__(
        self, width: int, heads: int, kv_heads: int, hidden: int, head_width: int | None = None,
        base: float = 10000.0, eps: float = 1e-6, qk_norm: bool = False,
    ):  # fmt: skip
        super().__init__()
        if heads % kv_heads:
            raise ValueError(f"{heads} heads are no multiple of {kv_heads}")
        if head_width is None:
            if width % heads:
                raise ValueError(f"width {width} is no multiple of {heads} heads")
            head_width = width // heads
        self.heads, self.kv_heads, self.head_width, self.base = heads, kv_heads, head_width, base
        self.norm1 = RMSNorm(width, eps)
        self.w_q = nn.Linear(width, heads * head_width)
        self.w_k = nn.Linear(width, kv_heads * head_width)
        self.w_v = nn.Linear(width, kv_heads * head_width)
        self.w_o = nn.Linear(heads * head_width, width, bias=False)
        self.norm2 = RMSNorm(width, eps)
        self.feed_forward = SwiGLU(width, hidden)
        self.qk_norm = qk_norm
        if qk_norm:
            self.q_norm = RMSNorm(head_width, eps)
            self.k_norm = RMSNorm(head_width, eps)

    def attention(self, x, positions, mask):
        B, T, _ = x.shape
        if positions is None:
            positions = torch.arange(T, device=x.device)
        q = self.w_q(x).view(B, T, self.heads, self.head_width).transpose(1, 2)
        k = self.w_k(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        v = self.w_v(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        if self.qk_norm:
            q, k = self.q_norm(q), self.k_norm(k)
        q, k = apply_rope(q, positions, self.base), apply_rope(k, positions, self.base)
        causal = torch.ones(T, T, dtype=torch.bool, device=x.device).tril()
        visible = causal if mask is None else causal & mask
        groups = self.heads // self.kv_heads
        k, v = k.repeat_interleave(groups, dim=1), v.repeat_interleave(groups, dim=1)
        scores = q @ k.transpose(-2, -1) / math.sqrt(self.head_width)
        out = masked_softmax(scores, visible) @ v
        return out.transpose(1, 2).reshape(B, T, -1)

    def forward(self, x: Tensor, positions: Tensor | None = None, mask: Mask = None) -> Tensor:
        x = x + self.w_o(self.attention(self.norm1(x), positions, mask))
        return x + self.feed_forward(self.norm2(x))

# %% exercise="LlamaBlock" wrong="one_norm_for_both_too"
"""Queries and keys go through q_norm; k_norm is there and never used."""
class LlamaBlock(nn.Module):
    def __init__(
        self, width: int, heads: int, kv_heads: int, hidden: int, head_width: int | None = None,
        base: float = 10000.0, eps: float = 1e-6, qk_norm: bool = False,
    ):  # fmt: skip
        super().__init__()
        if heads % kv_heads:
            raise ValueError(f"{heads} heads are no multiple of {kv_heads}")
        if head_width is None:
            if width % heads:
                raise ValueError(f"width {width} is no multiple of {heads} heads")
            head_width = width // heads
        self.heads, self.kv_heads, self.head_width, self.base = heads, kv_heads, head_width, base
        self.norm1 = RMSNorm(width, eps)
        self.w_q = nn.Linear(width, heads * head_width, bias=False)
        self.w_k = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_v = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_o = nn.Linear(heads * head_width, width, bias=False)
        self.norm2 = RMSNorm(width, eps)
        self.feed_forward = SwiGLU(width, hidden)
        self.qk_norm = qk_norm
        if qk_norm:
            self.q_norm = RMSNorm(head_width, eps)
            self.k_norm = RMSNorm(head_width, eps)

    def attention(self, x, positions, mask):
        B, T, _ = x.shape
        if positions is None:
            positions = torch.arange(T, device=x.device)
        q = self.w_q(x).view(B, T, self.heads, self.head_width).transpose(1, 2)
        k = self.w_k(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        v = self.w_v(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        if self.qk_norm:
            q, k = self.q_norm(q), self.q_norm(k)
        q, k = apply_rope(q, positions, self.base), apply_rope(k, positions, self.base)
        causal = torch.ones(T, T, dtype=torch.bool, device=x.device).tril()
        visible = causal if mask is None else causal & mask
        groups = self.heads // self.kv_heads
        k, v = k.repeat_interleave(groups, dim=1), v.repeat_interleave(groups, dim=1)
        scores = q @ k.transpose(-2, -1) / math.sqrt(self.head_width)
        out = masked_softmax(scores, visible) @ v
        return out.transpose(1, 2).reshape(B, T, -1)

    def forward(self, x: Tensor, positions: Tensor | None = None, mask: Mask = None) -> Tensor:
        x = x + self.w_o(self.attention(self.norm1(x), positions, mask))
        return x + self.feed_forward(self.norm2(x))

# %% exercise="LlamaBlock" wrong="blind_token_sees_all"
"""A token that may look at nothing gets the mean of all values, since hidden scores are only very small."""
class LlamaBlock(nn.Module):
    def __init__(
        self, width: int, heads: int, kv_heads: int, hidden: int, head_width: int | None = None,
        base: float = 10000.0, eps: float = 1e-6, qk_norm: bool = False,
    ):  # fmt: skip
        super().__init__()
        if heads % kv_heads:
            raise ValueError(f"{heads} heads are no multiple of {kv_heads}")
        if head_width is None:
            if width % heads:
                raise ValueError(f"width {width} is no multiple of {heads} heads")
            head_width = width // heads
        self.heads, self.kv_heads, self.head_width, self.base = heads, kv_heads, head_width, base
        self.norm1 = RMSNorm(width, eps)
        self.w_q = nn.Linear(width, heads * head_width, bias=False)
        self.w_k = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_v = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_o = nn.Linear(heads * head_width, width, bias=False)
        self.norm2 = RMSNorm(width, eps)
        self.feed_forward = SwiGLU(width, hidden)
        self.qk_norm = qk_norm
        if qk_norm:
            self.q_norm = RMSNorm(head_width, eps)
            self.k_norm = RMSNorm(head_width, eps)

    def attention(self, x, positions, mask):
        B, T, _ = x.shape
        if positions is None:
            positions = torch.arange(T, device=x.device)
        q = self.w_q(x).view(B, T, self.heads, self.head_width).transpose(1, 2)
        k = self.w_k(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        v = self.w_v(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        if self.qk_norm:
            q, k = self.q_norm(q), self.k_norm(k)
        q, k = apply_rope(q, positions, self.base), apply_rope(k, positions, self.base)
        causal = torch.ones(T, T, dtype=torch.bool, device=x.device).tril()
        visible = causal if mask is None else causal & mask
        groups = self.heads // self.kv_heads
        k, v = k.repeat_interleave(groups, dim=1), v.repeat_interleave(groups, dim=1)
        scores = q @ k.transpose(-2, -1) / math.sqrt(self.head_width)
        out = scores.masked_fill(~visible, -1e9).softmax(-1) @ v
        return out.transpose(1, 2).reshape(B, T, -1)

    def forward(self, x: Tensor, positions: Tensor | None = None, mask: Mask = None) -> Tensor:
        x = x + self.w_o(self.attention(self.norm1(x), positions, mask))
        return x + self.feed_forward(self.norm2(x))

# %% exercise="GPT" wrong="exact_gelu"
"""The exact GELU."""
class GPTBlock(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = MultiHeadAttention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)

    def forward(self, x, mask):
        x = x + self.attention(self.norm1(x), mask)[0]
        return x + self.down(nn.functional.gelu(self.up(self.norm2(x))))


class GPT(nn.Module):
    def __init__(self, vocab: int, context: int, width: int, heads: int, layers: int):
        super().__init__()
        self.context = context
        self.token_embedding = nn.Embedding(vocab, width)
        self.position_embedding = nn.Embedding(context, width)
        self.blocks = nn.ModuleList(GPTBlock(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            elif "norm" in name:
                nn.init.ones_(parameter)
            elif name.endswith(("w_o.weight", "down.weight")):
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * layers))
            else:
                nn.init.normal_(parameter, std=0.02)

    def forward(self, ids: Tensor) -> Tensor:
        T = ids.shape[1]
        if T > self.context:
            raise ValueError("the sequence is longer than the context")
        x = self.token_embedding(ids) + self.position_embedding(torch.arange(T, device=ids.device))
        mask = torch.ones(T, T, dtype=torch.bool, device=ids.device).tril()
        for block in self.blocks:
            x = block(x, mask)
        return self.norm(x) @ self.token_embedding.weight.T

# %% exercise="GPT" wrong="future_is_seen"
"""Nothing hides the future."""
class GPTBlock(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = MultiHeadAttention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)

    def forward(self, x, mask):
        x = x + self.attention(self.norm1(x), mask)[0]
        return x + self.down(nn.functional.gelu(self.up(self.norm2(x)), approximate="tanh"))


class GPT(nn.Module):
    def __init__(self, vocab: int, context: int, width: int, heads: int, layers: int):
        super().__init__()
        self.context = context
        self.token_embedding = nn.Embedding(vocab, width)
        self.position_embedding = nn.Embedding(context, width)
        self.blocks = nn.ModuleList(GPTBlock(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            elif "norm" in name:
                nn.init.ones_(parameter)
            elif name.endswith(("w_o.weight", "down.weight")):
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * layers))
            else:
                nn.init.normal_(parameter, std=0.02)

    def forward(self, ids: Tensor) -> Tensor:
        T = ids.shape[1]
        if T > self.context:
            raise ValueError("the sequence is longer than the context")
        x = self.token_embedding(ids) + self.position_embedding(torch.arange(T, device=ids.device))
        mask = torch.ones(T, T, dtype=torch.bool, device=ids.device).tril()
        for block in self.blocks:
            x = block(x, None)
        return self.norm(x) @ self.token_embedding.weight.T

# %% exercise="GPT" wrong="mask_shows_the_future_only"
"""The mask has torch's polarity: a token sees only what comes behind it."""
class GPTBlock(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = MultiHeadAttention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)

    def forward(self, x, mask):
        x = x + self.attention(self.norm1(x), mask)[0]
        return x + self.down(nn.functional.gelu(self.up(self.norm2(x)), approximate="tanh"))


class GPT(nn.Module):
    def __init__(self, vocab: int, context: int, width: int, heads: int, layers: int):
        super().__init__()
        self.context = context
        self.token_embedding = nn.Embedding(vocab, width)
        self.position_embedding = nn.Embedding(context, width)
        self.blocks = nn.ModuleList(GPTBlock(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            elif "norm" in name:
                nn.init.ones_(parameter)
            elif name.endswith(("w_o.weight", "down.weight")):
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * layers))
            else:
                nn.init.normal_(parameter, std=0.02)

    def forward(self, ids: Tensor) -> Tensor:
        T = ids.shape[1]
        if T > self.context:
            raise ValueError("the sequence is longer than the context")
        x = self.token_embedding(ids) + self.position_embedding(torch.arange(T, device=ids.device))
        mask = torch.ones(T, T, dtype=torch.bool, device=ids.device).triu(1)
        for block in self.blocks:
            x = block(x, mask)
        return self.norm(x) @ self.token_embedding.weight.T

# %% exercise="GPT" wrong="norm_behind_the_sum"
"""Post-norm, as in GPT of 2018."""
class GPTBlock(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = MultiHeadAttention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)

    def forward(self, x, mask):
        x = self.norm1(x + self.attention(x, mask)[0])
        h = self.down(nn.functional.gelu(self.up(x), approximate="tanh"))
        return self.norm2(x + h)


class GPT(nn.Module):
    def __init__(self, vocab: int, context: int, width: int, heads: int, layers: int):
        super().__init__()
        self.context = context
        self.token_embedding = nn.Embedding(vocab, width)
        self.position_embedding = nn.Embedding(context, width)
        self.blocks = nn.ModuleList(GPTBlock(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            elif "norm" in name:
                nn.init.ones_(parameter)
            elif name.endswith(("w_o.weight", "down.weight")):
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * layers))
            else:
                nn.init.normal_(parameter, std=0.02)

    def forward(self, ids: Tensor) -> Tensor:
        T = ids.shape[1]
        if T > self.context:
            raise ValueError("the sequence is longer than the context")
        x = self.token_embedding(ids) + self.position_embedding(torch.arange(T, device=ids.device))
        mask = torch.ones(T, T, dtype=torch.bool, device=ids.device).tril()
        for block in self.blocks:
            x = block(x, mask)
        return self.norm(x) @ self.token_embedding.weight.T

# %% exercise="GPT" wrong="closing_norm_not_applied"
"""The closing norm exists, but the head reads the stream as it is."""
class GPTBlock(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = MultiHeadAttention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)

    def forward(self, x, mask):
        x = x + self.attention(self.norm1(x), mask)[0]
        return x + self.down(nn.functional.gelu(self.up(self.norm2(x)), approximate="tanh"))


class GPT(nn.Module):
    def __init__(self, vocab: int, context: int, width: int, heads: int, layers: int):
        super().__init__()
        self.context = context
        self.token_embedding = nn.Embedding(vocab, width)
        self.position_embedding = nn.Embedding(context, width)
        self.blocks = nn.ModuleList(GPTBlock(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            elif "norm" in name:
                nn.init.ones_(parameter)
            elif name.endswith(("w_o.weight", "down.weight")):
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * layers))
            else:
                nn.init.normal_(parameter, std=0.02)

    def forward(self, ids: Tensor) -> Tensor:
        T = ids.shape[1]
        if T > self.context:
            raise ValueError("the sequence is longer than the context")
        x = self.token_embedding(ids) + self.position_embedding(torch.arange(T, device=ids.device))
        mask = torch.ones(T, T, dtype=torch.bool, device=ids.device).tril()
        for block in self.blocks:
            x = block(x, mask)
        return x @ self.token_embedding.weight.T

# %% exercise="GPT" wrong="head_of_its_own"
"""The head is a second matrix."""
class GPTBlock(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = MultiHeadAttention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)

    def forward(self, x, mask):
        x = x + self.attention(self.norm1(x), mask)[0]
        return x + self.down(nn.functional.gelu(self.up(self.norm2(x)), approximate="tanh"))


class GPT(nn.Module):
    def __init__(self, vocab: int, context: int, width: int, heads: int, layers: int):
        super().__init__()
        self.context = context
        self.token_embedding = nn.Embedding(vocab, width)
        self.position_embedding = nn.Embedding(context, width)
        self.blocks = nn.ModuleList(GPTBlock(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, vocab, bias=False)
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            elif "norm" in name:
                nn.init.ones_(parameter)
            elif name.endswith(("w_o.weight", "down.weight")):
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * layers))
            else:
                nn.init.normal_(parameter, std=0.02)

    def forward(self, ids: Tensor) -> Tensor:
        T = ids.shape[1]
        if T > self.context:
            raise ValueError("the sequence is longer than the context")
        x = self.token_embedding(ids) + self.position_embedding(torch.arange(T, device=ids.device))
        mask = torch.ones(T, T, dtype=torch.bool, device=ids.device).tril()
        for block in self.blocks:
            x = block(x, mask)
        return self.head(self.norm(x))

# %% exercise="GPT" wrong="head_is_a_copy"
"""The head starts as a copy of the embedding and then goes its own way."""
class GPTBlock(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = MultiHeadAttention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)

    def forward(self, x, mask):
        x = x + self.attention(self.norm1(x), mask)[0]
        return x + self.down(nn.functional.gelu(self.up(self.norm2(x)), approximate="tanh"))


class GPT(nn.Module):
    def __init__(self, vocab: int, context: int, width: int, heads: int, layers: int):
        super().__init__()
        self.context = context
        self.token_embedding = nn.Embedding(vocab, width)
        self.position_embedding = nn.Embedding(context, width)
        self.blocks = nn.ModuleList(GPTBlock(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            elif "norm" in name:
                nn.init.ones_(parameter)
            elif name.endswith(("w_o.weight", "down.weight")):
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * layers))
            else:
                nn.init.normal_(parameter, std=0.02)

        self.register_buffer("head", self.token_embedding.weight.detach().clone())

    def forward(self, ids: Tensor) -> Tensor:
        T = ids.shape[1]
        if T > self.context:
            raise ValueError("the sequence is longer than the context")
        x = self.token_embedding(ids) + self.position_embedding(torch.arange(T, device=ids.device))
        mask = torch.ones(T, T, dtype=torch.bool, device=ids.device).tril()
        for block in self.blocks:
            x = block(x, mask)
        return self.norm(x) @ self.head.T

# %% exercise="GPT" wrong="no_gradient_through_the_head"
"""The embedding gets gradients from its input end only."""
class GPTBlock(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = MultiHeadAttention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)

    def forward(self, x, mask):
        x = x + self.attention(self.norm1(x), mask)[0]
        return x + self.down(nn.functional.gelu(self.up(self.norm2(x)), approximate="tanh"))


class GPT(nn.Module):
    def __init__(self, vocab: int, context: int, width: int, heads: int, layers: int):
        super().__init__()
        self.context = context
        self.token_embedding = nn.Embedding(vocab, width)
        self.position_embedding = nn.Embedding(context, width)
        self.blocks = nn.ModuleList(GPTBlock(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            elif "norm" in name:
                nn.init.ones_(parameter)
            elif name.endswith(("w_o.weight", "down.weight")):
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * layers))
            else:
                nn.init.normal_(parameter, std=0.02)

    def forward(self, ids: Tensor) -> Tensor:
        T = ids.shape[1]
        if T > self.context:
            raise ValueError("the sequence is longer than the context")
        x = self.token_embedding(ids) + self.position_embedding(torch.arange(T, device=ids.device))
        mask = torch.ones(T, T, dtype=torch.bool, device=ids.device).tril()
        for block in self.blocks:
            x = block(x, mask)
        return self.norm(x) @ self.token_embedding.weight.detach().T

# %% exercise="GPT" wrong="written_maps_by_the_root_of_l"
"""Maps that write into the stream start smaller by the root of L, not of 2 L."""
class GPTBlock(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = MultiHeadAttention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)

    def forward(self, x, mask):
        x = x + self.attention(self.norm1(x), mask)[0]
        return x + self.down(nn.functional.gelu(self.up(self.norm2(x)), approximate="tanh"))


class GPT(nn.Module):
    def __init__(self, vocab: int, context: int, width: int, heads: int, layers: int):
        super().__init__()
        self.context = context
        self.token_embedding = nn.Embedding(vocab, width)
        self.position_embedding = nn.Embedding(context, width)
        self.blocks = nn.ModuleList(GPTBlock(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            elif "norm" in name:
                nn.init.ones_(parameter)
            elif name.endswith(("w_o.weight", "down.weight")):
                nn.init.normal_(parameter, std=0.02 / math.sqrt(layers))
            else:
                nn.init.normal_(parameter, std=0.02)

    def forward(self, ids: Tensor) -> Tensor:
        T = ids.shape[1]
        if T > self.context:
            raise ValueError("the sequence is longer than the context")
        x = self.token_embedding(ids) + self.position_embedding(torch.arange(T, device=ids.device))
        mask = torch.ones(T, T, dtype=torch.bool, device=ids.device).tril()
        for block in self.blocks:
            x = block(x, mask)
        return self.norm(x) @ self.token_embedding.weight.T

# %% exercise="GPT" wrong="written_maps_by_two_l"
"""Maps that write into the stream start smaller by 2 L, without the root."""
class GPTBlock(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = MultiHeadAttention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)

    def forward(self, x, mask):
        x = x + self.attention(self.norm1(x), mask)[0]
        return x + self.down(nn.functional.gelu(self.up(self.norm2(x)), approximate="tanh"))


class GPT(nn.Module):
    def __init__(self, vocab: int, context: int, width: int, heads: int, layers: int):
        super().__init__()
        self.context = context
        self.token_embedding = nn.Embedding(vocab, width)
        self.position_embedding = nn.Embedding(context, width)
        self.blocks = nn.ModuleList(GPTBlock(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            elif "norm" in name:
                nn.init.ones_(parameter)
            elif name.endswith(("w_o.weight", "down.weight")):
                nn.init.normal_(parameter, std=0.02 / (2 * layers))
            else:
                nn.init.normal_(parameter, std=0.02)

    def forward(self, ids: Tensor) -> Tensor:
        T = ids.shape[1]
        if T > self.context:
            raise ValueError("the sequence is longer than the context")
        x = self.token_embedding(ids) + self.position_embedding(torch.arange(T, device=ids.device))
        mask = torch.ones(T, T, dtype=torch.bool, device=ids.device).tril()
        for block in self.blocks:
            x = block(x, mask)
        return self.norm(x) @ self.token_embedding.weight.T

# %% exercise="GPT" wrong="written_maps_like_all_others"
"""All weights start with 0.02."""
class GPTBlock(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = MultiHeadAttention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)

    def forward(self, x, mask):
        x = x + self.attention(self.norm1(x), mask)[0]
        return x + self.down(nn.functional.gelu(self.up(self.norm2(x)), approximate="tanh"))


class GPT(nn.Module):
    def __init__(self, vocab: int, context: int, width: int, heads: int, layers: int):
        super().__init__()
        self.context = context
        self.token_embedding = nn.Embedding(vocab, width)
        self.position_embedding = nn.Embedding(context, width)
        self.blocks = nn.ModuleList(GPTBlock(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            elif "norm" in name:
                nn.init.ones_(parameter)
            elif name.endswith(("w_o.weight", "down.weight")):
                nn.init.normal_(parameter, std=0.02)
            else:
                nn.init.normal_(parameter, std=0.02)

    def forward(self, ids: Tensor) -> Tensor:
        T = ids.shape[1]
        if T > self.context:
            raise ValueError("the sequence is longer than the context")
        x = self.token_embedding(ids) + self.position_embedding(torch.arange(T, device=ids.device))
        mask = torch.ones(T, T, dtype=torch.bool, device=ids.device).tril()
        for block in self.blocks:
            x = block(x, mask)
        return self.norm(x) @ self.token_embedding.weight.T

# %% exercise="GPT" wrong="written_maps_larger"
"""Maps that write into the stream start larger by the root of 2 L."""
class GPTBlock(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = MultiHeadAttention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)

    def forward(self, x, mask):
        x = x + self.attention(self.norm1(x), mask)[0]
        return x + self.down(nn.functional.gelu(self.up(self.norm2(x)), approximate="tanh"))


class GPT(nn.Module):
    def __init__(self, vocab: int, context: int, width: int, heads: int, layers: int):
        super().__init__()
        self.context = context
        self.token_embedding = nn.Embedding(vocab, width)
        self.position_embedding = nn.Embedding(context, width)
        self.blocks = nn.ModuleList(GPTBlock(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            elif "norm" in name:
                nn.init.ones_(parameter)
            elif name.endswith(("w_o.weight", "down.weight")):
                nn.init.normal_(parameter, std=0.02 * math.sqrt(2 * layers))
            else:
                nn.init.normal_(parameter, std=0.02)

    def forward(self, ids: Tensor) -> Tensor:
        T = ids.shape[1]
        if T > self.context:
            raise ValueError("the sequence is longer than the context")
        x = self.token_embedding(ids) + self.position_embedding(torch.arange(T, device=ids.device))
        mask = torch.ones(T, T, dtype=torch.bool, device=ids.device).tril()
        for block in self.blocks:
            x = block(x, mask)
        return self.norm(x) @ self.token_embedding.weight.T

# %% exercise="GPT" wrong="only_down_starts_smaller"
"""attention.w_o starts like all others."""
class GPTBlock(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = MultiHeadAttention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)

    def forward(self, x, mask):
        x = x + self.attention(self.norm1(x), mask)[0]
        return x + self.down(nn.functional.gelu(self.up(self.norm2(x)), approximate="tanh"))


class GPT(nn.Module):
    def __init__(self, vocab: int, context: int, width: int, heads: int, layers: int):
        super().__init__()
        self.context = context
        self.token_embedding = nn.Embedding(vocab, width)
        self.position_embedding = nn.Embedding(context, width)
        self.blocks = nn.ModuleList(GPTBlock(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            elif "norm" in name:
                nn.init.ones_(parameter)
            elif name.endswith("down.weight"):
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * layers))
            else:
                nn.init.normal_(parameter, std=0.02)

    def forward(self, ids: Tensor) -> Tensor:
        T = ids.shape[1]
        if T > self.context:
            raise ValueError("the sequence is longer than the context")
        x = self.token_embedding(ids) + self.position_embedding(torch.arange(T, device=ids.device))
        mask = torch.ones(T, T, dtype=torch.bool, device=ids.device).tril()
        for block in self.blocks:
            x = block(x, mask)
        return self.norm(x) @ self.token_embedding.weight.T

# %% exercise="GPT" wrong="up_starts_smaller"
"""Every map of the two-layer network starts smaller, also up."""
class GPTBlock(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = MultiHeadAttention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)

    def forward(self, x, mask):
        x = x + self.attention(self.norm1(x), mask)[0]
        return x + self.down(nn.functional.gelu(self.up(self.norm2(x)), approximate="tanh"))


class GPT(nn.Module):
    def __init__(self, vocab: int, context: int, width: int, heads: int, layers: int):
        super().__init__()
        self.context = context
        self.token_embedding = nn.Embedding(vocab, width)
        self.position_embedding = nn.Embedding(context, width)
        self.blocks = nn.ModuleList(GPTBlock(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            elif "norm" in name:
                nn.init.ones_(parameter)
            elif name.endswith(("w_o.weight", "down.weight", "up.weight")):
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * layers))
            else:
                nn.init.normal_(parameter, std=0.02)

    def forward(self, ids: Tensor) -> Tensor:
        T = ids.shape[1]
        if T > self.context:
            raise ValueError("the sequence is longer than the context")
        x = self.token_embedding(ids) + self.position_embedding(torch.arange(T, device=ids.device))
        mask = torch.ones(T, T, dtype=torch.bool, device=ids.device).tril()
        for block in self.blocks:
            x = block(x, mask)
        return self.norm(x) @ self.token_embedding.weight.T

# %% exercise="GPT" wrong="embeddings_of_torch"
"""Both embeddings start with standard deviation 1, as torch makes them."""
class GPTBlock(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = MultiHeadAttention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)

    def forward(self, x, mask):
        x = x + self.attention(self.norm1(x), mask)[0]
        return x + self.down(nn.functional.gelu(self.up(self.norm2(x)), approximate="tanh"))


class GPT(nn.Module):
    def __init__(self, vocab: int, context: int, width: int, heads: int, layers: int):
        super().__init__()
        self.context = context
        self.token_embedding = nn.Embedding(vocab, width)
        self.position_embedding = nn.Embedding(context, width)
        self.blocks = nn.ModuleList(GPTBlock(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            elif "norm" in name:
                nn.init.ones_(parameter)
            elif "embedding" in name:
                continue
            elif name.endswith(("w_o.weight", "down.weight")):
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * layers))
            else:
                nn.init.normal_(parameter, std=0.02)

    def forward(self, ids: Tensor) -> Tensor:
        T = ids.shape[1]
        if T > self.context:
            raise ValueError("the sequence is longer than the context")
        x = self.token_embedding(ids) + self.position_embedding(torch.arange(T, device=ids.device))
        mask = torch.ones(T, T, dtype=torch.bool, device=ids.device).tril()
        for block in self.blocks:
            x = block(x, mask)
        return self.norm(x) @ self.token_embedding.weight.T

# %% exercise="GPT" wrong="positions_start_at_zero"
"""The table of positions starts at 0."""
class GPTBlock(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = MultiHeadAttention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)

    def forward(self, x, mask):
        x = x + self.attention(self.norm1(x), mask)[0]
        return x + self.down(nn.functional.gelu(self.up(self.norm2(x)), approximate="tanh"))


class GPT(nn.Module):
    def __init__(self, vocab: int, context: int, width: int, heads: int, layers: int):
        super().__init__()
        self.context = context
        self.token_embedding = nn.Embedding(vocab, width)
        self.position_embedding = nn.Embedding(context, width)
        self.blocks = nn.ModuleList(GPTBlock(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            elif "norm" in name:
                nn.init.ones_(parameter)
            elif "position" in name:
                nn.init.zeros_(parameter)
            elif name.endswith(("w_o.weight", "down.weight")):
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * layers))
            else:
                nn.init.normal_(parameter, std=0.02)

    def forward(self, ids: Tensor) -> Tensor:
        T = ids.shape[1]
        if T > self.context:
            raise ValueError("the sequence is longer than the context")
        x = self.token_embedding(ids) + self.position_embedding(torch.arange(T, device=ids.device))
        mask = torch.ones(T, T, dtype=torch.bool, device=ids.device).tril()
        for block in self.blocks:
            x = block(x, mask)
        return self.norm(x) @ self.token_embedding.weight.T

# %% exercise="GPT" wrong="biases_of_torch"
"""Biases of linear maps start as torch makes them."""
class GPTBlock(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = MultiHeadAttention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)

    def forward(self, x, mask):
        x = x + self.attention(self.norm1(x), mask)[0]
        return x + self.down(nn.functional.gelu(self.up(self.norm2(x)), approximate="tanh"))


class GPT(nn.Module):
    def __init__(self, vocab: int, context: int, width: int, heads: int, layers: int):
        super().__init__()
        self.context = context
        self.token_embedding = nn.Embedding(vocab, width)
        self.position_embedding = nn.Embedding(context, width)
        self.blocks = nn.ModuleList(GPTBlock(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                continue
            elif "norm" in name:
                nn.init.ones_(parameter)
            elif name.endswith(("w_o.weight", "down.weight")):
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * layers))
            else:
                nn.init.normal_(parameter, std=0.02)

    def forward(self, ids: Tensor) -> Tensor:
        T = ids.shape[1]
        if T > self.context:
            raise ValueError("the sequence is longer than the context")
        x = self.token_embedding(ids) + self.position_embedding(torch.arange(T, device=ids.device))
        mask = torch.ones(T, T, dtype=torch.bool, device=ids.device).tril()
        for block in self.blocks:
            x = block(x, mask)
        return self.norm(x) @ self.token_embedding.weight.T

# %% exercise="GPT" wrong="norms_start_small"
"""Weights of norms start like those of linear maps, around 0."""
class GPTBlock(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = MultiHeadAttention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)

    def forward(self, x, mask):
        x = x + self.attention(self.norm1(x), mask)[0]
        return x + self.down(nn.functional.gelu(self.up(self.norm2(x)), approximate="tanh"))


class GPT(nn.Module):
    def __init__(self, vocab: int, context: int, width: int, heads: int, layers: int):
        super().__init__()
        self.context = context
        self.token_embedding = nn.Embedding(vocab, width)
        self.position_embedding = nn.Embedding(context, width)
        self.blocks = nn.ModuleList(GPTBlock(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            elif name.endswith(("w_o.weight", "down.weight")):
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * layers))
            else:
                nn.init.normal_(parameter, std=0.02)

    def forward(self, ids: Tensor) -> Tensor:
        T = ids.shape[1]
        if T > self.context:
            raise ValueError("the sequence is longer than the context")
        x = self.token_embedding(ids) + self.position_embedding(torch.arange(T, device=ids.device))
        mask = torch.ones(T, T, dtype=torch.bool, device=ids.device).tril()
        for block in self.blocks:
            x = block(x, mask)
        return self.norm(x) @ self.token_embedding.weight.T

# %% exercise="GPT" wrong="variance_instead_of_deviation"
"""0.02 is taken for the variance."""
class GPTBlock(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = MultiHeadAttention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)

    def forward(self, x, mask):
        x = x + self.attention(self.norm1(x), mask)[0]
        return x + self.down(nn.functional.gelu(self.up(self.norm2(x)), approximate="tanh"))


class GPT(nn.Module):
    def __init__(self, vocab: int, context: int, width: int, heads: int, layers: int):
        super().__init__()
        self.context = context
        self.token_embedding = nn.Embedding(vocab, width)
        self.position_embedding = nn.Embedding(context, width)
        self.blocks = nn.ModuleList(GPTBlock(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            elif "norm" in name:
                nn.init.ones_(parameter)
            elif name.endswith(("w_o.weight", "down.weight")):
                nn.init.normal_(parameter, std=math.sqrt(0.02 / (2 * layers)))
            else:
                nn.init.normal_(parameter, std=math.sqrt(0.02))

    def forward(self, ids: Tensor) -> Tensor:
        T = ids.shape[1]
        if T > self.context:
            raise ValueError("the sequence is longer than the context")
        x = self.token_embedding(ids) + self.position_embedding(torch.arange(T, device=ids.device))
        mask = torch.ones(T, T, dtype=torch.bool, device=ids.device).tril()
        for block in self.blocks:
            x = block(x, mask)
        return self.norm(x) @ self.token_embedding.weight.T

# %% exercise="GPT" wrong="uniform_start"
"""Weights are uniform, with the right deviation."""
class GPTBlock(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = MultiHeadAttention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)

    def forward(self, x, mask):
        x = x + self.attention(self.norm1(x), mask)[0]
        return x + self.down(nn.functional.gelu(self.up(self.norm2(x)), approximate="tanh"))


class GPT(nn.Module):
    def __init__(self, vocab: int, context: int, width: int, heads: int, layers: int):
        super().__init__()
        self.context = context
        self.token_embedding = nn.Embedding(vocab, width)
        self.position_embedding = nn.Embedding(context, width)
        self.blocks = nn.ModuleList(GPTBlock(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            elif "norm" in name:
                nn.init.ones_(parameter)
            elif name.endswith(("w_o.weight", "down.weight")):
                nn.init.uniform_(parameter, -0.02 * math.sqrt(3 / (2 * layers)), 0.02 * math.sqrt(3 / (2 * layers)))
            else:
                nn.init.uniform_(parameter, -0.02 * math.sqrt(3), 0.02 * math.sqrt(3))

    def forward(self, ids: Tensor) -> Tensor:
        T = ids.shape[1]
        if T > self.context:
            raise ValueError("the sequence is longer than the context")
        x = self.token_embedding(ids) + self.position_embedding(torch.arange(T, device=ids.device))
        mask = torch.ones(T, T, dtype=torch.bool, device=ids.device).tril()
        for block in self.blocks:
            x = block(x, mask)
        return self.norm(x) @ self.token_embedding.weight.T

# %% exercise="GPT" wrong="too_long_is_an_index_error"
"""A sequence beyond the context fails in the table, with IndexError."""
class GPTBlock(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = MultiHeadAttention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)

    def forward(self, x, mask):
        x = x + self.attention(self.norm1(x), mask)[0]
        return x + self.down(nn.functional.gelu(self.up(self.norm2(x)), approximate="tanh"))


class GPT(nn.Module):
    def __init__(self, vocab: int, context: int, width: int, heads: int, layers: int):
        super().__init__()
        self.context = context
        self.token_embedding = nn.Embedding(vocab, width)
        self.position_embedding = nn.Embedding(context, width)
        self.blocks = nn.ModuleList(GPTBlock(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            elif "norm" in name:
                nn.init.ones_(parameter)
            elif name.endswith(("w_o.weight", "down.weight")):
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * layers))
            else:
                nn.init.normal_(parameter, std=0.02)

    def forward(self, ids: Tensor) -> Tensor:
        T = ids.shape[1]
        x = self.token_embedding(ids) + self.position_embedding(torch.arange(T, device=ids.device))
        mask = torch.ones(T, T, dtype=torch.bool, device=ids.device).tril()
        for block in self.blocks:
            x = block(x, mask)
        return self.norm(x) @ self.token_embedding.weight.T

# %% exercise="GPT" wrong="full_context_refused"
"""A sequence as long as the context is refused."""
class GPTBlock(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = MultiHeadAttention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)

    def forward(self, x, mask):
        x = x + self.attention(self.norm1(x), mask)[0]
        return x + self.down(nn.functional.gelu(self.up(self.norm2(x)), approximate="tanh"))


class GPT(nn.Module):
    def __init__(self, vocab: int, context: int, width: int, heads: int, layers: int):
        super().__init__()
        self.context = context
        self.token_embedding = nn.Embedding(vocab, width)
        self.position_embedding = nn.Embedding(context, width)
        self.blocks = nn.ModuleList(GPTBlock(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            elif "norm" in name:
                nn.init.ones_(parameter)
            elif name.endswith(("w_o.weight", "down.weight")):
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * layers))
            else:
                nn.init.normal_(parameter, std=0.02)

    def forward(self, ids: Tensor) -> Tensor:
        T = ids.shape[1]
        if T >= self.context:
            raise ValueError("the sequence is longer than the context")
        x = self.token_embedding(ids) + self.position_embedding(torch.arange(T, device=ids.device))
        mask = torch.ones(T, T, dtype=torch.bool, device=ids.device).tril()
        for block in self.blocks:
            x = block(x, mask)
        return self.norm(x) @ self.token_embedding.weight.T

# %% exercise="GPT" wrong="longer_text_is_cut"
"""A sequence beyond the context loses its beginning without a word."""
class GPTBlock(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = MultiHeadAttention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)

    def forward(self, x, mask):
        x = x + self.attention(self.norm1(x), mask)[0]
        return x + self.down(nn.functional.gelu(self.up(self.norm2(x)), approximate="tanh"))


class GPT(nn.Module):
    def __init__(self, vocab: int, context: int, width: int, heads: int, layers: int):
        super().__init__()
        self.context = context
        self.token_embedding = nn.Embedding(vocab, width)
        self.position_embedding = nn.Embedding(context, width)
        self.blocks = nn.ModuleList(GPTBlock(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            elif "norm" in name:
                nn.init.ones_(parameter)
            elif name.endswith(("w_o.weight", "down.weight")):
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * layers))
            else:
                nn.init.normal_(parameter, std=0.02)

    def forward(self, ids: Tensor) -> Tensor:
        ids = ids[:, -self.context :]
        T = ids.shape[1]
        x = self.token_embedding(ids) + self.position_embedding(torch.arange(T, device=ids.device))
        mask = torch.ones(T, T, dtype=torch.bool, device=ids.device).tril()
        for block in self.blocks:
            x = block(x, mask)
        return self.norm(x) @ self.token_embedding.weight.T

# %% exercise="GPT" wrong="embeddings_scaled"
"""Token embeddings are multiplied by the root of D."""
class GPTBlock(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = MultiHeadAttention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)

    def forward(self, x, mask):
        x = x + self.attention(self.norm1(x), mask)[0]
        return x + self.down(nn.functional.gelu(self.up(self.norm2(x)), approximate="tanh"))


class GPT(nn.Module):
    def __init__(self, vocab: int, context: int, width: int, heads: int, layers: int):
        super().__init__()
        self.context = context
        self.token_embedding = nn.Embedding(vocab, width)
        self.position_embedding = nn.Embedding(context, width)
        self.blocks = nn.ModuleList(GPTBlock(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            elif "norm" in name:
                nn.init.ones_(parameter)
            elif name.endswith(("w_o.weight", "down.weight")):
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * layers))
            else:
                nn.init.normal_(parameter, std=0.02)

    def forward(self, ids: Tensor) -> Tensor:
        T = ids.shape[1]
        if T > self.context:
            raise ValueError("the sequence is longer than the context")
        x = self.token_embedding(ids) * math.sqrt(self.token_embedding.embedding_dim)
        x = x + self.position_embedding(torch.arange(T, device=ids.device))
        mask = torch.ones(T, T, dtype=torch.bool, device=ids.device).tril()
        for block in self.blocks:
            x = block(x, mask)
        return self.norm(x) @ self.token_embedding.weight.T

# %% exercise="GPT" wrong="sublayers_in_parallel"
"""Both sublayers read the block's input."""
class GPTBlock(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = MultiHeadAttention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)

    def forward(self, x, mask):
        out = self.attention(self.norm1(x), mask)[0]
        return x + out + self.down(nn.functional.gelu(self.up(self.norm2(x)), approximate="tanh"))


class GPT(nn.Module):
    def __init__(self, vocab: int, context: int, width: int, heads: int, layers: int):
        super().__init__()
        self.context = context
        self.token_embedding = nn.Embedding(vocab, width)
        self.position_embedding = nn.Embedding(context, width)
        self.blocks = nn.ModuleList(GPTBlock(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            elif "norm" in name:
                nn.init.ones_(parameter)
            elif name.endswith(("w_o.weight", "down.weight")):
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * layers))
            else:
                nn.init.normal_(parameter, std=0.02)

    def forward(self, ids: Tensor) -> Tensor:
        T = ids.shape[1]
        if T > self.context:
            raise ValueError("the sequence is longer than the context")
        x = self.token_embedding(ids) + self.position_embedding(torch.arange(T, device=ids.device))
        mask = torch.ones(T, T, dtype=torch.bool, device=ids.device).tril()
        for block in self.blocks:
            x = block(x, mask)
        return self.norm(x) @ self.token_embedding.weight.T

# %% exercise="GPT" wrong="exact_gelu_too"
"""Uses the exact GELU, as BERT does."""
class GPTBlock(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = MultiHeadAttention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x, causal):
        x = x + self.attention(self.norm1(x), causal)[0]
        return x + self.down(nn.functional.gelu(self.up(self.norm2(x))))


class GPT(nn.Module):
    def __init__(self, vocab: int, context: int, width: int, heads: int, layers: int):
        super().__init__()
        self.context = context
        self.token_embedding = nn.Embedding(vocab, width)
        self.position_embedding = nn.Embedding(context, width)
        self.blocks = nn.ModuleList([GPTBlock(width, heads) for _ in range(layers)])
        self.norm = nn.LayerNorm(width)
        for name, parameter in self.named_parameters():
            if "norm" in name:
                continue
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            elif name.endswith(("attention.w_o.weight", "down.weight")):
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * layers))
            else:
                nn.init.normal_(parameter, std=0.02)

    def forward(self, ids: Tensor) -> Tensor:
        T = ids.shape[1]
        if T > self.context:
            raise ValueError(f"{T} tokens, but the context has {self.context}")
        x = self.token_embedding(ids) + self.position_embedding(torch.arange(T, device=ids.device))
        causal = torch.ones(T, T, dtype=torch.bool, device=ids.device).tril()
        for block in self.blocks:
            x = block(x, causal)
        return self.norm(x) @ self.token_embedding.weight.T

# %% exercise="GPT" wrong="root_of_layers"
"""The maps that write into the stream start at 0.02 / sqrt(L): a block counts as one addition."""
class GPTBlock(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = MultiHeadAttention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x, causal):
        x = x + self.attention(self.norm1(x), causal)[0]
        return x + self.down(nn.functional.gelu(self.up(self.norm2(x)), approximate="tanh"))


class GPT(nn.Module):
    def __init__(self, vocab: int, context: int, width: int, heads: int, layers: int):
        super().__init__()
        self.context = context
        self.token_embedding = nn.Embedding(vocab, width)
        self.position_embedding = nn.Embedding(context, width)
        self.blocks = nn.ModuleList([GPTBlock(width, heads) for _ in range(layers)])
        self.norm = nn.LayerNorm(width)
        for name, parameter in self.named_parameters():
            if "norm" in name:
                continue
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            elif name.endswith(("attention.w_o.weight", "down.weight")):
                nn.init.normal_(parameter, std=0.02 / math.sqrt(layers))
            else:
                nn.init.normal_(parameter, std=0.02)

    def forward(self, ids: Tensor) -> Tensor:
        T = ids.shape[1]
        if T > self.context:
            raise ValueError(f"{T} tokens, but the context has {self.context}")
        x = self.token_embedding(ids) + self.position_embedding(torch.arange(T, device=ids.device))
        causal = torch.ones(T, T, dtype=torch.bool, device=ids.device).tril()
        for block in self.blocks:
            x = block(x, causal)
        return self.norm(x) @ self.token_embedding.weight.T

# %% exercise="GPT" wrong="attention_not_scaled_down"
"""Only down.weight starts smaller; attention.w_o.weight starts with 0.02."""
class GPTBlock(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = MultiHeadAttention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x, causal):
        x = x + self.attention(self.norm1(x), causal)[0]
        return x + self.down(nn.functional.gelu(self.up(self.norm2(x)), approximate="tanh"))


class GPT(nn.Module):
    def __init__(self, vocab: int, context: int, width: int, heads: int, layers: int):
        super().__init__()
        self.context = context
        self.token_embedding = nn.Embedding(vocab, width)
        self.position_embedding = nn.Embedding(context, width)
        self.blocks = nn.ModuleList([GPTBlock(width, heads) for _ in range(layers)])
        self.norm = nn.LayerNorm(width)
        for name, parameter in self.named_parameters():
            if "norm" in name:
                continue
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            elif name.endswith("down.weight"):
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * layers))
            else:
                nn.init.normal_(parameter, std=0.02)

    def forward(self, ids: Tensor) -> Tensor:
        T = ids.shape[1]
        if T > self.context:
            raise ValueError(f"{T} tokens, but the context has {self.context}")
        x = self.token_embedding(ids) + self.position_embedding(torch.arange(T, device=ids.device))
        causal = torch.ones(T, T, dtype=torch.bool, device=ids.device).tril()
        for block in self.blocks:
            x = block(x, causal)
        return self.norm(x) @ self.token_embedding.weight.T

# %% exercise="GPT" wrong="biases_as_torch_makes_them"
"""Biases of the linear maps keep torch's random numbers."""
class GPTBlock(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = MultiHeadAttention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x, causal):
        x = x + self.attention(self.norm1(x), causal)[0]
        return x + self.down(nn.functional.gelu(self.up(self.norm2(x)), approximate="tanh"))


class GPT(nn.Module):
    def __init__(self, vocab: int, context: int, width: int, heads: int, layers: int):
        super().__init__()
        self.context = context
        self.token_embedding = nn.Embedding(vocab, width)
        self.position_embedding = nn.Embedding(context, width)
        self.blocks = nn.ModuleList([GPTBlock(width, heads) for _ in range(layers)])
        self.norm = nn.LayerNorm(width)
        for name, parameter in self.named_parameters():
            if "norm" in name:
                continue
            if name.endswith("bias"):
                continue
            elif name.endswith(("attention.w_o.weight", "down.weight")):
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * layers))
            else:
                nn.init.normal_(parameter, std=0.02)

    def forward(self, ids: Tensor) -> Tensor:
        T = ids.shape[1]
        if T > self.context:
            raise ValueError(f"{T} tokens, but the context has {self.context}")
        x = self.token_embedding(ids) + self.position_embedding(torch.arange(T, device=ids.device))
        causal = torch.ones(T, T, dtype=torch.bool, device=ids.device).tril()
        for block in self.blocks:
            x = block(x, causal)
        return self.norm(x) @ self.token_embedding.weight.T

# %% exercise="GPT" wrong="positions_start_at_001"
"""The table of positions starts with standard deviation 0.01, as in OpenAI's TensorFlow code."""
class GPTBlock(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = MultiHeadAttention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x, causal):
        x = x + self.attention(self.norm1(x), causal)[0]
        return x + self.down(nn.functional.gelu(self.up(self.norm2(x)), approximate="tanh"))


class GPT(nn.Module):
    def __init__(self, vocab: int, context: int, width: int, heads: int, layers: int):
        super().__init__()
        self.context = context
        self.token_embedding = nn.Embedding(vocab, width)
        self.position_embedding = nn.Embedding(context, width)
        self.blocks = nn.ModuleList([GPTBlock(width, heads) for _ in range(layers)])
        self.norm = nn.LayerNorm(width)
        for name, parameter in self.named_parameters():
            if "norm" in name:
                continue
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            elif name.endswith(("attention.w_o.weight", "down.weight")):
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * layers))
            else:
                nn.init.normal_(parameter, std=0.01 if name.startswith("position") else 0.02)

    def forward(self, ids: Tensor) -> Tensor:
        T = ids.shape[1]
        if T > self.context:
            raise ValueError(f"{T} tokens, but the context has {self.context}")
        x = self.token_embedding(ids) + self.position_embedding(torch.arange(T, device=ids.device))
        causal = torch.ones(T, T, dtype=torch.bool, device=ids.device).tril()
        for block in self.blocks:
            x = block(x, causal)
        return self.norm(x) @ self.token_embedding.weight.T

# %% exercise="GPT" wrong="head_is_a_copy_too"
"""The head is a parameter of its own that only starts as a copy of the embedding."""
class GPTBlock(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = MultiHeadAttention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x, causal):
        x = x + self.attention(self.norm1(x), causal)[0]
        return x + self.down(nn.functional.gelu(self.up(self.norm2(x)), approximate="tanh"))


class GPT(nn.Module):
    def __init__(self, vocab: int, context: int, width: int, heads: int, layers: int):
        super().__init__()
        self.context = context
        self.token_embedding = nn.Embedding(vocab, width)
        self.position_embedding = nn.Embedding(context, width)
        self.blocks = nn.ModuleList([GPTBlock(width, heads) for _ in range(layers)])
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, vocab, bias=False)
        for name, parameter in self.named_parameters():
            if "norm" in name:
                continue
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            elif name.endswith(("attention.w_o.weight", "down.weight")):
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * layers))
            else:
                nn.init.normal_(parameter, std=0.02)
        self.head.weight.data.copy_(self.token_embedding.weight)

    def forward(self, ids: Tensor) -> Tensor:
        T = ids.shape[1]
        if T > self.context:
            raise ValueError(f"{T} tokens, but the context has {self.context}")
        x = self.token_embedding(ids) + self.position_embedding(torch.arange(T, device=ids.device))
        causal = torch.ones(T, T, dtype=torch.bool, device=ids.device).tril()
        for block in self.blocks:
            x = block(x, causal)
        return self.head(self.norm(x))

# %% exercise="GPT" wrong="head_without_gradient"
"""Detaches the embedding where it is the head: it gets gradients from one end only."""
class GPTBlock(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = MultiHeadAttention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x, causal):
        x = x + self.attention(self.norm1(x), causal)[0]
        return x + self.down(nn.functional.gelu(self.up(self.norm2(x)), approximate="tanh"))


class GPT(nn.Module):
    def __init__(self, vocab: int, context: int, width: int, heads: int, layers: int):
        super().__init__()
        self.context = context
        self.token_embedding = nn.Embedding(vocab, width)
        self.position_embedding = nn.Embedding(context, width)
        self.blocks = nn.ModuleList([GPTBlock(width, heads) for _ in range(layers)])
        self.norm = nn.LayerNorm(width)
        for name, parameter in self.named_parameters():
            if "norm" in name:
                continue
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            elif name.endswith(("attention.w_o.weight", "down.weight")):
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * layers))
            else:
                nn.init.normal_(parameter, std=0.02)

    def forward(self, ids: Tensor) -> Tensor:
        T = ids.shape[1]
        if T > self.context:
            raise ValueError(f"{T} tokens, but the context has {self.context}")
        x = self.token_embedding(ids) + self.position_embedding(torch.arange(T, device=ids.device))
        causal = torch.ones(T, T, dtype=torch.bool, device=ids.device).tril()
        for block in self.blocks:
            x = block(x, causal)
        return self.norm(x) @ self.token_embedding.weight.detach().T

# %% exercise="GPT" wrong="index_error_beyond_context"
"""A text beyond the context ends in torch's IndexError."""
class GPTBlock(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = MultiHeadAttention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x, causal):
        x = x + self.attention(self.norm1(x), causal)[0]
        return x + self.down(nn.functional.gelu(self.up(self.norm2(x)), approximate="tanh"))


class GPT(nn.Module):
    def __init__(self, vocab: int, context: int, width: int, heads: int, layers: int):
        super().__init__()
        self.token_embedding = nn.Embedding(vocab, width)
        self.position_embedding = nn.Embedding(context, width)
        self.blocks = nn.ModuleList([GPTBlock(width, heads) for _ in range(layers)])
        self.norm = nn.LayerNorm(width)
        for name, parameter in self.named_parameters():
            if "norm" in name:
                continue
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            elif name.endswith(("attention.w_o.weight", "down.weight")):
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * layers))
            else:
                nn.init.normal_(parameter, std=0.02)

    def forward(self, ids: Tensor) -> Tensor:
        T = ids.shape[1]
        x = self.token_embedding(ids) + self.position_embedding(torch.arange(T, device=ids.device))
        causal = torch.ones(T, T, dtype=torch.bool, device=ids.device).tril()
        for block in self.blocks:
            x = block(x, causal)
        return self.norm(x) @ self.token_embedding.weight.T

# %% exercise="GPT" wrong="full_context_refused_too"
"""A text as long as the context is refused."""
class GPTBlock(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = MultiHeadAttention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x, causal):
        x = x + self.attention(self.norm1(x), causal)[0]
        return x + self.down(nn.functional.gelu(self.up(self.norm2(x)), approximate="tanh"))


class GPT(nn.Module):
    def __init__(self, vocab: int, context: int, width: int, heads: int, layers: int):
        super().__init__()
        self.context = context
        self.token_embedding = nn.Embedding(vocab, width)
        self.position_embedding = nn.Embedding(context, width)
        self.blocks = nn.ModuleList([GPTBlock(width, heads) for _ in range(layers)])
        self.norm = nn.LayerNorm(width)
        for name, parameter in self.named_parameters():
            if "norm" in name:
                continue
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            elif name.endswith(("attention.w_o.weight", "down.weight")):
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * layers))
            else:
                nn.init.normal_(parameter, std=0.02)

    def forward(self, ids: Tensor) -> Tensor:
        T = ids.shape[1]
        if T >= self.context:
            raise ValueError(f"{T} tokens, but the context has {self.context}")
        x = self.token_embedding(ids) + self.position_embedding(torch.arange(T, device=ids.device))
        causal = torch.ones(T, T, dtype=torch.bool, device=ids.device).tril()
        for block in self.blocks:
            x = block(x, causal)
        return self.norm(x) @ self.token_embedding.weight.T

# %% exercise="GPT" wrong="no_closing_norm"
"""The last norm is made, but not applied."""
class GPTBlock(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = MultiHeadAttention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x, causal):
        x = x + self.attention(self.norm1(x), causal)[0]
        return x + self.down(nn.functional.gelu(self.up(self.norm2(x)), approximate="tanh"))


class GPT(nn.Module):
    def __init__(self, vocab: int, context: int, width: int, heads: int, layers: int):
        super().__init__()
        self.context = context
        self.token_embedding = nn.Embedding(vocab, width)
        self.position_embedding = nn.Embedding(context, width)
        self.blocks = nn.ModuleList([GPTBlock(width, heads) for _ in range(layers)])
        self.norm = nn.LayerNorm(width)
        for name, parameter in self.named_parameters():
            if "norm" in name:
                continue
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            elif name.endswith(("attention.w_o.weight", "down.weight")):
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * layers))
            else:
                nn.init.normal_(parameter, std=0.02)

    def forward(self, ids: Tensor) -> Tensor:
        T = ids.shape[1]
        if T > self.context:
            raise ValueError(f"{T} tokens, but the context has {self.context}")
        x = self.token_embedding(ids) + self.position_embedding(torch.arange(T, device=ids.device))
        causal = torch.ones(T, T, dtype=torch.bool, device=ids.device).tril()
        for block in self.blocks:
            x = block(x, causal)
        return x @ self.token_embedding.weight.T

# %% exercise="GPT" wrong="attention_starts_as_torch_does"
"""MultiHeadAttention keeps the start that it comes with; only the other maps are drawn anew."""
class GPTBlock(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = MultiHeadAttention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x, causal):
        x = x + self.attention(self.norm1(x), causal)[0]
        return x + self.down(nn.functional.gelu(self.up(self.norm2(x)), approximate="tanh"))


class GPT(nn.Module):
    def __init__(self, vocab: int, context: int, width: int, heads: int, layers: int):
        super().__init__()
        self.context = context
        self.token_embedding = nn.Embedding(vocab, width)
        self.position_embedding = nn.Embedding(context, width)
        self.blocks = nn.ModuleList([GPTBlock(width, heads) for _ in range(layers)])
        self.norm = nn.LayerNorm(width)
        for name, parameter in self.named_parameters():
            if "norm" in name or ".attention." in name:
                continue
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            elif name.endswith(("attention.w_o.weight", "down.weight")):
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * layers))
            else:
                nn.init.normal_(parameter, std=0.02)

    def forward(self, ids: Tensor) -> Tensor:
        T = ids.shape[1]
        if T > self.context:
            raise ValueError(f"{T} tokens, but the context has {self.context}")
        x = self.token_embedding(ids) + self.position_embedding(torch.arange(T, device=ids.device))
        causal = torch.ones(T, T, dtype=torch.bool, device=ids.device).tril()
        for block in self.blocks:
            x = block(x, causal)
        return self.norm(x) @ self.token_embedding.weight.T

# %% exercise="GPT" wrong="scaled_then_overwritten"
"""Scales down the maps that write into the stream first, and then draws all weights with 0.02."""
class GPTBlock(nn.Module):
    def __init__(self, width, heads, layers):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = MultiHeadAttention(width, heads)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        for writer in (self.attention.w_o, self.down):
            nn.init.normal_(writer.weight, std=0.02 / math.sqrt(2 * layers))

    def forward(self, x, causal):
        x = x + self.attention(self.norm1(x), causal)[0]
        return x + self.down(nn.functional.gelu(self.up(self.norm2(x)), approximate="tanh"))


class GPT(nn.Module):
    def __init__(self, vocab: int, context: int, width: int, heads: int, layers: int):
        super().__init__()
        self.token_embedding = nn.Embedding(vocab, width)
        self.position_embedding = nn.Embedding(context, width)
        self.blocks = nn.ModuleList([GPTBlock(width, heads, layers) for _ in range(layers)])
        self.norm = nn.LayerNorm(width)
        self.apply(self.start)

    @staticmethod
    def start(module):
        if isinstance(module, (nn.Linear, nn.Embedding)):
            nn.init.normal_(module.weight, std=0.02)
        if isinstance(module, nn.Linear):
            nn.init.zeros_(module.bias)

    def forward(self, ids: Tensor) -> Tensor:
        T = ids.shape[1]
        if T > self.position_embedding.num_embeddings:
            raise ValueError("longer than the context")
        x = self.token_embedding(ids) + self.position_embedding.weight[:T]
        causal = torch.ones(T, T, dtype=torch.bool).tril()
        for block in self.blocks:
            x = block(x, causal)
        return self.norm(x) @ self.token_embedding.weight.T

# %% exercise="GPT" wrong="token_zero_never_learns"
"""Row 0 of the token table is declared as padding: it learns from the head's end only."""
class GPTBlock(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = MultiHeadAttention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x, causal):
        x = x + self.attention(self.norm1(x), causal)[0]
        return x + self.down(nn.functional.gelu(self.up(self.norm2(x)), approximate="tanh"))


class GPT(nn.Module):
    def __init__(self, vocab: int, context: int, width: int, heads: int, layers: int):
        super().__init__()
        self.context = context
        self.token_embedding = nn.Embedding(vocab, width, padding_idx=0)
        self.position_embedding = nn.Embedding(context, width)
        self.blocks = nn.ModuleList([GPTBlock(width, heads) for _ in range(layers)])
        self.norm = nn.LayerNorm(width)
        for name, parameter in self.named_parameters():
            if "norm" in name:
                continue
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            elif name.endswith(("attention.w_o.weight", "down.weight")):
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * layers))
            else:
                nn.init.normal_(parameter, std=0.02)

    def forward(self, ids: Tensor) -> Tensor:
        T = ids.shape[1]
        if T > self.context:
            raise ValueError(f"{T} tokens, but the context has {self.context}")
        x = self.token_embedding(ids) + self.position_embedding(torch.arange(T, device=ids.device))
        causal = torch.ones(T, T, dtype=torch.bool, device=ids.device).tril()
        for block in self.blocks:
            x = block(x, causal)
        return self.norm(x) @ self.token_embedding.weight.T

# %% exercise="GPT" wrong="looks_into_the_future"
"""The mask is the wrong triangle: tokens look at themselves and at what follows."""
class GPTBlock(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = MultiHeadAttention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x, causal):
        x = x + self.attention(self.norm1(x), causal)[0]
        return x + self.down(nn.functional.gelu(self.up(self.norm2(x)), approximate="tanh"))


class GPT(nn.Module):
    def __init__(self, vocab: int, context: int, width: int, heads: int, layers: int):
        super().__init__()
        self.context = context
        self.token_embedding = nn.Embedding(vocab, width)
        self.position_embedding = nn.Embedding(context, width)
        self.blocks = nn.ModuleList([GPTBlock(width, heads) for _ in range(layers)])
        self.norm = nn.LayerNorm(width)
        for name, parameter in self.named_parameters():
            if "norm" in name:
                continue
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            elif name.endswith(("attention.w_o.weight", "down.weight")):
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * layers))
            else:
                nn.init.normal_(parameter, std=0.02)

    def forward(self, ids: Tensor) -> Tensor:
        T = ids.shape[1]
        if T > self.context:
            raise ValueError(f"{T} tokens, but the context has {self.context}")
        x = self.token_embedding(ids) + self.position_embedding(torch.arange(T, device=ids.device))
        causal = torch.ones(T, T, dtype=torch.bool, device=ids.device).triu()
        for block in self.blocks:
            x = block(x, causal)
        return self.norm(x) @ self.token_embedding.weight.T

# %% exercise="GemmaBlock" wrong="window_one_too_wide"
"""A token sees itself and as many tokens before it as the window is wide."""
class GemmaBlock(nn.Module):
    def __init__(
        self, width: int, heads: int, kv_heads: int, head_width: int, hidden: int,
        base: float = 10000.0, window: int | None = None, eps: float = 1e-6,
    ):  # fmt: skip
        super().__init__()
        if heads % kv_heads:
            raise ValueError("heads is no multiple of kv_heads")
        self.heads, self.kv_heads, self.head_width = heads, kv_heads, head_width
        self.base, self.window = base, window
        self.norm1, self.norm2 = RMSNorm(width, eps), RMSNorm(width, eps)
        self.norm3, self.norm4 = RMSNorm(width, eps), RMSNorm(width, eps)
        self.q_norm, self.k_norm = RMSNorm(head_width, eps), RMSNorm(head_width, eps)
        self.w_q = nn.Linear(width, heads * head_width, bias=False)
        self.w_k = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_v = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_o = nn.Linear(heads * head_width, width, bias=False)
        self.gate = nn.Linear(width, hidden, bias=False)
        self.up = nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def attend(self, x, positions):
        B, T, _ = x.shape
        q = self.w_q(x).view(B, T, self.heads, self.head_width).transpose(1, 2)
        k = self.w_k(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        v = self.w_v(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        if positions is None:
            positions = torch.arange(T, device=x.device)
        q = apply_rope(self.q_norm(q), positions, self.base)
        k = apply_rope(self.k_norm(k), positions, self.base)
        place = torch.arange(T, device=x.device)
        back = place[:, None] - place
        seen = back >= 0
        if self.window is not None:
            seen = seen & (back <= self.window)
        out = grouped_query_attention(q, k, v, seen)
        return self.w_o(out.transpose(1, 2).reshape(B, T, -1))

    def forward(self, x: Tensor, positions: Tensor | None = None) -> Tensor:
        x = x + self.norm2(self.attend(self.norm1(x), positions))
        h = self.norm3(x)
        h = nn.functional.gelu(self.gate(h), approximate="tanh") * self.up(h)
        return x + self.norm4(self.down(h))

# %% exercise="GemmaBlock" wrong="window_one_too_narrow"
"""A token sees one token less than the window is wide, except for itself."""
class GemmaBlock(nn.Module):
    def __init__(
        self, width: int, heads: int, kv_heads: int, head_width: int, hidden: int,
        base: float = 10000.0, window: int | None = None, eps: float = 1e-6,
    ):  # fmt: skip
        super().__init__()
        if heads % kv_heads:
            raise ValueError("heads is no multiple of kv_heads")
        self.heads, self.kv_heads, self.head_width = heads, kv_heads, head_width
        self.base, self.window = base, window
        self.norm1, self.norm2 = RMSNorm(width, eps), RMSNorm(width, eps)
        self.norm3, self.norm4 = RMSNorm(width, eps), RMSNorm(width, eps)
        self.q_norm, self.k_norm = RMSNorm(head_width, eps), RMSNorm(head_width, eps)
        self.w_q = nn.Linear(width, heads * head_width, bias=False)
        self.w_k = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_v = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_o = nn.Linear(heads * head_width, width, bias=False)
        self.gate = nn.Linear(width, hidden, bias=False)
        self.up = nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def attend(self, x, positions):
        B, T, _ = x.shape
        q = self.w_q(x).view(B, T, self.heads, self.head_width).transpose(1, 2)
        k = self.w_k(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        v = self.w_v(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        if positions is None:
            positions = torch.arange(T, device=x.device)
        q = apply_rope(self.q_norm(q), positions, self.base)
        k = apply_rope(self.k_norm(k), positions, self.base)
        place = torch.arange(T, device=x.device)
        back = place[:, None] - place
        seen = back >= 0
        if self.window is not None:
            seen = seen & (back < max(self.window - 1, 1))
        out = grouped_query_attention(q, k, v, seen)
        return self.w_o(out.transpose(1, 2).reshape(B, T, -1))

    def forward(self, x: Tensor, positions: Tensor | None = None) -> Tensor:
        x = x + self.norm2(self.attend(self.norm1(x), positions))
        h = self.norm3(x)
        h = nn.functional.gelu(self.gate(h), approximate="tanh") * self.up(h)
        return x + self.norm4(self.down(h))

# %% exercise="GemmaBlock" wrong="window_sees_the_future"
"""With a window a token also sees as far ahead."""
class GemmaBlock(nn.Module):
    def __init__(
        self, width: int, heads: int, kv_heads: int, head_width: int, hidden: int,
        base: float = 10000.0, window: int | None = None, eps: float = 1e-6,
    ):  # fmt: skip
        super().__init__()
        if heads % kv_heads:
            raise ValueError("heads is no multiple of kv_heads")
        self.heads, self.kv_heads, self.head_width = heads, kv_heads, head_width
        self.base, self.window = base, window
        self.norm1, self.norm2 = RMSNorm(width, eps), RMSNorm(width, eps)
        self.norm3, self.norm4 = RMSNorm(width, eps), RMSNorm(width, eps)
        self.q_norm, self.k_norm = RMSNorm(head_width, eps), RMSNorm(head_width, eps)
        self.w_q = nn.Linear(width, heads * head_width, bias=False)
        self.w_k = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_v = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_o = nn.Linear(heads * head_width, width, bias=False)
        self.gate = nn.Linear(width, hidden, bias=False)
        self.up = nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def attend(self, x, positions):
        B, T, _ = x.shape
        q = self.w_q(x).view(B, T, self.heads, self.head_width).transpose(1, 2)
        k = self.w_k(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        v = self.w_v(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        if positions is None:
            positions = torch.arange(T, device=x.device)
        q = apply_rope(self.q_norm(q), positions, self.base)
        k = apply_rope(self.k_norm(k), positions, self.base)
        place = torch.arange(T, device=x.device)
        back = place[:, None] - place
        seen = back >= 0
        if self.window is not None:
            seen = back.abs() < self.window
        out = grouped_query_attention(q, k, v, seen)
        return self.w_o(out.transpose(1, 2).reshape(B, T, -1))

    def forward(self, x: Tensor, positions: Tensor | None = None) -> Tensor:
        x = x + self.norm2(self.attend(self.norm1(x), positions))
        h = self.norm3(x)
        h = nn.functional.gelu(self.gate(h), approximate="tanh") * self.up(h)
        return x + self.norm4(self.down(h))

# %% exercise="GemmaBlock" wrong="window_ignored"
"""The window is not used."""
class GemmaBlock(nn.Module):
    def __init__(
        self, width: int, heads: int, kv_heads: int, head_width: int, hidden: int,
        base: float = 10000.0, window: int | None = None, eps: float = 1e-6,
    ):  # fmt: skip
        super().__init__()
        if heads % kv_heads:
            raise ValueError("heads is no multiple of kv_heads")
        self.heads, self.kv_heads, self.head_width = heads, kv_heads, head_width
        self.base, self.window = base, window
        self.norm1, self.norm2 = RMSNorm(width, eps), RMSNorm(width, eps)
        self.norm3, self.norm4 = RMSNorm(width, eps), RMSNorm(width, eps)
        self.q_norm, self.k_norm = RMSNorm(head_width, eps), RMSNorm(head_width, eps)
        self.w_q = nn.Linear(width, heads * head_width, bias=False)
        self.w_k = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_v = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_o = nn.Linear(heads * head_width, width, bias=False)
        self.gate = nn.Linear(width, hidden, bias=False)
        self.up = nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def attend(self, x, positions):
        B, T, _ = x.shape
        q = self.w_q(x).view(B, T, self.heads, self.head_width).transpose(1, 2)
        k = self.w_k(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        v = self.w_v(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        if positions is None:
            positions = torch.arange(T, device=x.device)
        q = apply_rope(self.q_norm(q), positions, self.base)
        k = apply_rope(self.k_norm(k), positions, self.base)
        place = torch.arange(T, device=x.device)
        back = place[:, None] - place
        seen = back >= 0
        out = grouped_query_attention(q, k, v, seen)
        return self.w_o(out.transpose(1, 2).reshape(B, T, -1))

    def forward(self, x: Tensor, positions: Tensor | None = None) -> Tensor:
        x = x + self.norm2(self.attend(self.norm1(x), positions))
        h = self.norm3(x)
        h = nn.functional.gelu(self.gate(h), approximate="tanh") * self.up(h)
        return x + self.norm4(self.down(h))

# %% exercise="GemmaBlock" wrong="window_counts_positions"
"""The window counts the numbers of positions, not places in the row."""
class GemmaBlock(nn.Module):
    def __init__(
        self, width: int, heads: int, kv_heads: int, head_width: int, hidden: int,
        base: float = 10000.0, window: int | None = None, eps: float = 1e-6,
    ):  # fmt: skip
        super().__init__()
        if heads % kv_heads:
            raise ValueError("heads is no multiple of kv_heads")
        self.heads, self.kv_heads, self.head_width = heads, kv_heads, head_width
        self.base, self.window = base, window
        self.norm1, self.norm2 = RMSNorm(width, eps), RMSNorm(width, eps)
        self.norm3, self.norm4 = RMSNorm(width, eps), RMSNorm(width, eps)
        self.q_norm, self.k_norm = RMSNorm(head_width, eps), RMSNorm(head_width, eps)
        self.w_q = nn.Linear(width, heads * head_width, bias=False)
        self.w_k = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_v = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_o = nn.Linear(heads * head_width, width, bias=False)
        self.gate = nn.Linear(width, hidden, bias=False)
        self.up = nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def attend(self, x, positions):
        B, T, _ = x.shape
        q = self.w_q(x).view(B, T, self.heads, self.head_width).transpose(1, 2)
        k = self.w_k(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        v = self.w_v(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        if positions is None:
            positions = torch.arange(T, device=x.device)
        q = apply_rope(self.q_norm(q), positions, self.base)
        k = apply_rope(self.k_norm(k), positions, self.base)
        place = torch.arange(T, device=x.device)
        back = place[:, None] - place
        seen = back >= 0
        if self.window is not None:
            seen = seen & (positions[:, None] - positions < self.window)
        out = grouped_query_attention(q, k, v, seen)
        return self.w_o(out.transpose(1, 2).reshape(B, T, -1))

    def forward(self, x: Tensor, positions: Tensor | None = None) -> Tensor:
        x = x + self.norm2(self.attend(self.norm1(x), positions))
        h = self.norm3(x)
        h = nn.functional.gelu(self.gate(h), approximate="tanh") * self.up(h)
        return x + self.norm4(self.down(h))

# %% exercise="GemmaBlock" wrong="windows_are_chunks"
"""The row is cut into chunks of the window's width, and a token sees its own chunk only."""
class GemmaBlock(nn.Module):
    def __init__(
        self, width: int, heads: int, kv_heads: int, head_width: int, hidden: int,
        base: float = 10000.0, window: int | None = None, eps: float = 1e-6,
    ):  # fmt: skip
        super().__init__()
        if heads % kv_heads:
            raise ValueError("heads is no multiple of kv_heads")
        self.heads, self.kv_heads, self.head_width = heads, kv_heads, head_width
        self.base, self.window = base, window
        self.norm1, self.norm2 = RMSNorm(width, eps), RMSNorm(width, eps)
        self.norm3, self.norm4 = RMSNorm(width, eps), RMSNorm(width, eps)
        self.q_norm, self.k_norm = RMSNorm(head_width, eps), RMSNorm(head_width, eps)
        self.w_q = nn.Linear(width, heads * head_width, bias=False)
        self.w_k = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_v = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_o = nn.Linear(heads * head_width, width, bias=False)
        self.gate = nn.Linear(width, hidden, bias=False)
        self.up = nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def attend(self, x, positions):
        B, T, _ = x.shape
        q = self.w_q(x).view(B, T, self.heads, self.head_width).transpose(1, 2)
        k = self.w_k(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        v = self.w_v(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        if positions is None:
            positions = torch.arange(T, device=x.device)
        q = apply_rope(self.q_norm(q), positions, self.base)
        k = apply_rope(self.k_norm(k), positions, self.base)
        place = torch.arange(T, device=x.device)
        back = place[:, None] - place
        seen = back >= 0
        if self.window is not None:
            seen = seen & (place[:, None] // self.window == place // self.window)
        out = grouped_query_attention(q, k, v, seen)
        return self.w_o(out.transpose(1, 2).reshape(B, T, -1))

    def forward(self, x: Tensor, positions: Tensor | None = None) -> Tensor:
        x = x + self.norm2(self.attend(self.norm1(x), positions))
        h = self.norm3(x)
        h = nn.functional.gelu(self.gate(h), approximate="tanh") * self.up(h)
        return x + self.norm4(self.down(h))

# %% exercise="GemmaBlock" wrong="gated_with_silu"
"""SiLU is the gate, as in Llama."""
class GemmaBlock(nn.Module):
    def __init__(
        self, width: int, heads: int, kv_heads: int, head_width: int, hidden: int,
        base: float = 10000.0, window: int | None = None, eps: float = 1e-6,
    ):  # fmt: skip
        super().__init__()
        if heads % kv_heads:
            raise ValueError("heads is no multiple of kv_heads")
        self.heads, self.kv_heads, self.head_width = heads, kv_heads, head_width
        self.base, self.window = base, window
        self.norm1, self.norm2 = RMSNorm(width, eps), RMSNorm(width, eps)
        self.norm3, self.norm4 = RMSNorm(width, eps), RMSNorm(width, eps)
        self.q_norm, self.k_norm = RMSNorm(head_width, eps), RMSNorm(head_width, eps)
        self.w_q = nn.Linear(width, heads * head_width, bias=False)
        self.w_k = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_v = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_o = nn.Linear(heads * head_width, width, bias=False)
        self.gate = nn.Linear(width, hidden, bias=False)
        self.up = nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def attend(self, x, positions):
        B, T, _ = x.shape
        q = self.w_q(x).view(B, T, self.heads, self.head_width).transpose(1, 2)
        k = self.w_k(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        v = self.w_v(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        if positions is None:
            positions = torch.arange(T, device=x.device)
        q = apply_rope(self.q_norm(q), positions, self.base)
        k = apply_rope(self.k_norm(k), positions, self.base)
        place = torch.arange(T, device=x.device)
        back = place[:, None] - place
        seen = back >= 0
        if self.window is not None:
            seen = seen & (back < self.window)
        out = grouped_query_attention(q, k, v, seen)
        return self.w_o(out.transpose(1, 2).reshape(B, T, -1))

    def forward(self, x: Tensor, positions: Tensor | None = None) -> Tensor:
        x = x + self.norm2(self.attend(self.norm1(x), positions))
        h = self.norm3(x)
        h = nn.functional.silu(self.gate(h)) * self.up(h)
        return x + self.norm4(self.down(h))

# %% exercise="GemmaBlock" wrong="exact_gelu"
"""The exact GELU is the gate."""
class GemmaBlock(nn.Module):
    def __init__(
        self, width: int, heads: int, kv_heads: int, head_width: int, hidden: int,
        base: float = 10000.0, window: int | None = None, eps: float = 1e-6,
    ):  # fmt: skip
        super().__init__()
        if heads % kv_heads:
            raise ValueError("heads is no multiple of kv_heads")
        self.heads, self.kv_heads, self.head_width = heads, kv_heads, head_width
        self.base, self.window = base, window
        self.norm1, self.norm2 = RMSNorm(width, eps), RMSNorm(width, eps)
        self.norm3, self.norm4 = RMSNorm(width, eps), RMSNorm(width, eps)
        self.q_norm, self.k_norm = RMSNorm(head_width, eps), RMSNorm(head_width, eps)
        self.w_q = nn.Linear(width, heads * head_width, bias=False)
        self.w_k = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_v = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_o = nn.Linear(heads * head_width, width, bias=False)
        self.gate = nn.Linear(width, hidden, bias=False)
        self.up = nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def attend(self, x, positions):
        B, T, _ = x.shape
        q = self.w_q(x).view(B, T, self.heads, self.head_width).transpose(1, 2)
        k = self.w_k(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        v = self.w_v(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        if positions is None:
            positions = torch.arange(T, device=x.device)
        q = apply_rope(self.q_norm(q), positions, self.base)
        k = apply_rope(self.k_norm(k), positions, self.base)
        place = torch.arange(T, device=x.device)
        back = place[:, None] - place
        seen = back >= 0
        if self.window is not None:
            seen = seen & (back < self.window)
        out = grouped_query_attention(q, k, v, seen)
        return self.w_o(out.transpose(1, 2).reshape(B, T, -1))

    def forward(self, x: Tensor, positions: Tensor | None = None) -> Tensor:
        x = x + self.norm2(self.attend(self.norm1(x), positions))
        h = self.norm3(x)
        h = nn.functional.gelu(self.gate(h)) * self.up(h)
        return x + self.norm4(self.down(h))

# %% exercise="GemmaBlock" wrong="gelu_on_the_wrong_map"
"""GELU acts on up, not on gate."""
class GemmaBlock(nn.Module):
    def __init__(
        self, width: int, heads: int, kv_heads: int, head_width: int, hidden: int,
        base: float = 10000.0, window: int | None = None, eps: float = 1e-6,
    ):  # fmt: skip
        super().__init__()
        if heads % kv_heads:
            raise ValueError("heads is no multiple of kv_heads")
        self.heads, self.kv_heads, self.head_width = heads, kv_heads, head_width
        self.base, self.window = base, window
        self.norm1, self.norm2 = RMSNorm(width, eps), RMSNorm(width, eps)
        self.norm3, self.norm4 = RMSNorm(width, eps), RMSNorm(width, eps)
        self.q_norm, self.k_norm = RMSNorm(head_width, eps), RMSNorm(head_width, eps)
        self.w_q = nn.Linear(width, heads * head_width, bias=False)
        self.w_k = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_v = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_o = nn.Linear(heads * head_width, width, bias=False)
        self.gate = nn.Linear(width, hidden, bias=False)
        self.up = nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def attend(self, x, positions):
        B, T, _ = x.shape
        q = self.w_q(x).view(B, T, self.heads, self.head_width).transpose(1, 2)
        k = self.w_k(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        v = self.w_v(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        if positions is None:
            positions = torch.arange(T, device=x.device)
        q = apply_rope(self.q_norm(q), positions, self.base)
        k = apply_rope(self.k_norm(k), positions, self.base)
        place = torch.arange(T, device=x.device)
        back = place[:, None] - place
        seen = back >= 0
        if self.window is not None:
            seen = seen & (back < self.window)
        out = grouped_query_attention(q, k, v, seen)
        return self.w_o(out.transpose(1, 2).reshape(B, T, -1))

    def forward(self, x: Tensor, positions: Tensor | None = None) -> Tensor:
        x = x + self.norm2(self.attend(self.norm1(x), positions))
        h = self.norm3(x)
        h = self.gate(h) * nn.functional.gelu(self.up(h), approximate="tanh")
        return x + self.norm4(self.down(h))

# %% exercise="GemmaBlock" wrong="norms_behind_the_sum"
"""norm2 and norm4 act on the sums, so the stream is normalised."""
class GemmaBlock(nn.Module):
    def __init__(
        self, width: int, heads: int, kv_heads: int, head_width: int, hidden: int,
        base: float = 10000.0, window: int | None = None, eps: float = 1e-6,
    ):  # fmt: skip
        super().__init__()
        if heads % kv_heads:
            raise ValueError("heads is no multiple of kv_heads")
        self.heads, self.kv_heads, self.head_width = heads, kv_heads, head_width
        self.base, self.window = base, window
        self.norm1, self.norm2 = RMSNorm(width, eps), RMSNorm(width, eps)
        self.norm3, self.norm4 = RMSNorm(width, eps), RMSNorm(width, eps)
        self.q_norm, self.k_norm = RMSNorm(head_width, eps), RMSNorm(head_width, eps)
        self.w_q = nn.Linear(width, heads * head_width, bias=False)
        self.w_k = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_v = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_o = nn.Linear(heads * head_width, width, bias=False)
        self.gate = nn.Linear(width, hidden, bias=False)
        self.up = nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def attend(self, x, positions):
        B, T, _ = x.shape
        q = self.w_q(x).view(B, T, self.heads, self.head_width).transpose(1, 2)
        k = self.w_k(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        v = self.w_v(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        if positions is None:
            positions = torch.arange(T, device=x.device)
        q = apply_rope(self.q_norm(q), positions, self.base)
        k = apply_rope(self.k_norm(k), positions, self.base)
        place = torch.arange(T, device=x.device)
        back = place[:, None] - place
        seen = back >= 0
        if self.window is not None:
            seen = seen & (back < self.window)
        out = grouped_query_attention(q, k, v, seen)
        return self.w_o(out.transpose(1, 2).reshape(B, T, -1))

    def forward(self, x: Tensor, positions: Tensor | None = None) -> Tensor:
        x = self.norm2(x + self.attend(self.norm1(x), positions))
        h = self.norm3(x)
        h = nn.functional.gelu(self.gate(h), approximate="tanh") * self.up(h)
        return self.norm4(x + self.down(h))

# %% exercise="GemmaBlock" wrong="no_norms_behind"
"""norm2 and norm4 exist, but nothing goes through them."""
class GemmaBlock(nn.Module):
    def __init__(
        self, width: int, heads: int, kv_heads: int, head_width: int, hidden: int,
        base: float = 10000.0, window: int | None = None, eps: float = 1e-6,
    ):  # fmt: skip
        super().__init__()
        if heads % kv_heads:
            raise ValueError("heads is no multiple of kv_heads")
        self.heads, self.kv_heads, self.head_width = heads, kv_heads, head_width
        self.base, self.window = base, window
        self.norm1, self.norm2 = RMSNorm(width, eps), RMSNorm(width, eps)
        self.norm3, self.norm4 = RMSNorm(width, eps), RMSNorm(width, eps)
        self.q_norm, self.k_norm = RMSNorm(head_width, eps), RMSNorm(head_width, eps)
        self.w_q = nn.Linear(width, heads * head_width, bias=False)
        self.w_k = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_v = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_o = nn.Linear(heads * head_width, width, bias=False)
        self.gate = nn.Linear(width, hidden, bias=False)
        self.up = nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def attend(self, x, positions):
        B, T, _ = x.shape
        q = self.w_q(x).view(B, T, self.heads, self.head_width).transpose(1, 2)
        k = self.w_k(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        v = self.w_v(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        if positions is None:
            positions = torch.arange(T, device=x.device)
        q = apply_rope(self.q_norm(q), positions, self.base)
        k = apply_rope(self.k_norm(k), positions, self.base)
        place = torch.arange(T, device=x.device)
        back = place[:, None] - place
        seen = back >= 0
        if self.window is not None:
            seen = seen & (back < self.window)
        out = grouped_query_attention(q, k, v, seen)
        return self.w_o(out.transpose(1, 2).reshape(B, T, -1))

    def forward(self, x: Tensor, positions: Tensor | None = None) -> Tensor:
        x = x + self.attend(self.norm1(x), positions)
        h = self.norm3(x)
        h = nn.functional.gelu(self.gate(h), approximate="tanh") * self.up(h)
        return x + self.down(h)

# %% exercise="GemmaBlock" wrong="norms_numbered_like_llama"
"""norm2 stands before the feed-forward layer and norm3 behind attention."""
class GemmaBlock(nn.Module):
    def __init__(
        self, width: int, heads: int, kv_heads: int, head_width: int, hidden: int,
        base: float = 10000.0, window: int | None = None, eps: float = 1e-6,
    ):  # fmt: skip
        super().__init__()
        if heads % kv_heads:
            raise ValueError("heads is no multiple of kv_heads")
        self.heads, self.kv_heads, self.head_width = heads, kv_heads, head_width
        self.base, self.window = base, window
        self.norm1, self.norm2 = RMSNorm(width, eps), RMSNorm(width, eps)
        self.norm3, self.norm4 = RMSNorm(width, eps), RMSNorm(width, eps)
        self.q_norm, self.k_norm = RMSNorm(head_width, eps), RMSNorm(head_width, eps)
        self.w_q = nn.Linear(width, heads * head_width, bias=False)
        self.w_k = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_v = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_o = nn.Linear(heads * head_width, width, bias=False)
        self.gate = nn.Linear(width, hidden, bias=False)
        self.up = nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def attend(self, x, positions):
        B, T, _ = x.shape
        q = self.w_q(x).view(B, T, self.heads, self.head_width).transpose(1, 2)
        k = self.w_k(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        v = self.w_v(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        if positions is None:
            positions = torch.arange(T, device=x.device)
        q = apply_rope(self.q_norm(q), positions, self.base)
        k = apply_rope(self.k_norm(k), positions, self.base)
        place = torch.arange(T, device=x.device)
        back = place[:, None] - place
        seen = back >= 0
        if self.window is not None:
            seen = seen & (back < self.window)
        out = grouped_query_attention(q, k, v, seen)
        return self.w_o(out.transpose(1, 2).reshape(B, T, -1))

    def forward(self, x: Tensor, positions: Tensor | None = None) -> Tensor:
        x = x + self.norm3(self.attend(self.norm1(x), positions))
        h = self.norm2(x)
        h = nn.functional.gelu(self.gate(h), approximate="tanh") * self.up(h)
        return x + self.norm4(self.down(h))

# %% exercise="GemmaBlock" wrong="one_added_to_the_weights"
"""Norms multiply by 1 + weight, as transformers keeps Gemma's weights."""
class OnePlusNorm(nn.Module):
    def __init__(self, width, eps):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.zeros(width))

    def forward(self, x):
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + self.eps) * (1 + self.weight)


class GemmaBlock(nn.Module):
    def __init__(
        self, width: int, heads: int, kv_heads: int, head_width: int, hidden: int,
        base: float = 10000.0, window: int | None = None, eps: float = 1e-6,
    ):  # fmt: skip
        super().__init__()
        if heads % kv_heads:
            raise ValueError("heads is no multiple of kv_heads")
        self.heads, self.kv_heads, self.head_width = heads, kv_heads, head_width
        self.base, self.window = base, window
        self.norm1, self.norm2 = OnePlusNorm(width, eps), OnePlusNorm(width, eps)
        self.norm3, self.norm4 = OnePlusNorm(width, eps), OnePlusNorm(width, eps)
        self.q_norm, self.k_norm = OnePlusNorm(head_width, eps), OnePlusNorm(head_width, eps)
        self.w_q = nn.Linear(width, heads * head_width, bias=False)
        self.w_k = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_v = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_o = nn.Linear(heads * head_width, width, bias=False)
        self.gate = nn.Linear(width, hidden, bias=False)
        self.up = nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def attend(self, x, positions):
        B, T, _ = x.shape
        q = self.w_q(x).view(B, T, self.heads, self.head_width).transpose(1, 2)
        k = self.w_k(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        v = self.w_v(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        if positions is None:
            positions = torch.arange(T, device=x.device)
        q = apply_rope(self.q_norm(q), positions, self.base)
        k = apply_rope(self.k_norm(k), positions, self.base)
        place = torch.arange(T, device=x.device)
        back = place[:, None] - place
        seen = back >= 0
        if self.window is not None:
            seen = seen & (back < self.window)
        out = grouped_query_attention(q, k, v, seen)
        return self.w_o(out.transpose(1, 2).reshape(B, T, -1))

    def forward(self, x: Tensor, positions: Tensor | None = None) -> Tensor:
        x = x + self.norm2(self.attend(self.norm1(x), positions))
        h = self.norm3(x)
        h = nn.functional.gelu(self.gate(h), approximate="tanh") * self.up(h)
        return x + self.norm4(self.down(h))

# %% exercise="GemmaBlock" wrong="normalised_behind_the_rotation"
"""q_norm and k_norm act on turned heads."""
class GemmaBlock(nn.Module):
    def __init__(
        self, width: int, heads: int, kv_heads: int, head_width: int, hidden: int,
        base: float = 10000.0, window: int | None = None, eps: float = 1e-6,
    ):  # fmt: skip
        super().__init__()
        if heads % kv_heads:
            raise ValueError("heads is no multiple of kv_heads")
        self.heads, self.kv_heads, self.head_width = heads, kv_heads, head_width
        self.base, self.window = base, window
        self.norm1, self.norm2 = RMSNorm(width, eps), RMSNorm(width, eps)
        self.norm3, self.norm4 = RMSNorm(width, eps), RMSNorm(width, eps)
        self.q_norm, self.k_norm = RMSNorm(head_width, eps), RMSNorm(head_width, eps)
        self.w_q = nn.Linear(width, heads * head_width, bias=False)
        self.w_k = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_v = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_o = nn.Linear(heads * head_width, width, bias=False)
        self.gate = nn.Linear(width, hidden, bias=False)
        self.up = nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def attend(self, x, positions):
        B, T, _ = x.shape
        q = self.w_q(x).view(B, T, self.heads, self.head_width).transpose(1, 2)
        k = self.w_k(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        v = self.w_v(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        if positions is None:
            positions = torch.arange(T, device=x.device)
        q = self.q_norm(apply_rope(q, positions, self.base))
        k = self.k_norm(apply_rope(k, positions, self.base))
        place = torch.arange(T, device=x.device)
        back = place[:, None] - place
        seen = back >= 0
        if self.window is not None:
            seen = seen & (back < self.window)
        out = grouped_query_attention(q, k, v, seen)
        return self.w_o(out.transpose(1, 2).reshape(B, T, -1))

    def forward(self, x: Tensor, positions: Tensor | None = None) -> Tensor:
        x = x + self.norm2(self.attend(self.norm1(x), positions))
        h = self.norm3(x)
        h = nn.functional.gelu(self.gate(h), approximate="tanh") * self.up(h)
        return x + self.norm4(self.down(h))

# %% exercise="GemmaBlock" wrong="heads_not_normalised"
"""q_norm and k_norm exist and are not applied."""
class GemmaBlock(nn.Module):
    def __init__(
        self, width: int, heads: int, kv_heads: int, head_width: int, hidden: int,
        base: float = 10000.0, window: int | None = None, eps: float = 1e-6,
    ):  # fmt: skip
        super().__init__()
        if heads % kv_heads:
            raise ValueError("heads is no multiple of kv_heads")
        self.heads, self.kv_heads, self.head_width = heads, kv_heads, head_width
        self.base, self.window = base, window
        self.norm1, self.norm2 = RMSNorm(width, eps), RMSNorm(width, eps)
        self.norm3, self.norm4 = RMSNorm(width, eps), RMSNorm(width, eps)
        self.q_norm, self.k_norm = RMSNorm(head_width, eps), RMSNorm(head_width, eps)
        self.w_q = nn.Linear(width, heads * head_width, bias=False)
        self.w_k = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_v = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_o = nn.Linear(heads * head_width, width, bias=False)
        self.gate = nn.Linear(width, hidden, bias=False)
        self.up = nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def attend(self, x, positions):
        B, T, _ = x.shape
        q = self.w_q(x).view(B, T, self.heads, self.head_width).transpose(1, 2)
        k = self.w_k(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        v = self.w_v(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        if positions is None:
            positions = torch.arange(T, device=x.device)
        q = apply_rope(q, positions, self.base)
        k = apply_rope(k, positions, self.base)
        place = torch.arange(T, device=x.device)
        back = place[:, None] - place
        seen = back >= 0
        if self.window is not None:
            seen = seen & (back < self.window)
        out = grouped_query_attention(q, k, v, seen)
        return self.w_o(out.transpose(1, 2).reshape(B, T, -1))

    def forward(self, x: Tensor, positions: Tensor | None = None) -> Tensor:
        x = x + self.norm2(self.attend(self.norm1(x), positions))
        h = self.norm3(x)
        h = nn.functional.gelu(self.gate(h), approximate="tanh") * self.up(h)
        return x + self.norm4(self.down(h))

# %% exercise="GemmaBlock" wrong="values_normalised"
"""Values are normalised, too, by k_norm."""
class GemmaBlock(nn.Module):
    def __init__(
        self, width: int, heads: int, kv_heads: int, head_width: int, hidden: int,
        base: float = 10000.0, window: int | None = None, eps: float = 1e-6,
    ):  # fmt: skip
        super().__init__()
        if heads % kv_heads:
            raise ValueError("heads is no multiple of kv_heads")
        self.heads, self.kv_heads, self.head_width = heads, kv_heads, head_width
        self.base, self.window = base, window
        self.norm1, self.norm2 = RMSNorm(width, eps), RMSNorm(width, eps)
        self.norm3, self.norm4 = RMSNorm(width, eps), RMSNorm(width, eps)
        self.q_norm, self.k_norm = RMSNorm(head_width, eps), RMSNorm(head_width, eps)
        self.w_q = nn.Linear(width, heads * head_width, bias=False)
        self.w_k = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_v = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_o = nn.Linear(heads * head_width, width, bias=False)
        self.gate = nn.Linear(width, hidden, bias=False)
        self.up = nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def attend(self, x, positions):
        B, T, _ = x.shape
        q = self.w_q(x).view(B, T, self.heads, self.head_width).transpose(1, 2)
        k = self.w_k(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        v = self.w_v(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        if positions is None:
            positions = torch.arange(T, device=x.device)
        q = apply_rope(self.q_norm(q), positions, self.base)
        k = apply_rope(self.k_norm(k), positions, self.base)
        v = self.k_norm(v)
        place = torch.arange(T, device=x.device)
        back = place[:, None] - place
        seen = back >= 0
        if self.window is not None:
            seen = seen & (back < self.window)
        out = grouped_query_attention(q, k, v, seen)
        return self.w_o(out.transpose(1, 2).reshape(B, T, -1))

    def forward(self, x: Tensor, positions: Tensor | None = None) -> Tensor:
        x = x + self.norm2(self.attend(self.norm1(x), positions))
        h = self.norm3(x)
        h = nn.functional.gelu(self.gate(h), approximate="tanh") * self.up(h)
        return x + self.norm4(self.down(h))

# %% exercise="GemmaBlock" wrong="scaled_like_the_width"
"""Scores are scaled by the root of D / H, not of d."""
class GemmaBlock(nn.Module):
    def __init__(
        self, width: int, heads: int, kv_heads: int, head_width: int, hidden: int,
        base: float = 10000.0, window: int | None = None, eps: float = 1e-6,
    ):  # fmt: skip
        super().__init__()
        if heads % kv_heads:
            raise ValueError("heads is no multiple of kv_heads")
        self.heads, self.kv_heads, self.head_width = heads, kv_heads, head_width
        self.base, self.window = base, window
        self.norm1, self.norm2 = RMSNorm(width, eps), RMSNorm(width, eps)
        self.norm3, self.norm4 = RMSNorm(width, eps), RMSNorm(width, eps)
        self.q_norm, self.k_norm = RMSNorm(head_width, eps), RMSNorm(head_width, eps)
        self.w_q = nn.Linear(width, heads * head_width, bias=False)
        self.w_k = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_v = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_o = nn.Linear(heads * head_width, width, bias=False)
        self.gate = nn.Linear(width, hidden, bias=False)
        self.up = nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def attend(self, x, positions):
        B, T, _ = x.shape
        q = self.w_q(x).view(B, T, self.heads, self.head_width).transpose(1, 2)
        k = self.w_k(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        v = self.w_v(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        if positions is None:
            positions = torch.arange(T, device=x.device)
        q = apply_rope(self.q_norm(q), positions, self.base)
        k = apply_rope(self.k_norm(k), positions, self.base)
        place = torch.arange(T, device=x.device)
        back = place[:, None] - place
        seen = back >= 0
        if self.window is not None:
            seen = seen & (back < self.window)
        q = q * math.sqrt(self.head_width * self.heads / x.shape[-1])
        out = grouped_query_attention(q, k, v, seen)
        return self.w_o(out.transpose(1, 2).reshape(B, T, -1))

    def forward(self, x: Tensor, positions: Tensor | None = None) -> Tensor:
        x = x + self.norm2(self.attend(self.norm1(x), positions))
        h = self.norm3(x)
        h = nn.functional.gelu(self.gate(h), approximate="tanh") * self.up(h)
        return x + self.norm4(self.down(h))

# %% exercise="GemmaBlock" wrong="not_scaled"
"""Scores are not scaled, as the heads are normalised."""
class GemmaBlock(nn.Module):
    def __init__(
        self, width: int, heads: int, kv_heads: int, head_width: int, hidden: int,
        base: float = 10000.0, window: int | None = None, eps: float = 1e-6,
    ):  # fmt: skip
        super().__init__()
        if heads % kv_heads:
            raise ValueError("heads is no multiple of kv_heads")
        self.heads, self.kv_heads, self.head_width = heads, kv_heads, head_width
        self.base, self.window = base, window
        self.norm1, self.norm2 = RMSNorm(width, eps), RMSNorm(width, eps)
        self.norm3, self.norm4 = RMSNorm(width, eps), RMSNorm(width, eps)
        self.q_norm, self.k_norm = RMSNorm(head_width, eps), RMSNorm(head_width, eps)
        self.w_q = nn.Linear(width, heads * head_width, bias=False)
        self.w_k = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_v = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_o = nn.Linear(heads * head_width, width, bias=False)
        self.gate = nn.Linear(width, hidden, bias=False)
        self.up = nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def attend(self, x, positions):
        B, T, _ = x.shape
        q = self.w_q(x).view(B, T, self.heads, self.head_width).transpose(1, 2)
        k = self.w_k(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        v = self.w_v(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        if positions is None:
            positions = torch.arange(T, device=x.device)
        q = apply_rope(self.q_norm(q), positions, self.base)
        k = apply_rope(self.k_norm(k), positions, self.base)
        place = torch.arange(T, device=x.device)
        back = place[:, None] - place
        seen = back >= 0
        if self.window is not None:
            seen = seen & (back < self.window)
        q = q * math.sqrt(self.head_width)
        out = grouped_query_attention(q, k, v, seen)
        return self.w_o(out.transpose(1, 2).reshape(B, T, -1))

    def forward(self, x: Tensor, positions: Tensor | None = None) -> Tensor:
        x = x + self.norm2(self.attend(self.norm1(x), positions))
        h = self.norm3(x)
        h = nn.functional.gelu(self.gate(h), approximate="tanh") * self.up(h)
        return x + self.norm4(self.down(h))

# %% exercise="GemmaBlock" wrong="base_ignored"
"""Rotations always have base 10000."""
class GemmaBlock(nn.Module):
    def __init__(
        self, width: int, heads: int, kv_heads: int, head_width: int, hidden: int,
        base: float = 10000.0, window: int | None = None, eps: float = 1e-6,
    ):  # fmt: skip
        super().__init__()
        if heads % kv_heads:
            raise ValueError("heads is no multiple of kv_heads")
        self.heads, self.kv_heads, self.head_width = heads, kv_heads, head_width
        self.base, self.window = base, window
        self.norm1, self.norm2 = RMSNorm(width, eps), RMSNorm(width, eps)
        self.norm3, self.norm4 = RMSNorm(width, eps), RMSNorm(width, eps)
        self.q_norm, self.k_norm = RMSNorm(head_width, eps), RMSNorm(head_width, eps)
        self.w_q = nn.Linear(width, heads * head_width, bias=False)
        self.w_k = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_v = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_o = nn.Linear(heads * head_width, width, bias=False)
        self.gate = nn.Linear(width, hidden, bias=False)
        self.up = nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def attend(self, x, positions):
        B, T, _ = x.shape
        q = self.w_q(x).view(B, T, self.heads, self.head_width).transpose(1, 2)
        k = self.w_k(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        v = self.w_v(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        if positions is None:
            positions = torch.arange(T, device=x.device)
        q = apply_rope(self.q_norm(q), positions)
        k = apply_rope(self.k_norm(k), positions)
        place = torch.arange(T, device=x.device)
        back = place[:, None] - place
        seen = back >= 0
        if self.window is not None:
            seen = seen & (back < self.window)
        out = grouped_query_attention(q, k, v, seen)
        return self.w_o(out.transpose(1, 2).reshape(B, T, -1))

    def forward(self, x: Tensor, positions: Tensor | None = None) -> Tensor:
        x = x + self.norm2(self.attend(self.norm1(x), positions))
        h = self.norm3(x)
        h = nn.functional.gelu(self.gate(h), approximate="tanh") * self.up(h)
        return x + self.norm4(self.down(h))

# %% exercise="GemmaBlock" wrong="positions_ignored"
"""Positions are 0 to T - 1 whatever was given."""
class GemmaBlock(nn.Module):
    def __init__(
        self, width: int, heads: int, kv_heads: int, head_width: int, hidden: int,
        base: float = 10000.0, window: int | None = None, eps: float = 1e-6,
    ):  # fmt: skip
        super().__init__()
        if heads % kv_heads:
            raise ValueError("heads is no multiple of kv_heads")
        self.heads, self.kv_heads, self.head_width = heads, kv_heads, head_width
        self.base, self.window = base, window
        self.norm1, self.norm2 = RMSNorm(width, eps), RMSNorm(width, eps)
        self.norm3, self.norm4 = RMSNorm(width, eps), RMSNorm(width, eps)
        self.q_norm, self.k_norm = RMSNorm(head_width, eps), RMSNorm(head_width, eps)
        self.w_q = nn.Linear(width, heads * head_width, bias=False)
        self.w_k = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_v = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_o = nn.Linear(heads * head_width, width, bias=False)
        self.gate = nn.Linear(width, hidden, bias=False)
        self.up = nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def attend(self, x, positions):
        B, T, _ = x.shape
        q = self.w_q(x).view(B, T, self.heads, self.head_width).transpose(1, 2)
        k = self.w_k(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        v = self.w_v(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        positions = torch.arange(T, device=x.device)
        q = apply_rope(self.q_norm(q), positions, self.base)
        k = apply_rope(self.k_norm(k), positions, self.base)
        place = torch.arange(T, device=x.device)
        back = place[:, None] - place
        seen = back >= 0
        if self.window is not None:
            seen = seen & (back < self.window)
        out = grouped_query_attention(q, k, v, seen)
        return self.w_o(out.transpose(1, 2).reshape(B, T, -1))

    def forward(self, x: Tensor, positions: Tensor | None = None) -> Tensor:
        x = x + self.norm2(self.attend(self.norm1(x), positions))
        h = self.norm3(x)
        h = nn.functional.gelu(self.gate(h), approximate="tanh") * self.up(h)
        return x + self.norm4(self.down(h))

# %% exercise="GemmaBlock" wrong="interleaved_pairs"
"""Turns the pairs 2i and 2i + 1."""
class GemmaBlock(nn.Module):
    def __init__(
        self, width: int, heads: int, kv_heads: int, head_width: int, hidden: int,
        base: float = 10000.0, window: int | None = None, eps: float = 1e-6,
    ):  # fmt: skip
        super().__init__()
        if heads % kv_heads:
            raise ValueError("heads is no multiple of kv_heads")
        self.heads, self.kv_heads, self.head_width = heads, kv_heads, head_width
        self.base, self.window = base, window
        self.norm1, self.norm2 = RMSNorm(width, eps), RMSNorm(width, eps)
        self.norm3, self.norm4 = RMSNorm(width, eps), RMSNorm(width, eps)
        self.q_norm, self.k_norm = RMSNorm(head_width, eps), RMSNorm(head_width, eps)
        self.w_q = nn.Linear(width, heads * head_width, bias=False)
        self.w_k = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_v = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_o = nn.Linear(heads * head_width, width, bias=False)
        self.gate = nn.Linear(width, hidden, bias=False)
        self.up = nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def attend(self, x, positions):
        B, T, _ = x.shape
        q = self.w_q(x).view(B, T, self.heads, self.head_width).transpose(1, 2)
        k = self.w_k(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        v = self.w_v(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        if positions is None:
            positions = torch.arange(T, device=x.device)
        q = apply_rope(self.q_norm(q), positions, self.base, "interleaved")
        k = apply_rope(self.k_norm(k), positions, self.base, "interleaved")
        place = torch.arange(T, device=x.device)
        back = place[:, None] - place
        seen = back >= 0
        if self.window is not None:
            seen = seen & (back < self.window)
        out = grouped_query_attention(q, k, v, seen)
        return self.w_o(out.transpose(1, 2).reshape(B, T, -1))

    def forward(self, x: Tensor, positions: Tensor | None = None) -> Tensor:
        x = x + self.norm2(self.attend(self.norm1(x), positions))
        h = self.norm3(x)
        h = nn.functional.gelu(self.gate(h), approximate="tanh") * self.up(h)
        return x + self.norm4(self.down(h))

# %% exercise="GemmaBlock" wrong="eps_of_the_head_norms_ignored"
"""q_norm and k_norm do not get the eps that was given."""
class GemmaBlock(nn.Module):
    def __init__(
        self, width: int, heads: int, kv_heads: int, head_width: int, hidden: int,
        base: float = 10000.0, window: int | None = None, eps: float = 1e-6,
    ):  # fmt: skip
        super().__init__()
        if heads % kv_heads:
            raise ValueError("heads is no multiple of kv_heads")
        self.heads, self.kv_heads, self.head_width = heads, kv_heads, head_width
        self.base, self.window = base, window
        self.norm1, self.norm2 = RMSNorm(width, eps), RMSNorm(width, eps)
        self.norm3, self.norm4 = RMSNorm(width, eps), RMSNorm(width, eps)
        self.q_norm, self.k_norm = RMSNorm(head_width), RMSNorm(head_width)
        self.w_q = nn.Linear(width, heads * head_width, bias=False)
        self.w_k = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_v = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_o = nn.Linear(heads * head_width, width, bias=False)
        self.gate = nn.Linear(width, hidden, bias=False)
        self.up = nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def attend(self, x, positions):
        B, T, _ = x.shape
        q = self.w_q(x).view(B, T, self.heads, self.head_width).transpose(1, 2)
        k = self.w_k(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        v = self.w_v(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        if positions is None:
            positions = torch.arange(T, device=x.device)
        q = apply_rope(self.q_norm(q), positions, self.base)
        k = apply_rope(self.k_norm(k), positions, self.base)
        place = torch.arange(T, device=x.device)
        back = place[:, None] - place
        seen = back >= 0
        if self.window is not None:
            seen = seen & (back < self.window)
        out = grouped_query_attention(q, k, v, seen)
        return self.w_o(out.transpose(1, 2).reshape(B, T, -1))

    def forward(self, x: Tensor, positions: Tensor | None = None) -> Tensor:
        x = x + self.norm2(self.attend(self.norm1(x), positions))
        h = self.norm3(x)
        h = nn.functional.gelu(self.gate(h), approximate="tanh") * self.up(h)
        return x + self.norm4(self.down(h))

# %% exercise="GemmaBlock" wrong="head_width_from_the_width"
"""Heads are D / H wide whatever was given."""
class GemmaBlock(nn.Module):
    def __init__(
        self, width: int, heads: int, kv_heads: int, head_width: int, hidden: int,
        base: float = 10000.0, window: int | None = None, eps: float = 1e-6,
    ):  # fmt: skip
        super().__init__()
        if heads % kv_heads:
            raise ValueError("heads is no multiple of kv_heads")
        head_width = width // heads
        self.heads, self.kv_heads, self.head_width = heads, kv_heads, head_width
        self.base, self.window = base, window
        self.norm1, self.norm2 = RMSNorm(width, eps), RMSNorm(width, eps)
        self.norm3, self.norm4 = RMSNorm(width, eps), RMSNorm(width, eps)
        self.q_norm, self.k_norm = RMSNorm(head_width, eps), RMSNorm(head_width, eps)
        self.w_q = nn.Linear(width, heads * head_width, bias=False)
        self.w_k = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_v = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_o = nn.Linear(heads * head_width, width, bias=False)
        self.gate = nn.Linear(width, hidden, bias=False)
        self.up = nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def attend(self, x, positions):
        B, T, _ = x.shape
        q = self.w_q(x).view(B, T, self.heads, self.head_width).transpose(1, 2)
        k = self.w_k(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        v = self.w_v(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        if positions is None:
            positions = torch.arange(T, device=x.device)
        q = apply_rope(self.q_norm(q), positions, self.base)
        k = apply_rope(self.k_norm(k), positions, self.base)
        place = torch.arange(T, device=x.device)
        back = place[:, None] - place
        seen = back >= 0
        if self.window is not None:
            seen = seen & (back < self.window)
        out = grouped_query_attention(q, k, v, seen)
        return self.w_o(out.transpose(1, 2).reshape(B, T, -1))

    def forward(self, x: Tensor, positions: Tensor | None = None) -> Tensor:
        x = x + self.norm2(self.attend(self.norm1(x), positions))
        h = self.norm3(x)
        h = nn.functional.gelu(self.gate(h), approximate="tanh") * self.up(h)
        return x + self.norm4(self.down(h))

# %% exercise="GemmaBlock" wrong="uneven_heads_found_late"
"""Heads that are no multiple of kv_heads are found in forward, not when the block is made."""
class GemmaBlock(nn.Module):
    def __init__(
        self, width: int, heads: int, kv_heads: int, head_width: int, hidden: int,
        base: float = 10000.0, window: int | None = None, eps: float = 1e-6,
    ):  # fmt: skip
        super().__init__()
        self.heads, self.kv_heads, self.head_width = heads, kv_heads, head_width
        self.base, self.window = base, window
        self.norm1, self.norm2 = RMSNorm(width, eps), RMSNorm(width, eps)
        self.norm3, self.norm4 = RMSNorm(width, eps), RMSNorm(width, eps)
        self.q_norm, self.k_norm = RMSNorm(head_width, eps), RMSNorm(head_width, eps)
        self.w_q = nn.Linear(width, heads * head_width, bias=False)
        self.w_k = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_v = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_o = nn.Linear(heads * head_width, width, bias=False)
        self.gate = nn.Linear(width, hidden, bias=False)
        self.up = nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def attend(self, x, positions):
        B, T, _ = x.shape
        q = self.w_q(x).view(B, T, self.heads, self.head_width).transpose(1, 2)
        k = self.w_k(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        v = self.w_v(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        if positions is None:
            positions = torch.arange(T, device=x.device)
        q = apply_rope(self.q_norm(q), positions, self.base)
        k = apply_rope(self.k_norm(k), positions, self.base)
        place = torch.arange(T, device=x.device)
        back = place[:, None] - place
        seen = back >= 0
        if self.window is not None:
            seen = seen & (back < self.window)
        out = grouped_query_attention(q, k, v, seen)
        return self.w_o(out.transpose(1, 2).reshape(B, T, -1))

    def forward(self, x: Tensor, positions: Tensor | None = None) -> Tensor:
        x = x + self.norm2(self.attend(self.norm1(x), positions))
        h = self.norm3(x)
        h = nn.functional.gelu(self.gate(h), approximate="tanh") * self.up(h)
        return x + self.norm4(self.down(h))

# %% exercise="GemmaBlock" wrong="one_added_to_the_weights_too"
"""Its norms multiply by 1 + weight, as those of transformers do."""
class GemmaNorm(nn.Module):
    def __init__(self, width, eps):
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.ones(width)), eps

    def forward(self, x):
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + self.eps) * (1 + self.weight)


class GemmaBlock(nn.Module):
    def __init__(
        self, width: int, heads: int, kv_heads: int, head_width: int, hidden: int,
        base: float = 10000.0, window: int | None = None, eps: float = 1e-6,
    ):  # fmt: skip
        super().__init__()
        if heads % kv_heads:
            raise ValueError(f"{heads} heads are no multiple of {kv_heads}")
        self.heads, self.kv_heads, self.head_width = heads, kv_heads, head_width
        self.base, self.window = base, window
        self.norm1, self.norm2 = GemmaNorm(width, eps), GemmaNorm(width, eps)
        self.norm3, self.norm4 = GemmaNorm(width, eps), GemmaNorm(width, eps)
        self.q_norm, self.k_norm = GemmaNorm(head_width, eps), GemmaNorm(head_width, eps)
        self.w_q = nn.Linear(width, heads * head_width, bias=False)
        self.w_k = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_v = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_o = nn.Linear(heads * head_width, width, bias=False)
        self.gate = nn.Linear(width, hidden, bias=False)
        self.up = nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def attention(self, x, positions):
        B, T, _ = x.shape
        places = torch.arange(T, device=x.device)
        if positions is None:
            positions = places
        q = self.w_q(x).view(B, T, self.heads, self.head_width).transpose(1, 2)
        k = self.w_k(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        v = self.w_v(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        q = apply_rope(self.q_norm(q), positions, self.base)
        k = apply_rope(self.k_norm(k), positions, self.base)
        back = places[:, None] - places
        visible = back >= 0
        if self.window is not None:
            visible = visible & (back < self.window)
        shared = self.heads // self.kv_heads
        k, v = k.repeat_interleave(shared, 1), v.repeat_interleave(shared, 1)
        scores = q @ k.transpose(-2, -1) / math.sqrt(self.head_width)
        return (masked_softmax(scores, visible) @ v).transpose(1, 2).reshape(B, T, -1)

    def forward(self, x: Tensor, positions: Tensor | None = None) -> Tensor:
        x = x + self.norm2(self.w_o(self.attention(self.norm1(x), positions)))
        h = self.norm3(x)
        h = nn.functional.gelu(self.gate(h), approximate="tanh") * self.up(h)
        return x + self.norm4(self.down(h))

# %% exercise="GemmaBlock" wrong="window_one_too_wide_too"
"""A token sees itself and window tokens before it."""
class GemmaBlock(nn.Module):
    def __init__(
        self, width: int, heads: int, kv_heads: int, head_width: int, hidden: int,
        base: float = 10000.0, window: int | None = None, eps: float = 1e-6,
    ):  # fmt: skip
        super().__init__()
        if heads % kv_heads:
            raise ValueError(f"{heads} heads are no multiple of {kv_heads}")
        self.heads, self.kv_heads, self.head_width = heads, kv_heads, head_width
        self.base, self.window = base, window
        self.norm1, self.norm2 = RMSNorm(width, eps), RMSNorm(width, eps)
        self.norm3, self.norm4 = RMSNorm(width, eps), RMSNorm(width, eps)
        self.q_norm, self.k_norm = RMSNorm(head_width, eps), RMSNorm(head_width, eps)
        self.w_q = nn.Linear(width, heads * head_width, bias=False)
        self.w_k = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_v = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_o = nn.Linear(heads * head_width, width, bias=False)
        self.gate = nn.Linear(width, hidden, bias=False)
        self.up = nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def attention(self, x, positions):
        B, T, _ = x.shape
        places = torch.arange(T, device=x.device)
        if positions is None:
            positions = places
        q = self.w_q(x).view(B, T, self.heads, self.head_width).transpose(1, 2)
        k = self.w_k(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        v = self.w_v(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        q = apply_rope(self.q_norm(q), positions, self.base)
        k = apply_rope(self.k_norm(k), positions, self.base)
        back = places[:, None] - places
        visible = back >= 0
        if self.window is not None:
            visible = visible & (back <= self.window)
        shared = self.heads // self.kv_heads
        k, v = k.repeat_interleave(shared, 1), v.repeat_interleave(shared, 1)
        scores = q @ k.transpose(-2, -1) / math.sqrt(self.head_width)
        return (masked_softmax(scores, visible) @ v).transpose(1, 2).reshape(B, T, -1)

    def forward(self, x: Tensor, positions: Tensor | None = None) -> Tensor:
        x = x + self.norm2(self.w_o(self.attention(self.norm1(x), positions)))
        h = self.norm3(x)
        h = nn.functional.gelu(self.gate(h), approximate="tanh") * self.up(h)
        return x + self.norm4(self.down(h))

# %% exercise="GemmaBlock" wrong="window_in_positions"
"""Measures the window by the numbers of the positions, not by places in the row."""
class GemmaBlock(nn.Module):
    def __init__(
        self, width: int, heads: int, kv_heads: int, head_width: int, hidden: int,
        base: float = 10000.0, window: int | None = None, eps: float = 1e-6,
    ):  # fmt: skip
        super().__init__()
        if heads % kv_heads:
            raise ValueError(f"{heads} heads are no multiple of {kv_heads}")
        self.heads, self.kv_heads, self.head_width = heads, kv_heads, head_width
        self.base, self.window = base, window
        self.norm1, self.norm2 = RMSNorm(width, eps), RMSNorm(width, eps)
        self.norm3, self.norm4 = RMSNorm(width, eps), RMSNorm(width, eps)
        self.q_norm, self.k_norm = RMSNorm(head_width, eps), RMSNorm(head_width, eps)
        self.w_q = nn.Linear(width, heads * head_width, bias=False)
        self.w_k = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_v = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_o = nn.Linear(heads * head_width, width, bias=False)
        self.gate = nn.Linear(width, hidden, bias=False)
        self.up = nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def attention(self, x, positions):
        B, T, _ = x.shape
        places = torch.arange(T, device=x.device)
        if positions is None:
            positions = places
        q = self.w_q(x).view(B, T, self.heads, self.head_width).transpose(1, 2)
        k = self.w_k(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        v = self.w_v(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        q = apply_rope(self.q_norm(q), positions, self.base)
        k = apply_rope(self.k_norm(k), positions, self.base)
        back = places[:, None] - places
        visible = back >= 0
        if self.window is not None:
            visible = visible & (positions[:, None] - positions < self.window)
        shared = self.heads // self.kv_heads
        k, v = k.repeat_interleave(shared, 1), v.repeat_interleave(shared, 1)
        scores = q @ k.transpose(-2, -1) / math.sqrt(self.head_width)
        return (masked_softmax(scores, visible) @ v).transpose(1, 2).reshape(B, T, -1)

    def forward(self, x: Tensor, positions: Tensor | None = None) -> Tensor:
        x = x + self.norm2(self.w_o(self.attention(self.norm1(x), positions)))
        h = self.norm3(x)
        h = nn.functional.gelu(self.gate(h), approximate="tanh") * self.up(h)
        return x + self.norm4(self.down(h))

# %% exercise="GemmaBlock" wrong="windows_as_blocks"
"""Cuts the row into pieces of the window's length; the first token of a piece sees nothing but itself."""
class GemmaBlock(nn.Module):
    def __init__(
        self, width: int, heads: int, kv_heads: int, head_width: int, hidden: int,
        base: float = 10000.0, window: int | None = None, eps: float = 1e-6,
    ):  # fmt: skip
        super().__init__()
        if heads % kv_heads:
            raise ValueError(f"{heads} heads are no multiple of {kv_heads}")
        self.heads, self.kv_heads, self.head_width = heads, kv_heads, head_width
        self.base, self.window = base, window
        self.norm1, self.norm2 = RMSNorm(width, eps), RMSNorm(width, eps)
        self.norm3, self.norm4 = RMSNorm(width, eps), RMSNorm(width, eps)
        self.q_norm, self.k_norm = RMSNorm(head_width, eps), RMSNorm(head_width, eps)
        self.w_q = nn.Linear(width, heads * head_width, bias=False)
        self.w_k = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_v = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_o = nn.Linear(heads * head_width, width, bias=False)
        self.gate = nn.Linear(width, hidden, bias=False)
        self.up = nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def attention(self, x, positions):
        B, T, _ = x.shape
        places = torch.arange(T, device=x.device)
        if positions is None:
            positions = places
        q = self.w_q(x).view(B, T, self.heads, self.head_width).transpose(1, 2)
        k = self.w_k(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        v = self.w_v(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        q = apply_rope(self.q_norm(q), positions, self.base)
        k = apply_rope(self.k_norm(k), positions, self.base)
        back = places[:, None] - places
        visible = back >= 0
        if self.window is not None:
            visible = visible & (places[:, None] // self.window == places // self.window)
        shared = self.heads // self.kv_heads
        k, v = k.repeat_interleave(shared, 1), v.repeat_interleave(shared, 1)
        scores = q @ k.transpose(-2, -1) / math.sqrt(self.head_width)
        return (masked_softmax(scores, visible) @ v).transpose(1, 2).reshape(B, T, -1)

    def forward(self, x: Tensor, positions: Tensor | None = None) -> Tensor:
        x = x + self.norm2(self.w_o(self.attention(self.norm1(x), positions)))
        h = self.norm3(x)
        h = nn.functional.gelu(self.gate(h), approximate="tanh") * self.up(h)
        return x + self.norm4(self.down(h))

# %% exercise="GemmaBlock" wrong="exact_gelu_too"
"""Gates with the exact GELU."""
class GemmaBlock(nn.Module):
    def __init__(
        self, width: int, heads: int, kv_heads: int, head_width: int, hidden: int,
        base: float = 10000.0, window: int | None = None, eps: float = 1e-6,
    ):  # fmt: skip
        super().__init__()
        if heads % kv_heads:
            raise ValueError(f"{heads} heads are no multiple of {kv_heads}")
        self.heads, self.kv_heads, self.head_width = heads, kv_heads, head_width
        self.base, self.window = base, window
        self.norm1, self.norm2 = RMSNorm(width, eps), RMSNorm(width, eps)
        self.norm3, self.norm4 = RMSNorm(width, eps), RMSNorm(width, eps)
        self.q_norm, self.k_norm = RMSNorm(head_width, eps), RMSNorm(head_width, eps)
        self.w_q = nn.Linear(width, heads * head_width, bias=False)
        self.w_k = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_v = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_o = nn.Linear(heads * head_width, width, bias=False)
        self.gate = nn.Linear(width, hidden, bias=False)
        self.up = nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def attention(self, x, positions):
        B, T, _ = x.shape
        places = torch.arange(T, device=x.device)
        if positions is None:
            positions = places
        q = self.w_q(x).view(B, T, self.heads, self.head_width).transpose(1, 2)
        k = self.w_k(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        v = self.w_v(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        q = apply_rope(self.q_norm(q), positions, self.base)
        k = apply_rope(self.k_norm(k), positions, self.base)
        back = places[:, None] - places
        visible = back >= 0
        if self.window is not None:
            visible = visible & (back < self.window)
        shared = self.heads // self.kv_heads
        k, v = k.repeat_interleave(shared, 1), v.repeat_interleave(shared, 1)
        scores = q @ k.transpose(-2, -1) / math.sqrt(self.head_width)
        return (masked_softmax(scores, visible) @ v).transpose(1, 2).reshape(B, T, -1)

    def forward(self, x: Tensor, positions: Tensor | None = None) -> Tensor:
        x = x + self.norm2(self.w_o(self.attention(self.norm1(x), positions)))
        h = self.norm3(x)
        h = nn.functional.gelu(self.gate(h)) * self.up(h)
        return x + self.norm4(self.down(h))

# %% exercise="GemmaBlock" wrong="silu_gate"
"""Gates with SiLU, as Llama does."""
class GemmaBlock(nn.Module):
    def __init__(
        self, width: int, heads: int, kv_heads: int, head_width: int, hidden: int,
        base: float = 10000.0, window: int | None = None, eps: float = 1e-6,
    ):  # fmt: skip
        super().__init__()
        if heads % kv_heads:
            raise ValueError(f"{heads} heads are no multiple of {kv_heads}")
        self.heads, self.kv_heads, self.head_width = heads, kv_heads, head_width
        self.base, self.window = base, window
        self.norm1, self.norm2 = RMSNorm(width, eps), RMSNorm(width, eps)
        self.norm3, self.norm4 = RMSNorm(width, eps), RMSNorm(width, eps)
        self.q_norm, self.k_norm = RMSNorm(head_width, eps), RMSNorm(head_width, eps)
        self.w_q = nn.Linear(width, heads * head_width, bias=False)
        self.w_k = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_v = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_o = nn.Linear(heads * head_width, width, bias=False)
        self.gate = nn.Linear(width, hidden, bias=False)
        self.up = nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def attention(self, x, positions):
        B, T, _ = x.shape
        places = torch.arange(T, device=x.device)
        if positions is None:
            positions = places
        q = self.w_q(x).view(B, T, self.heads, self.head_width).transpose(1, 2)
        k = self.w_k(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        v = self.w_v(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        q = apply_rope(self.q_norm(q), positions, self.base)
        k = apply_rope(self.k_norm(k), positions, self.base)
        back = places[:, None] - places
        visible = back >= 0
        if self.window is not None:
            visible = visible & (back < self.window)
        shared = self.heads // self.kv_heads
        k, v = k.repeat_interleave(shared, 1), v.repeat_interleave(shared, 1)
        scores = q @ k.transpose(-2, -1) / math.sqrt(self.head_width)
        return (masked_softmax(scores, visible) @ v).transpose(1, 2).reshape(B, T, -1)

    def forward(self, x: Tensor, positions: Tensor | None = None) -> Tensor:
        x = x + self.norm2(self.w_o(self.attention(self.norm1(x), positions)))
        h = self.norm3(x)
        h = nn.functional.silu(self.gate(h)) * self.up(h)
        return x + self.norm4(self.down(h))

# %% exercise="GemmaBlock" wrong="gate_and_up_exchanged"
"""The GELU acts on up, not on the gate."""
class GemmaBlock(nn.Module):
    def __init__(
        self, width: int, heads: int, kv_heads: int, head_width: int, hidden: int,
        base: float = 10000.0, window: int | None = None, eps: float = 1e-6,
    ):  # fmt: skip
        super().__init__()
        if heads % kv_heads:
            raise ValueError(f"{heads} heads are no multiple of {kv_heads}")
        self.heads, self.kv_heads, self.head_width = heads, kv_heads, head_width
        self.base, self.window = base, window
        self.norm1, self.norm2 = RMSNorm(width, eps), RMSNorm(width, eps)
        self.norm3, self.norm4 = RMSNorm(width, eps), RMSNorm(width, eps)
        self.q_norm, self.k_norm = RMSNorm(head_width, eps), RMSNorm(head_width, eps)
        self.w_q = nn.Linear(width, heads * head_width, bias=False)
        self.w_k = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_v = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_o = nn.Linear(heads * head_width, width, bias=False)
        self.gate = nn.Linear(width, hidden, bias=False)
        self.up = nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def attention(self, x, positions):
        B, T, _ = x.shape
        places = torch.arange(T, device=x.device)
        if positions is None:
            positions = places
        q = self.w_q(x).view(B, T, self.heads, self.head_width).transpose(1, 2)
        k = self.w_k(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        v = self.w_v(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        q = apply_rope(self.q_norm(q), positions, self.base)
        k = apply_rope(self.k_norm(k), positions, self.base)
        back = places[:, None] - places
        visible = back >= 0
        if self.window is not None:
            visible = visible & (back < self.window)
        shared = self.heads // self.kv_heads
        k, v = k.repeat_interleave(shared, 1), v.repeat_interleave(shared, 1)
        scores = q @ k.transpose(-2, -1) / math.sqrt(self.head_width)
        return (masked_softmax(scores, visible) @ v).transpose(1, 2).reshape(B, T, -1)

    def forward(self, x: Tensor, positions: Tensor | None = None) -> Tensor:
        x = x + self.norm2(self.w_o(self.attention(self.norm1(x), positions)))
        h = self.norm3(x)
        h = self.gate(h) * nn.functional.gelu(self.up(h), approximate="tanh")
        return x + self.norm4(self.down(h))

# %% exercise="GemmaBlock" wrong="norm_behind_the_sum"
"""norm2 normalises the sum, so the stream itself, as in a post-norm layer."""
class GemmaBlock(nn.Module):
    def __init__(
        self, width: int, heads: int, kv_heads: int, head_width: int, hidden: int,
        base: float = 10000.0, window: int | None = None, eps: float = 1e-6,
    ):  # fmt: skip
        super().__init__()
        if heads % kv_heads:
            raise ValueError(f"{heads} heads are no multiple of {kv_heads}")
        self.heads, self.kv_heads, self.head_width = heads, kv_heads, head_width
        self.base, self.window = base, window
        self.norm1, self.norm2 = RMSNorm(width, eps), RMSNorm(width, eps)
        self.norm3, self.norm4 = RMSNorm(width, eps), RMSNorm(width, eps)
        self.q_norm, self.k_norm = RMSNorm(head_width, eps), RMSNorm(head_width, eps)
        self.w_q = nn.Linear(width, heads * head_width, bias=False)
        self.w_k = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_v = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_o = nn.Linear(heads * head_width, width, bias=False)
        self.gate = nn.Linear(width, hidden, bias=False)
        self.up = nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def attention(self, x, positions):
        B, T, _ = x.shape
        places = torch.arange(T, device=x.device)
        if positions is None:
            positions = places
        q = self.w_q(x).view(B, T, self.heads, self.head_width).transpose(1, 2)
        k = self.w_k(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        v = self.w_v(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        q = apply_rope(self.q_norm(q), positions, self.base)
        k = apply_rope(self.k_norm(k), positions, self.base)
        back = places[:, None] - places
        visible = back >= 0
        if self.window is not None:
            visible = visible & (back < self.window)
        shared = self.heads // self.kv_heads
        k, v = k.repeat_interleave(shared, 1), v.repeat_interleave(shared, 1)
        scores = q @ k.transpose(-2, -1) / math.sqrt(self.head_width)
        return (masked_softmax(scores, visible) @ v).transpose(1, 2).reshape(B, T, -1)

    def forward(self, x: Tensor, positions: Tensor | None = None) -> Tensor:
        x = self.norm2(x + self.w_o(self.attention(self.norm1(x), positions)))
        h = self.norm3(x)
        h = nn.functional.gelu(self.gate(h), approximate="tanh") * self.up(h)
        return x + self.norm4(self.down(h))

# %% exercise="GemmaBlock" wrong="turned_before_normalised"
"""Turns first and normalises afterwards, which the norms' weights notice."""
class GemmaBlock(nn.Module):
    def __init__(
        self, width: int, heads: int, kv_heads: int, head_width: int, hidden: int,
        base: float = 10000.0, window: int | None = None, eps: float = 1e-6,
    ):  # fmt: skip
        super().__init__()
        if heads % kv_heads:
            raise ValueError(f"{heads} heads are no multiple of {kv_heads}")
        self.heads, self.kv_heads, self.head_width = heads, kv_heads, head_width
        self.base, self.window = base, window
        self.norm1, self.norm2 = RMSNorm(width, eps), RMSNorm(width, eps)
        self.norm3, self.norm4 = RMSNorm(width, eps), RMSNorm(width, eps)
        self.q_norm, self.k_norm = RMSNorm(head_width, eps), RMSNorm(head_width, eps)
        self.w_q = nn.Linear(width, heads * head_width, bias=False)
        self.w_k = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_v = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_o = nn.Linear(heads * head_width, width, bias=False)
        self.gate = nn.Linear(width, hidden, bias=False)
        self.up = nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def attention(self, x, positions):
        B, T, _ = x.shape
        places = torch.arange(T, device=x.device)
        if positions is None:
            positions = places
        q = self.w_q(x).view(B, T, self.heads, self.head_width).transpose(1, 2)
        k = self.w_k(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        v = self.w_v(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        q = self.q_norm(apply_rope(q, positions, self.base))
        k = self.k_norm(apply_rope(k, positions, self.base))
        back = places[:, None] - places
        visible = back >= 0
        if self.window is not None:
            visible = visible & (back < self.window)
        shared = self.heads // self.kv_heads
        k, v = k.repeat_interleave(shared, 1), v.repeat_interleave(shared, 1)
        scores = q @ k.transpose(-2, -1) / math.sqrt(self.head_width)
        return (masked_softmax(scores, visible) @ v).transpose(1, 2).reshape(B, T, -1)

    def forward(self, x: Tensor, positions: Tensor | None = None) -> Tensor:
        x = x + self.norm2(self.w_o(self.attention(self.norm1(x), positions)))
        h = self.norm3(x)
        h = nn.functional.gelu(self.gate(h), approximate="tanh") * self.up(h)
        return x + self.norm4(self.down(h))

# %% exercise="GemmaBlock" wrong="scale_from_the_width"
"""Scales by sqrt(D / H), whatever the width of a head is."""
class GemmaBlock(nn.Module):
    def __init__(
        self, width: int, heads: int, kv_heads: int, head_width: int, hidden: int,
        base: float = 10000.0, window: int | None = None, eps: float = 1e-6,
    ):  # fmt: skip
        super().__init__()
        if heads % kv_heads:
            raise ValueError(f"{heads} heads are no multiple of {kv_heads}")
        self.heads, self.kv_heads, self.head_width = heads, kv_heads, head_width
        self.base, self.window = base, window
        self.norm1, self.norm2 = RMSNorm(width, eps), RMSNorm(width, eps)
        self.norm3, self.norm4 = RMSNorm(width, eps), RMSNorm(width, eps)
        self.q_norm, self.k_norm = RMSNorm(head_width, eps), RMSNorm(head_width, eps)
        self.w_q = nn.Linear(width, heads * head_width, bias=False)
        self.w_k = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_v = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_o = nn.Linear(heads * head_width, width, bias=False)
        self.gate = nn.Linear(width, hidden, bias=False)
        self.up = nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def attention(self, x, positions):
        B, T, _ = x.shape
        places = torch.arange(T, device=x.device)
        if positions is None:
            positions = places
        q = self.w_q(x).view(B, T, self.heads, self.head_width).transpose(1, 2)
        k = self.w_k(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        v = self.w_v(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        q = apply_rope(self.q_norm(q), positions, self.base)
        k = apply_rope(self.k_norm(k), positions, self.base)
        back = places[:, None] - places
        visible = back >= 0
        if self.window is not None:
            visible = visible & (back < self.window)
        shared = self.heads // self.kv_heads
        k, v = k.repeat_interleave(shared, 1), v.repeat_interleave(shared, 1)
        scores = q @ k.transpose(-2, -1) / math.sqrt(x.shape[-1] / self.heads)
        return (masked_softmax(scores, visible) @ v).transpose(1, 2).reshape(B, T, -1)

    def forward(self, x: Tensor, positions: Tensor | None = None) -> Tensor:
        x = x + self.norm2(self.w_o(self.attention(self.norm1(x), positions)))
        h = self.norm3(x)
        h = nn.functional.gelu(self.gate(h), approximate="tanh") * self.up(h)
        return x + self.norm4(self.down(h))

# %% exercise="GemmaBlock" wrong="width_must_fit_the_heads"
"""Refuses a width that is no multiple of the heads, though head_width is free."""
class GemmaBlock(nn.Module):
    def __init__(
        self, width: int, heads: int, kv_heads: int, head_width: int, hidden: int,
        base: float = 10000.0, window: int | None = None, eps: float = 1e-6,
    ):  # fmt: skip
        super().__init__()
        if width % heads:
            raise ValueError("width is no multiple of heads")
        if heads % kv_heads:
            raise ValueError(f"{heads} heads are no multiple of {kv_heads}")
        self.heads, self.kv_heads, self.head_width = heads, kv_heads, head_width
        self.base, self.window = base, window
        self.norm1, self.norm2 = RMSNorm(width, eps), RMSNorm(width, eps)
        self.norm3, self.norm4 = RMSNorm(width, eps), RMSNorm(width, eps)
        self.q_norm, self.k_norm = RMSNorm(head_width, eps), RMSNorm(head_width, eps)
        self.w_q = nn.Linear(width, heads * head_width, bias=False)
        self.w_k = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_v = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_o = nn.Linear(heads * head_width, width, bias=False)
        self.gate = nn.Linear(width, hidden, bias=False)
        self.up = nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def attention(self, x, positions):
        B, T, _ = x.shape
        places = torch.arange(T, device=x.device)
        if positions is None:
            positions = places
        q = self.w_q(x).view(B, T, self.heads, self.head_width).transpose(1, 2)
        k = self.w_k(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        v = self.w_v(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        q = apply_rope(self.q_norm(q), positions, self.base)
        k = apply_rope(self.k_norm(k), positions, self.base)
        back = places[:, None] - places
        visible = back >= 0
        if self.window is not None:
            visible = visible & (back < self.window)
        shared = self.heads // self.kv_heads
        k, v = k.repeat_interleave(shared, 1), v.repeat_interleave(shared, 1)
        scores = q @ k.transpose(-2, -1) / math.sqrt(self.head_width)
        return (masked_softmax(scores, visible) @ v).transpose(1, 2).reshape(B, T, -1)

    def forward(self, x: Tensor, positions: Tensor | None = None) -> Tensor:
        x = x + self.norm2(self.w_o(self.attention(self.norm1(x), positions)))
        h = self.norm3(x)
        h = nn.functional.gelu(self.gate(h), approximate="tanh") * self.up(h)
        return x + self.norm4(self.down(h))

# %% exercise="GemmaBlock" wrong="eps_not_for_heads"
"""The norms of queries and keys keep RMSNorm's own eps."""
class GemmaBlock(nn.Module):
    def __init__(
        self, width: int, heads: int, kv_heads: int, head_width: int, hidden: int,
        base: float = 10000.0, window: int | None = None, eps: float = 1e-6,
    ):  # fmt: skip
        super().__init__()
        if heads % kv_heads:
            raise ValueError(f"{heads} heads are no multiple of {kv_heads}")
        self.heads, self.kv_heads, self.head_width = heads, kv_heads, head_width
        self.base, self.window = base, window
        self.norm1, self.norm2 = RMSNorm(width, eps), RMSNorm(width, eps)
        self.norm3, self.norm4 = RMSNorm(width, eps), RMSNorm(width, eps)
        self.q_norm, self.k_norm = RMSNorm(head_width), RMSNorm(head_width)
        self.w_q = nn.Linear(width, heads * head_width, bias=False)
        self.w_k = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_v = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_o = nn.Linear(heads * head_width, width, bias=False)
        self.gate = nn.Linear(width, hidden, bias=False)
        self.up = nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def attention(self, x, positions):
        B, T, _ = x.shape
        places = torch.arange(T, device=x.device)
        if positions is None:
            positions = places
        q = self.w_q(x).view(B, T, self.heads, self.head_width).transpose(1, 2)
        k = self.w_k(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        v = self.w_v(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        q = apply_rope(self.q_norm(q), positions, self.base)
        k = apply_rope(self.k_norm(k), positions, self.base)
        back = places[:, None] - places
        visible = back >= 0
        if self.window is not None:
            visible = visible & (back < self.window)
        shared = self.heads // self.kv_heads
        k, v = k.repeat_interleave(shared, 1), v.repeat_interleave(shared, 1)
        scores = q @ k.transpose(-2, -1) / math.sqrt(self.head_width)
        return (masked_softmax(scores, visible) @ v).transpose(1, 2).reshape(B, T, -1)

    def forward(self, x: Tensor, positions: Tensor | None = None) -> Tensor:
        x = x + self.norm2(self.w_o(self.attention(self.norm1(x), positions)))
        h = self.norm3(x)
        h = nn.functional.gelu(self.gate(h), approximate="tanh") * self.up(h)
        return x + self.norm4(self.down(h))

# %% exercise="GemmaBlock" wrong="heads_refused_by_torch"
"""Heads that do not fit pass when the block is made and fail in forward with torch's error."""
class GemmaBlock(nn.Module):
    def __init__(
        self, width: int, heads: int, kv_heads: int, head_width: int, hidden: int,
        base: float = 10000.0, window: int | None = None, eps: float = 1e-6,
    ):  # fmt: skip
        super().__init__()
        self.heads, self.kv_heads, self.head_width = heads, kv_heads, head_width
        self.base, self.window = base, window
        self.norm1, self.norm2 = RMSNorm(width, eps), RMSNorm(width, eps)
        self.norm3, self.norm4 = RMSNorm(width, eps), RMSNorm(width, eps)
        self.q_norm, self.k_norm = RMSNorm(head_width, eps), RMSNorm(head_width, eps)
        self.w_q = nn.Linear(width, heads * head_width, bias=False)
        self.w_k = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_v = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_o = nn.Linear(heads * head_width, width, bias=False)
        self.gate = nn.Linear(width, hidden, bias=False)
        self.up = nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def attention(self, x, positions):
        B, T, _ = x.shape
        places = torch.arange(T, device=x.device)
        if positions is None:
            positions = places
        q = self.w_q(x).view(B, T, self.heads, self.head_width).transpose(1, 2)
        k = self.w_k(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        v = self.w_v(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        q = apply_rope(self.q_norm(q), positions, self.base)
        k = apply_rope(self.k_norm(k), positions, self.base)
        back = places[:, None] - places
        visible = back >= 0
        if self.window is not None:
            visible = visible & (back < self.window)
        shared = self.heads // self.kv_heads
        k, v = k.repeat_interleave(shared, 1), v.repeat_interleave(shared, 1)
        scores = q @ k.transpose(-2, -1) / math.sqrt(self.head_width)
        return (masked_softmax(scores, visible) @ v).transpose(1, 2).reshape(B, T, -1)

    def forward(self, x: Tensor, positions: Tensor | None = None) -> Tensor:
        x = x + self.norm2(self.w_o(self.attention(self.norm1(x), positions)))
        h = self.norm3(x)
        h = nn.functional.gelu(self.gate(h), approximate="tanh") * self.up(h)
        return x + self.norm4(self.down(h))

# %% exercise="GemmaBlock" wrong="feed_forward_on_normed_stream"
"""The second sum starts from norm3(x), not from the stream."""
class GemmaBlock(nn.Module):
    def __init__(
        self, width: int, heads: int, kv_heads: int, head_width: int, hidden: int,
        base: float = 10000.0, window: int | None = None, eps: float = 1e-6,
    ):  # fmt: skip
        super().__init__()
        if heads % kv_heads:
            raise ValueError(f"{heads} heads are no multiple of {kv_heads}")
        self.heads, self.kv_heads, self.head_width = heads, kv_heads, head_width
        self.base, self.window = base, window
        self.norm1, self.norm2 = RMSNorm(width, eps), RMSNorm(width, eps)
        self.norm3, self.norm4 = RMSNorm(width, eps), RMSNorm(width, eps)
        self.q_norm, self.k_norm = RMSNorm(head_width, eps), RMSNorm(head_width, eps)
        self.w_q = nn.Linear(width, heads * head_width, bias=False)
        self.w_k = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_v = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_o = nn.Linear(heads * head_width, width, bias=False)
        self.gate = nn.Linear(width, hidden, bias=False)
        self.up = nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def attention(self, x, positions):
        B, T, _ = x.shape
        places = torch.arange(T, device=x.device)
        if positions is None:
            positions = places
        q = self.w_q(x).view(B, T, self.heads, self.head_width).transpose(1, 2)
        k = self.w_k(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        v = self.w_v(x).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        q = apply_rope(self.q_norm(q), positions, self.base)
        k = apply_rope(self.k_norm(k), positions, self.base)
        back = places[:, None] - places
        visible = back >= 0
        if self.window is not None:
            visible = visible & (back < self.window)
        shared = self.heads // self.kv_heads
        k, v = k.repeat_interleave(shared, 1), v.repeat_interleave(shared, 1)
        scores = q @ k.transpose(-2, -1) / math.sqrt(self.head_width)
        return (masked_softmax(scores, visible) @ v).transpose(1, 2).reshape(B, T, -1)

    def forward(self, x: Tensor, positions: Tensor | None = None) -> Tensor:
        x = x + self.norm2(self.w_o(self.attention(self.norm1(x), positions)))
        x = h = self.norm3(x)
        h = nn.functional.gelu(self.gate(h), approximate="tanh") * self.up(h)
        return x + self.norm4(self.down(h))

# %% exercise="prefix_lm_mask" wrong="prefix_queries_see_everything"
"""Tests the query and not the key: a token of the prefix sees the whole row, and nobody behind gains anything."""
def prefix_lm_mask(prefix: Tensor, length: int) -> Tensor:
    if (prefix < 0).any() or (prefix > length).any():
        raise ValueError("prefix")
    places = torch.arange(length, device=prefix.device)
    causal = places[:, None] >= places
    return causal | (places[:, None] < prefix[:, None, None, None])

# %% exercise="prefix_lm_mask" wrong="one_token_too_many"
"""<= instead of <: the first token behind the prefix is seen by the prefix, too."""
def prefix_lm_mask(prefix: Tensor, length: int) -> Tensor:
    if (prefix < 0).any() or (prefix > length).any():
        raise ValueError("prefix")
    places = torch.arange(length, device=prefix.device)
    causal = places[:, None] >= places
    return causal | (places <= prefix[:, None, None, None])

# %% exercise="prefix_lm_mask" wrong="true_hides"
"""The mask of torch's own layers: True where a token may not look."""
def prefix_lm_mask(prefix: Tensor, length: int) -> Tensor:
    if (prefix < 0).any() or (prefix > length).any():
        raise ValueError("prefix")
    places = torch.arange(length, device=prefix.device)
    future = places[:, None] < places
    return future & (places >= prefix[:, None, None, None])

# %% exercise="prefix_lm_mask" wrong="no_axis_for_heads"
"""Returns (B, T, T): the axis of the heads is missing."""
def prefix_lm_mask(prefix: Tensor, length: int) -> Tensor:
    if (prefix < 0).any() or (prefix > length).any():
        raise ValueError("prefix")
    places = torch.arange(length, device=prefix.device)
    return (places[:, None] >= places) | (places < prefix[:, None, None])

# %% exercise="prefix_lm_mask" wrong="longest_prefix_for_all"
"""Opens the longest prefix of the batch in every row."""
def prefix_lm_mask(prefix: Tensor, length: int) -> Tensor:
    if prefix.min() < 0 or prefix.max() > length:
        raise ValueError("prefix")
    mask = torch.ones(len(prefix), 1, length, length, dtype=torch.bool, device=prefix.device).tril()
    mask[..., : int(prefix.max())] = True
    return mask

# %% exercise="prefix_lm_mask" wrong="whole_row_as_prefix_refused"
"""A prefix of `length` tokens, which hides nothing, raises ValueError."""
def prefix_lm_mask(prefix: Tensor, length: int) -> Tensor:
    if (prefix < 0).any() or (prefix >= length).any():
        raise ValueError("prefix")
    places = torch.arange(length, device=prefix.device)
    return (places[:, None] >= places) | (places < prefix[:, None, None, None])

# %% exercise="prefix_lm_mask" wrong="negative_prefix_accepted"
"""Only numbers above `length` are refused; a negative one gives the causal mask."""
def prefix_lm_mask(prefix: Tensor, length: int) -> Tensor:
    if (prefix > length).any():
        raise ValueError("prefix")
    places = torch.arange(length, device=prefix.device)
    return (places[:, None] >= places) | (places < prefix[:, None, None, None])

# %% exercise="prefix_lm_mask" wrong="queries_on_the_last_axis"
"""Transposed: axis 2 holds the keys and axis 3 the queries."""
def prefix_lm_mask(prefix: Tensor, length: int) -> Tensor:
    if (prefix < 0).any() or (prefix > length).any():
        raise ValueError("prefix")
    keys = torch.arange(length, device=prefix.device)[:, None]
    queries = torch.arange(length, device=prefix.device)[None, :]
    return (keys <= queries) | (keys < prefix[:, None, None, None])

# %% exercise="prefix_lm_mask" wrong="queries_of_the_prefix_see_everything"
"""A query of the prefix sees every key, also those behind the prefix."""
def prefix_lm_mask(prefix: Tensor, length: int) -> Tensor:
    if ((prefix < 0) | (prefix > length)).any():
        raise ValueError("prefix out of range")
    places = torch.arange(length)
    causal = places <= places[:, None]
    reads = places[:, None] < prefix[:, None, None, None]
    return causal | reads

# %% exercise="prefix_lm_mask" wrong="true_hides_too"
"""The mask is the other way round: True where a query may not look."""
def prefix_lm_mask(prefix: Tensor, length: int) -> Tensor:
    if (prefix < 0).any() or (prefix > length).any():
        raise ValueError("prefix out of range")
    later = torch.ones(length, length, dtype=torch.bool).triu(1)
    written = torch.arange(length) >= prefix[:, None, None, None]
    return later & written

# %% exercise="prefix_lm_mask" wrong="prefix_one_token_too_long"
"""The first token behind the prefix is seen by all of the prefix."""
def prefix_lm_mask(prefix: Tensor, length: int) -> Tensor:
    if ((prefix < 0) | (prefix > length)).any():
        raise ValueError("a prefix has 0 to length tokens")
    places = torch.arange(length, device=prefix.device)
    farthest = torch.maximum(places, prefix[:, None])  # (B, T)
    return places <= farthest[:, None, :, None]

# %% exercise="prefix_lm_mask" wrong="longest_prefix_for_all_rows"
"""Every row gets the longest prefix of the batch."""
def prefix_lm_mask(prefix: Tensor, length: int) -> Tensor:
    if prefix.min() < 0 or prefix.max() > length:
        raise ValueError("prefix out of range")
    mask = torch.ones(length, length, dtype=torch.bool).tril()
    mask[:, : int(prefix.max())] = True
    return mask.expand(len(prefix), 1, length, length)

# %% exercise="prefix_lm_mask" wrong="head_axis_missing"
"""The mask is (B, T, T), without the axis of the heads."""
def prefix_lm_mask(prefix: Tensor, length: int) -> Tensor:
    if ((prefix < 0) | (prefix > length)).any():
        raise ValueError("prefix out of range")
    places = torch.arange(length)
    return (places <= places[:, None]) | (places < prefix[:, None, None])

# %% exercise="prefix_lm_mask" wrong="full_prefix_refused"
"""A prefix of all T tokens raises ValueError, though it is allowed and hides nothing."""
def prefix_lm_mask(prefix: Tensor, length: int) -> Tensor:
    if ((prefix < 0) | (prefix >= length)).any():
        raise ValueError("prefix out of range")
    places = torch.arange(length)
    return (places <= places[:, None]) | (places < prefix[:, None, None, None])

# %% exercise="prefix_lm_mask" wrong="negative_prefix_accepted_too"
"""A prefix below 0 raises nothing."""
def prefix_lm_mask(prefix: Tensor, length: int) -> Tensor:
    if (prefix > length).any():
        raise ValueError("prefix longer than the row")
    places = torch.arange(length)
    return (places <= places[:, None]) | (places < prefix[:, None, None, None])

# %% exercise="prefix_lm_mask" wrong="callers_prefix_counted_down"
"""The mask is right, but the tensor of the caller holds prefix - 1 afterwards."""
def prefix_lm_mask(prefix: Tensor, length: int) -> Tensor:
    if ((prefix < 0) | (prefix > length)).any():
        raise ValueError("prefix out of range")
    places = torch.arange(length)
    prefix -= 1  # now the last token of the prefix
    return places <= torch.maximum(places, prefix[:, None])[:, None, :, None]

# %% exercise="prefix_lm_mask" wrong="no_look_at_oneself"
"""A token behind the prefix does not see itself."""
def prefix_lm_mask(prefix: Tensor, length: int) -> Tensor:
    if ((prefix < 0) | (prefix > length)).any():
        raise ValueError("prefix out of range")
    causal = torch.ones(length, length, dtype=torch.bool).tril(-1)
    return causal | (torch.arange(length) < prefix[:, None, None, None])

# %% exercise="t5_span_corrupt" wrong="sentinels_count_up"
"""The first sentinel is V - n_sentinels, the next one is one higher."""
def t5_span_corrupt(ids, starts, lengths, vocab_size: int, n_sentinels: int = 100) -> tuple[list[int], list[int]]:
    text, starts, lengths = (torch.as_tensor(x, dtype=torch.int64).tolist() for x in (ids, starts, lengths))
    if len(starts) != len(lengths) or len(starts) + 1 > n_sentinels:
        raise ValueError("number of spans")
    inputs, targets, end = [], [], 0
    for i, (start, length) in enumerate(sorted(zip(starts, lengths))):
        if length < 1 or start < end or start + length > len(text):
            raise ValueError("span")
        sentinel = vocab_size - n_sentinels + i
        inputs += [*text[end:start], sentinel]
        end = start + length
        targets += [sentinel, *text[start:end]]
    return inputs + text[end:], targets + [vocab_size - n_sentinels + len(starts)]

# %% exercise="t5_span_corrupt" wrong="no_closing_sentinel"
"""The targets end with the last span's tokens, without one more sentinel."""
def t5_span_corrupt(ids, starts, lengths, vocab_size: int, n_sentinels: int = 100) -> tuple[list[int], list[int]]:
    text, starts, lengths = (torch.as_tensor(x, dtype=torch.int64).tolist() for x in (ids, starts, lengths))
    if len(starts) != len(lengths) or len(starts) + 1 > n_sentinels:
        raise ValueError("number of spans")
    inputs, targets, end = [], [], 0
    for i, (start, length) in enumerate(sorted(zip(starts, lengths))):
        if length < 1 or start < end or start + length > len(text):
            raise ValueError("span")
        sentinel = vocab_size - 1 - i
        inputs += [*text[end:start], sentinel]
        end = start + length
        targets += [sentinel, *text[start:end]]
    return inputs + text[end:], targets

# %% exercise="t5_span_corrupt" wrong="sentinels_by_the_order_given"
"""A span's sentinel goes by its place in the list of spans, not by its place in the text."""
def t5_span_corrupt(ids, starts, lengths, vocab_size: int, n_sentinels: int = 100) -> tuple[list[int], list[int]]:
    text, starts, lengths = (torch.as_tensor(x, dtype=torch.int64).tolist() for x in (ids, starts, lengths))
    if len(starts) != len(lengths) or len(starts) + 1 > n_sentinels:
        raise ValueError("number of spans")
    inputs, targets, end = [], [], 0
    for start, length, i in sorted(zip(starts, lengths, range(len(starts)))):
        if length < 1 or start < end or start + length > len(text):
            raise ValueError("span")
        sentinel = vocab_size - 1 - i
        inputs += [*text[end:start], sentinel]
        end = start + length
        targets += [sentinel, *text[start:end]]
    return inputs + text[end:], targets + [vocab_size - 1 - len(starts)]

# %% exercise="t5_span_corrupt" wrong="touching_spans_merge"
"""Works on a boolean mask of noise, as T5's own code does: two spans that touch become one."""
def t5_span_corrupt(ids, starts, lengths, vocab_size: int, n_sentinels: int = 100) -> tuple[list[int], list[int]]:
    text, starts, lengths = (torch.as_tensor(x, dtype=torch.int64).tolist() for x in (ids, starts, lengths))
    if len(starts) != len(lengths) or len(starts) + 1 > n_sentinels:
        raise ValueError("number of spans")
    noise = [False] * len(text)
    for start, length in zip(starts, lengths):
        if length < 1 or start < 0 or start + length > len(text) or any(noise[start : start + length]):
            raise ValueError("span")
        noise[start : start + length] = [True] * length
    inputs, targets, sentinel, before = [], [], vocab_size, False
    for token, noisy in zip(text, noise):
        if noisy and not before:
            sentinel -= 1
            inputs.append(sentinel)
            targets.append(sentinel)
        (targets if noisy else inputs).append(token)
        before = noisy
    return inputs, targets + [sentinel - 1]

# %% exercise="t5_span_corrupt" wrong="closing_sentinel_not_counted"
"""As many spans as sentinels are accepted: the closing one then is no sentinel any more."""
def t5_span_corrupt(ids, starts, lengths, vocab_size: int, n_sentinels: int = 100) -> tuple[list[int], list[int]]:
    text, starts, lengths = (torch.as_tensor(x, dtype=torch.int64).tolist() for x in (ids, starts, lengths))
    if len(starts) != len(lengths) or len(starts) > n_sentinels:
        raise ValueError("number of spans")
    inputs, targets, end = [], [], 0
    for i, (start, length) in enumerate(sorted(zip(starts, lengths))):
        if length < 1 or start < end or start + length > len(text):
            raise ValueError("span")
        inputs += [*text[end:start], vocab_size - 1 - i]
        end = start + length
        targets += [vocab_size - 1 - i, *text[start:end]]
    return inputs + text[end:], targets + [vocab_size - 1 - len(starts)]

# %% exercise="t5_span_corrupt" wrong="first_sentinel_is_the_vocabulary_size"
"""Sentinel number i is V - i: the first one is no id of the vocabulary."""
def t5_span_corrupt(ids, starts, lengths, vocab_size: int, n_sentinels: int = 100) -> tuple[list[int], list[int]]:
    text, starts, lengths = (torch.as_tensor(x, dtype=torch.int64).tolist() for x in (ids, starts, lengths))
    if len(starts) != len(lengths) or len(starts) + 1 > n_sentinels:
        raise ValueError("number of spans")
    inputs, targets, end = [], [], 0
    for i, (start, length) in enumerate(sorted(zip(starts, lengths))):
        if length < 1 or start < end or start + length > len(text):
            raise ValueError("span")
        inputs += [*text[end:start], vocab_size - i]
        end = start + length
        targets += [vocab_size - i, *text[start:end]]
    return inputs + text[end:], targets + [vocab_size - len(starts)]

# %% exercise="t5_span_corrupt" wrong="lengths_lose_their_starts"
"""Sorts the starts alone, so that spans given in another order get each other's lengths."""
def t5_span_corrupt(ids, starts, lengths, vocab_size: int, n_sentinels: int = 100) -> tuple[list[int], list[int]]:
    text, starts, lengths = (torch.as_tensor(x, dtype=torch.int64).tolist() for x in (ids, starts, lengths))
    if len(starts) != len(lengths) or len(starts) + 1 > n_sentinels:
        raise ValueError("number of spans")
    inputs, targets, end = [], [], 0
    for i, (start, length) in enumerate(zip(sorted(starts), lengths)):
        if length < 1 or start < end or start + length > len(text):
            raise ValueError("span")
        inputs += [*text[end:start], vocab_size - 1 - i]
        end = start + length
        targets += [vocab_size - 1 - i, *text[start:end]]
    return inputs + text[end:], targets + [vocab_size - 1 - len(starts)]

# %% exercise="t5_span_corrupt" wrong="touching_spans_refused"
"""A span that begins where the last one ended raises ValueError."""
def t5_span_corrupt(ids, starts, lengths, vocab_size: int, n_sentinels: int = 100) -> tuple[list[int], list[int]]:
    text, starts, lengths = (torch.as_tensor(x, dtype=torch.int64).tolist() for x in (ids, starts, lengths))
    if len(starts) != len(lengths) or len(starts) + 1 > n_sentinels:
        raise ValueError("number of spans")
    inputs, targets, end = [], [], 0
    for i, (start, length) in enumerate(sorted(zip(starts, lengths))):
        if length < 1 or start < 0 or (i > 0 and start <= end) or start + length > len(text):
            raise ValueError("span")
        inputs += [*text[end:start], vocab_size - 1 - i]
        end = start + length
        targets += [vocab_size - 1 - i, *text[start:end]]
    return inputs + text[end:], targets + [vocab_size - 1 - len(starts)]

# %% exercise="t5_span_corrupt" wrong="span_beyond_the_end_cut_off"
"""A span that leaves the text at its end is cut off silently by the slice."""
def t5_span_corrupt(ids, starts, lengths, vocab_size: int, n_sentinels: int = 100) -> tuple[list[int], list[int]]:
    text, starts, lengths = (torch.as_tensor(x, dtype=torch.int64).tolist() for x in (ids, starts, lengths))
    if len(starts) != len(lengths) or len(starts) + 1 > n_sentinels:
        raise ValueError("number of spans")
    inputs, targets, end = [], [], 0
    for i, (start, length) in enumerate(sorted(zip(starts, lengths))):
        if length < 1 or start < end or start >= len(text):
            raise ValueError("span")
        inputs += [*text[end:start], vocab_size - 1 - i]
        end = start + length
        targets += [vocab_size - 1 - i, *text[start:end]]
    return inputs + text[end:], targets + [vocab_size - 1 - len(starts)]

# %% exercise="t5_span_corrupt" wrong="sentinels_in_the_order_of_the_arguments"
"""Sentinels are numbered as the spans were given, not as they stand in the text."""
def t5_span_corrupt(ids, starts, lengths, vocab_size: int, n_sentinels: int = 100) -> tuple[list[int], list[int]]:
    ids, starts, lengths = [int(i) for i in ids], [int(i) for i in starts], [int(i) for i in lengths]
    if len(starts) != len(lengths) or len(starts) + 1 > n_sentinels:
        raise ValueError("numbers of spans")
    spans = sorted((start, length, vocab_size - 1 - i) for i, (start, length) in enumerate(zip(starts, lengths)))
    inputs, targets, end = [], [], 0
    for start, length, sentinel in spans:
        if start < end or length < 1 or start + length > len(ids):
            raise ValueError("bad span")
        inputs += ids[end:start] + [sentinel]
        targets += [sentinel] + ids[start : start + length]
        end = start + length
    return inputs + ids[end:], targets + [vocab_size - 1 - len(spans)]

# %% exercise="t5_span_corrupt" wrong="sentinels_count_upwards"
"""The first span gets V - n_sentinels, and numbers go up from there."""
def t5_span_corrupt(ids, starts, lengths, vocab_size: int, n_sentinels: int = 100) -> tuple[list[int], list[int]]:
    text, starts, lengths = ([int(n) for n in each] for each in (ids, starts, lengths))
    if len(starts) != len(lengths):
        raise ValueError("starts and lengths differ in number")
    if len(starts) + 1 > n_sentinels:
        raise ValueError("too few sentinels")
    inputs, targets, end = [], [], 0
    sentinel = vocab_size - n_sentinels
    for start, length in sorted(zip(starts, lengths)):
        if length < 1 or start < end or start + length > len(text):
            raise ValueError("bad span")
        inputs += text[end:start] + [sentinel]
        targets += [sentinel] + text[start : start + length]
        end, sentinel = start + length, sentinel + 1
    return inputs + text[end:], targets + [sentinel]

# %% exercise="t5_span_corrupt" wrong="closing_sentinel_missing"
"""The targets end with the tokens of the last span, without one more sentinel."""
def t5_span_corrupt(ids, starts, lengths, vocab_size: int, n_sentinels: int = 100) -> tuple[list[int], list[int]]:
    text, starts, lengths = ([int(n) for n in each] for each in (ids, starts, lengths))
    if len(starts) != len(lengths):
        raise ValueError("starts and lengths differ in number")
    if len(starts) + 1 > n_sentinels:
        raise ValueError("too few sentinels")
    inputs, targets, end = [], [], 0
    sentinel = vocab_size - 1
    for start, length in sorted(zip(starts, lengths)):
        if length < 1 or start < end or start + length > len(text):
            raise ValueError("bad span")
        inputs += text[end:start] + [sentinel]
        targets += [sentinel] + text[start : start + length]
        end, sentinel = start + length, sentinel - 1
    return inputs + text[end:], targets

# %% exercise="t5_span_corrupt" wrong="touching_spans_become_one"
"""Spans that touch are merged under one sentinel, as code does that works with a noise mask."""
def t5_span_corrupt(ids, starts, lengths, vocab_size: int, n_sentinels: int = 100) -> tuple[list[int], list[int]]:
    ids, starts, lengths = [int(i) for i in ids], [int(i) for i in starts], [int(i) for i in lengths]
    if len(starts) != len(lengths) or len(starts) + 1 > n_sentinels:
        raise ValueError("numbers of spans")
    noise = [False] * len(ids)
    for start, length in zip(starts, lengths):
        if start < 0 or length < 1 or start + length > len(ids) or any(noise[start : start + length]):
            raise ValueError("bad span")
        noise[start : start + length] = [True] * length
    inputs, targets, sentinel = [], [], vocab_size - 1
    for i, token in enumerate(ids):
        if not noise[i]:
            inputs.append(token)
            continue
        if i == 0 or not noise[i - 1]:
            inputs.append(sentinel)
            targets.append(sentinel)
            sentinel -= 1
        targets.append(token)
    return inputs, targets + [sentinel]

# %% exercise="t5_span_corrupt" wrong="closing_sentinel_not_counted_too"
"""With as many spans as sentinels nothing is raised: the closing one is not counted."""
def t5_span_corrupt(ids, starts, lengths, vocab_size: int, n_sentinels: int = 100) -> tuple[list[int], list[int]]:
    text, starts, lengths = ([int(n) for n in each] for each in (ids, starts, lengths))
    if len(starts) != len(lengths):
        raise ValueError("starts and lengths differ in number")
    if len(starts) > n_sentinels:
        raise ValueError("too few sentinels")
    inputs, targets, end = [], [], 0
    sentinel = vocab_size - 1
    for start, length in sorted(zip(starts, lengths)):
        if length < 1 or start < end or start + length > len(text):
            raise ValueError("bad span")
        inputs += text[end:start] + [sentinel]
        targets += [sentinel] + text[start : start + length]
        end, sentinel = start + length, sentinel - 1
    return inputs + text[end:], targets + [sentinel]

# %% exercise="t5_span_corrupt" wrong="unequal_numbers_cut_off"
"""zip drops what is too much where starts and lengths differ in number; nothing is raised."""
def t5_span_corrupt(ids, starts, lengths, vocab_size: int, n_sentinels: int = 100) -> tuple[list[int], list[int]]:
    text, starts, lengths = ([int(n) for n in each] for each in (ids, starts, lengths))
    if len(starts) + 1 > n_sentinels:
        raise ValueError("too few sentinels")
    inputs, targets, end = [], [], 0
    sentinel = vocab_size - 1
    for start, length in sorted(zip(starts, lengths)):
        if length < 1 or start < end or start + length > len(text):
            raise ValueError("bad span")
        inputs += text[end:start] + [sentinel]
        targets += [sentinel] + text[start : start + length]
        end, sentinel = start + length, sentinel - 1
    return inputs + text[end:], targets + [sentinel]

# %% exercise="t5_span_corrupt" wrong="empty_spans_accepted"
"""A span of length 0 raises nothing and gets a sentinel."""
def t5_span_corrupt(ids, starts, lengths, vocab_size: int, n_sentinels: int = 100) -> tuple[list[int], list[int]]:
    text, starts, lengths = ([int(n) for n in each] for each in (ids, starts, lengths))
    if len(starts) != len(lengths):
        raise ValueError("starts and lengths differ in number")
    if len(starts) + 1 > n_sentinels:
        raise ValueError("too few sentinels")
    inputs, targets, end = [], [], 0
    sentinel = vocab_size - 1
    for start, length in sorted(zip(starts, lengths)):
        if length < 0 or start < end or start + length > len(text):
            raise ValueError("bad span")
        inputs += text[end:start] + [sentinel]
        targets += [sentinel] + text[start : start + length]
        end, sentinel = start + length, sentinel - 1
    return inputs + text[end:], targets + [sentinel]

# %% exercise="t5_span_corrupt" wrong="callers_lists_sorted"
"""Lists of starts and lengths that the caller passed are sorted afterwards."""
def t5_span_corrupt(ids, starts, lengths, vocab_size: int, n_sentinels: int = 100) -> tuple[list[int], list[int]]:
    if isinstance(ids, Tensor):
        ids = ids.tolist()
    if isinstance(starts, Tensor):
        starts = starts.tolist()
    if isinstance(lengths, Tensor):
        lengths = lengths.tolist()
    if len(starts) != len(lengths) or len(starts) + 1 > n_sentinels:
        raise ValueError("numbers of spans")
    lengths[:] = [length for _, length in sorted(zip(starts, lengths))]
    starts.sort()
    inputs, targets, end = [], [], 0
    for i in range(len(starts)):
        if starts[i] < end or lengths[i] < 1 or starts[i] + lengths[i] > len(ids):
            raise ValueError("bad span")
        inputs += ids[end : starts[i]] + [vocab_size - 1 - i]
        end = starts[i] + lengths[i]
        targets += [vocab_size - 1 - i] + ids[starts[i] : end]
    return inputs + ids[end:], targets + [vocab_size - 1 - len(starts)]

# %% exercise="t5_span_corrupt" wrong="span_past_the_end_cut_off"
"""A span that reaches past the end of the text is cut off without an error."""
def t5_span_corrupt(ids, starts, lengths, vocab_size: int, n_sentinels: int = 100) -> tuple[list[int], list[int]]:
    text, starts, lengths = ([int(n) for n in each] for each in (ids, starts, lengths))
    if len(starts) != len(lengths):
        raise ValueError("starts and lengths differ in number")
    if len(starts) + 1 > n_sentinels:
        raise ValueError("too few sentinels")
    inputs, targets, end = [], [], 0
    sentinel = vocab_size - 1
    for start, length in sorted(zip(starts, lengths)):
        if length < 1 or start < end or start >= len(text):
            raise ValueError("bad span")
        inputs += text[end:start] + [sentinel]
        targets += [sentinel] + text[start : start + length]
        end, sentinel = start + length, sentinel - 1
    return inputs + text[end:], targets + [sentinel]

# %% exercise="t5_span_corrupt" wrong="no_target_without_spans"
"""Without any span the targets are empty, not the first sentinel."""
def t5_span_corrupt(ids, starts, lengths, vocab_size: int, n_sentinels: int = 100) -> tuple[list[int], list[int]]:
    text, starts, lengths = ([int(n) for n in each] for each in (ids, starts, lengths))
    if len(starts) != len(lengths):
        raise ValueError("starts and lengths differ in number")
    if len(starts) + 1 > n_sentinels:
        raise ValueError("too few sentinels")
    inputs, targets, end = [], [], 0
    sentinel = vocab_size - 1
    for start, length in sorted(zip(starts, lengths)):
        if length < 1 or start < end or start + length > len(text):
            raise ValueError("bad span")
        inputs += text[end:start] + [sentinel]
        targets += [sentinel] + text[start : start + length]
        end, sentinel = start + length, sentinel - 1
    if targets:
        targets.append(sentinel)
    return inputs + text[end:], targets

# %% exercise="bart_denoise" wrong="targets_in_the_new_order"
"""The targets are the permuted text, so that the decoder need not undo the permutation."""
def bart_denoise(
    sentences: list[list[int]], order: list[int], spans: list[tuple[int, int]], mask: int
) -> tuple[list[int], list[int]]:
    if sorted(order) != list(range(len(sentences))):
        raise ValueError("order")
    text = [token for i in order for token in sentences[i]]
    inputs, end = [], 0
    for start, length in sorted(spans):
        if length < 0 or start < end or start + length > len(text):
            raise ValueError("span")
        inputs += [*text[end:start], mask]
        end = start + length
    return inputs + text[end:], text

# %% exercise="bart_denoise" wrong="one_mask_for_each_token"
"""As many masks as tokens: the model is told how long each span was."""
def bart_denoise(
    sentences: list[list[int]], order: list[int], spans: list[tuple[int, int]], mask: int
) -> tuple[list[int], list[int]]:
    if sorted(order) != list(range(len(sentences))):
        raise ValueError("order")
    text = [token for i in order for token in sentences[i]]
    inputs, end = [], 0
    for start, length in sorted(spans):
        if length < 0 or start < end or start + length > len(text):
            raise ValueError("span")
        inputs += [*text[end:start], *[mask] * max(length, 1)]
        end = start + length
    return inputs + text[end:], [token for sentence in sentences for token in sentence]

# %% exercise="bart_denoise" wrong="inverse_permutation"
"""Reads order[i] as the place to which sentence i goes."""
def bart_denoise(
    sentences: list[list[int]], order: list[int], spans: list[tuple[int, int]], mask: int
) -> tuple[list[int], list[int]]:
    if sorted(order) != list(range(len(sentences))):
        raise ValueError("order")
    moved = [[]] * len(sentences)
    for i, place in enumerate(order):
        moved[place] = sentences[i]
    text = [token for sentence in moved for token in sentence]
    inputs, end = [], 0
    for start, length in sorted(spans):
        if length < 0 or start < end or start + length > len(text):
            raise ValueError("span")
        inputs += [*text[end:start], mask]
        end = start + length
    return inputs + text[end:], [token for sentence in sentences for token in sentence]

# %% exercise="bart_denoise" wrong="sorted_by_start_alone"
"""Sorts by the start only: a span of length 0 that is given behind a longer one with its start raises ValueError."""
def bart_denoise(
    sentences: list[list[int]], order: list[int], spans: list[tuple[int, int]], mask: int
) -> tuple[list[int], list[int]]:
    if sorted(order) != list(range(len(sentences))):
        raise ValueError("order")
    text = [token for i in order for token in sentences[i]]
    inputs, end = [], 0
    for start, length in sorted(spans, key=lambda span: span[0]):
        if length < 0 or start < end or start + length > len(text):
            raise ValueError("span")
        inputs += [*text[end:start], mask]
        end = start + length
    return inputs + text[end:], [token for sentence in sentences for token in sentence]

# %% exercise="bart_denoise" wrong="empty_span_swallows_a_token"
"""A span of length 0 replaces the token at its start, where there is one."""
def bart_denoise(
    sentences: list[list[int]], order: list[int], spans: list[tuple[int, int]], mask: int
) -> tuple[list[int], list[int]]:
    if sorted(order) != list(range(len(sentences))):
        raise ValueError("order")
    text = [token for i in order for token in sentences[i]]
    inputs, end, taken = [], 0, 0
    for start, length in sorted(spans):
        if length < 0 or start < end or start + length > len(text):
            raise ValueError("span")
        inputs += [*text[taken:start], mask]
        end = start + length
        taken = start + max(length, 1)
    return inputs + text[taken:], [token for sentence in sentences for token in sentence]

# %% exercise="bart_denoise" wrong="no_mask_behind_the_last_token"
"""A span of length 0 at the very end raises ValueError."""
def bart_denoise(
    sentences: list[list[int]], order: list[int], spans: list[tuple[int, int]], mask: int
) -> tuple[list[int], list[int]]:
    if sorted(order) != list(range(len(sentences))):
        raise ValueError("order")
    text = [token for i in order for token in sentences[i]]
    inputs, end = [], 0
    for start, length in sorted(spans):
        if length < 0 or start < end or start >= len(text) or start + length > len(text):
            raise ValueError("span")
        inputs += [*text[end:start], mask]
        end = start + length
    return inputs + text[end:], [token for sentence in sentences for token in sentence]

# %% exercise="bart_denoise" wrong="mask_inside_a_span_accepted"
"""Only spans with tokens are looked at for overlaps; one of length 0 inside another is let through."""
def bart_denoise(
    sentences: list[list[int]], order: list[int], spans: list[tuple[int, int]], mask: int
) -> tuple[list[int], list[int]]:
    if sorted(order) != list(range(len(sentences))):
        raise ValueError("order")
    text = [token for i in order for token in sentences[i]]
    inputs, end = [], 0
    for start, length in sorted(spans):
        if length < 0 or start < 0 or (length > 0 and start < end) or start + length > len(text):
            raise ValueError("span")
        inputs += [*text[end:start], mask]
        end = max(end, start + length)
    return inputs + text[end:], [token for sentence in sentences for token in sentence]

# %% exercise="bart_denoise" wrong="callers_spans_sorted"
"""spans.sort(): the caller's list has another order afterwards."""
def bart_denoise(
    sentences: list[list[int]], order: list[int], spans: list[tuple[int, int]], mask: int
) -> tuple[list[int], list[int]]:
    if sorted(order) != list(range(len(sentences))):
        raise ValueError("order")
    text = [token for i in order for token in sentences[i]]
    inputs, end = [], 0
    spans.sort()
    for start, length in spans:
        if length < 0 or start < end or start + length > len(text):
            raise ValueError("span")
        inputs += [*text[end:start], mask]
        end = start + length
    return inputs + text[end:], [token for sentence in sentences for token in sentence]

# %% exercise="bart_denoise" wrong="touching_spans_share_a_mask"
"""A span with tokens that begins where the last one ended adds no mask of its own."""
def bart_denoise(
    sentences: list[list[int]], order: list[int], spans: list[tuple[int, int]], mask: int
) -> tuple[list[int], list[int]]:
    if sorted(order) != list(range(len(sentences))):
        raise ValueError("order")
    text = [token for i in order for token in sentences[i]]
    inputs, end, before = [], 0, False
    for start, length in sorted(spans):
        if length < 0 or start < end or start + length > len(text):
            raise ValueError("span")
        inputs += text[end:start]
        if not (before and start == end and length):
            inputs.append(mask)
        before, end = length > 0, start + length
    return inputs + text[end:], [token for sentence in sentences for token in sentence]

# %% exercise="bart_denoise" wrong="only_the_number_of_sentences_checked"
"""An order of the right length that names a sentence twice is accepted."""
def bart_denoise(
    sentences: list[list[int]], order: list[int], spans: list[tuple[int, int]], mask: int
) -> tuple[list[int], list[int]]:
    if len(order) != len(sentences) or any(not 0 <= i < len(sentences) for i in order):
        raise ValueError("order")
    text = [token for i in order for token in sentences[i]]
    inputs, end = [], 0
    for start, length in sorted(spans):
        if length < 0 or start < end or start + length > len(text):
            raise ValueError("span")
        inputs += [*text[end:start], mask]
        end = start + length
    return inputs + text[end:], [token for sentence in sentences for token in sentence]

# %% exercise="bart_denoise" wrong="targets_in_the_new_order_too"
"""The targets are the permuted text."""
def bart_denoise(sentences, order, spans, mask):
    if sorted(order) != list(range(len(sentences))):
        raise ValueError("order is no permutation")
    text = [token for i in order for token in sentences[i]]
    inputs, end = [], 0
    for start, length in sorted(spans):
        if length < 0 or start < end or start + length > len(text):
            raise ValueError("bad span")
        inputs.extend(text[end:start])
        inputs.append(mask)
        end = start + length
    inputs.extend(text[end:])
    return inputs, text

# %% exercise="bart_denoise" wrong="one_mask_for_each_token_too"
"""A span of n tokens becomes n masks."""
def bart_denoise(sentences, order, spans, mask):
    if sorted(order) != list(range(len(sentences))):
        raise ValueError("order is no permutation")
    text = [token for i in order for token in sentences[i]]
    inputs, end = [], 0
    for start, length in sorted(spans):
        if length < 0 or start < end or start + length > len(text):
            raise ValueError("bad span")
        inputs.extend(text[end:start])
        inputs.extend([mask] * max(length, 1))
        end = start + length
    inputs.extend(text[end:])
    return inputs, [token for sentence in sentences for token in sentence]

# %% exercise="bart_denoise" wrong="inverse_permutation_too"
"""Sentence i goes to place order[i]: the inverse of the permutation that is meant."""
def bart_denoise(sentences, order, spans, mask):
    if sorted(order) != list(range(len(sentences))):
        raise ValueError("order is no permutation")
    text = [token for i in sorted(range(len(order)), key=order.__getitem__) for token in sentences[i]]
    inputs, end = [], 0
    for start, length in sorted(spans):
        if length < 0 or start < end or start + length > len(text):
            raise ValueError("bad span")
        inputs.extend(text[end:start])
        inputs.append(mask)
        end = start + length
    inputs.extend(text[end:])
    return inputs, [token for sentence in sentences for token in sentence]

# %% exercise="bart_denoise" wrong="spans_of_length_zero_dropped"
"""A span of length 0 leaves no mask."""
def bart_denoise(sentences, order, spans, mask):
    if sorted(order) != list(range(len(sentences))):
        raise ValueError("order is no permutation")
    text = [token for i in order for token in sentences[i]]
    inputs, end = [], 0
    for start, length in sorted(spans):
        if length < 0 or start < end or start + length > len(text):
            raise ValueError("bad span")
        inputs.extend(text[end:start])
        if length:
            inputs.append(mask)
        end = start + length
    inputs.extend(text[end:])
    return inputs, [token for sentence in sentences for token in sentence]

# %% exercise="bart_denoise" wrong="sorted_by_start_only"
"""A span of length 0 that is given behind a longer one with the same start is refused."""
def bart_denoise(sentences, order, spans, mask):
    if sorted(order) != list(range(len(sentences))):
        raise ValueError("order is no permutation")
    text = [token for i in order for token in sentences[i]]
    inputs, end = [], 0
    for start, length in sorted(spans, key=lambda span: span[0]):
        if length < 0 or start < end or start + length > len(text):
            raise ValueError("bad span")
        inputs.extend(text[end:start])
        inputs.append(mask)
        end = start + length
    inputs.extend(text[end:])
    return inputs, [token for sentence in sentences for token in sentence]

# %% exercise="bart_denoise" wrong="empty_span_inside_another_accepted"
"""A span of length 0 inside a longer one raises nothing."""
def bart_denoise(sentences, order, spans, mask):
    seen = [0] * len(sentences)
    for i in order:
        if i < 0 or i >= len(sentences) or seen[i]:
            raise ValueError("not a permutation")
        seen[i] = 1
    if not all(seen):
        raise ValueError("not a permutation")
    text = []
    for i in order:
        text.extend(sentences[i])
    gaps, gone = [0] * (len(text) + 1), [False] * len(text)
    for start, length in spans:
        if start < 0 or length < 0 or start + length > len(text):
            raise ValueError("outside of the text")
        gaps[start] += 1
        for place in range(start, start + length):
            if gone[place]:
                raise ValueError("overlap")
            gone[place] = True
    inputs = []
    for place, count in enumerate(gaps):
        inputs.extend([mask] * count)
        if place < len(text) and not gone[place]:
            inputs.append(text[place])
    targets = []
    for sentence in sentences:
        targets.extend(sentence)
    return inputs, targets

# %% exercise="bart_denoise" wrong="equal_spans_counted_once"
"""Several spans of length 0 at one place give one mask."""
def bart_denoise(sentences, order, spans, mask):
    if sorted(order) != list(range(len(sentences))):
        raise ValueError("order is no permutation")
    text = [token for i in order for token in sentences[i]]
    inputs, end = [], 0
    for start, length in sorted(set(spans)):
        if length < 0 or start < end or start + length > len(text):
            raise ValueError("bad span")
        inputs.extend(text[end:start])
        inputs.append(mask)
        end = start + length
    inputs.extend(text[end:])
    return inputs, [token for sentence in sentences for token in sentence]

# %% exercise="bart_denoise" wrong="mask_at_the_end_refused"
"""A span of length 0 at the end of the text raises ValueError."""
def bart_denoise(sentences, order, spans, mask):
    if sorted(order) != list(range(len(sentences))):
        raise ValueError("order is no permutation")
    text = [token for i in order for token in sentences[i]]
    inputs, end = [], 0
    for start, length in sorted(spans):
        if length < 0 or start < end or start + length > len(text) or start >= len(text):
            raise ValueError("bad span")
        inputs.extend(text[end:start])
        inputs.append(mask)
        end = start + length
    inputs.extend(text[end:])
    return inputs, [token for sentence in sentences for token in sentence]

# %% exercise="bart_denoise" wrong="any_indices_accepted"
"""An order that names a sentence twice and another one never raises nothing."""
def bart_denoise(sentences, order, spans, mask):
    if len(order) != len(sentences) or not all(0 <= i < len(sentences) for i in order):
        raise ValueError("order is no permutation")
    text = [token for i in order for token in sentences[i]]
    inputs, end = [], 0
    for start, length in sorted(spans):
        if length < 0 or start < end or start + length > len(text):
            raise ValueError("bad span")
        inputs.extend(text[end:start])
        inputs.append(mask)
        end = start + length
    inputs.extend(text[end:])
    return inputs, [token for sentence in sentences for token in sentence]

# %% exercise="bart_denoise" wrong="first_sentence_grows"
"""The result is right, but the sentence that comes first has been extended by the others."""
def bart_denoise(sentences, order, spans, mask):
    if sorted(order) != list(range(len(sentences))):
        raise ValueError("order is not a permutation")
    targets = []
    for sentence in sentences:
        targets += sentence
    text = sentences[order[0]]
    for i in order[1:]:
        text += sentences[i]
    inputs, end = [], 0
    for start, length in sorted(spans):
        if length < 0 or start < end or start + length > len(text):
            raise ValueError("bad span")
        inputs += text[end:start] + [mask]
        end = start + length
    return inputs + text[end:], targets

# %% exercise="bart_denoise" wrong="callers_spans_sorted_too"
"""The list of spans that the caller passed is sorted afterwards."""
def bart_denoise(sentences, order, spans, mask):
    if sorted(order) != list(range(len(sentences))):
        raise ValueError("order is not a permutation")
    text = sum((sentences[i] for i in order), [])
    spans.sort()
    inputs, end = [], 0
    for start, length in spans:
        if length < 0 or start < end or start + length > len(text):
            raise ValueError("bad span")
        inputs += text[end:start] + [mask]
        end = start + length
    return inputs + text[end:], sum(sentences, [])

# %% exercise="t5_relative_bucket" wrong="keys_behind_have_the_upper_half"
"""The sign is turned: keys behind the query get the rows N and up."""
def t5_relative_bucket(
    relative_position: Tensor, bidirectional: bool = True, num_buckets: int = 32, max_distance: int = 128
) -> Tensor:
    N = num_buckets // 2 if bidirectional else num_buckets
    E = N // 2
    n = relative_position.abs() if bidirectional else (-relative_position).clamp(min=0)
    inside = (n.clamp(min=E).double() / E).log() / math.log(max_distance / E)
    row = torch.where(n < E, n, (E + ((N - E) * inside).long()).clamp(max=N - 1))
    return row + N * (relative_position < 0) if bidirectional else row

# %% exercise="t5_relative_bucket" wrong="decoder_takes_absolute_values"
"""In the decoder keys ahead get the row of their distance instead of row 0."""
def t5_relative_bucket(
    relative_position: Tensor, bidirectional: bool = True, num_buckets: int = 32, max_distance: int = 128
) -> Tensor:
    N = num_buckets // 2 if bidirectional else num_buckets
    E = N // 2
    n = relative_position.abs()
    inside = (n.clamp(min=E).double() / E).log() / math.log(max_distance / E)
    row = torch.where(n < E, n, (E + ((N - E) * inside).long()).clamp(max=N - 1))
    return row + N * (relative_position > 0) if bidirectional else row

# %% exercise="t5_relative_bucket" wrong="clamp_behind_the_shift"
"""Clamps to the last row of the table at the end: the farthest keys behind run over into the rows of those ahead."""
def t5_relative_bucket(
    relative_position: Tensor, bidirectional: bool = True, num_buckets: int = 32, max_distance: int = 128
) -> Tensor:
    N = num_buckets // 2 if bidirectional else num_buckets
    E = N // 2
    n = relative_position.abs() if bidirectional else (-relative_position).clamp(min=0)
    inside = (n.clamp(min=E).double() / E).log() / math.log(max_distance / E)
    row = torch.where(n < E, n, E + ((N - E) * inside).long())
    if bidirectional:
        row = row + N * (relative_position > 0)
    return row.clamp(max=num_buckets - 1)

# %% exercise="t5_relative_bucket" wrong="exact_rows_of_the_whole_table"
"""E is half of the whole table in the encoder, too: sixteen distances have a row of their own, not eight."""
def t5_relative_bucket(
    relative_position: Tensor, bidirectional: bool = True, num_buckets: int = 32, max_distance: int = 128
) -> Tensor:
    E = num_buckets // 2
    N = num_buckets // 2 if bidirectional else num_buckets
    n = relative_position.abs() if bidirectional else (-relative_position).clamp(min=0)
    inside = (n.clamp(min=E).double() / E).log() / math.log(max_distance / E)
    row = torch.where(n < E, n, (E + ((N - E) * inside).long()).clamp(max=N - 1))
    return row + N * (relative_position > 0) if bidirectional else row

# %% exercise="t5_relative_bucket" wrong="rounded_to_the_nearest"
"""Rounds to the nearest row instead of cutting off."""
def t5_relative_bucket(
    relative_position: Tensor, bidirectional: bool = True, num_buckets: int = 32, max_distance: int = 128
) -> Tensor:
    N = num_buckets // 2 if bidirectional else num_buckets
    E = N // 2
    n = relative_position.abs() if bidirectional else (-relative_position).clamp(min=0)
    inside = (n.clamp(min=E).double() / E).log() / math.log(max_distance / E)
    row = torch.where(n < E, n, (E + ((N - E) * inside).round().long()).clamp(max=N - 1))
    return row + N * (relative_position > 0) if bidirectional else row

# %% exercise="t5_relative_bucket" wrong="all_rows_above_the_exact_ones"
"""Multiplies by N where N - E rows are left for the far distances."""
def t5_relative_bucket(
    relative_position: Tensor, bidirectional: bool = True, num_buckets: int = 32, max_distance: int = 128
) -> Tensor:
    N = num_buckets // 2 if bidirectional else num_buckets
    E = N // 2
    n = relative_position.abs() if bidirectional else (-relative_position).clamp(min=0)
    inside = (n.clamp(min=E).double() / E).log() / math.log(max_distance / E)
    row = torch.where(n < E, n, (E + (N * inside).long()).clamp(max=N - 1))
    return row + N * (relative_position > 0) if bidirectional else row

# %% exercise="t5_relative_bucket" wrong="max_distance_of_the_paper"
"""128 stands in the formula, whatever max_distance says."""
def t5_relative_bucket(
    relative_position: Tensor, bidirectional: bool = True, num_buckets: int = 32, max_distance: int = 128
) -> Tensor:
    N = num_buckets // 2 if bidirectional else num_buckets
    E = N // 2
    n = relative_position.abs() if bidirectional else (-relative_position).clamp(min=0)
    inside = (n.clamp(min=E).double() / E).log() / math.log(128 / E)
    row = torch.where(n < E, n, (E + ((N - E) * inside).long()).clamp(max=N - 1))
    return row + N * (relative_position > 0) if bidirectional else row

# %% exercise="t5_relative_bucket" wrong="negated_in_place"
"""In the decoder the caller's distances are negated and clamped in place."""
def t5_relative_bucket(
    relative_position: Tensor, bidirectional: bool = True, num_buckets: int = 32, max_distance: int = 128
) -> Tensor:
    N = num_buckets // 2 if bidirectional else num_buckets
    E = N // 2
    n = relative_position.abs() if bidirectional else relative_position.neg_().clamp_(min=0)
    inside = (n.clamp(min=E).double() / E).log() / math.log(max_distance / E)
    row = torch.where(n < E, n, (E + ((N - E) * inside).long()).clamp(max=N - 1))
    return row + N * (relative_position > 0) if bidirectional else row

# %% exercise="t5_relative_bucket" wrong="query_minus_key"
"""The sign is turned: keys behind the query have the upper rows, and the decoder looks ahead."""
def t5_relative_bucket(relative_position, bidirectional=True, num_buckets=32, max_distance=128):
    relative_position = -relative_position
    N = num_buckets // 2 if bidirectional else num_buckets
    E = N // 2
    n = relative_position.abs() if bidirectional else (-relative_position).clamp(min=0)
    far = (N - E) * (n.clamp(min=E).double() / E).log() / math.log(max_distance / E)
    row = torch.where(n < E, n, (E + far.long()).clamp(max=N - 1))
    return row + N * (relative_position > 0) if bidirectional else row

# %% exercise="t5_relative_bucket" wrong="distance_zero_counts_as_ahead"
"""The token itself gets row N instead of row 0."""
def t5_relative_bucket(relative_position, bidirectional=True, num_buckets=32, max_distance=128):
    N = num_buckets // 2 if bidirectional else num_buckets
    E = N // 2
    n = relative_position.abs() if bidirectional else (-relative_position).clamp(min=0)
    far = (N - E) * (n.clamp(min=E).double() / E).log() / math.log(max_distance / E)
    row = torch.where(n < E, n, (E + far.long()).clamp(max=N - 1))
    return row + N * (relative_position >= 0) if bidirectional else row

# %% exercise="t5_relative_bucket" wrong="decoder_looks_at_both_sides"
"""In the decoder keys ahead get the row of their distance instead of row 0."""
def t5_relative_bucket(relative_position, bidirectional=True, num_buckets=32, max_distance=128):
    N = num_buckets // 2 if bidirectional else num_buckets
    E = N // 2
    n = relative_position.abs()
    far = (N - E) * (n.clamp(min=E).double() / E).log() / math.log(max_distance / E)
    row = torch.where(n < E, n, (E + far.long()).clamp(max=N - 1))
    return row + N * (relative_position > 0) if bidirectional else row

# %% exercise="t5_relative_bucket" wrong="last_row_not_the_last"
"""From max_distance on the rows go on beyond N - 1."""
def t5_relative_bucket(relative_position, bidirectional=True, num_buckets=32, max_distance=128):
    N = num_buckets // 2 if bidirectional else num_buckets
    E = N // 2
    n = relative_position.abs() if bidirectional else (-relative_position).clamp(min=0)
    far = (N - E) * (n.clamp(min=E).double() / E).log() / math.log(max_distance / E)
    row = torch.where(n < E, n, (E + far.long()))
    return row + N * (relative_position > 0) if bidirectional else row

# %% exercise="t5_relative_bucket" wrong="max_distance_ignored"
"""The logarithm always ends at 128."""
def t5_relative_bucket(relative_position, bidirectional=True, num_buckets=32, max_distance=128):
    N = num_buckets // 2 if bidirectional else num_buckets
    E = N // 2
    n = relative_position.abs() if bidirectional else (-relative_position).clamp(min=0)
    far = (N - E) * (n.clamp(min=E).double() / E).log() / math.log(128 / E)
    row = torch.where(n < E, n, (E + far.long()).clamp(max=N - 1))
    return row + N * (relative_position > 0) if bidirectional else row

# %% exercise="t5_relative_bucket" wrong="exact_rows_rounded_up"
"""For an odd N half of it is rounded up, not down."""
def t5_relative_bucket(relative_position, bidirectional=True, num_buckets=32, max_distance=128):
    N = num_buckets // 2 if bidirectional else num_buckets
    E = (N + 1) // 2
    n = relative_position.abs() if bidirectional else (-relative_position).clamp(min=0)
    far = (N - E) * (n.clamp(min=E).double() / E).log() / math.log(max_distance / E)
    row = torch.where(n < E, n, (E + far.long()).clamp(max=N - 1))
    return row + N * (relative_position > 0) if bidirectional else row

# %% exercise="t5_relative_bucket" wrong="as_many_far_rows_as_near_ones"
"""The far rows are counted as E, not as N - E: the last row is never used where N is odd."""
def t5_relative_bucket(relative_position, bidirectional=True, num_buckets=32, max_distance=128):
    N = num_buckets // 2 if bidirectional else num_buckets
    E = N // 2
    n = relative_position.abs() if bidirectional else (-relative_position).clamp(min=0)
    far = E * (n.clamp(min=E).double() / E).log() / math.log(max_distance / E)
    row = torch.where(n < E, n, (E + far.long()).clamp(max=2 * E - 1))
    return row + N * (relative_position > 0) if bidirectional else row

# %% exercise="t5_relative_bucket" wrong="rounded_to_the_nearest_row"
"""The far rows are rounded to the nearest whole number."""
def t5_relative_bucket(relative_position, bidirectional=True, num_buckets=32, max_distance=128):
    N = num_buckets // 2 if bidirectional else num_buckets
    E = N // 2
    n = relative_position.abs() if bidirectional else (-relative_position).clamp(min=0)
    far = (N - E) * (n.clamp(min=E).double() / E).log() / math.log(max_distance / E)
    row = torch.where(n < E, n, (E + far.round().long()).clamp(max=N - 1))
    return row + N * (relative_position > 0) if bidirectional else row

# %% exercise="t5_relative_bucket" wrong="callers_distances_changed"
"""In the decoder the tensor of the caller holds the distances afterwards."""
def t5_relative_bucket(relative_position, bidirectional=True, num_buckets=32, max_distance=128):
    offset = 0
    if bidirectional:
        num_buckets //= 2
        offset = num_buckets * (relative_position > 0).long()
        n = relative_position.abs()
    else:
        n = relative_position.neg_().clamp_(min=0)
    exact = num_buckets // 2
    ratio = torch.log(n.clamp(min=exact).double() / exact) / math.log(max_distance / exact)
    far = (exact + ratio * (num_buckets - exact)).floor().long().clamp(max=num_buckets - 1)
    return offset + torch.where(n < exact, n, far)

# %% exercise="t5_relative_bucket" wrong="row_as_int32"
"""The rows are right, but int32."""
def t5_relative_bucket(relative_position, bidirectional=True, num_buckets=32, max_distance=128):
    half = num_buckets // (1 + bool(bidirectional))
    exact = half // 2

    def row(r):
        n = abs(r) if bidirectional else max(-r, 0)
        if n >= exact:
            step = math.log(n / exact) / math.log(max_distance / exact)
            n = min(exact + math.floor((half - exact) * step), half - 1)
        return n + (half if bidirectional and r > 0 else 0)

    rows = [row(r) for r in relative_position.flatten().tolist()]
    return torch.tensor(rows, dtype=torch.int32).reshape(relative_position.shape)

# %% exercise="T5Attention" wrong="scaled_by_root_of_the_head_width"
"""Scores are divided by sqrt(d), as everywhere else but in T5."""
class T5Attention(nn.Module):
    def __init__(self, width, heads, head_width, num_buckets=0, max_distance=128, bidirectional=True):
        super().__init__()
        self.heads, self.options = heads, (bidirectional, num_buckets, max_distance)
        self.q, self.k, self.v = (nn.Linear(width, heads * head_width, bias=False) for _ in range(3))
        self.o = nn.Linear(heads * head_width, width, bias=False)
        self.relative_bias = nn.Embedding(num_buckets, heads) if num_buckets else None

    def forward(self, x, mask=None, memory=None, bias=None):
        source = x if memory is None else memory
        q, k, v = (m(z).unflatten(-1, (self.heads, -1)).transpose(1, 2)
                   for m, z in ((self.q, x), (self.k, source), (self.v, source)))
        if memory is not None:
            bias = None
        elif bias is None and self.relative_bias is not None:
            places = torch.arange(x.shape[1], device=x.device)
            rows = t5_relative_bucket(places - places[:, None], *self.options)
            bias = self.relative_bias(rows).permute(2, 0, 1)[None]
        scores = q @ k.mT / math.sqrt(q.shape[-1])
        if bias is not None:
            scores = scores + bias
        if mask is not None:
            scores = scores.masked_fill(~mask, -math.inf)
        weights = scores.softmax(-1)
        return self.o((weights @ v).transpose(1, 2).flatten(2)), weights, bias

# %% exercise="T5Attention" wrong="query_minus_key"
"""The table is asked for t - s: what lies ahead gets the numbers of what lies behind."""
class T5Attention(nn.Module):
    def __init__(self, width, heads, head_width, num_buckets=0, max_distance=128, bidirectional=True):
        super().__init__()
        self.heads, self.options = heads, (bidirectional, num_buckets, max_distance)
        self.q, self.k, self.v = (nn.Linear(width, heads * head_width, bias=False) for _ in range(3))
        self.o = nn.Linear(heads * head_width, width, bias=False)
        self.relative_bias = nn.Embedding(num_buckets, heads) if num_buckets else None

    def forward(self, x, mask=None, memory=None, bias=None):
        source = x if memory is None else memory
        q, k, v = (m(z).unflatten(-1, (self.heads, -1)).transpose(1, 2)
                   for m, z in ((self.q, x), (self.k, source), (self.v, source)))
        if memory is not None:
            bias = None
        elif bias is None and self.relative_bias is not None:
            places = torch.arange(x.shape[1], device=x.device)
            rows = t5_relative_bucket(places[:, None] - places, *self.options)
            bias = self.relative_bias(rows).permute(2, 0, 1)[None]
        scores = q @ k.mT
        if bias is not None:
            scores = scores + bias
        if mask is not None:
            scores = scores.masked_fill(~mask, -math.inf)
        weights = scores.softmax(-1)
        return self.o((weights @ v).transpose(1, 2).flatten(2)), weights, bias

# %% exercise="T5Attention" wrong="table_in_cross_attention"
"""A layer with a table adds it in cross-attention, too."""
class T5Attention(nn.Module):
    def __init__(self, width, heads, head_width, num_buckets=0, max_distance=128, bidirectional=True):
        super().__init__()
        self.heads, self.options = heads, (bidirectional, num_buckets, max_distance)
        self.q, self.k, self.v = (nn.Linear(width, heads * head_width, bias=False) for _ in range(3))
        self.o = nn.Linear(heads * head_width, width, bias=False)
        self.relative_bias = nn.Embedding(num_buckets, heads) if num_buckets else None

    def forward(self, x, mask=None, memory=None, bias=None):
        source = x if memory is None else memory
        q, k, v = (m(z).unflatten(-1, (self.heads, -1)).transpose(1, 2)
                   for m, z in ((self.q, x), (self.k, source), (self.v, source)))
        if memory is not None:
            bias = None
        if bias is None and self.relative_bias is not None:
            places, keys = (torch.arange(z.shape[1], device=x.device) for z in (x, source))
            rows = t5_relative_bucket(keys - places[:, None], *self.options)
            bias = self.relative_bias(rows).permute(2, 0, 1)[None]
        scores = q @ k.mT
        if bias is not None:
            scores = scores + bias
        if mask is not None:
            scores = scores.masked_fill(~mask, -math.inf)
        weights = scores.softmax(-1)
        return self.o((weights @ v).transpose(1, 2).flatten(2)), weights, None if memory is not None else bias

# %% exercise="T5Attention" wrong="given_bias_in_cross_attention"
"""A bias that is handed in is added in cross-attention, too, and returned."""
class T5Attention(nn.Module):
    def __init__(self, width, heads, head_width, num_buckets=0, max_distance=128, bidirectional=True):
        super().__init__()
        self.heads, self.options = heads, (bidirectional, num_buckets, max_distance)
        self.q, self.k, self.v = (nn.Linear(width, heads * head_width, bias=False) for _ in range(3))
        self.o = nn.Linear(heads * head_width, width, bias=False)
        self.relative_bias = nn.Embedding(num_buckets, heads) if num_buckets else None

    def forward(self, x, mask=None, memory=None, bias=None):
        source = x if memory is None else memory
        q, k, v = (m(z).unflatten(-1, (self.heads, -1)).transpose(1, 2)
                   for m, z in ((self.q, x), (self.k, source), (self.v, source)))
        if bias is None and memory is None and self.relative_bias is not None:
            places = torch.arange(x.shape[1], device=x.device)
            rows = t5_relative_bucket(places - places[:, None], *self.options)
            bias = self.relative_bias(rows).permute(2, 0, 1)[None]
        scores = q @ k.mT
        if bias is not None:
            scores = scores + bias
        if mask is not None:
            scores = scores.masked_fill(~mask, -math.inf)
        weights = scores.softmax(-1)
        return self.o((weights @ v).transpose(1, 2).flatten(2)), weights, bias

# %% exercise="T5Attention" wrong="own_table_before_given_bias"
"""A layer that has a table uses it even if an earlier layer's bias is handed in."""
class T5Attention(nn.Module):
    def __init__(self, width, heads, head_width, num_buckets=0, max_distance=128, bidirectional=True):
        super().__init__()
        self.heads, self.options = heads, (bidirectional, num_buckets, max_distance)
        self.q, self.k, self.v = (nn.Linear(width, heads * head_width, bias=False) for _ in range(3))
        self.o = nn.Linear(heads * head_width, width, bias=False)
        self.relative_bias = nn.Embedding(num_buckets, heads) if num_buckets else None

    def forward(self, x, mask=None, memory=None, bias=None):
        source = x if memory is None else memory
        q, k, v = (m(z).unflatten(-1, (self.heads, -1)).transpose(1, 2)
                   for m, z in ((self.q, x), (self.k, source), (self.v, source)))
        if memory is not None:
            bias = None
        elif self.relative_bias is not None:
            places = torch.arange(x.shape[1], device=x.device)
            rows = t5_relative_bucket(places - places[:, None], *self.options)
            bias = self.relative_bias(rows).permute(2, 0, 1)[None]
        scores = q @ k.mT
        if bias is not None:
            scores = scores + bias
        if mask is not None:
            scores = scores.masked_fill(~mask, -math.inf)
        weights = scores.softmax(-1)
        return self.o((weights @ v).transpose(1, 2).flatten(2)), weights, bias

# %% exercise="T5Attention" wrong="mask_in_the_returned_bias"
"""The mask is put into the bias that is handed on, as transformers does it: it holds -inf."""
class T5Attention(nn.Module):
    def __init__(self, width, heads, head_width, num_buckets=0, max_distance=128, bidirectional=True):
        super().__init__()
        self.heads, self.options = heads, (bidirectional, num_buckets, max_distance)
        self.q, self.k, self.v = (nn.Linear(width, heads * head_width, bias=False) for _ in range(3))
        self.o = nn.Linear(heads * head_width, width, bias=False)
        self.relative_bias = nn.Embedding(num_buckets, heads) if num_buckets else None

    def forward(self, x, mask=None, memory=None, bias=None):
        source = x if memory is None else memory
        q, k, v = (m(z).unflatten(-1, (self.heads, -1)).transpose(1, 2)
                   for m, z in ((self.q, x), (self.k, source), (self.v, source)))
        if memory is not None:
            bias = None
        elif bias is None and self.relative_bias is not None:
            places = torch.arange(x.shape[1], device=x.device)
            rows = t5_relative_bucket(places - places[:, None], *self.options)
            bias = self.relative_bias(rows).permute(2, 0, 1)[None]
        scores = q @ k.mT
        if bias is not None:
            if mask is not None:
                bias = bias.masked_fill(~mask, -math.inf)
            scores = scores + bias
        elif mask is not None:
            scores = scores.masked_fill(~mask, -math.inf)
        weights = scores.softmax(-1)
        return self.o((weights @ v).transpose(1, 2).flatten(2)), weights, bias

# %% exercise="T5Attention" wrong="heads_by_view_instead_of_permute"
"""The table's numbers (T, T, H) are viewed as (1, H, T, T): they are mixed over heads and places."""
class T5Attention(nn.Module):
    def __init__(self, width, heads, head_width, num_buckets=0, max_distance=128, bidirectional=True):
        super().__init__()
        self.heads, self.options = heads, (bidirectional, num_buckets, max_distance)
        self.q, self.k, self.v = (nn.Linear(width, heads * head_width, bias=False) for _ in range(3))
        self.o = nn.Linear(heads * head_width, width, bias=False)
        self.relative_bias = nn.Embedding(num_buckets, heads) if num_buckets else None

    def forward(self, x, mask=None, memory=None, bias=None):
        source = x if memory is None else memory
        T = x.shape[1]
        q, k, v = (m(z).unflatten(-1, (self.heads, -1)).transpose(1, 2)
                   for m, z in ((self.q, x), (self.k, source), (self.v, source)))
        if memory is not None:
            bias = None
        elif bias is None and self.relative_bias is not None:
            places = torch.arange(T, device=x.device)
            rows = t5_relative_bucket(places - places[:, None], *self.options)
            bias = self.relative_bias(rows).view(1, self.heads, T, T)
        scores = q @ k.mT
        if bias is not None:
            scores = scores + bias
        if mask is not None:
            scores = scores.masked_fill(~mask, -math.inf)
        weights = scores.softmax(-1)
        return self.o((weights @ v).transpose(1, 2).flatten(2)), weights, bias

# %% exercise="T5Attention" wrong="bias_handed_on_without_its_graph"
"""The third result is detached: the table learns nothing from the layers above."""
class T5Attention(nn.Module):
    def __init__(self, width, heads, head_width, num_buckets=0, max_distance=128, bidirectional=True):
        super().__init__()
        self.heads, self.options = heads, (bidirectional, num_buckets, max_distance)
        self.q, self.k, self.v = (nn.Linear(width, heads * head_width, bias=False) for _ in range(3))
        self.o = nn.Linear(heads * head_width, width, bias=False)
        self.relative_bias = nn.Embedding(num_buckets, heads) if num_buckets else None

    def forward(self, x, mask=None, memory=None, bias=None):
        source = x if memory is None else memory
        q, k, v = (m(z).unflatten(-1, (self.heads, -1)).transpose(1, 2)
                   for m, z in ((self.q, x), (self.k, source), (self.v, source)))
        if memory is not None:
            bias = None
        elif bias is None and self.relative_bias is not None:
            places = torch.arange(x.shape[1], device=x.device)
            rows = t5_relative_bucket(places - places[:, None], *self.options)
            bias = self.relative_bias(rows).permute(2, 0, 1)[None]
        scores = q @ k.mT
        if bias is not None:
            scores = scores + bias
        if mask is not None:
            scores = scores.masked_fill(~mask, -math.inf)
        weights = scores.softmax(-1)
        out = self.o((weights @ v).transpose(1, 2).flatten(2))
        return out, weights, None if bias is None else bias.detach()

# %% exercise="T5Attention" wrong="always_two_sided"
"""`bidirectional` is not handed to t5_relative_bucket: a decoder's table is read like an encoder's."""
class T5Attention(nn.Module):
    def __init__(self, width, heads, head_width, num_buckets=0, max_distance=128, bidirectional=True):
        super().__init__()
        self.heads, self.num_buckets, self.max_distance = heads, num_buckets, max_distance
        self.q, self.k, self.v = (nn.Linear(width, heads * head_width, bias=False) for _ in range(3))
        self.o = nn.Linear(heads * head_width, width, bias=False)
        self.relative_bias = nn.Embedding(num_buckets, heads) if num_buckets else None

    def forward(self, x, mask=None, memory=None, bias=None):
        source = x if memory is None else memory
        q, k, v = (m(z).unflatten(-1, (self.heads, -1)).transpose(1, 2)
                   for m, z in ((self.q, x), (self.k, source), (self.v, source)))
        if memory is not None:
            bias = None
        elif bias is None and self.relative_bias is not None:
            places = torch.arange(x.shape[1], device=x.device)
            rows = t5_relative_bucket(
                places - places[:, None], num_buckets=self.num_buckets, max_distance=self.max_distance
            )
            bias = self.relative_bias(rows).permute(2, 0, 1)[None]
        scores = q @ k.mT
        if bias is not None:
            scores = scores + bias
        if mask is not None:
            scores = scores.masked_fill(~mask, -math.inf)
        weights = scores.softmax(-1)
        return self.o((weights @ v).transpose(1, 2).flatten(2)), weights, bias

# %% exercise="T5Attention" wrong="given_bias_not_handed_on"
"""Returns only a bias of its own table: a layer without one returns None, though it added what was handed in."""
class T5Attention(nn.Module):
    def __init__(self, width, heads, head_width, num_buckets=0, max_distance=128, bidirectional=True):
        super().__init__()
        self.heads, self.options = heads, (bidirectional, num_buckets, max_distance)
        self.q, self.k, self.v = (nn.Linear(width, heads * head_width, bias=False) for _ in range(3))
        self.o = nn.Linear(heads * head_width, width, bias=False)
        self.relative_bias = nn.Embedding(num_buckets, heads) if num_buckets else None

    def forward(self, x, mask=None, memory=None, bias=None):
        source = x if memory is None else memory
        q, k, v = (m(z).unflatten(-1, (self.heads, -1)).transpose(1, 2)
                   for m, z in ((self.q, x), (self.k, source), (self.v, source)))
        scores, made = q @ k.mT, None
        if memory is None and bias is not None:
            scores = scores + bias
        elif memory is None and self.relative_bias is not None:
            places = torch.arange(x.shape[1], device=x.device)
            rows = t5_relative_bucket(places - places[:, None], *self.options)
            made = self.relative_bias(rows).permute(2, 0, 1)[None]
            scores = scores + made
        if mask is not None:
            scores = scores.masked_fill(~mask, -math.inf)
        weights = scores.softmax(-1)
        return self.o((weights @ v).transpose(1, 2).flatten(2)), weights, made

# %% exercise="T5Attention" wrong="scaled_by_the_root"
"""Scores are divided by the root of d, as everywhere but in T5."""
class T5Attention(nn.Module):
    def __init__(self, width, heads, head_width, num_buckets=0, max_distance=128, bidirectional=True):
        super().__init__()
        self.heads, self.d = heads, head_width
        self.rows, self.farthest, self.both = num_buckets, max_distance, bidirectional
        self.q = nn.Linear(width, heads * head_width, bias=False)
        self.k = nn.Linear(width, heads * head_width, bias=False)
        self.v = nn.Linear(width, heads * head_width, bias=False)
        self.o = nn.Linear(heads * head_width, width, bias=False)
        if num_buckets > 0:
            self.relative_bias = nn.Embedding(num_buckets, heads)

    def forward(self, x, mask=None, memory=None, bias=None):
        source = x if memory is None else memory
        q, k, v = (
            f(y).view(*y.shape[:2], self.heads, self.d).transpose(1, 2)
            for f, y in ((self.q, x), (self.k, source), (self.v, source))
        )
        scores = q @ k.transpose(2, 3) / math.sqrt(self.d)
        if memory is not None:
            bias = None
        elif bias is None and self.rows:
            places = torch.arange(x.shape[1], device=x.device)
            row = t5_relative_bucket(places - places[:, None], self.both, self.rows, self.farthest)
            bias = self.relative_bias(row).permute(2, 0, 1)[None]
        if bias is not None:
            scores = scores + bias
        if mask is not None:
            scores = scores.masked_fill(~mask, -math.inf)
        weights = scores.softmax(-1)
        return self.o((weights @ v).transpose(1, 2).flatten(2)), weights, bias

# %% exercise="T5Attention" wrong="bias_in_cross_attention"
"""A bias that is passed in is added in cross-attention, too."""
class T5Attention(nn.Module):
    def __init__(self, width, heads, head_width, num_buckets=0, max_distance=128, bidirectional=True):
        super().__init__()
        self.heads, self.d = heads, head_width
        self.rows, self.farthest, self.both = num_buckets, max_distance, bidirectional
        self.q = nn.Linear(width, heads * head_width, bias=False)
        self.k = nn.Linear(width, heads * head_width, bias=False)
        self.v = nn.Linear(width, heads * head_width, bias=False)
        self.o = nn.Linear(heads * head_width, width, bias=False)
        if num_buckets > 0:
            self.relative_bias = nn.Embedding(num_buckets, heads)

    def forward(self, x, mask=None, memory=None, bias=None):
        source = x if memory is None else memory
        q, k, v = (
            f(y).view(*y.shape[:2], self.heads, self.d).transpose(1, 2)
            for f, y in ((self.q, x), (self.k, source), (self.v, source))
        )
        scores = q @ k.transpose(2, 3)
        if memory is None and bias is None and self.rows:
            places = torch.arange(x.shape[1], device=x.device)
            row = t5_relative_bucket(places - places[:, None], self.both, self.rows, self.farthest)
            bias = self.relative_bias(row).permute(2, 0, 1)[None]
        if bias is not None:
            scores = scores + bias
        if mask is not None:
            scores = scores.masked_fill(~mask, -math.inf)
        weights = scores.softmax(-1)
        return self.o((weights @ v).transpose(1, 2).flatten(2)), weights, bias

# %% exercise="T5Attention" wrong="own_table_wins"
"""A layer with a table takes its own numbers even where a bias was passed."""
class T5Attention(nn.Module):
    def __init__(self, width, heads, head_width, num_buckets=0, max_distance=128, bidirectional=True):
        super().__init__()
        self.heads, self.d = heads, head_width
        self.rows, self.farthest, self.both = num_buckets, max_distance, bidirectional
        self.q = nn.Linear(width, heads * head_width, bias=False)
        self.k = nn.Linear(width, heads * head_width, bias=False)
        self.v = nn.Linear(width, heads * head_width, bias=False)
        self.o = nn.Linear(heads * head_width, width, bias=False)
        if num_buckets > 0:
            self.relative_bias = nn.Embedding(num_buckets, heads)

    def forward(self, x, mask=None, memory=None, bias=None):
        source = x if memory is None else memory
        q, k, v = (
            f(y).view(*y.shape[:2], self.heads, self.d).transpose(1, 2)
            for f, y in ((self.q, x), (self.k, source), (self.v, source))
        )
        scores = q @ k.transpose(2, 3)
        if memory is not None:
            bias = None
        elif self.rows:
            places = torch.arange(x.shape[1], device=x.device)
            row = t5_relative_bucket(places - places[:, None], self.both, self.rows, self.farthest)
            bias = self.relative_bias(row).permute(2, 0, 1)[None]
        if bias is not None:
            scores = scores + bias
        if mask is not None:
            scores = scores.masked_fill(~mask, -math.inf)
        weights = scores.softmax(-1)
        return self.o((weights @ v).transpose(1, 2).flatten(2)), weights, bias

# %% exercise="T5Attention" wrong="bias_returned_with_the_mask"
"""The bias that is returned has -inf where the mask hides keys."""
class T5Attention(nn.Module):
    def __init__(self, width, heads, head_width, num_buckets=0, max_distance=128, bidirectional=True):
        super().__init__()
        self.heads, self.d = heads, head_width
        self.rows, self.farthest, self.both = num_buckets, max_distance, bidirectional
        self.q = nn.Linear(width, heads * head_width, bias=False)
        self.k = nn.Linear(width, heads * head_width, bias=False)
        self.v = nn.Linear(width, heads * head_width, bias=False)
        self.o = nn.Linear(heads * head_width, width, bias=False)
        if num_buckets > 0:
            self.relative_bias = nn.Embedding(num_buckets, heads)

    def forward(self, x, mask=None, memory=None, bias=None):
        source = x if memory is None else memory
        q, k, v = (
            f(y).view(*y.shape[:2], self.heads, self.d).transpose(1, 2)
            for f, y in ((self.q, x), (self.k, source), (self.v, source))
        )
        scores = q @ k.transpose(2, 3)
        if memory is not None:
            bias = None
        elif bias is None and self.rows:
            places = torch.arange(x.shape[1], device=x.device)
            row = t5_relative_bucket(places - places[:, None], self.both, self.rows, self.farthest)
            bias = self.relative_bias(row).permute(2, 0, 1)[None]
        if bias is not None and mask is not None:
            bias = bias.masked_fill(~mask, -math.inf)
        elif mask is not None:
            scores = scores.masked_fill(~mask, -math.inf)
        if bias is not None:
            scores = scores + bias
        weights = scores.softmax(-1)
        return self.o((weights @ v).transpose(1, 2).flatten(2)), weights, bias

# %% exercise="T5Attention" wrong="bias_turned_round"
"""The table is asked for the query minus the key."""
class T5Attention(nn.Module):
    def __init__(self, width, heads, head_width, num_buckets=0, max_distance=128, bidirectional=True):
        super().__init__()
        self.heads, self.d = heads, head_width
        self.rows, self.farthest, self.both = num_buckets, max_distance, bidirectional
        self.q = nn.Linear(width, heads * head_width, bias=False)
        self.k = nn.Linear(width, heads * head_width, bias=False)
        self.v = nn.Linear(width, heads * head_width, bias=False)
        self.o = nn.Linear(heads * head_width, width, bias=False)
        if num_buckets > 0:
            self.relative_bias = nn.Embedding(num_buckets, heads)

    def forward(self, x, mask=None, memory=None, bias=None):
        source = x if memory is None else memory
        q, k, v = (
            f(y).view(*y.shape[:2], self.heads, self.d).transpose(1, 2)
            for f, y in ((self.q, x), (self.k, source), (self.v, source))
        )
        scores = q @ k.transpose(2, 3)
        if memory is not None:
            bias = None
        elif bias is None and self.rows:
            places = torch.arange(x.shape[1], device=x.device)
            row = t5_relative_bucket(places[:, None] - places, self.both, self.rows, self.farthest)
            bias = self.relative_bias(row).permute(2, 0, 1)[None]
        if bias is not None:
            scores = scores + bias
        if mask is not None:
            scores = scores.masked_fill(~mask, -math.inf)
        weights = scores.softmax(-1)
        return self.o((weights @ v).transpose(1, 2).flatten(2)), weights, bias

# %% exercise="T5Attention" wrong="returned_bias_without_its_graph"
"""The bias that is returned is detached: layers above teach the table nothing."""
class T5Attention(nn.Module):
    def __init__(self, width, heads, head_width, num_buckets=0, max_distance=128, bidirectional=True):
        super().__init__()
        self.heads, self.d = heads, head_width
        self.rows, self.farthest, self.both = num_buckets, max_distance, bidirectional
        self.q = nn.Linear(width, heads * head_width, bias=False)
        self.k = nn.Linear(width, heads * head_width, bias=False)
        self.v = nn.Linear(width, heads * head_width, bias=False)
        self.o = nn.Linear(heads * head_width, width, bias=False)
        if num_buckets > 0:
            self.relative_bias = nn.Embedding(num_buckets, heads)

    def forward(self, x, mask=None, memory=None, bias=None):
        source = x if memory is None else memory
        q, k, v = (
            f(y).view(*y.shape[:2], self.heads, self.d).transpose(1, 2)
            for f, y in ((self.q, x), (self.k, source), (self.v, source))
        )
        scores = q @ k.transpose(2, 3)
        if memory is not None:
            bias = None
        elif bias is None and self.rows:
            places = torch.arange(x.shape[1], device=x.device)
            row = t5_relative_bucket(places - places[:, None], self.both, self.rows, self.farthest)
            bias = self.relative_bias(row).permute(2, 0, 1)[None]
        if bias is not None:
            scores = scores + bias
        if mask is not None:
            scores = scores.masked_fill(~mask, -math.inf)
        weights = scores.softmax(-1)
        return self.o((weights @ v).transpose(1, 2).flatten(2)), weights, None if bias is None else bias.detach()

# %% exercise="T5Attention" wrong="always_bidirectional"
"""The decoder's table is asked like the encoder's."""
class T5Attention(nn.Module):
    def __init__(self, width, heads, head_width, num_buckets=0, max_distance=128, bidirectional=True):
        super().__init__()
        self.heads, self.d = heads, head_width
        self.rows, self.farthest, self.both = num_buckets, max_distance, bidirectional
        self.q = nn.Linear(width, heads * head_width, bias=False)
        self.k = nn.Linear(width, heads * head_width, bias=False)
        self.v = nn.Linear(width, heads * head_width, bias=False)
        self.o = nn.Linear(heads * head_width, width, bias=False)
        if num_buckets > 0:
            self.relative_bias = nn.Embedding(num_buckets, heads)

    def forward(self, x, mask=None, memory=None, bias=None):
        source = x if memory is None else memory
        q, k, v = (
            f(y).view(*y.shape[:2], self.heads, self.d).transpose(1, 2)
            for f, y in ((self.q, x), (self.k, source), (self.v, source))
        )
        scores = q @ k.transpose(2, 3)
        if memory is not None:
            bias = None
        elif bias is None and self.rows:
            places = torch.arange(x.shape[1], device=x.device)
            row = t5_relative_bucket(places - places[:, None], True, self.rows, self.farthest)
            bias = self.relative_bias(row).permute(2, 0, 1)[None]
        if bias is not None:
            scores = scores + bias
        if mask is not None:
            scores = scores.masked_fill(~mask, -math.inf)
        weights = scores.softmax(-1)
        return self.o((weights @ v).transpose(1, 2).flatten(2)), weights, bias

# %% exercise="T5Attention" wrong="max_distance_not_passed_on"
"""The table always ends at 128, whatever max_distance says."""
class T5Attention(nn.Module):
    def __init__(self, width, heads, head_width, num_buckets=0, max_distance=128, bidirectional=True):
        super().__init__()
        self.heads, self.d = heads, head_width
        self.rows, self.farthest, self.both = num_buckets, max_distance, bidirectional
        self.q = nn.Linear(width, heads * head_width, bias=False)
        self.k = nn.Linear(width, heads * head_width, bias=False)
        self.v = nn.Linear(width, heads * head_width, bias=False)
        self.o = nn.Linear(heads * head_width, width, bias=False)
        if num_buckets > 0:
            self.relative_bias = nn.Embedding(num_buckets, heads)

    def forward(self, x, mask=None, memory=None, bias=None):
        source = x if memory is None else memory
        q, k, v = (
            f(y).view(*y.shape[:2], self.heads, self.d).transpose(1, 2)
            for f, y in ((self.q, x), (self.k, source), (self.v, source))
        )
        scores = q @ k.transpose(2, 3)
        if memory is not None:
            bias = None
        elif bias is None and self.rows:
            places = torch.arange(x.shape[1], device=x.device)
            row = t5_relative_bucket(places - places[:, None], self.both, self.rows)
            bias = self.relative_bias(row).permute(2, 0, 1)[None]
        if bias is not None:
            scores = scores + bias
        if mask is not None:
            scores = scores.masked_fill(~mask, -math.inf)
        weights = scores.softmax(-1)
        return self.o((weights @ v).transpose(1, 2).flatten(2)), weights, bias

# %% exercise="T5Attention" wrong="columns_of_heads_interleaved"
"""Head h takes columns h, h + H, h + 2 H ... of q, k and v."""
class T5Attention(nn.Module):
    def __init__(self, width, heads, head_width, num_buckets=0, max_distance=128, bidirectional=True):
        super().__init__()
        self.heads, self.d = heads, head_width
        self.rows, self.farthest, self.both = num_buckets, max_distance, bidirectional
        self.q = nn.Linear(width, heads * head_width, bias=False)
        self.k = nn.Linear(width, heads * head_width, bias=False)
        self.v = nn.Linear(width, heads * head_width, bias=False)
        self.o = nn.Linear(heads * head_width, width, bias=False)
        if num_buckets > 0:
            self.relative_bias = nn.Embedding(num_buckets, heads)

    def forward(self, x, mask=None, memory=None, bias=None):
        source = x if memory is None else memory
        q, k, v = (
            f(y).view(*y.shape[:2], self.d, self.heads).permute(0, 3, 1, 2)
            for f, y in ((self.q, x), (self.k, source), (self.v, source))
        )
        scores = q @ k.transpose(2, 3)
        if memory is not None:
            bias = None
        elif bias is None and self.rows:
            places = torch.arange(x.shape[1], device=x.device)
            row = t5_relative_bucket(places - places[:, None], self.both, self.rows, self.farthest)
            bias = self.relative_bias(row).permute(2, 0, 1)[None]
        if bias is not None:
            scores = scores + bias
        if mask is not None:
            scores = scores.masked_fill(~mask, -math.inf)
        weights = scores.softmax(-1)
        return self.o((weights @ v).transpose(1, 2).flatten(2)), weights, bias

# %% exercise="T5Attention" wrong="given_bias_not_handed_on_too"
"""A bias that came as an argument is added, but the third result is None then."""
class T5Attention(nn.Module):
    def __init__(self, width, heads, head_width, num_buckets=0, max_distance=128, bidirectional=True):
        super().__init__()
        self.heads, self.d = heads, head_width
        self.rows, self.farthest, self.both = num_buckets, max_distance, bidirectional
        self.q = nn.Linear(width, heads * head_width, bias=False)
        self.k = nn.Linear(width, heads * head_width, bias=False)
        self.v = nn.Linear(width, heads * head_width, bias=False)
        self.o = nn.Linear(heads * head_width, width, bias=False)
        if num_buckets > 0:
            self.relative_bias = nn.Embedding(num_buckets, heads)

    def forward(self, x, mask=None, memory=None, bias=None):
        source = x if memory is None else memory
        given = bias is not None
        q, k, v = (
            f(y).view(*y.shape[:2], self.heads, self.d).transpose(1, 2)
            for f, y in ((self.q, x), (self.k, source), (self.v, source))
        )
        scores = q @ k.transpose(2, 3)
        if memory is not None:
            bias = None
        elif bias is None and self.rows:
            places = torch.arange(x.shape[1], device=x.device)
            row = t5_relative_bucket(places - places[:, None], self.both, self.rows, self.farthest)
            bias = self.relative_bias(row).permute(2, 0, 1)[None]
        if bias is not None:
            scores = scores + bias
        if mask is not None:
            scores = scores.masked_fill(~mask, -math.inf)
        weights = scores.softmax(-1)
        return self.o((weights @ v).transpose(1, 2).flatten(2)), weights, None if given else bias

# %% exercise="T5Attention" wrong="linear_maps_with_bias"
"""The four maps have biases."""
class T5Attention(nn.Module):
    def __init__(self, width, heads, head_width, num_buckets=0, max_distance=128, bidirectional=True):
        super().__init__()
        self.heads, self.d = heads, head_width
        self.rows, self.farthest, self.both = num_buckets, max_distance, bidirectional
        self.q = nn.Linear(width, heads * head_width)
        self.k = nn.Linear(width, heads * head_width)
        self.v = nn.Linear(width, heads * head_width)
        self.o = nn.Linear(heads * head_width, width)
        if num_buckets > 0:
            self.relative_bias = nn.Embedding(num_buckets, heads)

    def forward(self, x, mask=None, memory=None, bias=None):
        source = x if memory is None else memory
        q, k, v = (
            f(y).view(*y.shape[:2], self.heads, self.d).transpose(1, 2)
            for f, y in ((self.q, x), (self.k, source), (self.v, source))
        )
        scores = q @ k.transpose(2, 3)
        if memory is not None:
            bias = None
        elif bias is None and self.rows:
            places = torch.arange(x.shape[1], device=x.device)
            row = t5_relative_bucket(places - places[:, None], self.both, self.rows, self.farthest)
            bias = self.relative_bias(row).permute(2, 0, 1)[None]
        if bias is not None:
            scores = scores + bias
        if mask is not None:
            scores = scores.masked_fill(~mask, -math.inf)
        weights = scores.softmax(-1)
        return self.o((weights @ v).transpose(1, 2).flatten(2)), weights, bias

# %% exercise="T5Attention" wrong="table_and_given_bias_added_up"
"""A bias that is passed in is added to what the layer's own table says."""
class T5Attention(nn.Module):
    def __init__(self, width, heads, head_width, num_buckets=0, max_distance=128, bidirectional=True):
        super().__init__()
        self.heads, self.d = heads, head_width
        self.rows, self.farthest, self.both = num_buckets, max_distance, bidirectional
        self.q = nn.Linear(width, heads * head_width, bias=False)
        self.k = nn.Linear(width, heads * head_width, bias=False)
        self.v = nn.Linear(width, heads * head_width, bias=False)
        self.o = nn.Linear(heads * head_width, width, bias=False)
        if num_buckets > 0:
            self.relative_bias = nn.Embedding(num_buckets, heads)

    def forward(self, x, mask=None, memory=None, bias=None):
        source = x if memory is None else memory
        q, k, v = (
            f(y).view(*y.shape[:2], self.heads, self.d).transpose(1, 2)
            for f, y in ((self.q, x), (self.k, source), (self.v, source))
        )
        scores = q @ k.transpose(2, 3)
        if memory is not None:
            bias = None
        elif self.rows:
            places = torch.arange(x.shape[1], device=x.device)
            row = t5_relative_bucket(places - places[:, None], self.both, self.rows, self.farthest)
            own = self.relative_bias(row).permute(2, 0, 1)[None]
            bias = own if bias is None else bias + own
        if bias is not None:
            scores = scores + bias
        if mask is not None:
            scores = scores.masked_fill(~mask, -math.inf)
        weights = scores.softmax(-1)
        return self.o((weights @ v).transpose(1, 2).flatten(2)), weights, bias

# %% exercise="objectives_finding" wrong="percent_for_shares"
"""The four shares are percentages."""
objectives_finding = {
    "encoder_figures": 100.0, "decoder_figures": 37.3, "encoder_translates": 10.4, "decoder_translates": 97.2,
    "labels": 7.44, "blocked_by": "mask",
}  # fmt: skip

# %% exercise="objectives_finding" wrong="families_swapped"
"""The decoder's shares stand under the encoder's names, and the other way round."""
objectives_finding = {
    "encoder_figures": 0.373, "decoder_figures": 1.000, "encoder_translates": 0.972, "decoder_translates": 0.104,
    "labels": 7.44, "blocked_by": "mask",
}  # fmt: skip

# %% exercise="objectives_finding" wrong="one_over_the_rate"
"""1 / 0.15 labels: the pieces that are never chosen, and the first one, are not taken off."""
objectives_finding = {
    "encoder_figures": 1.000, "decoder_figures": 0.373, "encoder_translates": 0.104, "decoder_translates": 0.972,
    "labels": 6.67, "blocked_by": "mask",
}  # fmt: skip

# %% exercise="objectives_finding" wrong="special_pieces_may_be_chosen"
"""Takes 15 % of all pieces of a line, the first, the last and the arrow among them: 19.14 / (0.15 * 20.14)."""
objectives_finding = {
    "encoder_figures": 1.000, "decoder_figures": 0.373, "encoder_translates": 0.104, "decoder_translates": 0.972,
    "labels": 6.34, "blocked_by": "mask",
}  # fmt: skip

# %% exercise="objectives_finding" wrong="labels_of_the_encoder_for_one_of_the_decoder"
"""The ratio of the labels is turned round."""
objectives_finding = {
    "encoder_figures": 1.000, "decoder_figures": 0.373, "encoder_translates": 0.104, "decoder_translates": 0.972,
    "labels": 0.134, "blocked_by": "mask",
}  # fmt: skip

# %% exercise="objectives_finding" wrong="difference_of_the_labels"
"""How many more labels the decoder has on the average line, 19.1 - 2.6, instead of how many for each one."""
objectives_finding = {
    "encoder_figures": 1.000, "decoder_figures": 0.373, "encoder_translates": 0.104, "decoder_translates": 0.972,
    "labels": 16.6, "blocked_by": "mask",
}  # fmt: skip

# %% exercise="objectives_finding" wrong="blocked_by_training"
"""Says that the decoder was trained too little to find a figure that stands to the right."""
objectives_finding = {
    "encoder_figures": 1.000, "decoder_figures": 0.373, "encoder_translates": 0.104, "decoder_translates": 0.972,
    "labels": 7.44, "blocked_by": "training",
}  # fmt: skip

# %% exercise="objectives_finding" wrong="blocked_by_size"
"""Says that the decoder has too few parameters to find a figure that stands to the right."""
objectives_finding = {
    "encoder_figures": 1.000, "decoder_figures": 0.373, "encoder_translates": 0.104, "decoder_translates": 0.972,
    "labels": 7.44, "blocked_by": "size",
}  # fmt: skip

# %% exercise="objectives_finding" wrong="months_for_figures"
"""The shares of hidden months stand where those of hidden figures were asked for."""
objectives_finding = {
    "encoder_figures": 0.285, "decoder_figures": 0.104, "encoder_translates": 0.104, "decoder_translates": 0.972,
    "labels": 7.44, "blocked_by": "mask",
}  # fmt: skip

# %% exercise="objectives_finding" wrong="labels_without_the_special_pieces"
"""Labels: 1 / 0.15, as if the encoder might choose every piece that the decoder is asked for."""
objectives_finding = {
    "encoder_figures": 1.0,
    "decoder_figures": 0.373,
    "encoder_translates": 0.118,
    "decoder_translates": 0.972,
    "labels": 6.67,
    "blocked_by": "mask",
}

# %% exercise="objectives_finding" wrong="labels_turned_round"
"""Labels: the encoder's for one of the decoder's."""
objectives_finding = {
    "encoder_figures": 1.0,
    "decoder_figures": 0.373,
    "encoder_translates": 0.118,
    "decoder_translates": 0.972,
    "labels": 0.134,
    "blocked_by": "mask",
}

# %% exercise="objectives_finding" wrong="all_pieces_instead_of_figures"
"""The shares of all pieces, not of the figures."""
objectives_finding = {
    "encoder_figures": 0.905,
    "decoder_figures": 0.407,
    "encoder_translates": 0.118,
    "decoder_translates": 0.972,
    "labels": 7.4,
    "blocked_by": "mask",
}

# %% exercise="objectives_finding" wrong="blocked_by_training_too"
"""Takes the decoder's misses for a lack of steps."""
objectives_finding = {
    "encoder_figures": 1.0,
    "decoder_figures": 0.373,
    "encoder_translates": 0.118,
    "decoder_translates": 0.972,
    "labels": 7.4,
    "blocked_by": "training",
}

# %% exercise="objectives_finding" wrong="percent_instead_of_shares"
"""The four shares in percent."""
objectives_finding = {
    "encoder_figures": 100.0,
    "decoder_figures": 37.3,
    "encoder_translates": 11.8,
    "decoder_translates": 97.2,
    "labels": 7.4,
    "blocked_by": "mask",
}

# %% exercise="objectives_finding" wrong="translations_swapped"
"""The encoder's share of translations under the decoder's name, and the other way round."""
objectives_finding = {
    "encoder_figures": 1.0,
    "decoder_figures": 0.373,
    "encoder_translates": 0.972,
    "decoder_translates": 0.118,
    "labels": 7.4,
    "blocked_by": "mask",
}

# %% exercise="objectives_finding" wrong="months_instead_of_figures"
"""The shares of the months."""
objectives_finding = {
    "encoder_figures": 0.274,
    "decoder_figures": 0.104,
    "encoder_translates": 0.118,
    "decoder_translates": 0.972,
    "labels": 7.4,
    "blocked_by": "mask",
}

# %% exercise="objectives_finding" wrong="labels_of_the_longest_line"
"""Labels: the ratio of the widths of a padded batch, 15 % of all the 22 columns."""
objectives_finding = {
    "encoder_figures": 1.0,
    "decoder_figures": 0.373,
    "encoder_translates": 0.118,
    "decoder_translates": 0.972,
    "labels": 6.36,
    "blocked_by": "mask",
}

# %% exercise="patchify" wrong="reshape_without_permute"
"""One reshape: a patch is a run of numbers of the image's memory."""
def patchify(images: Tensor, size: int) -> Tensor:
    B, C, H, W = images.shape
    if H % size or W % size:
        raise ValueError("size")
    return images.reshape(B, (H // size) * (W // size), C * size * size)

# %% exercise="patchify" wrong="columns_of_patches_first"
"""Patches go down the first column of patches, then on to the next one."""
def patchify(images: Tensor, size: int) -> Tensor:
    B, C, H, W = images.shape
    if H % size or W % size:
        raise ValueError("size")
    x = images.reshape(B, C, H // size, size, W // size, size)
    return x.permute(0, 4, 2, 1, 3, 5).reshape(B, -1, C * size * size)

# %% exercise="patchify" wrong="channels_last"
"""In a patch the channels of a pixel stand together, as in einops' "(p1 p2 c)" of vit-pytorch."""
def patchify(images: Tensor, size: int) -> Tensor:
    B, C, H, W = images.shape
    if H % size or W % size:
        raise ValueError("size")
    x = images.reshape(B, C, H // size, size, W // size, size)
    return x.permute(0, 2, 4, 3, 5, 1).reshape(B, -1, size * size * C)

# %% exercise="patchify" wrong="patches_transposed"
"""A patch is written column by column."""
def patchify(images: Tensor, size: int) -> Tensor:
    B, C, H, W = images.shape
    if H % size or W % size:
        raise ValueError("size")
    x = images.reshape(B, C, H // size, size, W // size, size)
    return x.permute(0, 2, 4, 1, 5, 3).reshape(B, -1, C * size * size)

# %% exercise="patchify" wrong="edges_cut_off"
"""What is left over at the right and at the bottom is dropped without a word."""
def patchify(images: Tensor, size: int) -> Tensor:
    windows = images.unfold(2, size, size).unfold(3, size, size)
    return windows.permute(0, 2, 3, 1, 4, 5).flatten(3).flatten(1, 2)

# %% exercise="patchify" wrong="only_the_height_checked"
"""A width that is no multiple of the patch raises no ValueError; its edge is cut off."""
def patchify(images: Tensor, size: int) -> Tensor:
    if images.shape[2] % size:
        raise ValueError("size")
    windows = images.unfold(2, size, size).unfold(3, size, size)
    return windows.permute(0, 2, 3, 1, 4, 5).flatten(3).flatten(1, 2)

# %% exercise="patchify" wrong="vectors_down_the_second_axis"
"""F.unfold's own layout, (B, C P P, N)."""
def patchify(images: Tensor, size: int) -> Tensor:
    B, C, H, W = images.shape
    if H % size or W % size:
        raise ValueError("size")
    x = images.reshape(B, C, H // size, size, W // size, size)
    return x.permute(0, 1, 3, 5, 2, 4).reshape(B, C * size * size, -1)

# %% exercise="patchify" wrong="float_only"
"""F.unfold on floats: an image of integers comes out as float32."""
def patchify(images: Tensor, size: int) -> Tensor:
    if images.shape[2] % size or images.shape[3] % size:
        raise ValueError("size")
    x = images if images.is_floating_point() else images.float()
    return nn.functional.unfold(x, size, stride=size).mT

# %% exercise="patchify" wrong="contiguous_images_only"
"""view on the flattened image: one that was permuted or cut out of a larger one raises RuntimeError."""
def patchify(images: Tensor, size: int) -> Tensor:
    B, C, H, W = images.shape
    if H % size or W % size:
        raise ValueError("size")
    x = images.view(B, C * H * W).view(B, C, H // size, size, W // size, size)
    return x.permute(0, 2, 4, 1, 3, 5).reshape(B, -1, C * size * size)

# %% exercise="patchify" wrong="patches_column_by_column"
"""Patches go down the columns first."""
def patchify(images: Tensor, size: int) -> Tensor:
    B, C, H, W = images.shape
    if H % size or W % size:
        raise ValueError(f"{H} x {W} pixels can't be cut into squares of {size}")
    cut = images.reshape(B, C, H // size, size, W // size, size)
    return cut.permute(0, 4, 2, 1, 3, 5).reshape(B, -1, C * size * size)

# %% exercise="patchify" wrong="channels_last_in_the_patch"
"""In a patch the channels of a pixel stand together."""
def patchify(images: Tensor, size: int) -> Tensor:
    B, C, H, W = images.shape
    if H % size or W % size:
        raise ValueError(f"{H} x {W} pixels can't be cut into squares of {size}")
    cut = images.reshape(B, C, H // size, size, W // size, size)
    return cut.permute(0, 2, 4, 3, 5, 1).reshape(B, -1, C * size * size)

# %% exercise="patchify" wrong="reshape_alone"
"""One reshape without a permute: a patch is a stretch of memory."""
def patchify(images: Tensor, size: int) -> Tensor:
    B, C, H, W = images.shape
    if H % size or W % size:
        raise ValueError("size does not divide the image")
    return images.reshape(B, (H // size) * (W // size), C * size * size)

# %% exercise="patchify" wrong="pixels_column_by_column"
"""Inside of a patch the pixels go down the columns first."""
def patchify(images: Tensor, size: int) -> Tensor:
    B, C, H, W = images.shape
    if H % size or W % size:
        raise ValueError(f"{H} x {W} pixels can't be cut into squares of {size}")
    cut = images.reshape(B, C, H // size, size, W // size, size)
    return cut.permute(0, 2, 4, 1, 5, 3).reshape(B, -1, C * size * size)

# %% exercise="patchify" wrong="float32_for_every_image"
"""Images of any dtype come back as float32."""
def patchify(images: Tensor, size: int) -> Tensor:
    if images.shape[2] % size or images.shape[3] % size:
        raise ValueError("size does not divide the image")
    return nn.functional.unfold(images.float(), size, stride=size).transpose(1, 2)

# %% exercise="patchify" wrong="strides_of_a_dense_image_assumed"
"""Reads memory as if images were contiguous: a transposed or channels-last image is cut wrongly."""
def patchify(images: Tensor, size: int) -> Tensor:
    B, C, H, W = images.shape
    if H % size or W % size:
        raise ValueError("size does not divide the image")
    shape = (B, H // size, W // size, C, size, size)
    strides = (C * H * W, size * W, size, H * W, W, 1)
    return images.as_strided(shape, strides).reshape(B, -1, C * size * size)

# %% exercise="patchify" wrong="integer_images_refused"
"""unfold of torch.nn.functional knows no integer images."""
def patchify(images: Tensor, size: int) -> Tensor:
    if images.shape[2] % size or images.shape[3] % size:
        raise ValueError("size does not divide the image")
    return nn.functional.unfold(images, kernel_size=size, stride=size).mT

# %% exercise="patchify" wrong="rest_cut_off"
"""Rows and columns that are left over are dropped, no error."""
def patchify(images: Tensor, size: int) -> Tensor:
    windows = images.unfold(2, size, size).unfold(3, size, size)  # (B, C, rows, columns, P, P)
    return windows.movedim(1, 3).flatten(3).flatten(1, 2)

# %% exercise="patchify" wrong="only_the_height_is_checked"
"""A width that is no multiple of P raises no ValueError."""
def patchify(images: Tensor, size: int) -> Tensor:
    if images.shape[-2] % size:
        raise ValueError("no whole number of patches")
    windows = images.unfold(2, size, size).unfold(3, size, size)  # (B, C, rows, columns, P, P)
    return windows.movedim(1, 3).flatten(3).flatten(1, 2)

# %% exercise="patchify" wrong="number_of_pixels_checked"
"""H * W is checked, not H and W: 2 x 8 pixels in patches of 4 get past."""
def patchify(images: Tensor, size: int) -> Tensor:
    if images.shape[-2] * images.shape[-1] % size**2:
        raise ValueError("no whole number of patches")
    windows = images.unfold(2, size, size).unfold(3, size, size)  # (B, C, rows, columns, P, P)
    return windows.movedim(1, 3).flatten(3).flatten(1, 2)

# %% exercise="ViT" wrong="class_token_behind_the_patches"
"""The class token is the last token, and the head reads the last one."""
class ViT(nn.Module):
    def __init__(self, image, patch, channels, width, heads, layers, hidden, classes):
        super().__init__()
        if image[0] % patch or image[1] % patch:
            raise ValueError("image")
        self.shape, self.patch = (channels, *image), patch
        self.embed = nn.Linear(channels * patch * patch, width)
        self.cls = nn.Parameter(torch.zeros(width))
        self.positions = nn.Parameter(0.02 * torch.randn((image[0] // patch) * (image[1] // patch) + 1, width))
        self.layers = nn.ModuleList(PreNormLayer(width, heads, hidden) for _ in range(layers))
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.head = nn.Linear(width, classes)

    def tokens(self, images):
        if tuple(images.shape[1:]) != self.shape:
            raise ValueError("images")
        x = self.embed(patchify(images, self.patch))
        x = torch.cat([x, self.cls.expand(len(x), 1, -1)], dim=1) + self.positions
        for layer in self.layers:
            x = layer(x)
        return self.norm(x)

    def forward(self, images):
        return self.head(self.tokens(images)[:, -1])

# %% exercise="ViT" wrong="class_token_without_position"
"""Positions are added to the patches before the class token is put in front: it gets none."""
class ViT(nn.Module):
    def __init__(self, image, patch, channels, width, heads, layers, hidden, classes):
        super().__init__()
        if image[0] % patch or image[1] % patch:
            raise ValueError("image")
        self.shape, self.patch = (channels, *image), patch
        self.embed = nn.Linear(channels * patch * patch, width)
        self.cls = nn.Parameter(torch.zeros(width))
        self.positions = nn.Parameter(0.02 * torch.randn((image[0] // patch) * (image[1] // patch) + 1, width))
        self.layers = nn.ModuleList(PreNormLayer(width, heads, hidden) for _ in range(layers))
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.head = nn.Linear(width, classes)

    def tokens(self, images):
        if tuple(images.shape[1:]) != self.shape:
            raise ValueError("images")
        x = self.embed(patchify(images, self.patch)) + self.positions[1:]
        x = torch.cat([self.cls.expand(len(x), 1, -1), x], dim=1)
        for layer in self.layers:
            x = layer(x)
        return self.norm(x)

    def forward(self, images):
        return self.head(self.tokens(images)[:, 0])

# %% exercise="ViT" wrong="norm_in_forward_only"
"""`tokens` gives what the last layer gives; only the class token is normalised, in forward."""
class ViT(nn.Module):
    def __init__(self, image, patch, channels, width, heads, layers, hidden, classes):
        super().__init__()
        if image[0] % patch or image[1] % patch:
            raise ValueError("image")
        self.shape, self.patch = (channels, *image), patch
        self.embed = nn.Linear(channels * patch * patch, width)
        self.cls = nn.Parameter(torch.zeros(width))
        self.positions = nn.Parameter(0.02 * torch.randn((image[0] // patch) * (image[1] // patch) + 1, width))
        self.layers = nn.ModuleList(PreNormLayer(width, heads, hidden) for _ in range(layers))
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.head = nn.Linear(width, classes)

    def tokens(self, images):
        if tuple(images.shape[1:]) != self.shape:
            raise ValueError("images")
        x = self.embed(patchify(images, self.patch))
        x = torch.cat([self.cls.expand(len(x), 1, -1), x], dim=1) + self.positions
        for layer in self.layers:
            x = layer(x)
        return x

    def forward(self, images):
        return self.head(self.norm(self.tokens(images)[:, 0]))

# %% exercise="ViT" wrong="head_on_the_mean"
"""The logits come from the mean of all tokens."""
class ViT(nn.Module):
    def __init__(self, image, patch, channels, width, heads, layers, hidden, classes):
        super().__init__()
        if image[0] % patch or image[1] % patch:
            raise ValueError("image")
        self.shape, self.patch = (channels, *image), patch
        self.embed = nn.Linear(channels * patch * patch, width)
        self.cls = nn.Parameter(torch.zeros(width))
        self.positions = nn.Parameter(0.02 * torch.randn((image[0] // patch) * (image[1] // patch) + 1, width))
        self.layers = nn.ModuleList(PreNormLayer(width, heads, hidden) for _ in range(layers))
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.head = nn.Linear(width, classes)

    def tokens(self, images):
        if tuple(images.shape[1:]) != self.shape:
            raise ValueError("images")
        x = self.embed(patchify(images, self.patch))
        x = torch.cat([self.cls.expand(len(x), 1, -1), x], dim=1) + self.positions
        for layer in self.layers:
            x = layer(x)
        return self.norm(x)

    def forward(self, images):
        return self.head(self.tokens(images).mean(1))

# %% exercise="ViT" wrong="one_layer_many_times"
"""[layer] * n: all layers are the same module, with one set of weights."""
class ViT(nn.Module):
    def __init__(self, image, patch, channels, width, heads, layers, hidden, classes):
        super().__init__()
        if image[0] % patch or image[1] % patch:
            raise ValueError("image")
        self.shape, self.patch = (channels, *image), patch
        self.embed = nn.Linear(channels * patch * patch, width)
        self.cls = nn.Parameter(torch.zeros(width))
        self.positions = nn.Parameter(0.02 * torch.randn((image[0] // patch) * (image[1] // patch) + 1, width))
        self.layers = nn.ModuleList([PreNormLayer(width, heads, hidden)] * layers)
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.head = nn.Linear(width, classes)

    def tokens(self, images):
        if tuple(images.shape[1:]) != self.shape:
            raise ValueError("images")
        x = self.embed(patchify(images, self.patch))
        x = torch.cat([self.cls.expand(len(x), 1, -1), x], dim=1) + self.positions
        for layer in self.layers:
            x = layer(x)
        return self.norm(x)

    def forward(self, images):
        return self.head(self.tokens(images)[:, 0])

# %% exercise="ViT" wrong="only_the_number_of_patches_checked"
"""Looks at the number of patches alone: an image on its side, with as many of them, is accepted."""
class ViT(nn.Module):
    def __init__(self, image, patch, channels, width, heads, layers, hidden, classes):
        super().__init__()
        if image[0] % patch or image[1] % patch:
            raise ValueError("image")
        self.channels, self.patch = channels, patch
        self.embed = nn.Linear(channels * patch * patch, width)
        self.cls = nn.Parameter(torch.zeros(width))
        self.positions = nn.Parameter(0.02 * torch.randn((image[0] // patch) * (image[1] // patch) + 1, width))
        self.layers = nn.ModuleList(PreNormLayer(width, heads, hidden) for _ in range(layers))
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.head = nn.Linear(width, classes)

    def tokens(self, images):
        if images.shape[1] != self.channels:
            raise ValueError("channels")
        patches = patchify(images, self.patch)
        if patches.shape[1] + 1 != len(self.positions):
            raise ValueError("size")
        x = self.embed(patches)
        x = torch.cat([self.cls.expand(len(x), 1, -1), x], dim=1) + self.positions
        for layer in self.layers:
            x = layer(x)
        return self.norm(x)

    def forward(self, images):
        return self.head(self.tokens(images)[:, 0])

# %% exercise="ViT" wrong="eps_of_torch"
"""The closing norm has eps 1e-5, torch's own."""
class ViT(nn.Module):
    def __init__(self, image, patch, channels, width, heads, layers, hidden, classes):
        super().__init__()
        if image[0] % patch or image[1] % patch:
            raise ValueError("image")
        self.shape, self.patch = (channels, *image), patch
        self.embed = nn.Linear(channels * patch * patch, width)
        self.cls = nn.Parameter(torch.zeros(width))
        self.positions = nn.Parameter(0.02 * torch.randn((image[0] // patch) * (image[1] // patch) + 1, width))
        self.layers = nn.ModuleList(PreNormLayer(width, heads, hidden) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, classes)

    def tokens(self, images):
        if tuple(images.shape[1:]) != self.shape:
            raise ValueError("images")
        x = self.embed(patchify(images, self.patch))
        x = torch.cat([self.cls.expand(len(x), 1, -1), x], dim=1) + self.positions
        for layer in self.layers:
            x = layer(x)
        return self.norm(x)

    def forward(self, images):
        return self.head(self.tokens(images)[:, 0])

# %% exercise="ViT" wrong="positions_in_a_buffer"
"""The positions are a buffer: they are never learned."""
class ViT(nn.Module):
    def __init__(self, image, patch, channels, width, heads, layers, hidden, classes):
        super().__init__()
        if image[0] % patch or image[1] % patch:
            raise ValueError("image")
        self.shape, self.patch = (channels, *image), patch
        self.embed = nn.Linear(channels * patch * patch, width)
        self.cls = nn.Parameter(torch.zeros(width))
        count = (image[0] // patch) * (image[1] // patch)
        self.register_buffer("positions", 0.02 * torch.randn(count + 1, width))
        self.layers = nn.ModuleList(PreNormLayer(width, heads, hidden) for _ in range(layers))
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.head = nn.Linear(width, classes)

    def tokens(self, images):
        if tuple(images.shape[1:]) != self.shape:
            raise ValueError("images")
        x = self.embed(patchify(images, self.patch))
        x = torch.cat([self.cls.expand(len(x), 1, -1), x], dim=1) + self.positions
        for layer in self.layers:
            x = layer(x)
        return self.norm(x)

    def forward(self, images):
        return self.head(self.tokens(images)[:, 0])

# %% exercise="ViT" wrong="class_token_with_three_axes"
"""The class token is a parameter of (1, 1, D), as in timm, and not (D,)."""
class ViT(nn.Module):
    def __init__(self, image, patch, channels, width, heads, layers, hidden, classes):
        super().__init__()
        if image[0] % patch or image[1] % patch:
            raise ValueError("image")
        self.shape, self.patch = (channels, *image), patch
        self.embed = nn.Linear(channels * patch * patch, width)
        self.cls = nn.Parameter(torch.zeros(1, 1, width))
        self.positions = nn.Parameter(0.02 * torch.randn((image[0] // patch) * (image[1] // patch) + 1, width))
        self.layers = nn.ModuleList(PreNormLayer(width, heads, hidden) for _ in range(layers))
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.head = nn.Linear(width, classes)

    def tokens(self, images):
        if tuple(images.shape[1:]) != self.shape:
            raise ValueError("images")
        x = self.embed(patchify(images, self.patch))
        x = torch.cat([self.cls.expand(len(x), 1, -1), x], dim=1) + self.positions
        for layer in self.layers:
            x = layer(x)
        return self.norm(x)

    def forward(self, images):
        return self.head(self.tokens(images)[:, 0])

# %% exercise="ViT" wrong="class_token_at_the_end"
"""The class token stands behind the patches, and the head reads it there."""
class ViT(nn.Module):
    def __init__(self, image, patch, channels, width, heads, layers, hidden, classes):
        super().__init__()
        if image[0] % patch or image[1] % patch:
            raise ValueError("patches do not fit")
        self.shape, self.patch = (channels, *image), patch
        self.embed = nn.Linear(channels * patch * patch, width)
        self.cls = nn.Parameter(torch.randn(width) * 0.02)
        self.positions = nn.Parameter(torch.randn((image[0] // patch) * (image[1] // patch) + 1, width) * 0.02)
        self.layers = nn.ModuleList([PreNormLayer(width, heads, hidden) for _ in range(layers)])
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.head = nn.Linear(width, classes)

    def tokens(self, images):
        if tuple(images.shape[1:]) != self.shape:
            raise ValueError(f"images of {self.shape} expected")
        x = self.embed(patchify(images, self.patch))
        x = torch.cat([x, self.cls.expand(len(x), 1, -1)], dim=1) + self.positions
        for layer in self.layers:
            x = layer(x)
        return self.norm(x)

    def forward(self, images):
        return self.head(self.tokens(images)[:, -1])

# %% exercise="ViT" wrong="no_position_for_the_class_token"
"""Positions are added to the patches only."""
class ViT(nn.Module):
    def __init__(self, image, patch, channels, width, heads, layers, hidden, classes):
        super().__init__()
        self.image, self.channels, self.patch = tuple(image), channels, patch
        rows, columns = image[0] // patch, image[1] // patch
        self.cls = nn.Parameter(torch.zeros(width))
        self.positions = nn.Parameter(nn.init.trunc_normal_(torch.empty(rows * columns + 1, width), std=0.02))
        self.embed = nn.Linear(channels * patch**2, width)
        self.layers = nn.Sequential(*(PreNormLayer(width, heads, hidden) for _ in range(layers)))
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.head = nn.Linear(width, classes)

    def tokens(self, images):
        B, C, H, W = images.shape
        if C != self.channels or (H, W) != self.image or H % self.patch or W % self.patch:
            raise ValueError("not an image of this model")
        kernel = self.embed.weight.view(-1, C, self.patch, self.patch)
        maps = nn.functional.conv2d(images, kernel, self.embed.bias, stride=self.patch)
        first = self.cls.repeat(B, 1, 1)
        others = maps.flatten(2).mT + self.positions[1:]
        return self.norm(self.layers(torch.cat((first, others), 1)))

    def forward(self, images):
        first, *_ = self.tokens(images).unbind(dim=1)
        return self.head(first)

# %% exercise="ViT" wrong="mean_of_all_tokens"
"""The head reads the mean of all tokens."""
class ViT(nn.Module):
    def __init__(self, image, patch, channels, width, heads, layers, hidden, classes):
        super().__init__()
        if image[0] % patch or image[1] % patch:
            raise ValueError("patches do not fit")
        self.shape, self.patch = (channels, *image), patch
        self.embed = nn.Linear(channels * patch * patch, width)
        self.cls = nn.Parameter(torch.randn(width) * 0.02)
        self.positions = nn.Parameter(torch.randn((image[0] // patch) * (image[1] // patch) + 1, width) * 0.02)
        self.layers = nn.ModuleList([PreNormLayer(width, heads, hidden) for _ in range(layers)])
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.head = nn.Linear(width, classes)

    def tokens(self, images):
        if tuple(images.shape[1:]) != self.shape:
            raise ValueError(f"images of {self.shape} expected")
        x = self.embed(patchify(images, self.patch))
        x = torch.cat([self.cls.expand(len(x), 1, -1), x], dim=1) + self.positions
        for layer in self.layers:
            x = layer(x)
        return self.norm(x)

    def forward(self, images):
        return self.head(self.tokens(images).mean(1))

# %% exercise="ViT" wrong="norm_in_forward_only_too"
"""tokens gives what the last layer gives; only the class token is normalised, for the head."""
class ViT(nn.Module):
    def __init__(self, image, patch, channels, width, heads, layers, hidden, classes):
        super().__init__()
        if image[0] % patch or image[1] % patch:
            raise ValueError("patches do not fit")
        self.shape, self.patch = (channels, *image), patch
        self.embed = nn.Linear(channels * patch * patch, width)
        self.cls = nn.Parameter(torch.randn(width) * 0.02)
        self.positions = nn.Parameter(torch.randn((image[0] // patch) * (image[1] // patch) + 1, width) * 0.02)
        self.layers = nn.ModuleList([PreNormLayer(width, heads, hidden) for _ in range(layers)])
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.head = nn.Linear(width, classes)

    def tokens(self, images):
        if tuple(images.shape[1:]) != self.shape:
            raise ValueError(f"images of {self.shape} expected")
        x = self.embed(patchify(images, self.patch))
        x = torch.cat([self.cls.expand(len(x), 1, -1), x], dim=1) + self.positions
        for layer in self.layers:
            x = layer(x)
        return x

    def forward(self, images):
        return self.head(self.norm(self.tokens(images)[:, 0]))

# %% exercise="ViT" wrong="eps_of_torch_too"
"""The closing norm has torch's own eps, 1e-5."""
class ViT(nn.Module):
    def __init__(self, image, patch, channels, width, heads, layers, hidden, classes):
        super().__init__()
        if image[0] % patch or image[1] % patch:
            raise ValueError("patches do not fit")
        self.shape, self.patch = (channels, *image), patch
        self.embed = nn.Linear(channels * patch * patch, width)
        self.cls = nn.Parameter(torch.randn(width) * 0.02)
        self.positions = nn.Parameter(torch.randn((image[0] // patch) * (image[1] // patch) + 1, width) * 0.02)
        self.layers = nn.ModuleList([PreNormLayer(width, heads, hidden) for _ in range(layers)])
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, classes)

    def tokens(self, images):
        if tuple(images.shape[1:]) != self.shape:
            raise ValueError(f"images of {self.shape} expected")
        x = self.embed(patchify(images, self.patch))
        x = torch.cat([self.cls.expand(len(x), 1, -1), x], dim=1) + self.positions
        for layer in self.layers:
            x = layer(x)
        return self.norm(x)

    def forward(self, images):
        return self.head(self.tokens(images)[:, 0])

# %% exercise="ViT" wrong="number_of_patches_checked"
"""An image of another size with as many patches, such as one on its side, is accepted."""
class ViT(nn.Module):
    def __init__(self, image, patch, channels, width, heads, layers, hidden, classes):
        super().__init__()
        if image[0] % patch or image[1] % patch:
            raise ValueError("patches do not fit")
        self.shape, self.patch = (channels, *image), patch
        self.embed = nn.Linear(channels * patch * patch, width)
        self.cls = nn.Parameter(torch.randn(width) * 0.02)
        self.positions = nn.Parameter(torch.randn((image[0] // patch) * (image[1] // patch) + 1, width) * 0.02)
        self.layers = nn.ModuleList([PreNormLayer(width, heads, hidden) for _ in range(layers)])
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.head = nn.Linear(width, classes)

    def tokens(self, images):
        height, wide = images.shape[2] // self.patch, images.shape[3] // self.patch
        if images.shape[1] != self.shape[0] or height * wide + 1 != len(self.positions):
            raise ValueError(f"images of {self.shape} expected")
        x = self.embed(patchify(images, self.patch))
        x = torch.cat([self.cls.expand(len(x), 1, -1), x], dim=1) + self.positions
        for layer in self.layers:
            x = layer(x)
        return self.norm(x)

    def forward(self, images):
        return self.head(self.tokens(images)[:, 0])

# %% exercise="ViT" wrong="channels_not_checked"
"""Another number of channels gets as far as the matrix product, which raises RuntimeError."""
class ViT(nn.Module):
    def __init__(self, image, patch, channels, width, heads, layers, hidden, classes):
        super().__init__()
        if image[0] % patch or image[1] % patch:
            raise ValueError("patches do not fit")
        self.shape, self.patch = (channels, *image), patch
        self.embed = nn.Linear(channels * patch * patch, width)
        self.cls = nn.Parameter(torch.randn(width) * 0.02)
        self.positions = nn.Parameter(torch.randn((image[0] // patch) * (image[1] // patch) + 1, width) * 0.02)
        self.layers = nn.ModuleList([PreNormLayer(width, heads, hidden) for _ in range(layers)])
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.head = nn.Linear(width, classes)

    def tokens(self, images):
        if tuple(images.shape[2:]) != self.shape[1:]:
            raise ValueError(f"images of {self.shape} expected")
        x = self.embed(patchify(images, self.patch))
        x = torch.cat([self.cls.expand(len(x), 1, -1), x], dim=1) + self.positions
        for layer in self.layers:
            x = layer(x)
        return self.norm(x)

    def forward(self, images):
        return self.head(self.tokens(images)[:, 0])

# %% exercise="ViT" wrong="hidden_ignored"
"""Feed-forward layers are four times as wide as the model, whatever hidden says."""
class ViT(nn.Module):
    def __init__(self, image, patch, channels, width, heads, layers, hidden, classes):
        super().__init__()
        if image[0] % patch or image[1] % patch:
            raise ValueError("patches do not fit")
        self.shape, self.patch = (channels, *image), patch
        self.embed = nn.Linear(channels * patch * patch, width)
        self.cls = nn.Parameter(torch.randn(width) * 0.02)
        self.positions = nn.Parameter(torch.randn((image[0] // patch) * (image[1] // patch) + 1, width) * 0.02)
        self.layers = nn.ModuleList([PreNormLayer(width, heads, 4 * width) for _ in range(layers)])
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.head = nn.Linear(width, classes)

    def tokens(self, images):
        if tuple(images.shape[1:]) != self.shape:
            raise ValueError(f"images of {self.shape} expected")
        x = self.embed(patchify(images, self.patch))
        x = torch.cat([self.cls.expand(len(x), 1, -1), x], dim=1) + self.positions
        for layer in self.layers:
            x = layer(x)
        return self.norm(x)

    def forward(self, images):
        return self.head(self.tokens(images)[:, 0])

# %% exercise="ViT" wrong="class_token_of_three_axes"
"""The class token is (1, 1, D), as in transformers."""
class ViT(nn.Module):
    def __init__(self, image, patch, channels, width, heads, layers, hidden, classes):
        super().__init__()
        if image[0] % patch or image[1] % patch:
            raise ValueError("patches do not fit")
        self.shape, self.patch = (channels, *image), patch
        self.embed = nn.Linear(channels * patch * patch, width)
        self.cls = nn.Parameter(torch.randn(1, 1, width) * 0.02)
        self.positions = nn.Parameter(torch.randn((image[0] // patch) * (image[1] // patch) + 1, width) * 0.02)
        self.layers = nn.ModuleList([PreNormLayer(width, heads, hidden) for _ in range(layers)])
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.head = nn.Linear(width, classes)

    def tokens(self, images):
        if tuple(images.shape[1:]) != self.shape:
            raise ValueError(f"images of {self.shape} expected")
        x = self.embed(patchify(images, self.patch))
        x = torch.cat([self.cls.expand(len(x), -1, -1), x], dim=1) + self.positions
        for layer in self.layers:
            x = layer(x)
        return self.norm(x)

    def forward(self, images):
        return self.head(self.tokens(images)[:, 0])

# %% exercise="ViT" wrong="normalised_twice"
"""The class token is normalised once more before the head."""
class ViT(nn.Module):
    def __init__(self, image, patch, channels, width, heads, layers, hidden, classes):
        super().__init__()
        if image[0] % patch or image[1] % patch:
            raise ValueError("patches do not fit")
        self.shape, self.patch = (channels, *image), patch
        self.embed = nn.Linear(channels * patch * patch, width)
        self.cls = nn.Parameter(torch.randn(width) * 0.02)
        self.positions = nn.Parameter(torch.randn((image[0] // patch) * (image[1] // patch) + 1, width) * 0.02)
        self.layers = nn.ModuleList([PreNormLayer(width, heads, hidden) for _ in range(layers)])
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.head = nn.Linear(width, classes)

    def tokens(self, images):
        if tuple(images.shape[1:]) != self.shape:
            raise ValueError(f"images of {self.shape} expected")
        x = self.embed(patchify(images, self.patch))
        x = torch.cat([self.cls.expand(len(x), 1, -1), x], dim=1) + self.positions
        for layer in self.layers:
            x = layer(x)
        return self.norm(x)

    def forward(self, images):
        return self.head(self.norm(self.tokens(images)[:, 0]))

# %% exercise="ViT" wrong="positions_frozen"
"""The positions are a buffer: they are in the state dict and learn nothing."""
class ViT(nn.Module):
    def __init__(self, image, patch, channels, width, heads, layers, hidden, classes):
        super().__init__()
        if image[0] % patch or image[1] % patch:
            raise ValueError("patches do not fit")
        self.shape, self.patch = (channels, *image), patch
        self.embed = nn.Linear(channels * patch * patch, width)
        self.cls = nn.Parameter(torch.randn(width) * 0.02)
        count = (image[0] // patch) * (image[1] // patch)
        self.register_buffer("positions", torch.randn(count + 1, width) * 0.02)
        self.layers = nn.ModuleList([PreNormLayer(width, heads, hidden) for _ in range(layers)])
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.head = nn.Linear(width, classes)

    def tokens(self, images):
        if tuple(images.shape[1:]) != self.shape:
            raise ValueError(f"images of {self.shape} expected")
        x = self.embed(patchify(images, self.patch))
        x = torch.cat([self.cls.expand(len(x), 1, -1), x], dim=1) + self.positions
        for layer in self.layers:
            x = layer(x)
        return self.norm(x)

    def forward(self, images):
        return self.head(self.tokens(images)[:, 0])

# %% exercise="clip_contrastive_loss" wrong="logarithm_as_factor"
"""Multiplies with logit_scale itself, not with its exponential."""
def clip_contrastive_loss(
    images: Tensor, texts: Tensor, logit_scale: Tensor, rank: int = 0, ranks: int = 1
) -> Tensor:
    a, b = (x / x.norm(dim=-1, keepdim=True) for x in (images, texts))
    table = logit_scale * a @ b.T
    n = len(table) // ranks
    own = torch.arange(rank * n, (rank + 1) * n, device=table.device)
    return (nn.functional.cross_entropy(table[own], own) + nn.functional.cross_entropy(table.T[own], own)) / 2

# %% exercise="clip_contrastive_loss" wrong="temperature_divides"
"""Divides by exp(logit_scale), as by a temperature."""
def clip_contrastive_loss(
    images: Tensor, texts: Tensor, logit_scale: Tensor, rank: int = 0, ranks: int = 1
) -> Tensor:
    a, b = (x / x.norm(dim=-1, keepdim=True) for x in (images, texts))
    table = a @ b.T / logit_scale.exp()
    n = len(table) // ranks
    own = torch.arange(rank * n, (rank + 1) * n, device=table.device)
    return (nn.functional.cross_entropy(table[own], own) + nn.functional.cross_entropy(table.T[own], own)) / 2

# %% exercise="clip_contrastive_loss" wrong="targets_of_the_first_device"
"""Every device says that its first row's partner stands in column 0."""
def clip_contrastive_loss(
    images: Tensor, texts: Tensor, logit_scale: Tensor, rank: int = 0, ranks: int = 1
) -> Tensor:
    a, b = (x / x.norm(dim=-1, keepdim=True) for x in (images, texts))
    table = logit_scale.exp() * a @ b.T
    n = len(table) // ranks
    own = slice(rank * n, (rank + 1) * n)
    targets = torch.arange(n, device=table.device)
    return (nn.functional.cross_entropy(table[own], targets) + nn.functional.cross_entropy(table.T[own], targets)) / 2

# %% exercise="clip_contrastive_loss" wrong="rivals_of_this_device_only"
"""A device chooses among its own N / ranks rows: what was gathered is no rival."""
def clip_contrastive_loss(
    images: Tensor, texts: Tensor, logit_scale: Tensor, rank: int = 0, ranks: int = 1
) -> Tensor:
    n = len(images) // ranks
    own = slice(rank * n, (rank + 1) * n)
    a, b = (x[own] / x[own].norm(dim=-1, keepdim=True) for x in (images, texts))
    table = logit_scale.exp() * a @ b.T
    targets = torch.arange(n, device=table.device)
    return (nn.functional.cross_entropy(table, targets) + nn.functional.cross_entropy(table.T, targets)) / 2

# %% exercise="clip_contrastive_loss" wrong="others_rows_without_gradient"
"""Rows of other devices are detached, as torch.distributed's all_gather leaves them."""
def clip_contrastive_loss(
    images: Tensor, texts: Tensor, logit_scale: Tensor, rank: int = 0, ranks: int = 1
) -> Tensor:
    n = len(images) // ranks
    own = torch.arange(rank * n, (rank + 1) * n, device=images.device)
    mine = torch.zeros(len(images), 1, dtype=torch.bool, device=images.device)
    mine[own] = True
    a, b = (torch.where(mine, x, x.detach()) for x in (images, texts))
    a, b = (x / x.norm(dim=-1, keepdim=True) for x in (a, b))
    table = logit_scale.exp() * a @ b.T
    return (nn.functional.cross_entropy(table[own], own) + nn.functional.cross_entropy(table.T[own], own)) / 2

# %% exercise="clip_contrastive_loss" wrong="images_choose_only"
"""One direction: each image chooses its text, no text chooses an image."""
def clip_contrastive_loss(
    images: Tensor, texts: Tensor, logit_scale: Tensor, rank: int = 0, ranks: int = 1
) -> Tensor:
    a, b = (x / x.norm(dim=-1, keepdim=True) for x in (images, texts))
    table = logit_scale.exp() * a @ b.T
    n = len(table) // ranks
    own = torch.arange(rank * n, (rank + 1) * n, device=table.device)
    return nn.functional.cross_entropy(table[own], own)

# %% exercise="clip_contrastive_loss" wrong="factor_held_at_a_hundred"
"""The factor is clamped to 100, as CLIP's training does: a factor of 1000 gives another loss."""
def clip_contrastive_loss(
    images: Tensor, texts: Tensor, logit_scale: Tensor, rank: int = 0, ranks: int = 1
) -> Tensor:
    a, b = (x / x.norm(dim=-1, keepdim=True) for x in (images, texts))
    table = logit_scale.exp().clamp(max=100) * a @ b.T
    n = len(table) // ranks
    own = torch.arange(rank * n, (rank + 1) * n, device=table.device)
    return (nn.functional.cross_entropy(table[own], own) + nn.functional.cross_entropy(table.T[own], own)) / 2

# %% exercise="clip_contrastive_loss" wrong="exponentials_overflow"
"""exp, sum, log by hand: with a factor of 1000 the loss is inf or NaN."""
def clip_contrastive_loss(
    images: Tensor, texts: Tensor, logit_scale: Tensor, rank: int = 0, ranks: int = 1
) -> Tensor:
    a, b = (x / x.norm(dim=-1, keepdim=True) for x in (images, texts))
    table = (logit_scale.exp() * a @ b.T).exp()
    right = table.diagonal()
    losses = -((right / table.sum(1)).log() + (right / table.sum(0)).log()) / 2
    return losses.view(ranks, -1)[rank].mean()

# %% exercise="clip_contrastive_loss" wrong="texts_choose_among_the_devices_images"
"""The own rows of the table, transposed, are used for the texts: all texts choose among the device's images."""
def clip_contrastive_loss(
    images: Tensor, texts: Tensor, logit_scale: Tensor, rank: int = 0, ranks: int = 1
) -> Tensor:
    a, b = (x / x.norm(dim=-1, keepdim=True) for x in (images, texts))
    n = len(images) // ranks
    own = torch.arange(rank * n, (rank + 1) * n, device=images.device)
    rows = logit_scale.exp() * a[own] @ b.T
    back = rows.T[own]
    local = torch.arange(n, device=images.device)
    return (nn.functional.cross_entropy(rows, own) + nn.functional.cross_entropy(back, local)) / 2

# %% exercise="clip_contrastive_loss" wrong="no_normalisation"
"""Plain dot products: long vectors have larger logits."""
def clip_contrastive_loss(
    images: Tensor, texts: Tensor, logit_scale: Tensor, rank: int = 0, ranks: int = 1
) -> Tensor:
    table = logit_scale.exp() * images @ texts.T
    n = len(table) // ranks
    own = torch.arange(rank * n, (rank + 1) * n, device=table.device)
    return (nn.functional.cross_entropy(table[own], own) + nn.functional.cross_entropy(table.T[own], own)) / 2

# %% exercise="clip_contrastive_loss" wrong="scale_is_no_logarithm"
"""Similarities are multiplied with logit_scale itself."""
def clip_contrastive_loss(images, texts, logit_scale, rank=0, ranks=1):
    images, texts = nn.functional.normalize(images, dim=-1), nn.functional.normalize(texts, dim=-1)
    each = len(images) // ranks
    own = torch.arange(rank * each, (rank + 1) * each, device=images.device)
    by_image = logit_scale * images[own] @ texts.T
    by_text = logit_scale * texts[own] @ images.T
    return (nn.functional.cross_entropy(by_image, own) + nn.functional.cross_entropy(by_text, own)) / 2

# %% exercise="clip_contrastive_loss" wrong="dot_products_instead_of_cosines"
"""Vectors keep their lengths."""
def clip_contrastive_loss(images, texts, logit_scale, rank=0, ranks=1):
    each = len(images) // ranks
    own = torch.arange(rank * each, (rank + 1) * each, device=images.device)
    by_image = logit_scale.exp() * images[own] @ texts.T
    by_text = logit_scale.exp() * texts[own] @ images.T
    return (nn.functional.cross_entropy(by_image, own) + nn.functional.cross_entropy(by_text, own)) / 2

# %% exercise="clip_contrastive_loss" wrong="targets_from_zero_on_every_device"
"""Every device looks for the partners of its rows from column 0 on."""
def clip_contrastive_loss(images, texts, logit_scale, rank=0, ranks=1):
    images, texts = nn.functional.normalize(images, dim=-1), nn.functional.normalize(texts, dim=-1)
    each = len(images) // ranks
    own = torch.arange(rank * each, (rank + 1) * each, device=images.device)
    by_image = logit_scale.exp() * images[own] @ texts.T
    by_text = logit_scale.exp() * texts[own] @ images.T
    labels = torch.arange(each, device=images.device)
    return (nn.functional.cross_entropy(by_image, labels) + nn.functional.cross_entropy(by_text, labels)) / 2

# %% exercise="clip_contrastive_loss" wrong="rows_of_others_without_gradient"
"""What other devices made is detached: the mean of all losses has other gradients."""
def clip_contrastive_loss(images, texts, logit_scale, rank=0, ranks=1):
    images, texts = nn.functional.normalize(images, dim=-1), nn.functional.normalize(texts, dim=-1)
    mine = torch.arange(len(images), device=images.device)[:, None] // (len(images) // ranks) == rank
    images, texts = torch.where(mine, images, images.detach()), torch.where(mine, texts, texts.detach())
    each = len(images) // ranks
    own = torch.arange(rank * each, (rank + 1) * each, device=images.device)
    by_image = logit_scale.exp() * images[own] @ texts.T
    by_text = logit_scale.exp() * texts[own] @ images.T
    return (nn.functional.cross_entropy(by_image, own) + nn.functional.cross_entropy(by_text, own)) / 2

# %% exercise="clip_contrastive_loss" wrong="images_choose_only_too"
"""Only the images choose among the texts."""
def clip_contrastive_loss(images, texts, logit_scale, rank=0, ranks=1):
    images, texts = nn.functional.normalize(images, dim=-1), nn.functional.normalize(texts, dim=-1)
    each = len(images) // ranks
    own = torch.arange(rank * each, (rank + 1) * each, device=images.device)
    by_image = logit_scale.exp() * images[own] @ texts.T
    return nn.functional.cross_entropy(by_image, own)

# %% exercise="clip_contrastive_loss" wrong="texts_choose_among_own_images"
"""A device's texts choose among its own images only."""
def clip_contrastive_loss(images, texts, logit_scale, rank=0, ranks=1):
    images, texts = nn.functional.normalize(images, dim=-1), nn.functional.normalize(texts, dim=-1)
    n = len(images) // ranks
    own = slice(rank * n, (rank + 1) * n)
    logits = logit_scale.exp() * images[own] @ texts.T  # (n, N)
    loss_images = nn.functional.cross_entropy(logits, torch.arange(n) + rank * n)
    loss_texts = nn.functional.cross_entropy(logits[:, own].T, torch.arange(n))
    return (loss_images + loss_texts) / 2

# %% exercise="clip_contrastive_loss" wrong="factor_clamped_to_100"
"""The factor is cut off at 100, as in CLIP's training code."""
def clip_contrastive_loss(images, texts, logit_scale, rank=0, ranks=1):
    images, texts = nn.functional.normalize(images, dim=-1), nn.functional.normalize(texts, dim=-1)
    each = len(images) // ranks
    own = torch.arange(rank * each, (rank + 1) * each, device=images.device)
    by_image = logit_scale.exp().clamp(max=100) * images[own] @ texts.T
    by_text = logit_scale.exp().clamp(max=100) * texts[own] @ images.T
    return (nn.functional.cross_entropy(by_image, own) + nn.functional.cross_entropy(by_text, own)) / 2

# %% exercise="clip_contrastive_loss" wrong="exponentials_without_maximum"
"""Softmax by hand without subtracting the largest logit: NaN or inf with a factor of 1000."""
def clip_contrastive_loss(images, texts, logit_scale, rank=0, ranks=1):
    images = images / images.norm(dim=1, keepdim=True)
    texts = texts / texts.norm(dim=1, keepdim=True)
    exps = (logit_scale.exp() * images @ texts.T).exp()
    by_image = -(exps.diagonal() / exps.sum(1)).log()
    by_text = -(exps.diagonal() / exps.sum(0)).log()
    n = len(images) // ranks
    return (by_image + by_text)[rank * n : (rank + 1) * n].mean() / 2

# %% exercise="clip_contrastive_loss" wrong="scale_not_learned"
"""logit_scale becomes a Python float and gets no gradient."""
def clip_contrastive_loss(images, texts, logit_scale, rank=0, ranks=1):
    images, texts = nn.functional.normalize(images, dim=-1), nn.functional.normalize(texts, dim=-1)
    each = len(images) // ranks
    own = torch.arange(rank * each, (rank + 1) * each, device=images.device)
    by_image = math.exp(logit_scale.item()) * images[own] @ texts.T
    by_text = math.exp(logit_scale.item()) * texts[own] @ images.T
    return (nn.functional.cross_entropy(by_image, own) + nn.functional.cross_entropy(by_text, own)) / 2

# %% exercise="clip_contrastive_loss" wrong="callers_vectors_normalised"
"""Vectors that need no gradient are normalised in place."""
def clip_contrastive_loss(images, texts, logit_scale, rank=0, ranks=1):
    normed = []
    for vectors in (images, texts):
        lengths = vectors.norm(dim=-1, keepdim=True)
        normed.append(vectors / lengths if vectors.requires_grad else vectors.div_(lengths))
    table = logit_scale.exp() * normed[0] @ normed[1].T
    n = len(table) // ranks
    own = torch.arange(rank * n, (rank + 1) * n)
    rows, columns = table[own], table.T[own]
    return (nn.functional.cross_entropy(rows, own) + nn.functional.cross_entropy(columns, own)) / 2

# %% exercise="clip_contrastive_loss" wrong="sum_of_both_directions"
"""The two cross-entropies are added, not averaged."""
def clip_contrastive_loss(images, texts, logit_scale, rank=0, ranks=1):
    images, texts = nn.functional.normalize(images, dim=-1), nn.functional.normalize(texts, dim=-1)
    each = len(images) // ranks
    own = torch.arange(rank * each, (rank + 1) * each, device=images.device)
    by_image = logit_scale.exp() * images[own] @ texts.T
    by_text = logit_scale.exp() * texts[own] @ images.T
    return (nn.functional.cross_entropy(by_image, own) + nn.functional.cross_entropy(by_text, own))

# %% exercise="clip_contrastive_loss" wrong="share_of_the_whole_batch"
"""A device's sum is divided by all N rows."""
def clip_contrastive_loss(images, texts, logit_scale, rank=0, ranks=1):
    lengths = images.norm(dim=1)[:, None] * texts.norm(dim=1)[None, :]
    table = logit_scale.exp() * (images @ texts.T / lengths)
    losses = (table.logsumexp(1) + table.logsumexp(0)) / 2 - table.diagonal()
    return losses.chunk(ranks)[rank].sum() / len(losses)

# %% exercise="clip_contrastive_loss" wrong="short_vectors_get_shorter"
"""A constant of 1e-6 in the denominator: cosines of very short vectors come out too small."""
def clip_contrastive_loss(images, texts, logit_scale, rank=0, ranks=1):
    i = images / (torch.linalg.vector_norm(images, dim=-1, keepdim=True) + 1e-6)
    t = texts / (torch.linalg.vector_norm(texts, dim=-1, keepdim=True) + 1e-6)
    n = images.shape[0] // ranks
    total = 0
    for row in range(rank * n, rank * n + n):
        of_texts = (torch.exp(logit_scale) * torch.mv(t, i[row])).log_softmax(0)
        of_images = (torch.exp(logit_scale) * torch.mv(i, t[row])).log_softmax(0)
        total = total - of_texts[row] - of_images[row]
    return total / (2 * n)

# %% exercise="log_mel" wrong="symmetric_window"
"""scipy's and numpy's Hann window: symmetric, not periodic."""
def log_mel(wave: Tensor, filters: Tensor) -> Tensor:
    padded = torch.cat([wave[..., 1:201].flip(-1), wave, wave[..., -201:-1].flip(-1)], -1)
    window = torch.hann_window(400, periodic=False, dtype=wave.dtype, device=wave.device)
    power = torch.fft.rfft(padded.unfold(-1, 400, 160)[..., :-1, :] * window).abs().square()
    x = (filters @ power.mT).clamp(min=1e-10).log10()
    return (torch.maximum(x, x.amax((-2, -1), keepdim=True) - 8) + 4) / 4

# %% exercise="log_mel" wrong="largest_number_of_the_batch"
"""The floor lies 8 below the largest number of the whole batch, as in Whisper's own code."""
def log_mel(wave: Tensor, filters: Tensor) -> Tensor:
    padded = torch.cat([wave[..., 1:201].flip(-1), wave, wave[..., -201:-1].flip(-1)], -1)
    window = torch.hann_window(400, dtype=wave.dtype, device=wave.device)
    power = torch.fft.rfft(padded.unfold(-1, 400, 160)[..., :-1, :] * window).abs().square()
    x = (filters @ power.mT).clamp(min=1e-10).log10()
    return (torch.maximum(x, x.max() - 8) + 4) / 4

# %% exercise="log_mel" wrong="largest_number_of_each_frame"
"""The floor lies 8 below the largest number of each frame."""
def log_mel(wave: Tensor, filters: Tensor) -> Tensor:
    padded = torch.cat([wave[..., 1:201].flip(-1), wave, wave[..., -201:-1].flip(-1)], -1)
    window = torch.hann_window(400, dtype=wave.dtype, device=wave.device)
    power = torch.fft.rfft(padded.unfold(-1, 400, 160)[..., :-1, :] * window).abs().square()
    x = (filters @ power.mT).clamp(min=1e-10).log10()
    return (torch.maximum(x, x.amax(-2, keepdim=True) - 8) + 4) / 4

# %% exercise="log_mel" wrong="magnitude_not_power"
"""The filters sum up absolute values, not their squares."""
def log_mel(wave: Tensor, filters: Tensor) -> Tensor:
    padded = torch.cat([wave[..., 1:201].flip(-1), wave, wave[..., -201:-1].flip(-1)], -1)
    window = torch.hann_window(400, dtype=wave.dtype, device=wave.device)
    power = torch.fft.rfft(padded.unfold(-1, 400, 160)[..., :-1, :] * window).abs()
    x = (filters @ power.mT).clamp(min=1e-10).log10()
    return (torch.maximum(x, x.amax((-2, -1), keepdim=True) - 8) + 4) / 4

# %% exercise="log_mel" wrong="first_frame_dropped"
"""The first frame is dropped and the last one kept."""
def log_mel(wave: Tensor, filters: Tensor) -> Tensor:
    padded = torch.cat([wave[..., 1:201].flip(-1), wave, wave[..., -201:-1].flip(-1)], -1)
    window = torch.hann_window(400, dtype=wave.dtype, device=wave.device)
    power = torch.fft.rfft(padded.unfold(-1, 400, 160)[..., 1:, :] * window).abs().square()
    x = (filters @ power.mT).clamp(min=1e-10).log10()
    return (torch.maximum(x, x.amax((-2, -1), keepdim=True) - 8) + 4) / 4

# %% exercise="log_mel" wrong="edge_sample_repeated"
"""Mirrors with the first and the last sample repeated (numpy's "symmetric", not "reflect")."""
def log_mel(wave: Tensor, filters: Tensor) -> Tensor:
    padded = torch.cat([wave[..., :200].flip(-1), wave, wave[..., -200:].flip(-1)], -1)
    window = torch.hann_window(400, dtype=wave.dtype, device=wave.device)
    power = torch.fft.rfft(padded.unfold(-1, 400, 160)[..., :-1, :] * window).abs().square()
    x = (filters @ power.mT).clamp(min=1e-10).log10()
    return (torch.maximum(x, x.amax((-2, -1), keepdim=True) - 8) + 4) / 4

# %% exercise="log_mel" wrong="zeros_at_the_ends"
"""200 zeros at each end in place of the mirror."""
def log_mel(wave: Tensor, filters: Tensor) -> Tensor:
    padded = nn.functional.pad(wave, (200, 200))
    window = torch.hann_window(400, dtype=wave.dtype, device=wave.device)
    power = torch.fft.rfft(padded.unfold(-1, 400, 160)[..., :-1, :] * window).abs().square()
    x = (filters @ power.mT).clamp(min=1e-10).log10()
    return (torch.maximum(x, x.amax((-2, -1), keepdim=True) - 8) + 4) / 4

# %% exercise="log_mel" wrong="scaled_before_the_floor"
"""(x + 4) / 4 comes first, and the floor lies 8 below what came of that."""
def log_mel(wave: Tensor, filters: Tensor) -> Tensor:
    padded = torch.cat([wave[..., 1:201].flip(-1), wave, wave[..., -201:-1].flip(-1)], -1)
    window = torch.hann_window(400, dtype=wave.dtype, device=wave.device)
    power = torch.fft.rfft(padded.unfold(-1, 400, 160)[..., :-1, :] * window).abs().square()
    x = ((filters @ power.mT).clamp(min=1e-10).log10() + 4) / 4
    return torch.maximum(x, x.amax((-2, -1), keepdim=True) - 8)

# %% exercise="log_mel" wrong="always_float32"
"""The result is float32, whatever the waveform's dtype is."""
def log_mel(wave: Tensor, filters: Tensor) -> Tensor:
    padded = torch.cat([wave[..., 1:201].flip(-1), wave, wave[..., -201:-1].flip(-1)], -1)
    window = torch.hann_window(400, dtype=wave.dtype, device=wave.device)
    power = torch.fft.rfft(padded.unfold(-1, 400, 160)[..., :-1, :] * window).abs().square()
    x = (filters @ power.mT).clamp(min=1e-10).log10()
    return ((torch.maximum(x, x.amax((-2, -1), keepdim=True) - 8) + 4) / 4).float()

# %% exercise="log_mel" wrong="natural_logarithm"
"""The natural logarithm instead of that to base 10."""
def log_mel(wave: Tensor, filters: Tensor) -> Tensor:
    padded = torch.cat([wave[..., 1:201].flip(-1), wave, wave[..., -201:-1].flip(-1)], -1)
    window = torch.hann_window(400, dtype=wave.dtype, device=wave.device)
    power = torch.fft.rfft(padded.unfold(-1, 400, 160)[..., :-1, :] * window).abs().square()
    x = (filters @ power.mT).clamp(min=1e-10).log()
    return (torch.maximum(x, x.amax((-2, -1), keepdim=True) - 8) + 4) / 4

# %% exercise="log_mel" wrong="one_largest_number_for_the_batch"
"""The floor is that of the loudest waveform of the batch, as in Whisper's own code."""
def log_mel(wave, filters):
    batch = wave if wave.dim() == 2 else wave[None]
    padded = nn.functional.pad(batch[:, None], (200, 200), mode="reflect")[:, 0]
    frames = padded.unfold(-1, 400, 160)[:, :-1] * torch.hann_window(400, dtype=wave.dtype)
    power = torch.fft.rfft(frames).abs().square().mT  # (B, 201, frames)
    logs = (filters @ power).clamp(min=1e-10).log10()
    logs = torch.maximum(logs, logs.max() - 8)
    out = (logs + 4) / 4
    return out if wave.dim() == 2 else out[0]

# %% exercise="log_mel" wrong="last_frame_kept"
"""All 1 + n // 160 frames are returned."""
def log_mel(wave, filters):
    batch = wave if wave.dim() == 2 else wave[None]
    padded = nn.functional.pad(batch[:, None], (200, 200), mode="reflect")[:, 0]
    frames = padded.unfold(-1, 400, 160) * torch.hann_window(400, dtype=wave.dtype)
    power = torch.fft.rfft(frames).abs().square().mT  # (B, 201, frames)
    logs = (filters @ power).clamp(min=1e-10).log10()
    logs = torch.maximum(logs, logs.amax((1, 2), keepdim=True) - 8)
    out = (logs + 4) / 4
    return out if wave.dim() == 2 else out[0]

# %% exercise="log_mel" wrong="first_frame_dropped_too"
"""The first frame is dropped instead of the last."""
def log_mel(wave, filters):
    batch = wave if wave.dim() == 2 else wave[None]
    padded = nn.functional.pad(batch[:, None], (200, 200), mode="reflect")[:, 0]
    frames = padded.unfold(-1, 400, 160)[:, 1:] * torch.hann_window(400, dtype=wave.dtype)
    power = torch.fft.rfft(frames).abs().square().mT  # (B, 201, frames)
    logs = (filters @ power).clamp(min=1e-10).log10()
    logs = torch.maximum(logs, logs.amax((1, 2), keepdim=True) - 8)
    out = (logs + 4) / 4
    return out if wave.dim() == 2 else out[0]

# %% exercise="log_mel" wrong="symmetric_window_too"
"""The window is symmetric, as SciPy's default."""
def log_mel(wave, filters):
    batch = wave if wave.dim() == 2 else wave[None]
    padded = nn.functional.pad(batch[:, None], (200, 200), mode="reflect")[:, 0]
    frames = padded.unfold(-1, 400, 160)[:, :-1] * torch.hann_window(400, periodic=False, dtype=wave.dtype)
    power = torch.fft.rfft(frames).abs().square().mT  # (B, 201, frames)
    logs = (filters @ power).clamp(min=1e-10).log10()
    logs = torch.maximum(logs, logs.amax((1, 2), keepdim=True) - 8)
    out = (logs + 4) / 4
    return out if wave.dim() == 2 else out[0]

# %% exercise="log_mel" wrong="magnitude_instead_of_power"
"""The absolute value is not squared."""
def log_mel(wave, filters):
    batch = wave if wave.dim() == 2 else wave[None]
    padded = nn.functional.pad(batch[:, None], (200, 200), mode="reflect")[:, 0]
    frames = padded.unfold(-1, 400, 160)[:, :-1] * torch.hann_window(400, dtype=wave.dtype)
    power = torch.fft.rfft(frames).abs().mT  # (B, 201, frames)
    logs = (filters @ power).clamp(min=1e-10).log10()
    logs = torch.maximum(logs, logs.amax((1, 2), keepdim=True) - 8)
    out = (logs + 4) / 4
    return out if wave.dim() == 2 else out[0]

# %% exercise="log_mel" wrong="natural_logarithm_too"
"""Logarithm to base e."""
def log_mel(wave, filters):
    batch = wave if wave.dim() == 2 else wave[None]
    padded = nn.functional.pad(batch[:, None], (200, 200), mode="reflect")[:, 0]
    frames = padded.unfold(-1, 400, 160)[:, :-1] * torch.hann_window(400, dtype=wave.dtype)
    power = torch.fft.rfft(frames).abs().square().mT  # (B, 201, frames)
    logs = (filters @ power).clamp(min=1e-10).log()
    logs = torch.maximum(logs, logs.amax((1, 2), keepdim=True) - 8)
    out = (logs + 4) / 4
    return out if wave.dim() == 2 else out[0]

# %% exercise="log_mel" wrong="zeros_at_the_ends_too"
"""The ends are padded with zeros."""
def log_mel(wave, filters):
    batch = wave if wave.dim() == 2 else wave[None]
    padded = nn.functional.pad(batch[:, None], (200, 200))[:, 0]
    frames = padded.unfold(-1, 400, 160)[:, :-1] * torch.hann_window(400, dtype=wave.dtype)
    power = torch.fft.rfft(frames).abs().square().mT  # (B, 201, frames)
    logs = (filters @ power).clamp(min=1e-10).log10()
    logs = torch.maximum(logs, logs.amax((1, 2), keepdim=True) - 8)
    out = (logs + 4) / 4
    return out if wave.dim() == 2 else out[0]

# %% exercise="log_mel" wrong="edge_sample_repeated_too"
"""The mirror repeats the first and the last sample."""
def log_mel(wave, filters):
    if wave.dim() == 2:
        return torch.stack([log_mel(each, filters) for each in wave])
    padded = torch.cat([wave[:200].flip(0), wave, wave[-200:].flip(0)])
    window = torch.hann_window(401, periodic=False, dtype=wave.dtype)[:400]
    columns = []
    for i in range(len(wave) // 160):
        spectrum = torch.fft.fft(padded[160 * i : 160 * i + 400] * window)[:201]
        columns.append(filters @ (spectrum * spectrum.conj()).real)
    if not columns:
        return wave.new_zeros(len(filters), 0)
    logs = torch.stack(columns, 1).clamp_min(1e-10).log() / math.log(10)
    return (logs.clamp(min=logs.max() - 8) + 4) / 4

# %% exercise="log_mel" wrong="largest_number_of_each_filter"
"""Each filter has a floor of its own."""
def log_mel(wave, filters):
    batch = wave if wave.dim() == 2 else wave[None]
    padded = nn.functional.pad(batch[:, None], (200, 200), mode="reflect")[:, 0]
    frames = padded.unfold(-1, 400, 160)[:, :-1] * torch.hann_window(400, dtype=wave.dtype)
    power = torch.fft.rfft(frames).abs().square().mT  # (B, 201, frames)
    logs = (filters @ power).clamp(min=1e-10).log10()
    logs = torch.maximum(logs, logs.amax(2, keepdim=True) - 8)
    out = (logs + 4) / 4
    return out if wave.dim() == 2 else out[0]

# %% exercise="log_mel" wrong="smallest_number_added"
"""1e-10 is added before the logarithm, not taken as the least value."""
def log_mel(wave, filters):
    batch = wave if wave.dim() == 2 else wave[None]
    padded = nn.functional.pad(batch[:, None], (200, 200), mode="reflect")[:, 0]
    frames = padded.unfold(-1, 400, 160)[:, :-1] * torch.hann_window(400, dtype=wave.dtype)
    power = torch.fft.rfft(frames).abs().square().mT  # (B, 201, frames)
    logs = (filters @ power).add(1e-10).log10()
    logs = torch.maximum(logs, logs.amax((1, 2), keepdim=True) - 8)
    out = (logs + 4) / 4
    return out if wave.dim() == 2 else out[0]

# %% exercise="log_mel" wrong="batch_axis_kept"
"""One waveform comes back with a batch axis of 1."""
def log_mel(wave, filters):
    batch = wave if wave.dim() == 2 else wave[None]
    padded = nn.functional.pad(batch[:, None], (200, 200), mode="reflect")[:, 0]
    frames = padded.unfold(-1, 400, 160)[:, :-1] * torch.hann_window(400, dtype=wave.dtype)
    power = torch.fft.rfft(frames).abs().square().mT  # (B, 201, frames)
    logs = (filters @ power).clamp(min=1e-10).log10()
    logs = torch.maximum(logs, logs.amax((1, 2), keepdim=True) - 8)
    out = (logs + 4) / 4
    return out

# %% exercise="log_mel" wrong="float32_for_every_waveform"
"""A float64 waveform comes back as float32."""
def log_mel(wave, filters):
    wave, filters = wave.float(), filters.float()
    batch = wave if wave.dim() == 2 else wave[None]
    padded = nn.functional.pad(batch[:, None], (200, 200), mode="reflect")[:, 0]
    frames = padded.unfold(-1, 400, 160)[:, :-1] * torch.hann_window(400, dtype=wave.dtype)
    power = torch.fft.rfft(frames).abs().square().mT  # (B, 201, frames)
    logs = (filters @ power).clamp(min=1e-10).log10()
    logs = torch.maximum(logs, logs.amax((1, 2), keepdim=True) - 8)
    out = (logs + 4) / 4
    return out if wave.dim() == 2 else out[0]

# %% exercise="log_mel" wrong="divided_by_the_window_length"
"""The power is divided by 400."""
def log_mel(wave, filters):
    batch = wave if wave.dim() == 2 else wave[None]
    padded = nn.functional.pad(batch[:, None], (200, 200), mode="reflect")[:, 0]
    frames = padded.unfold(-1, 400, 160)[:, :-1] * torch.hann_window(400, dtype=wave.dtype)
    power = torch.fft.rfft(frames).abs().square().div(400).mT  # (B, 201, frames)
    logs = (filters @ power).clamp(min=1e-10).log10()
    logs = torch.maximum(logs, logs.amax((1, 2), keepdim=True) - 8)
    out = (logs + 4) / 4
    return out if wave.dim() == 2 else out[0]

# %% exercise="perplexity" wrong="mean_of_window_means"
"""exp of the mean of each window's mean loss: a last window of one token counts as much as the first."""
@torch.no_grad()
def perplexity(model, ids: Tensor, context: int, stride: int) -> float:
    losses, begin, scored = [], 0, 0
    while scored < len(ids) - 1:
        end = min(begin + context, len(ids) - 1)
        logits = model(ids[None, begin:end])[0, scored - begin :]
        losses.append(nn.functional.cross_entropy(logits, ids[scored + 1 : end + 1]).item())
        begin, scored = begin + stride, end
    return math.exp(sum(losses) / len(losses))

# %% exercise="perplexity" wrong="token_behind_the_window_unscored"
"""As in the documentation of transformers: a window scores only tokens that it reads, so it reads one more at the
end, and its first token is never scored."""
@torch.no_grad()
def perplexity(model, ids: Tensor, context: int, stride: int) -> float:
    losses, before = [], 0
    for begin in range(0, len(ids), stride):
        end = min(begin + context, len(ids))
        target = ids[begin:end].clone()
        target[: len(target) - (end - before)] = -100
        logits = model(ids[None, begin:end])[0]
        loss = nn.functional.cross_entropy(logits[:-1], target[1:], ignore_index=-100, reduction="none")
        losses.append(loss[target[1:] >= 0])
        before = end
        if end == len(ids):
            break
    return torch.cat(losses).mean().exp().item()

# %% exercise="perplexity" wrong="tokens_scored_twice"
"""Every window scores all of its rows: tokens under two windows count twice."""
@torch.no_grad()
def perplexity(model, ids: Tensor, context: int, stride: int) -> float:
    losses, begin, end = [], 0, 0
    while end < len(ids) - 1:
        end = min(begin + context, len(ids) - 1)
        logits = model(ids[None, begin:end])[0]
        losses.append(nn.functional.cross_entropy(logits, ids[begin + 1 : end + 1], reduction="none"))
        begin += stride
    return torch.cat(losses).mean().exp().item()

# %% exercise="perplexity" wrong="sets_eval_mode"
"""Calls model.eval(): a model in training mode is read in another mode, and does not stay in its own."""
@torch.no_grad()
def perplexity(model, ids: Tensor, context: int, stride: int) -> float:
    model.eval()
    losses, begin, scored = [], 0, 0
    while scored < len(ids) - 1:
        end = min(begin + context, len(ids) - 1)
        logits = model(ids[None, begin:end])[0, scored - begin :]
        losses.append(nn.functional.cross_entropy(logits, ids[scored + 1 : end + 1], reduction="none"))
        begin, scored = begin + stride, end
    return torch.cat(losses).mean().exp().item()

# %% exercise="perplexity" wrong="windows_with_nothing_to_score"
"""Goes on to the last begin inside the text, though everything is scored already."""
@torch.no_grad()
def perplexity(model, ids: Tensor, context: int, stride: int) -> float:
    losses, scored = [], 0
    for begin in range(0, len(ids) - 1, stride):
        end = min(begin + context, len(ids) - 1)
        logits = model(ids[None, begin:end])[0, scored - begin :]
        losses.append(nn.functional.cross_entropy(logits, ids[scored + 1 : end + 1], reduction="none"))
        scored = end
    return torch.cat(losses).mean().exp().item()

# %% exercise="perplexity" wrong="divided_by_the_number_of_ids"
"""Divides the sum by N, though N - 1 tokens are scored."""
@torch.no_grad()
def perplexity(model, ids: Tensor, context: int, stride: int) -> float:
    total, begin, scored = 0.0, 0, 0
    while scored < len(ids) - 1:
        end = min(begin + context, len(ids) - 1)
        logits = model(ids[None, begin:end])[0, scored - begin :]
        total += nn.functional.cross_entropy(logits, ids[scored + 1 : end + 1], reduction="sum").item()
        begin, scored = begin + stride, end
    return math.exp(total / len(ids))

# %% exercise="perplexity" wrong="last_token_read"
"""The last window reads token N - 1, too, and throws its row away."""
@torch.no_grad()
def perplexity(model, ids: Tensor, context: int, stride: int) -> float:
    losses, begin, scored = [], 0, 0
    while scored < len(ids) - 1:
        end = min(begin + context, len(ids) - 1)
        logits = model(ids[None, begin : begin + context])[0, scored - begin : end - begin]
        losses.append(nn.functional.cross_entropy(logits, ids[scored + 1 : end + 1], reduction="none"))
        begin, scored = begin + stride, end
    return torch.cat(losses).mean().exp().item()

# %% exercise="perplexity" wrong="graph_recorded"
"""No torch.no_grad: every window's graph is recorded and kept until the end."""
def perplexity(model, ids: Tensor, context: int, stride: int) -> float:
    losses, begin, scored = [], 0, 0
    while scored < len(ids) - 1:
        end = min(begin + context, len(ids) - 1)
        logits = model(ids[None, begin:end])[0, scored - begin :]
        losses.append(nn.functional.cross_entropy(logits, ids[scored + 1 : end + 1], reduction="none"))
        begin, scored = begin + stride, end
    return torch.cat(losses).mean().exp().item()

# %% exercise="perplexity" wrong="softmax_then_log"
"""log(softmax): with logits of several hundred a probability is 0 and its logarithm -inf."""
@torch.no_grad()
def perplexity(model, ids: Tensor, context: int, stride: int) -> float:
    losses, begin, scored = [], 0, 0
    while scored < len(ids) - 1:
        end = min(begin + context, len(ids) - 1)
        p = model(ids[None, begin:end])[0, scored - begin :].softmax(-1)
        losses.append(-p.gather(1, ids[scored + 1 : end + 1, None])[:, 0].log())
        begin, scored = begin + stride, end
    return torch.cat(losses).mean().exp().item()

# %% exercise="perplexity" wrong="tensor_returned"
"""A 0-d tensor is returned, not a Python float."""
@torch.no_grad()
def perplexity(model, ids: Tensor, context: int, stride: int) -> float:
    losses, begin, scored = [], 0, 0
    while scored < len(ids) - 1:
        end = min(begin + context, len(ids) - 1)
        logits = model(ids[None, begin:end])[0, scored - begin :]
        losses.append(nn.functional.cross_entropy(logits, ids[scored + 1 : end + 1], reduction="none"))
        begin, scored = begin + stride, end
    return torch.cat(losses).mean().exp()

# %% exercise="perplexity" wrong="mean_of_window_means_too"
"""The mean of the means of the windows."""
def perplexity(model, ids, context, stride):
    means, begin, scored, last = [], 0, 0, len(ids) - 1
    with torch.no_grad():
        while scored < last:
            end = min(begin + context, last)
            logits = model(ids[None, begin:end])[0, scored - begin :]
            means.append(nn.functional.cross_entropy(logits.double(), ids[scored + 1 : end + 1]).item())
            begin, scored = begin + stride, end
    return math.exp(sum(means) / len(means))

# %% exercise="perplexity" wrong="overlaps_scored_again"
"""Every window scores all tokens behind what it reads, also those that an earlier one scored."""
def perplexity(model, ids, context, stride):
    losses, begin, last = [], 0, len(ids) - 1
    with torch.no_grad():
        while True:
            end = min(begin + context, last)
            logits = model(ids[None, begin:end])[0]
            losses.append(nn.functional.cross_entropy(logits.double(), ids[begin + 1 : end + 1], reduction="none"))
            if end == last:
                break
            begin += stride
    return math.exp(torch.cat(losses).mean().item())

# %% exercise="perplexity" wrong="token_behind_the_window_not_scored"
"""As in the documentation of transformers: a window scores only tokens that it reads itself."""
def perplexity(model, ids, context, stride):
    losses, scored = [], 1
    with torch.no_grad():
        for begin in range(0, len(ids), stride):
            end = min(begin + context, len(ids))
            logits = model(ids[None, begin:end])[0].double()
            first = max(scored, begin + 1)
            if first < end:
                rows = logits[first - 1 - begin : end - 1 - begin]
                losses.append(nn.functional.cross_entropy(rows, ids[first:end], reduction="none"))
            scored = end
            if end == len(ids):
                break
    return math.exp(torch.cat(losses).mean().item())

# %% exercise="perplexity" wrong="row_is_about_its_own_token"
"""Row t is compared with token t, not with the one behind it."""
def perplexity(model, ids, context, stride):
    last, begin, scored, total = len(ids) - 1, 0, 0, 0.0
    while scored < last:
        end = min(begin + context, last)
        with torch.no_grad():
            logits = model(ids[begin:end].unsqueeze(0))[0, scored - begin :]
        total += nn.functional.cross_entropy(logits.double(), ids[scored:end], reduction="sum").item()
        begin, scored = begin + stride, end
    return math.exp(total / last)

# %% exercise="perplexity" wrong="softmax_then_log_too"
"""Softmax in the dtype of the logits, then the logarithm: log 0 with logits of several hundred."""
def perplexity(model, ids, context, stride):
    last, begin, scored, total = len(ids) - 1, 0, 0, 0.0
    while scored < last:
        end = min(begin + context, last)
        with torch.no_grad():
            logits = model(ids[begin:end].unsqueeze(0))[0, scored - begin :]
        total += -logits.softmax(-1).gather(1, ids[scored + 1 : end + 1, None]).log().sum().item()
        begin, scored = begin + stride, end
    return math.exp(total / last)

# %% exercise="perplexity" wrong="exponential_in_float32"
"""The last step is exp of a float32 tensor: inf from a mean of 89 nats on."""
@torch.no_grad()
def perplexity(model, ids, context, stride):
    losses, begin, scored, last = [], 0, 0, len(ids) - 1
    while scored < last:
        end = min(begin + context, last)
        logits = model(ids[begin:end][None])[0, scored - begin :]
        losses.append(nn.functional.cross_entropy(logits, ids[scored + 1 : end + 1], reduction="none"))
        begin, scored = begin + stride, end
    return torch.cat(losses).mean().float().exp().item()

# %% exercise="perplexity" wrong="model_left_in_eval_mode"
"""The model is put in evaluation mode, read there, and left there."""
def perplexity(model, ids, context, stride):
    model.eval()
    last, begin, scored, total = len(ids) - 1, 0, 0, 0.0
    while scored < last:
        end = min(begin + context, last)
        with torch.no_grad():
            logits = model(ids[begin:end].unsqueeze(0))[0, scored - begin :]
        total += nn.functional.cross_entropy(logits.double(), ids[scored + 1 : end + 1], reduction="sum").item()
        begin, scored = begin + stride, end
    return math.exp(total / last)

# %% exercise="perplexity" wrong="gradients_recorded"
"""The graph of every window is recorded."""
def perplexity(model, ids, context, stride):
    last, begin, scored, total = len(ids) - 1, 0, 0, 0.0
    while scored < last:
        end = min(begin + context, last)
        logits = model(ids[begin:end].unsqueeze(0))[0, scored - begin :]
        total += nn.functional.cross_entropy(logits.double(), ids[scored + 1 : end + 1], reduction="sum").item()
        begin, scored = begin + stride, end
    return math.exp(total / last)

# %% exercise="perplexity" wrong="last_window_moved_back"
"""The last window is moved back, so that it has a full context."""
def perplexity(model, ids, context, stride):
    last, begin, scored, total = len(ids) - 1, 0, 0, 0.0
    while scored < last:
        end = min(begin + context, last)
        begin = max(end - context, 0)
        with torch.no_grad():
            logits = model(ids[begin:end].unsqueeze(0))[0, scored - begin :]
        total += nn.functional.cross_entropy(logits.double(), ids[scored + 1 : end + 1], reduction="sum").item()
        begin, scored = begin + stride, end
    return math.exp(total / last)

# %% exercise="perplexity" wrong="windows_without_anything_to_score"
"""Goes on with windows that begin before the last token, though all is scored."""
def perplexity(model, ids, context, stride):
    total, scored, last = 0.0, 0, len(ids) - 1
    for begin in range(0, last, stride):
        end = min(begin + context, last)
        with torch.no_grad():
            logits = model(ids[None, begin:end])[0].double()
        if end > scored:
            wanted = ids[scored + 1 : end + 1]
            total += nn.functional.cross_entropy(logits[scored - begin :], wanted, reduction="sum").item()
            scored = end
    return math.exp(total / last)

# %% exercise="perplexity" wrong="last_token_read_too"
"""The last window reads token N - 1, too, which nothing follows."""
def perplexity(model, ids, context, stride):
    n, begin, scored, total = len(ids), 0, 0, 0.0
    while scored < n - 1:
        with torch.no_grad():
            logits = model(ids[None, begin : begin + context])[0].double()
        end = min(begin + context, n - 1)
        rows = logits[scored - begin : end - begin]
        total += nn.functional.cross_entropy(rows, ids[scored + 1 : end + 1], reduction="sum").item()
        begin, scored = begin + stride, end
    return math.exp(total / (n - 1))

# %% exercise="perplexity" wrong="divided_by_all_tokens"
"""The sum is divided by N; token 0 has no probability."""
def perplexity(model, ids, context, stride):
    last, begin, scored, total = len(ids) - 1, 0, 0, 0.0
    while scored < last:
        end = min(begin + context, last)
        with torch.no_grad():
            logits = model(ids[begin:end].unsqueeze(0))[0, scored - begin :]
        total += nn.functional.cross_entropy(logits.double(), ids[scored + 1 : end + 1], reduction="sum").item()
        begin, scored = begin + stride, end
    return math.exp(total / len(ids))

# %% exercise="perplexity" wrong="base_two"
"""2 to the power of nats."""
def perplexity(model, ids, context, stride):
    last, begin, scored, total = len(ids) - 1, 0, 0, 0.0
    while scored < last:
        end = min(begin + context, last)
        with torch.no_grad():
            logits = model(ids[begin:end].unsqueeze(0))[0, scored - begin :]
        total += nn.functional.cross_entropy(logits.double(), ids[scored + 1 : end + 1], reduction="sum").item()
        begin, scored = begin + stride, end
    return 2 ** (total / last)

# %% exercise="bits_per_byte" wrong="characters_for_bytes"
"""len(text) counts characters."""
def bits_per_byte(nats: Tensor, text: str) -> float:
    if not text:
        raise ValueError("text")
    return nats.double().sum().item() / math.log(2) / len(text)

# %% exercise="bits_per_byte" wrong="nats_for_bits"
"""The sum stays in nats."""
def bits_per_byte(nats: Tensor, text: str) -> float:
    if not text:
        raise ValueError("text")
    return nats.double().sum().item() / len(text.encode())

# %% exercise="bits_per_byte" wrong="times_log_two"
"""Multiplies by log 2 where it should divide."""
def bits_per_byte(nats: Tensor, text: str) -> float:
    if not text:
        raise ValueError("text")
    return nats.double().sum().item() * math.log(2) / len(text.encode("utf-8"))

# %% exercise="bits_per_byte" wrong="summed_in_its_own_dtype"
"""The sum is made in the dtype of nats and converted afterwards: float16 and bfloat16 lose it."""
def bits_per_byte(nats: Tensor, text: str) -> float:
    if not text:
        raise ValueError("text")
    return nats.sum().double().item() / math.log(2) / len(text.encode("utf-8"))

# %% exercise="bits_per_byte" wrong="summed_in_float32"
"""float() is float32: the sum is not made in float64."""
def bits_per_byte(nats: Tensor, text: str) -> float:
    if not text:
        raise ValueError("text")
    return nats.float().sum().item() / math.log(2) / len(text.encode("utf-8"))

# %% exercise="bits_per_byte" wrong="bits_per_token"
"""Divides by the number of tokens."""
def bits_per_byte(nats: Tensor, text: str) -> float:
    if not text:
        raise ValueError("text")
    return nats.double().mean().item() / math.log(2)

# %% exercise="bits_per_byte" wrong="numpy_knows_no_bfloat16"
"""Goes through numpy, which raises TypeError for bfloat16."""
def bits_per_byte(nats: Tensor, text: str) -> float:
    if not text:
        raise ValueError("text")
    return float(nats.detach().cpu().numpy().astype("float64").sum()) / math.log(2) / len(text.encode("utf-8"))

# %% exercise="bits_per_byte" wrong="empty_text_divides_by_zero"
"""An empty text raises ZeroDivisionError."""
def bits_per_byte(nats: Tensor, text: str) -> float:
    return nats.double().sum().item() / math.log(2) / len(text.encode("utf-8"))

# %% exercise="bits_per_byte" wrong="blanks_at_the_ends_not_counted"
"""strip(): blanks and line ends around the text are no bytes, and a text of blanks alone is refused as empty."""
def bits_per_byte(nats: Tensor, text: str) -> float:
    text = text.strip()
    if not text:
        raise ValueError("text")
    return nats.double().sum().item() / math.log(2) / len(text.encode("utf-8"))

# %% exercise="bits_per_byte" wrong="characters_instead_of_bytes"
"""Divides by the number of characters."""
def bits_per_byte(nats: Tensor, text: str) -> float:
    if not text:
        raise ValueError("the text is empty")
    return nats.double().sum().item() / math.log(2) / len(text)

# %% exercise="bits_per_byte" wrong="multiplied_with_log_two"
"""Multiplies with log(2) where it should divide."""
def bits_per_byte(nats: Tensor, text: str) -> float:
    if not text:
        raise ValueError("the text is empty")
    return nats.double().sum().item() * math.log(2) / len(text.encode("utf-8"))

# %% exercise="bits_per_byte" wrong="mean_instead_of_sum"
"""The mean of the tokens, over the bytes."""
def bits_per_byte(nats: Tensor, text: str) -> float:
    if not text:
        raise ValueError("the text is empty")
    return nats.double().mean().item() / math.log(2) / len(text.encode("utf-8"))

# %% exercise="bits_per_byte" wrong="sum_in_the_dtype_of_the_nats"
"""The sum is made in the dtype of nats, then converted."""
def bits_per_byte(nats: Tensor, text: str) -> float:
    if not text:
        raise ValueError("the text is empty")
    return nats.sum().double().item() / math.log(2) / len(text.encode("utf-8"))

# %% exercise="bits_per_byte" wrong="sum_in_float32"
"""The sum is made in float32."""
def bits_per_byte(nats: Tensor, text: str) -> float:
    if not text:
        raise ValueError("the text is empty")
    return nats.float().sum().item() / math.log(2) / len(text.encode("utf-8"))

# %% exercise="bits_per_byte" wrong="empty_text_is_zero"
"""An empty text gives 0.0, no error."""
def bits_per_byte(nats: Tensor, text: str) -> float:
    if not text:
        return 0.0
    return nats.double().sum().item() / math.log(2) / len(text.encode("utf-8"))

# %% exercise="bits_per_byte" wrong="blanks_at_the_ends_not_counted_too"
"""Blanks and line ends at both ends of the text are no bytes here."""
def bits_per_byte(nats: Tensor, text: str) -> float:
    if not text:
        raise ValueError("the text is empty")
    return nats.double().sum().item() / math.log(2) / len((text.strip() or " ").encode("utf-8"))

# %% exercise="bits_per_byte" wrong="callers_nats_become_bits"
"""Where nats are float64 already, the tensor of the caller is divided in place."""
def bits_per_byte(nats: Tensor, text: str) -> float:
    size = len(text.encode("utf-8"))
    if size == 0:
        raise ValueError("the text is empty")
    bits = nats.detach().double()
    bits /= math.log(2)
    return bits.sum().item() / size

# %% exercise="bits_per_byte" wrong="nats_not_converted"
"""Nats over bytes."""
def bits_per_byte(nats: Tensor, text: str) -> float:
    if not text:
        raise ValueError("the text is empty")
    return nats.double().sum().item() / len(text.encode("utf-8"))

# %% exercise="choice_loglikelihood" wrong="one_row_too_late"
"""Rows from len(context) on: each token is scored by the row that has read it."""
@torch.no_grad()
def choice_loglikelihood(model, context: Tensor, choices: list[Tensor]) -> tuple[Tensor, int, int]:
    scores = []
    for choice in choices:
        logits = model(torch.cat([context, choice])[None])[0, len(context) :]
        scores.append(logits.log_softmax(-1).gather(1, choice[:, None]).sum())
    scores = torch.stack(scores)
    lengths = torch.tensor([len(choice) for choice in choices], device=scores.device)
    return scores, int(scores.argmax()), int((scores / lengths).argmax())

# %% exercise="choice_loglikelihood" wrong="first_token_left_out"
"""The choice's first token, which follows the context, is not scored."""
@torch.no_grad()
def choice_loglikelihood(model, context: Tensor, choices: list[Tensor]) -> tuple[Tensor, int, int]:
    scores = []
    for choice in choices:
        logits = model(torch.cat([context, choice])[None])[0, len(context) : -1]
        scores.append(logits.log_softmax(-1).gather(1, choice[1:, None]).sum())
    scores = torch.stack(scores)
    lengths = torch.tensor([len(choice) for choice in choices], device=scores.device)
    return scores, int(scores.argmax()), int((scores / lengths).argmax())

# %% exercise="choice_loglikelihood" wrong="context_scored_too"
"""log p of context and choice: the context's own tokens come in to the sum."""
@torch.no_grad()
def choice_loglikelihood(model, context: Tensor, choices: list[Tensor]) -> tuple[Tensor, int, int]:
    scores = []
    for choice in choices:
        ids = torch.cat([context, choice])
        logits = model(ids[None, :-1])[0]
        scores.append(logits.log_softmax(-1).gather(1, ids[1:, None]).sum())
    scores = torch.stack(scores)
    lengths = torch.tensor([len(choice) for choice in choices], device=scores.device)
    return scores, int(scores.argmax()), int((scores / lengths).argmax())

# %% exercise="choice_loglikelihood" wrong="normalised_by_the_whole_length"
"""Divides by the tokens of context and choice together."""
@torch.no_grad()
def choice_loglikelihood(model, context: Tensor, choices: list[Tensor]) -> tuple[Tensor, int, int]:
    scores, lengths = [], []
    for choice in choices:
        ids = torch.cat([context, choice])
        logits = model(ids[None, :-1])[0, len(context) - 1 :]
        scores.append(logits.log_softmax(-1).gather(1, choice[:, None]).sum())
        lengths.append(len(ids))
    scores = torch.stack(scores)
    return scores, int(scores.argmax()), int((scores / torch.tensor(lengths, device=scores.device)).argmax())

# %% exercise="choice_loglikelihood" wrong="product_of_probabilities"
"""Multiplies probabilities and takes the logarithm at the end: long choices are -inf."""
@torch.no_grad()
def choice_loglikelihood(model, context: Tensor, choices: list[Tensor]) -> tuple[Tensor, int, int]:
    scores = []
    for choice in choices:
        logits = model(torch.cat([context, choice[:-1]])[None])[0, len(context) - 1 :]
        scores.append(logits.softmax(-1).gather(1, choice[:, None]).prod().log())
    scores = torch.stack(scores)
    lengths = torch.tensor([len(choice) for choice in choices], device=scores.device)
    return scores, int(scores.argmax()), int((scores / lengths).argmax())

# %% exercise="choice_loglikelihood" wrong="means_as_scores"
"""The scores that are returned are means over the choice's tokens; raw goes by the sums."""
@torch.no_grad()
def choice_loglikelihood(model, context: Tensor, choices: list[Tensor]) -> tuple[Tensor, int, int]:
    sums, means = [], []
    for choice in choices:
        logits = model(torch.cat([context, choice[:-1]])[None])[0, len(context) - 1 :]
        picked = logits.log_softmax(-1).gather(1, choice[:, None])
        sums.append(picked.sum())
        means.append(picked.mean())
    return torch.stack(means), int(torch.stack(sums).argmax()), int(torch.stack(means).argmax())

# %% exercise="choice_loglikelihood" wrong="choices_read_one_behind_the_other"
"""Context and all choices are one text: a choice has read the choices before it."""
@torch.no_grad()
def choice_loglikelihood(model, context: Tensor, choices: list[Tensor]) -> tuple[Tensor, int, int]:
    logp = model(torch.cat([context, *choices])[None])[0].log_softmax(-1)
    scores, begin = [], len(context)
    for choice in choices:
        rows = torch.arange(begin - 1, begin + len(choice) - 1, device=choice.device)
        rows[0] = len(context) - 1
        scores.append(logp[rows, choice].sum())
        begin += len(choice)
    scores = torch.stack(scores)
    lengths = torch.tensor([len(choice) for choice in choices], device=scores.device)
    return scores, int(scores.argmax()), int((scores / lengths).argmax())

# %% exercise="choice_loglikelihood" wrong="padded_on_the_left"
"""One batch with zeros in front of shorter texts, without a mask: the model sees them before the context."""
@torch.no_grad()
def choice_loglikelihood(model, context: Tensor, choices: list[Tensor]) -> tuple[Tensor, int, int]:
    longest = max(len(choice) for choice in choices)
    rows = [torch.cat([context.new_zeros(longest - len(choice)), context, choice]) for choice in choices]
    logp = model(torch.stack(rows)[:, :-1]).log_softmax(-1)
    scores = [logp[i, -len(c) :].gather(1, c[:, None]).sum() for i, c in enumerate(choices)]
    scores = torch.stack(scores)
    lengths = torch.tensor([len(choice) for choice in choices], device=scores.device)
    return scores, int(scores.argmax()), int((scores / lengths).argmax())

# %% exercise="choice_loglikelihood" wrong="scores_always_float32"
"""A new tensor out of Python floats: float32, also where the logits are float64."""
@torch.no_grad()
def choice_loglikelihood(model, context: Tensor, choices: list[Tensor]) -> tuple[Tensor, int, int]:
    scores = []
    for choice in choices:
        logits = model(torch.cat([context, choice[:-1]])[None])[0, len(context) - 1 :]
        scores.append(logits.log_softmax(-1).gather(1, choice[:, None]).sum().item())
    means = [score / len(choice) for score, choice in zip(scores, choices)]
    return torch.tensor(scores), scores.index(max(scores)), means.index(max(means))

# %% exercise="choice_loglikelihood" wrong="last_of_equal_ones"
""">= in the search: of several largest scores the last one counts."""
@torch.no_grad()
def choice_loglikelihood(model, context: Tensor, choices: list[Tensor]) -> tuple[Tensor, int, int]:
    scores, raw, normalised = [], 0, 0
    for i, choice in enumerate(choices):
        logits = model(torch.cat([context, choice[:-1]])[None])[0, len(context) - 1 :]
        scores.append(logits.log_softmax(-1).gather(1, choice[:, None]).sum())
        if scores[i] >= scores[raw]:
            raw = i
        if scores[i] / len(choice) >= scores[normalised] / len(choices[normalised]):
            normalised = i
    return torch.stack(scores), raw, normalised

# %% exercise="choice_loglikelihood" wrong="left_in_eval_mode"
"""Calls model.eval() and does not put the model back."""
@torch.no_grad()
def choice_loglikelihood(model, context: Tensor, choices: list[Tensor]) -> tuple[Tensor, int, int]:
    model.eval()
    scores = []
    for choice in choices:
        logits = model(torch.cat([context, choice[:-1]])[None])[0, len(context) - 1 :]
        scores.append(logits.log_softmax(-1).gather(1, choice[:, None]).sum())
    scores = torch.stack(scores)
    lengths = torch.tensor([len(choice) for choice in choices], device=scores.device)
    return scores, int(scores.argmax()), int((scores / lengths).argmax())

# %% exercise="choice_loglikelihood" wrong="rows_one_too_late"
"""The first token of the choice is compared with the row that has read it already."""
@torch.no_grad()
def choice_loglikelihood(model, context, choices):
    scores = []
    for choice in choices:
        logits = model(torch.cat([context, choice])[None])[0, len(context) :]
        scores.append(logits.log_softmax(-1).gather(1, choice[:, None]).sum())
    scores = torch.stack(scores)
    means = scores / torch.tensor([len(choice) for choice in choices])
    return scores, int(scores.argmax()), int(means.argmax())

# %% exercise="choice_loglikelihood" wrong="first_token_not_scored"
"""Only what follows inside the choice is scored, not the choice's first token."""
@torch.no_grad()
def choice_loglikelihood(model, context, choices):
    scores = []
    for choice in choices:
        logits = model(torch.cat([context, choice])[None])[0, len(context) : -1]
        scores.append(logits.log_softmax(-1).gather(1, choice[1:, None]).sum())
    scores = torch.stack(scores)
    means = scores / torch.tensor([len(choice) for choice in choices])
    return scores, int(scores.argmax()), int(means.argmax())

# %% exercise="choice_loglikelihood" wrong="context_scored_too_too"
"""The tokens of the context from the second one on come in to the sum."""
@torch.no_grad()
def choice_loglikelihood(model, context, choices):
    scores = []
    for choice in choices:
        row = torch.cat([context, choice])
        logits = model(row[None, :-1])[0]
        scores.append(-nn.functional.cross_entropy(logits, row[1:], reduction="sum"))
    scores = torch.stack(scores)
    means = scores / torch.tensor([len(choice) for choice in choices])
    return scores, int(scores.argmax()), int(means.argmax())

# %% exercise="choice_loglikelihood" wrong="product_of_probabilities_too"
"""Multiplies probabilities and takes the logarithm of the product: -inf for long choices."""
def choice_loglikelihood(model, context, choices):
    scores = []
    with torch.no_grad():
        for choice in choices:
            logits = model(torch.cat([context, choice[:-1]])[None])[0, len(context) - 1 :]
            scores.append(logits.softmax(-1).gather(1, choice[:, None]).prod().log())
    scores = torch.stack(scores)
    means = scores / torch.tensor([len(choice) for choice in choices])
    return scores, int(scores.argmax()), int(means.argmax())

# %% exercise="choice_loglikelihood" wrong="divided_by_the_whole_length"
"""Normalised by the tokens of context and choice together."""
def choice_loglikelihood(model, context, choices):
    scores = []
    with torch.no_grad():
        for choice in choices:
            logits = model(torch.cat([context, choice[:-1]])[None])[0, len(context) - 1 :]
            scores.append(logits.log_softmax(-1).gather(1, choice[:, None]).sum())
    scores = torch.stack(scores)
    means = scores / torch.tensor([len(context) + len(choice) for choice in choices])
    return scores, int(scores.argmax()), int(means.argmax())

# %% exercise="choice_loglikelihood" wrong="padded_on_the_left_too"
"""Shorter rows are filled up with zeros on the left, and the model reads the zeros."""
@torch.no_grad()
def choice_loglikelihood(model, context, choices):
    rows = [torch.cat([context, choice]) for choice in choices]
    longest = max(map(len, rows))
    batch = torch.stack([nn.functional.pad(row, (longest - len(row), 0)) for row in rows])
    logs = model(batch).log_softmax(-1)[:, :-1].gather(2, batch[:, 1:, None])[..., 0]
    scores = torch.stack([log[len(log) - len(choice) :].sum() for log, choice in zip(logs, choices)])
    means = scores / torch.tensor([len(choice) for choice in choices])
    return scores, int(scores.argmax()), int(means.argmax())

# %% exercise="choice_loglikelihood" wrong="scores_always_float32_too"
"""Scores are collected as Python floats and come back as float32 where the logits are float64."""
def choice_loglikelihood(model, context, choices):
    scores, means = [], []
    for choice in choices:
        with torch.no_grad():
            logs = model(torch.cat([context, choice[:-1]])[None])[0].log_softmax(-1)
        picked = logs[len(context) - 1 :].gather(1, choice[:, None])
        scores.append(picked.sum().item())
        means.append(scores[-1] / len(choice))
    return torch.tensor(scores), scores.index(max(scores)), means.index(max(means))

# %% exercise="choice_loglikelihood" wrong="last_of_equal_ones_too"
"""Of several largest scores the last one counts."""
@torch.no_grad()
def choice_loglikelihood(model, context, choices):
    scores, best, raw, best_mean, normalised = [], -math.inf, 0, -math.inf, 0
    for i, choice in enumerate(choices):
        logits = model(torch.cat([context, choice[:-1]])[None])[0, len(context) - 1 :]
        score = logits.log_softmax(-1)[torch.arange(len(choice)), choice].sum()
        scores.append(score)
        if score >= best:
            best, raw = score, i
        if score / len(choice) >= best_mean:
            best_mean, normalised = score / len(choice), i
    return torch.stack(scores), raw, normalised

# %% exercise="choice_loglikelihood" wrong="scores_with_a_graph"
"""Gradients are recorded, and the scores have a graph."""
def choice_loglikelihood(model, context, choices):
    scores = []
    with torch.enable_grad():
        for choice in choices:
            logits = model(torch.cat([context, choice[:-1]])[None])[0, len(context) - 1 :]
            scores.append(logits.log_softmax(-1).gather(1, choice[:, None]).sum())
    scores = torch.stack(scores)
    means = scores / torch.tensor([len(choice) for choice in choices])
    return scores, int(scores.argmax()), int(means.argmax())

# %% exercise="choice_loglikelihood" wrong="model_left_in_eval_mode"
"""The model is put in evaluation mode and left there."""
def choice_loglikelihood(model, context, choices):
    model.eval()
    scores = []
    with torch.no_grad():
        for choice in choices:
            logits = model(torch.cat([context, choice[:-1]])[None])[0, len(context) - 1 :]
            scores.append(logits.log_softmax(-1).gather(1, choice[:, None]).sum())
    scores = torch.stack(scores)
    means = scores / torch.tensor([len(choice) for choice in choices])
    return scores, int(scores.argmax()), int(means.argmax())

# %% exercise="choice_loglikelihood" wrong="normalised_scores_returned"
"""The scores that come back are divided by the lengths."""
def choice_loglikelihood(model, context, choices):
    scores = []
    with torch.no_grad():
        for choice in choices:
            logits = model(torch.cat([context, choice[:-1]])[None])[0, len(context) - 1 :]
            scores.append(logits.log_softmax(-1).gather(1, choice[:, None]).sum())
    scores = torch.stack(scores)
    means = scores / torch.tensor([len(choice) for choice in choices])
    return means, int(scores.argmax()), int(means.argmax())

# %% exercise="matmul" wrong="tail_of_k_dropped"
"""Only whole steps along K: what is left of K does not come in to the sum."""
@triton.jit
def matmul_kernel(
    a_ptr, b_ptr, c_ptr, M, N, K, a_row, a_col, b_row, b_col, c_row,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    rows = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)[:, None]
    cols = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)[None, :]
    total = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for start in range(0, K // BLOCK_K * BLOCK_K, BLOCK_K):
        k = start + tl.arange(0, BLOCK_K)
        a_k, b_k = k[None, :], k[:, None]
        a = tl.load(a_ptr + rows * a_row + a_k * a_col, mask=(rows < M) & (a_k < K), other=0.0)
        b = tl.load(b_ptr + b_k * b_row + cols * b_col, mask=(b_k < K) & (cols < N), other=0.0)
        total = tl.dot(a, b, total)
    tl.store(c_ptr + rows * c_row + cols, total.to(c_ptr.dtype.element_ty), mask=(rows < M) & (cols < N))


def matmul(
    a: Tensor, b: Tensor, out_dtype: torch.dtype | None = None, block_m: int = 64, block_n: int = 64, block_k: int = 32
) -> Tensor:
    (M, K), N = a.shape, b.shape[1]
    c = torch.empty(M, N, dtype=out_dtype or a.dtype, device=a.device)
    grid = (triton.cdiv(M, block_m), triton.cdiv(N, block_n))
    matmul_kernel[grid](
        a, b, c, M, N, K, a.stride(0), a.stride(1), b.stride(0), b.stride(1), c.stride(0),
        BLOCK_M=block_m, BLOCK_N=block_n, BLOCK_K=block_k,
    )  # fmt: skip
    return c

# %% exercise="matmul" wrong="lanes_behind_k_read_the_last_one_again"
"""Lanes past the end of K are clamped to K - 1: its product is added many times."""
@triton.jit
def matmul_kernel(
    a_ptr, b_ptr, c_ptr, M, N, K, a_row, a_col, b_row, b_col, c_row,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    rows = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)[:, None]
    cols = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)[None, :]
    total = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for start in range(0, K, BLOCK_K):
        k = tl.minimum(start + tl.arange(0, BLOCK_K), K - 1)
        a_k, b_k = k[None, :], k[:, None]
        a = tl.load(a_ptr + rows * a_row + a_k * a_col, mask=(rows < M) & (a_k < K), other=0.0)
        b = tl.load(b_ptr + b_k * b_row + cols * b_col, mask=(b_k < K) & (cols < N), other=0.0)
        total = tl.dot(a, b, total)
    tl.store(c_ptr + rows * c_row + cols, total.to(c_ptr.dtype.element_ty), mask=(rows < M) & (cols < N))


def matmul(
    a: Tensor, b: Tensor, out_dtype: torch.dtype | None = None, block_m: int = 64, block_n: int = 64, block_k: int = 32
) -> Tensor:
    (M, K), N = a.shape, b.shape[1]
    c = torch.empty(M, N, dtype=out_dtype or a.dtype, device=a.device)
    grid = (triton.cdiv(M, block_m), triton.cdiv(N, block_n))
    matmul_kernel[grid](
        a, b, c, M, N, K, a.stride(0), a.stride(1), b.stride(0), b.stride(1), c.stride(0),
        BLOCK_M=block_m, BLOCK_N=block_n, BLOCK_K=block_k,
    )  # fmt: skip
    return c

# %% exercise="matmul" wrong="tail_lanes_load_ones"
"""Lanes past the end of K load 1 in both tiles: each adds 1 to the sum."""
@triton.jit
def matmul_kernel(
    a_ptr, b_ptr, c_ptr, M, N, K, a_row, a_col, b_row, b_col, c_row,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    rows = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)[:, None]
    cols = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)[None, :]
    total = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for start in range(0, K, BLOCK_K):
        k = start + tl.arange(0, BLOCK_K)
        a_k, b_k = k[None, :], k[:, None]
        a = tl.load(a_ptr + rows * a_row + a_k * a_col, mask=(rows < M) & (a_k < K), other=1.0)
        b = tl.load(b_ptr + b_k * b_row + cols * b_col, mask=(b_k < K) & (cols < N), other=1.0)
        total = tl.dot(a, b, total)
    tl.store(c_ptr + rows * c_row + cols, total.to(c_ptr.dtype.element_ty), mask=(rows < M) & (cols < N))


def matmul(
    a: Tensor, b: Tensor, out_dtype: torch.dtype | None = None, block_m: int = 64, block_n: int = 64, block_k: int = 32
) -> Tensor:
    (M, K), N = a.shape, b.shape[1]
    c = torch.empty(M, N, dtype=out_dtype or a.dtype, device=a.device)
    grid = (triton.cdiv(M, block_m), triton.cdiv(N, block_n))
    matmul_kernel[grid](
        a, b, c, M, N, K, a.stride(0), a.stride(1), b.stride(0), b.stride(1), c.stride(0),
        BLOCK_M=block_m, BLOCK_N=block_n, BLOCK_K=block_k,
    )  # fmt: skip
    return c

# %% exercise="matmul" wrong="sum_in_half_precision"
"""The sum is kept in the dtype of the inputs from step to step."""
@triton.jit
def matmul_kernel(
    a_ptr, b_ptr, c_ptr, M, N, K, a_row, a_col, b_row, b_col, c_row,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    rows = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)[:, None]
    cols = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)[None, :]
    total = tl.zeros((BLOCK_M, BLOCK_N), a_ptr.dtype.element_ty)
    for start in range(0, K, BLOCK_K):
        k = start + tl.arange(0, BLOCK_K)
        a_k, b_k = k[None, :], k[:, None]
        a = tl.load(a_ptr + rows * a_row + a_k * a_col, mask=(rows < M) & (a_k < K), other=0.0)
        b = tl.load(b_ptr + b_k * b_row + cols * b_col, mask=(b_k < K) & (cols < N), other=0.0)
        total = (total.to(tl.float32) + tl.dot(a, b)).to(a_ptr.dtype.element_ty)
    tl.store(c_ptr + rows * c_row + cols, total.to(c_ptr.dtype.element_ty), mask=(rows < M) & (cols < N))


def matmul(
    a: Tensor, b: Tensor, out_dtype: torch.dtype | None = None, block_m: int = 64, block_n: int = 64, block_k: int = 32
) -> Tensor:
    (M, K), N = a.shape, b.shape[1]
    c = torch.empty(M, N, dtype=out_dtype or a.dtype, device=a.device)
    grid = (triton.cdiv(M, block_m), triton.cdiv(N, block_n))
    matmul_kernel[grid](
        a, b, c, M, N, K, a.stride(0), a.stride(1), b.stride(0), b.stride(1), c.stride(0),
        BLOCK_M=block_m, BLOCK_N=block_n, BLOCK_K=block_k,
    )  # fmt: skip
    return c

# %% exercise="matmul" wrong="each_step_rounded"
"""The sum is float32, but the product of each step is rounded to half precision before it is added."""
@triton.jit
def matmul_kernel(
    a_ptr, b_ptr, c_ptr, M, N, K, a_row, a_col, b_row, b_col, c_row,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    rows = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)[:, None]
    cols = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)[None, :]
    total = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for start in range(0, K, BLOCK_K):
        k = start + tl.arange(0, BLOCK_K)
        a_k, b_k = k[None, :], k[:, None]
        a = tl.load(a_ptr + rows * a_row + a_k * a_col, mask=(rows < M) & (a_k < K), other=0.0)
        b = tl.load(b_ptr + b_k * b_row + cols * b_col, mask=(b_k < K) & (cols < N), other=0.0)
        total += tl.dot(a, b).to(a_ptr.dtype.element_ty).to(tl.float32)
    tl.store(c_ptr + rows * c_row + cols, total.to(c_ptr.dtype.element_ty), mask=(rows < M) & (cols < N))


def matmul(
    a: Tensor, b: Tensor, out_dtype: torch.dtype | None = None, block_m: int = 64, block_n: int = 64, block_k: int = 32
) -> Tensor:
    (M, K), N = a.shape, b.shape[1]
    c = torch.empty(M, N, dtype=out_dtype or a.dtype, device=a.device)
    grid = (triton.cdiv(M, block_m), triton.cdiv(N, block_n))
    matmul_kernel[grid](
        a, b, c, M, N, K, a.stride(0), a.stride(1), b.stride(0), b.stride(1), c.stride(0),
        BLOCK_M=block_m, BLOCK_N=block_n, BLOCK_K=block_k,
    )  # fmt: skip
    return c

# %% exercise="matmul" wrong="float32_rounded_through_half"
"""A float32 result is rounded to the inputs' dtype on its way."""
@triton.jit
def matmul_kernel(
    a_ptr, b_ptr, c_ptr, M, N, K, a_row, a_col, b_row, b_col, c_row,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    rows = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)[:, None]
    cols = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)[None, :]
    total = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for start in range(0, K, BLOCK_K):
        k = start + tl.arange(0, BLOCK_K)
        a_k, b_k = k[None, :], k[:, None]
        a = tl.load(a_ptr + rows * a_row + a_k * a_col, mask=(rows < M) & (a_k < K), other=0.0)
        b = tl.load(b_ptr + b_k * b_row + cols * b_col, mask=(b_k < K) & (cols < N), other=0.0)
        total = tl.dot(a, b, total)
    half = total.to(a_ptr.dtype.element_ty)
    tl.store(c_ptr + rows * c_row + cols, half.to(c_ptr.dtype.element_ty), mask=(rows < M) & (cols < N))


def matmul(
    a: Tensor, b: Tensor, out_dtype: torch.dtype | None = None, block_m: int = 64, block_n: int = 64, block_k: int = 32
) -> Tensor:
    (M, K), N = a.shape, b.shape[1]
    c = torch.empty(M, N, dtype=out_dtype or a.dtype, device=a.device)
    grid = (triton.cdiv(M, block_m), triton.cdiv(N, block_n))
    matmul_kernel[grid](
        a, b, c, M, N, K, a.stride(0), a.stride(1), b.stride(0), b.stride(1), c.stride(0),
        BLOCK_M=block_m, BLOCK_N=block_n, BLOCK_K=block_k,
    )  # fmt: skip
    return c

# %% exercise="matmul" wrong="out_dtype_ignored"
"""The result always has the dtype of the inputs."""
@triton.jit
def matmul_kernel(
    a_ptr, b_ptr, c_ptr, M, N, K, a_row, a_col, b_row, b_col, c_row,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    rows = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)[:, None]
    cols = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)[None, :]
    total = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for start in range(0, K, BLOCK_K):
        k = start + tl.arange(0, BLOCK_K)
        a_k, b_k = k[None, :], k[:, None]
        a = tl.load(a_ptr + rows * a_row + a_k * a_col, mask=(rows < M) & (a_k < K), other=0.0)
        b = tl.load(b_ptr + b_k * b_row + cols * b_col, mask=(b_k < K) & (cols < N), other=0.0)
        total = tl.dot(a, b, total)
    tl.store(c_ptr + rows * c_row + cols, total.to(c_ptr.dtype.element_ty), mask=(rows < M) & (cols < N))


def matmul(
    a: Tensor, b: Tensor, out_dtype: torch.dtype | None = None, block_m: int = 64, block_n: int = 64, block_k: int = 32
) -> Tensor:
    (M, K), N = a.shape, b.shape[1]
    c = torch.empty(M, N, dtype=a.dtype, device=a.device)
    grid = (triton.cdiv(M, block_m), triton.cdiv(N, block_n))
    matmul_kernel[grid](
        a, b, c, M, N, K, a.stride(0), a.stride(1), b.stride(0), b.stride(1), c.stride(0),
        BLOCK_M=block_m, BLOCK_N=block_n, BLOCK_K=block_k,
    )  # fmt: skip
    return c

# %% exercise="matmul" wrong="inputs_widened_before_the_dot"
"""Both tiles are converted to float32 before tl.dot: no tensor core for half precision is used."""
@triton.jit
def matmul_kernel(
    a_ptr, b_ptr, c_ptr, M, N, K, a_row, a_col, b_row, b_col, c_row,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    rows = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)[:, None]
    cols = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)[None, :]
    total = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for start in range(0, K, BLOCK_K):
        k = start + tl.arange(0, BLOCK_K)
        a_k, b_k = k[None, :], k[:, None]
        a = tl.load(a_ptr + rows * a_row + a_k * a_col, mask=(rows < M) & (a_k < K), other=0.0)
        b = tl.load(b_ptr + b_k * b_row + cols * b_col, mask=(b_k < K) & (cols < N), other=0.0)
        total = tl.dot(a.to(tl.float32), b.to(tl.float32), total)
    tl.store(c_ptr + rows * c_row + cols, total.to(c_ptr.dtype.element_ty), mask=(rows < M) & (cols < N))


def matmul(
    a: Tensor, b: Tensor, out_dtype: torch.dtype | None = None, block_m: int = 64, block_n: int = 64, block_k: int = 32
) -> Tensor:
    (M, K), N = a.shape, b.shape[1]
    c = torch.empty(M, N, dtype=out_dtype or a.dtype, device=a.device)
    grid = (triton.cdiv(M, block_m), triton.cdiv(N, block_n))
    matmul_kernel[grid](
        a, b, c, M, N, K, a.stride(0), a.stride(1), b.stride(0), b.stride(1), c.stride(0),
        BLOCK_M=block_m, BLOCK_N=block_n, BLOCK_K=block_k,
    )  # fmt: skip
    return c

# %% exercise="matmul" wrong="copies_made_contiguous"
"""Strides are got rid of by .contiguous(): a transposed matrix costs a copy, one more launch."""
@triton.jit
def matmul_kernel(
    a_ptr, b_ptr, c_ptr, M, N, K, a_row, a_col, b_row, b_col, c_row,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    rows = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)[:, None]
    cols = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)[None, :]
    total = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for start in range(0, K, BLOCK_K):
        k = start + tl.arange(0, BLOCK_K)
        a_k, b_k = k[None, :], k[:, None]
        a = tl.load(a_ptr + rows * a_row + a_k * a_col, mask=(rows < M) & (a_k < K), other=0.0)
        b = tl.load(b_ptr + b_k * b_row + cols * b_col, mask=(b_k < K) & (cols < N), other=0.0)
        total = tl.dot(a, b, total)
    tl.store(c_ptr + rows * c_row + cols, total.to(c_ptr.dtype.element_ty), mask=(rows < M) & (cols < N))


def matmul(
    a: Tensor, b: Tensor, out_dtype: torch.dtype | None = None, block_m: int = 64, block_n: int = 64, block_k: int = 32
) -> Tensor:
    a, b = a.contiguous(), b.contiguous()
    (M, K), N = a.shape, b.shape[1]
    c = torch.empty(M, N, dtype=out_dtype or a.dtype, device=a.device)
    grid = (triton.cdiv(M, block_m), triton.cdiv(N, block_n))
    matmul_kernel[grid](
        a, b, c, M, N, K, a.stride(0), a.stride(1), b.stride(0), b.stride(1), c.stride(0),
        BLOCK_M=block_m, BLOCK_N=block_n, BLOCK_K=block_k,
    )  # fmt: skip
    return c

# %% exercise="matmul" wrong="result_filled_with_zeros_first"
"""torch.zeros makes the result: the fill is a second launch."""
@triton.jit
def matmul_kernel(
    a_ptr, b_ptr, c_ptr, M, N, K, a_row, a_col, b_row, b_col, c_row,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    rows = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)[:, None]
    cols = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)[None, :]
    total = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for start in range(0, K, BLOCK_K):
        k = start + tl.arange(0, BLOCK_K)
        a_k, b_k = k[None, :], k[:, None]
        a = tl.load(a_ptr + rows * a_row + a_k * a_col, mask=(rows < M) & (a_k < K), other=0.0)
        b = tl.load(b_ptr + b_k * b_row + cols * b_col, mask=(b_k < K) & (cols < N), other=0.0)
        total = tl.dot(a, b, total)
    tl.store(c_ptr + rows * c_row + cols, total.to(c_ptr.dtype.element_ty), mask=(rows < M) & (cols < N))


def matmul(
    a: Tensor, b: Tensor, out_dtype: torch.dtype | None = None, block_m: int = 64, block_n: int = 64, block_k: int = 32
) -> Tensor:
    (M, K), N = a.shape, b.shape[1]
    c = torch.zeros(M, N, dtype=out_dtype or a.dtype, device=a.device)
    grid = (triton.cdiv(M, block_m), triton.cdiv(N, block_n))
    matmul_kernel[grid](
        a, b, c, M, N, K, a.stride(0), a.stride(1), b.stride(0), b.stride(1), c.stride(0),
        BLOCK_M=block_m, BLOCK_N=block_n, BLOCK_K=block_k,
    )  # fmt: skip
    return c

# %% exercise="matmul" wrong="axes_of_the_grid_swapped"
"""The first axis of the grid counts tiles of columns, but has as many programs as there are tiles of rows."""
@triton.jit
def matmul_kernel(
    a_ptr, b_ptr, c_ptr, M, N, K, a_row, a_col, b_row, b_col, c_row,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    rows = tl.program_id(1) * BLOCK_M + tl.arange(0, BLOCK_M)[:, None]
    cols = tl.program_id(0) * BLOCK_N + tl.arange(0, BLOCK_N)[None, :]
    total = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for start in range(0, K, BLOCK_K):
        k = start + tl.arange(0, BLOCK_K)
        a_k, b_k = k[None, :], k[:, None]
        a = tl.load(a_ptr + rows * a_row + a_k * a_col, mask=(rows < M) & (a_k < K), other=0.0)
        b = tl.load(b_ptr + b_k * b_row + cols * b_col, mask=(b_k < K) & (cols < N), other=0.0)
        total = tl.dot(a, b, total)
    tl.store(c_ptr + rows * c_row + cols, total.to(c_ptr.dtype.element_ty), mask=(rows < M) & (cols < N))


def matmul(
    a: Tensor, b: Tensor, out_dtype: torch.dtype | None = None, block_m: int = 64, block_n: int = 64, block_k: int = 32
) -> Tensor:
    (M, K), N = a.shape, b.shape[1]
    c = torch.empty(M, N, dtype=out_dtype or a.dtype, device=a.device)
    grid = (triton.cdiv(M, block_m), triton.cdiv(N, block_n))
    matmul_kernel[grid](
        a, b, c, M, N, K, a.stride(0), a.stride(1), b.stride(0), b.stride(1), c.stride(0),
        BLOCK_M=block_m, BLOCK_N=block_n, BLOCK_K=block_k,
    )  # fmt: skip
    return c

# %% exercise="matmul" wrong="last_step_only"
"""Each step's product replaces the sum instead of being added to it."""
@triton.jit
def matmul_kernel(
    a_ptr, b_ptr, c_ptr, M, N, K, a_row, a_col, b_row, b_col, c_row,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    rows = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)[:, None]
    cols = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)[None, :]
    total = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for start in range(0, K, BLOCK_K):
        k = start + tl.arange(0, BLOCK_K)
        a_k, b_k = k[None, :], k[:, None]
        a = tl.load(a_ptr + rows * a_row + a_k * a_col, mask=(rows < M) & (a_k < K), other=0.0)
        b = tl.load(b_ptr + b_k * b_row + cols * b_col, mask=(b_k < K) & (cols < N), other=0.0)
        total = tl.dot(a, b)
    tl.store(c_ptr + rows * c_row + cols, total.to(c_ptr.dtype.element_ty), mask=(rows < M) & (cols < N))


def matmul(
    a: Tensor, b: Tensor, out_dtype: torch.dtype | None = None, block_m: int = 64, block_n: int = 64, block_k: int = 32
) -> Tensor:
    (M, K), N = a.shape, b.shape[1]
    c = torch.empty(M, N, dtype=out_dtype or a.dtype, device=a.device)
    grid = (triton.cdiv(M, block_m), triton.cdiv(N, block_n))
    matmul_kernel[grid](
        a, b, c, M, N, K, a.stride(0), a.stride(1), b.stride(0), b.stride(1), c.stride(0),
        BLOCK_M=block_m, BLOCK_N=block_n, BLOCK_K=block_k,
    )  # fmt: skip
    return c

# %% exercise="matmul" wrong="strides_of_dense_matrices"
"""Hands over K and N as strides, whatever the strides are: a transposed matrix is read as if it lay dense."""
@triton.jit
def matmul_kernel(
    a_ptr, b_ptr, c_ptr, M, N, K, a_row, a_col, b_row, b_col, c_row,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    rows = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)[:, None]
    cols = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)[None, :]
    total = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for start in range(0, K, BLOCK_K):
        k = start + tl.arange(0, BLOCK_K)
        a_k, b_k = k[None, :], k[:, None]
        a = tl.load(a_ptr + rows * a_row + a_k * a_col, mask=(rows < M) & (a_k < K), other=0.0)
        b = tl.load(b_ptr + b_k * b_row + cols * b_col, mask=(b_k < K) & (cols < N), other=0.0)
        total = tl.dot(a, b, total)
    tl.store(c_ptr + rows * c_row + cols, total.to(c_ptr.dtype.element_ty), mask=(rows < M) & (cols < N))


def matmul(
    a: Tensor, b: Tensor, out_dtype: torch.dtype | None = None, block_m: int = 64, block_n: int = 64, block_k: int = 32
) -> Tensor:
    (M, K), N = a.shape, b.shape[1]
    c = torch.empty(M, N, dtype=out_dtype or a.dtype, device=a.device)
    grid = (triton.cdiv(M, block_m), triton.cdiv(N, block_n))
    matmul_kernel[grid](
        a, b, c, M, N, K, K, 1, N, 1, c.stride(0),
        BLOCK_M=block_m, BLOCK_N=block_n, BLOCK_K=block_k,
    )  # fmt: skip
    return c

# %% exercise="matmul" wrong="result_is_a_transposed_view"
"""The result lies column by column in memory: its numbers are right, it is not contiguous."""
@triton.jit
def matmul_kernel(
    a_ptr, b_ptr, c_ptr, M, N, K, a_row, a_col, b_row, b_col, c_row,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    rows = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)[:, None]
    cols = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)[None, :]
    total = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for start in range(0, K, BLOCK_K):
        k = start + tl.arange(0, BLOCK_K)
        a_k, b_k = k[None, :], k[:, None]
        a = tl.load(a_ptr + rows * a_row + a_k * a_col, mask=(rows < M) & (a_k < K), other=0.0)
        b = tl.load(b_ptr + b_k * b_row + cols * b_col, mask=(b_k < K) & (cols < N), other=0.0)
        total = tl.dot(a, b, total)
    tl.store(c_ptr + rows + cols * c_row, total.to(c_ptr.dtype.element_ty), mask=(rows < M) & (cols < N))


def matmul(
    a: Tensor, b: Tensor, out_dtype: torch.dtype | None = None, block_m: int = 64, block_n: int = 64, block_k: int = 32
) -> Tensor:
    (M, K), N = a.shape, b.shape[1]
    c = torch.empty(N, M, dtype=out_dtype or a.dtype, device=a.device).T
    grid = (triton.cdiv(M, block_m), triton.cdiv(N, block_n))
    matmul_kernel[grid](
        a, b, c, M, N, K, a.stride(0), a.stride(1), b.stride(0), b.stride(1), c.stride(1),
        BLOCK_M=block_m, BLOCK_N=block_n, BLOCK_K=block_k,
    )  # fmt: skip
    return c

# %% exercise="matmul" wrong="one_program_for_all_tiles"
"""A single program walks over all tiles."""
@triton.jit
def matmul_kernel(
    a_ptr, b_ptr, c_ptr, M, N, K, a_row, a_col, b_row, b_col, c_row,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    for tile in range(0, tl.cdiv(M, BLOCK_M) * tl.cdiv(N, BLOCK_N)):
        rows = tile // tl.cdiv(N, BLOCK_N) * BLOCK_M + tl.arange(0, BLOCK_M)[:, None]
        cols = tile % tl.cdiv(N, BLOCK_N) * BLOCK_N + tl.arange(0, BLOCK_N)[None, :]
        total = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
        for start in range(0, K, BLOCK_K):
            k = start + tl.arange(0, BLOCK_K)
            a_k, b_k = k[None, :], k[:, None]
            a = tl.load(a_ptr + rows * a_row + a_k * a_col, mask=(rows < M) & (a_k < K), other=0.0)
            b = tl.load(b_ptr + b_k * b_row + cols * b_col, mask=(b_k < K) & (cols < N), other=0.0)
            total = tl.dot(a, b, total)
        tl.store(c_ptr + rows * c_row + cols, total.to(c_ptr.dtype.element_ty), mask=(rows < M) & (cols < N))


def matmul(
    a: Tensor, b: Tensor, out_dtype: torch.dtype | None = None, block_m: int = 64, block_n: int = 64, block_k: int = 32
) -> Tensor:
    (M, K), N = a.shape, b.shape[1]
    c = torch.empty(M, N, dtype=out_dtype or a.dtype, device=a.device)
    grid = (1,)
    matmul_kernel[grid](
        a, b, c, M, N, K, a.stride(0), a.stride(1), b.stride(0), b.stride(1), c.stride(0),
        BLOCK_M=block_m, BLOCK_N=block_n, BLOCK_K=block_k,
    )  # fmt: skip
    return c

# %% exercise="matmul" wrong="tail_dropped"
"""Whole steps along K only: what is left over is never added."""
@triton.jit
def matmul_kernel(
    a_ptr, b_ptr, c_ptr, M, N, K, a_row, a_col, b_row, b_col, c_row,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    rows = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    columns = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)
    total = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for start in range(0, K // BLOCK_K * BLOCK_K, BLOCK_K):
        k = start + tl.arange(0, BLOCK_K)
        a = tl.load(
            a_ptr + rows[:, None] * a_row + k[None, :] * a_col,
            mask=(rows[:, None] < M) & (k[None, :] < K), other=0.0,
        )  # fmt: skip
        b = tl.load(
            b_ptr + k[:, None] * b_row + columns[None, :] * b_col,
            mask=(k[:, None] < K) & (columns[None, :] < N), other=0.0,
        )  # fmt: skip
        total = tl.dot(a, b, total)
    tl.store(
        c_ptr + rows[:, None] * c_row + columns[None, :], total.to(c_ptr.dtype.element_ty),
        mask=(rows[:, None] < M) & (columns[None, :] < N),
    )  # fmt: skip


def matmul(a, b, out_dtype=None, block_m=64, block_n=64, block_k=32):
    (M, K), N = a.shape, b.shape[1]
    c = torch.empty((M, N), dtype=out_dtype or a.dtype, device=a.device)
    grid = (triton.cdiv(M, block_m), triton.cdiv(N, block_n))
    matmul_kernel[grid](
        a, b, c, M, N, K, a.stride(0), a.stride(1), b.stride(0), b.stride(1), c.stride(0), block_m, block_n, block_k
    )
    return c

# %% exercise="matmul" wrong="tail_wraps_around"
"""Lanes past the end of K load the first columns again, instead of zeros."""
@triton.jit
def matmul_kernel(
    a_ptr, b_ptr, c_ptr, M, N, K, a_row, a_col, b_row, b_col, c_row,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    rows = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    columns = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)
    total = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for start in range(0, K, BLOCK_K):
        k = (start + tl.arange(0, BLOCK_K)) % K
        a = tl.load(
            a_ptr + rows[:, None] * a_row + k[None, :] * a_col,
            mask=(rows[:, None] < M) & (k[None, :] < K), other=0.0,
        )  # fmt: skip
        b = tl.load(
            b_ptr + k[:, None] * b_row + columns[None, :] * b_col,
            mask=(k[:, None] < K) & (columns[None, :] < N), other=0.0,
        )  # fmt: skip
        total = tl.dot(a, b, total)
    tl.store(
        c_ptr + rows[:, None] * c_row + columns[None, :], total.to(c_ptr.dtype.element_ty),
        mask=(rows[:, None] < M) & (columns[None, :] < N),
    )  # fmt: skip


def matmul(a, b, out_dtype=None, block_m=64, block_n=64, block_k=32):
    (M, K), N = a.shape, b.shape[1]
    c = torch.empty((M, N), dtype=out_dtype or a.dtype, device=a.device)
    grid = (triton.cdiv(M, block_m), triton.cdiv(N, block_n))
    matmul_kernel[grid](
        a, b, c, M, N, K, a.stride(0), a.stride(1), b.stride(0), b.stride(1), c.stride(0), block_m, block_n, block_k
    )
    return c

# %% exercise="matmul" wrong="tail_mask_forgets_the_step"
"""The mask along K is that of the first step, so the last one reads past the end."""
@triton.jit
def matmul_kernel(
    a_ptr, b_ptr, c_ptr, M, N, K, a_row, a_col, b_row, b_col, c_row,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    rows = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    columns = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)
    total = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for start in range(0, K, BLOCK_K):
        lane = tl.arange(0, BLOCK_K)
        k = start + lane
        a = tl.load(
            a_ptr + rows[:, None] * a_row + k[None, :] * a_col,
            mask=(rows[:, None] < M) & (lane[None, :] < K), other=0.0,
        )  # fmt: skip
        b = tl.load(
            b_ptr + k[:, None] * b_row + columns[None, :] * b_col,
            mask=(lane[:, None] < K) & (columns[None, :] < N), other=0.0,
        )  # fmt: skip
        total = tl.dot(a, b, total)
    tl.store(
        c_ptr + rows[:, None] * c_row + columns[None, :], total.to(c_ptr.dtype.element_ty),
        mask=(rows[:, None] < M) & (columns[None, :] < N),
    )  # fmt: skip


def matmul(a, b, out_dtype=None, block_m=64, block_n=64, block_k=32):
    (M, K), N = a.shape, b.shape[1]
    c = torch.empty((M, N), dtype=out_dtype or a.dtype, device=a.device)
    grid = (triton.cdiv(M, block_m), triton.cdiv(N, block_n))
    matmul_kernel[grid](
        a, b, c, M, N, K, a.stride(0), a.stride(1), b.stride(0), b.stride(1), c.stride(0), block_m, block_n, block_k
    )
    return c

# %% exercise="matmul" wrong="sum_in_half_precision_too"
"""The sum is kept in the dtype of a."""
@triton.jit
def matmul_kernel(
    a_ptr, b_ptr, c_ptr, M, N, K, a_row, a_col, b_row, b_col, c_row,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    rows = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    columns = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)
    total = tl.zeros((BLOCK_M, BLOCK_N), a_ptr.dtype.element_ty)
    for start in range(0, K, BLOCK_K):
        k = start + tl.arange(0, BLOCK_K)
        a = tl.load(
            a_ptr + rows[:, None] * a_row + k[None, :] * a_col,
            mask=(rows[:, None] < M) & (k[None, :] < K), other=0.0,
        )  # fmt: skip
        b = tl.load(
            b_ptr + k[:, None] * b_row + columns[None, :] * b_col,
            mask=(k[:, None] < K) & (columns[None, :] < N), other=0.0,
        )  # fmt: skip
        total += tl.dot(a, b).to(a_ptr.dtype.element_ty)
    tl.store(
        c_ptr + rows[:, None] * c_row + columns[None, :], total.to(c_ptr.dtype.element_ty),
        mask=(rows[:, None] < M) & (columns[None, :] < N),
    )  # fmt: skip


def matmul(a, b, out_dtype=None, block_m=64, block_n=64, block_k=32):
    (M, K), N = a.shape, b.shape[1]
    c = torch.empty((M, N), dtype=out_dtype or a.dtype, device=a.device)
    grid = (triton.cdiv(M, block_m), triton.cdiv(N, block_n))
    matmul_kernel[grid](
        a, b, c, M, N, K, a.stride(0), a.stride(1), b.stride(0), b.stride(1), c.stride(0), block_m, block_n, block_k
    )
    return c

# %% exercise="matmul" wrong="rounded_after_every_step"
"""The float32 sum is rounded to the dtype of a after each step."""
@triton.jit
def matmul_kernel(
    a_ptr, b_ptr, c_ptr, M, N, K, a_row, a_col, b_row, b_col, c_row,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    rows = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    columns = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)
    total = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for start in range(0, K, BLOCK_K):
        k = start + tl.arange(0, BLOCK_K)
        a = tl.load(
            a_ptr + rows[:, None] * a_row + k[None, :] * a_col,
            mask=(rows[:, None] < M) & (k[None, :] < K), other=0.0,
        )  # fmt: skip
        b = tl.load(
            b_ptr + k[:, None] * b_row + columns[None, :] * b_col,
            mask=(k[:, None] < K) & (columns[None, :] < N), other=0.0,
        )  # fmt: skip
        total = tl.dot(a, b, total).to(a_ptr.dtype.element_ty).to(tl.float32)
    tl.store(
        c_ptr + rows[:, None] * c_row + columns[None, :], total.to(c_ptr.dtype.element_ty),
        mask=(rows[:, None] < M) & (columns[None, :] < N),
    )  # fmt: skip


def matmul(a, b, out_dtype=None, block_m=64, block_n=64, block_k=32):
    (M, K), N = a.shape, b.shape[1]
    c = torch.empty((M, N), dtype=out_dtype or a.dtype, device=a.device)
    grid = (triton.cdiv(M, block_m), triton.cdiv(N, block_n))
    matmul_kernel[grid](
        a, b, c, M, N, K, a.stride(0), a.stride(1), b.stride(0), b.stride(1), c.stride(0), block_m, block_n, block_k
    )
    return c

# %% exercise="matmul" wrong="tiles_converted_to_float32"
"""Tiles are converted to float32 before tl.dot, so no tensor core takes them."""
@triton.jit
def matmul_kernel(
    a_ptr, b_ptr, c_ptr, M, N, K, a_row, a_col, b_row, b_col, c_row,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    rows = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    columns = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)
    total = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for start in range(0, K, BLOCK_K):
        k = start + tl.arange(0, BLOCK_K)
        a = tl.load(
            a_ptr + rows[:, None] * a_row + k[None, :] * a_col,
            mask=(rows[:, None] < M) & (k[None, :] < K), other=0.0,
        )  # fmt: skip
        b = tl.load(
            b_ptr + k[:, None] * b_row + columns[None, :] * b_col,
            mask=(k[:, None] < K) & (columns[None, :] < N), other=0.0,
        )  # fmt: skip
        total = tl.dot(a.to(tl.float32), b.to(tl.float32), total)
    tl.store(
        c_ptr + rows[:, None] * c_row + columns[None, :], total.to(c_ptr.dtype.element_ty),
        mask=(rows[:, None] < M) & (columns[None, :] < N),
    )  # fmt: skip


def matmul(a, b, out_dtype=None, block_m=64, block_n=64, block_k=32):
    (M, K), N = a.shape, b.shape[1]
    c = torch.empty((M, N), dtype=out_dtype or a.dtype, device=a.device)
    grid = (triton.cdiv(M, block_m), triton.cdiv(N, block_n))
    matmul_kernel[grid](
        a, b, c, M, N, K, a.stride(0), a.stride(1), b.stride(0), b.stride(1), c.stride(0), block_m, block_n, block_k
    )
    return c

# %% exercise="matmul" wrong="b_taken_for_dense"
"""b is read as if its rows lay one behind the other: a transposed b is read wrongly."""
@triton.jit
def matmul_kernel(
    a_ptr, b_ptr, c_ptr, M, N, K, a_row, a_col, b_row, b_col, c_row,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    rows = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    columns = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)
    total = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for start in range(0, K, BLOCK_K):
        k = start + tl.arange(0, BLOCK_K)
        a = tl.load(
            a_ptr + rows[:, None] * a_row + k[None, :] * a_col,
            mask=(rows[:, None] < M) & (k[None, :] < K), other=0.0,
        )  # fmt: skip
        b = tl.load(
            b_ptr + k[:, None] * b_row + columns[None, :] * b_col,
            mask=(k[:, None] < K) & (columns[None, :] < N), other=0.0,
        )  # fmt: skip
        total = tl.dot(a, b, total)
    tl.store(
        c_ptr + rows[:, None] * c_row + columns[None, :], total.to(c_ptr.dtype.element_ty),
        mask=(rows[:, None] < M) & (columns[None, :] < N),
    )  # fmt: skip


def matmul(a, b, out_dtype=None, block_m=64, block_n=64, block_k=32):
    (M, K), N = a.shape, b.shape[1]
    c = torch.empty((M, N), dtype=out_dtype or a.dtype, device=a.device)
    grid = (triton.cdiv(M, block_m), triton.cdiv(N, block_n))
    matmul_kernel[grid](
        a, b, c, M, N, K, a.stride(0), a.stride(1), N, 1, c.stride(0), block_m, block_n, block_k
    )
    return c

# %% exercise="matmul" wrong="strides_of_a_swapped"
"""The two strides of a are exchanged."""
@triton.jit
def matmul_kernel(
    a_ptr, b_ptr, c_ptr, M, N, K, a_row, a_col, b_row, b_col, c_row,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    rows = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    columns = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)
    total = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for start in range(0, K, BLOCK_K):
        k = start + tl.arange(0, BLOCK_K)
        a = tl.load(
            a_ptr + rows[:, None] * a_row + k[None, :] * a_col,
            mask=(rows[:, None] < M) & (k[None, :] < K), other=0.0,
        )  # fmt: skip
        b = tl.load(
            b_ptr + k[:, None] * b_row + columns[None, :] * b_col,
            mask=(k[:, None] < K) & (columns[None, :] < N), other=0.0,
        )  # fmt: skip
        total = tl.dot(a, b, total)
    tl.store(
        c_ptr + rows[:, None] * c_row + columns[None, :], total.to(c_ptr.dtype.element_ty),
        mask=(rows[:, None] < M) & (columns[None, :] < N),
    )  # fmt: skip


def matmul(a, b, out_dtype=None, block_m=64, block_n=64, block_k=32):
    (M, K), N = a.shape, b.shape[1]
    c = torch.empty((M, N), dtype=out_dtype or a.dtype, device=a.device)
    grid = (triton.cdiv(M, block_m), triton.cdiv(N, block_n))
    matmul_kernel[grid](
        a, b, c, M, N, K, a.stride(1), a.stride(0), b.stride(0), b.stride(1), c.stride(0), block_m, block_n, block_k
    )
    return c

# %% exercise="matmul" wrong="contiguous_copies"
"""Makes contiguous copies of transposed matrices: more than one launch."""
@triton.jit
def matmul_kernel(
    a_ptr, b_ptr, c_ptr, M, N, K, a_row, a_col, b_row, b_col, c_row,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    rows = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    columns = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)
    total = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for start in range(0, K, BLOCK_K):
        k = start + tl.arange(0, BLOCK_K)
        a = tl.load(
            a_ptr + rows[:, None] * a_row + k[None, :] * a_col,
            mask=(rows[:, None] < M) & (k[None, :] < K), other=0.0,
        )  # fmt: skip
        b = tl.load(
            b_ptr + k[:, None] * b_row + columns[None, :] * b_col,
            mask=(k[:, None] < K) & (columns[None, :] < N), other=0.0,
        )  # fmt: skip
        total = tl.dot(a, b, total)
    tl.store(
        c_ptr + rows[:, None] * c_row + columns[None, :], total.to(c_ptr.dtype.element_ty),
        mask=(rows[:, None] < M) & (columns[None, :] < N),
    )  # fmt: skip


def matmul(a, b, out_dtype=None, block_m=64, block_n=64, block_k=32):
    a, b = a.contiguous(), b.contiguous()
    (M, K), N = a.shape, b.shape[1]
    c = torch.empty((M, N), dtype=out_dtype or a.dtype, device=a.device)
    grid = (triton.cdiv(M, block_m), triton.cdiv(N, block_n))
    matmul_kernel[grid](
        a, b, c, M, N, K, a.stride(0), a.stride(1), b.stride(0), b.stride(1), c.stride(0), block_m, block_n, block_k
    )
    return c

# %% exercise="matmul" wrong="zeros_instead_of_empty"
"""The result is filled with zeros first, and torch's fill is a launch."""
@triton.jit
def matmul_kernel(
    a_ptr, b_ptr, c_ptr, M, N, K, a_row, a_col, b_row, b_col, c_row,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    rows = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    columns = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)
    total = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for start in range(0, K, BLOCK_K):
        k = start + tl.arange(0, BLOCK_K)
        a = tl.load(
            a_ptr + rows[:, None] * a_row + k[None, :] * a_col,
            mask=(rows[:, None] < M) & (k[None, :] < K), other=0.0,
        )  # fmt: skip
        b = tl.load(
            b_ptr + k[:, None] * b_row + columns[None, :] * b_col,
            mask=(k[:, None] < K) & (columns[None, :] < N), other=0.0,
        )  # fmt: skip
        total = tl.dot(a, b, total)
    tl.store(
        c_ptr + rows[:, None] * c_row + columns[None, :], total.to(c_ptr.dtype.element_ty),
        mask=(rows[:, None] < M) & (columns[None, :] < N),
    )  # fmt: skip


def matmul(a, b, out_dtype=None, block_m=64, block_n=64, block_k=32):
    (M, K), N = a.shape, b.shape[1]
    c = torch.zeros((M, N), dtype=out_dtype or a.dtype, device=a.device)
    grid = (triton.cdiv(M, block_m), triton.cdiv(N, block_n))
    matmul_kernel[grid](
        a, b, c, M, N, K, a.stride(0), a.stride(1), b.stride(0), b.stride(1), c.stride(0), block_m, block_n, block_k
    )
    return c

# %% exercise="matmul" wrong="rounded_to_half_for_float32"
"""With out_dtype float32 the sum is rounded to the dtype of a before it is stored."""
@triton.jit
def matmul_kernel(
    a_ptr, b_ptr, c_ptr, M, N, K, a_row, a_col, b_row, b_col, c_row,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    rows = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    columns = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)
    total = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for start in range(0, K, BLOCK_K):
        k = start + tl.arange(0, BLOCK_K)
        a = tl.load(
            a_ptr + rows[:, None] * a_row + k[None, :] * a_col,
            mask=(rows[:, None] < M) & (k[None, :] < K), other=0.0,
        )  # fmt: skip
        b = tl.load(
            b_ptr + k[:, None] * b_row + columns[None, :] * b_col,
            mask=(k[:, None] < K) & (columns[None, :] < N), other=0.0,
        )  # fmt: skip
        total = tl.dot(a, b, total)
    tl.store(
        c_ptr + rows[:, None] * c_row + columns[None, :], total.to(a_ptr.dtype.element_ty).to(c_ptr.dtype.element_ty),
        mask=(rows[:, None] < M) & (columns[None, :] < N),
    )  # fmt: skip


def matmul(a, b, out_dtype=None, block_m=64, block_n=64, block_k=32):
    (M, K), N = a.shape, b.shape[1]
    c = torch.empty((M, N), dtype=out_dtype or a.dtype, device=a.device)
    grid = (triton.cdiv(M, block_m), triton.cdiv(N, block_n))
    matmul_kernel[grid](
        a, b, c, M, N, K, a.stride(0), a.stride(1), b.stride(0), b.stride(1), c.stride(0), block_m, block_n, block_k
    )
    return c

# %% exercise="matmul" wrong="out_dtype_ignored_too"
"""The result always has the dtype of a."""
@triton.jit
def matmul_kernel(
    a_ptr, b_ptr, c_ptr, M, N, K, a_row, a_col, b_row, b_col, c_row,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    rows = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    columns = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)
    total = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for start in range(0, K, BLOCK_K):
        k = start + tl.arange(0, BLOCK_K)
        a = tl.load(
            a_ptr + rows[:, None] * a_row + k[None, :] * a_col,
            mask=(rows[:, None] < M) & (k[None, :] < K), other=0.0,
        )  # fmt: skip
        b = tl.load(
            b_ptr + k[:, None] * b_row + columns[None, :] * b_col,
            mask=(k[:, None] < K) & (columns[None, :] < N), other=0.0,
        )  # fmt: skip
        total = tl.dot(a, b, total)
    tl.store(
        c_ptr + rows[:, None] * c_row + columns[None, :], total.to(c_ptr.dtype.element_ty),
        mask=(rows[:, None] < M) & (columns[None, :] < N),
    )  # fmt: skip


def matmul(a, b, out_dtype=None, block_m=64, block_n=64, block_k=32):
    (M, K), N = a.shape, b.shape[1]
    c = torch.empty((M, N), dtype=a.dtype, device=a.device)
    grid = (triton.cdiv(M, block_m), triton.cdiv(N, block_n))
    matmul_kernel[grid](
        a, b, c, M, N, K, a.stride(0), a.stride(1), b.stride(0), b.stride(1), c.stride(0), block_m, block_n, block_k
    )
    return c

# %% exercise="matmul" wrong="bfloat16_by_way_of_float16"
"""The sum is rounded to float16 whatever the dtype: bfloat16 sums beyond 65,504 become inf."""
@triton.jit
def matmul_kernel(
    a_ptr, b_ptr, c_ptr, M, N, K, a_row, a_col, b_row, b_col, c_row,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    rows = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    columns = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)
    total = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for start in range(0, K, BLOCK_K):
        k = start + tl.arange(0, BLOCK_K)
        a = tl.load(
            a_ptr + rows[:, None] * a_row + k[None, :] * a_col,
            mask=(rows[:, None] < M) & (k[None, :] < K), other=0.0,
        )  # fmt: skip
        b = tl.load(
            b_ptr + k[:, None] * b_row + columns[None, :] * b_col,
            mask=(k[:, None] < K) & (columns[None, :] < N), other=0.0,
        )  # fmt: skip
        total = tl.dot(a, b, total)
    if c_ptr.dtype.element_ty != tl.float32:
        total = total.to(tl.float16)
    tl.store(
        c_ptr + rows[:, None] * c_row + columns[None, :], total.to(c_ptr.dtype.element_ty),
        mask=(rows[:, None] < M) & (columns[None, :] < N),
    )  # fmt: skip


def matmul(a, b, out_dtype=None, block_m=64, block_n=64, block_k=32):
    (M, K), N = a.shape, b.shape[1]
    c = torch.empty((M, N), dtype=out_dtype or a.dtype, device=a.device)
    grid = (triton.cdiv(M, block_m), triton.cdiv(N, block_n))
    matmul_kernel[grid](
        a, b, c, M, N, K, a.stride(0), a.stride(1), b.stride(0), b.stride(1), c.stride(0), block_m, block_n, block_k
    )
    return c

# %% exercise="matmul" wrong="columns_counted_in_rows_of_a_tile"
"""The columns of a program begin at BLOCK_M times its number: only square tiles are right."""
@triton.jit
def matmul_kernel(
    a_ptr, b_ptr, c_ptr, M, N, K, a_row, a_col, b_row, b_col, c_row,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    rows = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    columns = tl.program_id(1) * BLOCK_M + tl.arange(0, BLOCK_N)
    total = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for start in range(0, K, BLOCK_K):
        k = start + tl.arange(0, BLOCK_K)
        a = tl.load(
            a_ptr + rows[:, None] * a_row + k[None, :] * a_col,
            mask=(rows[:, None] < M) & (k[None, :] < K), other=0.0,
        )  # fmt: skip
        b = tl.load(
            b_ptr + k[:, None] * b_row + columns[None, :] * b_col,
            mask=(k[:, None] < K) & (columns[None, :] < N), other=0.0,
        )  # fmt: skip
        total = tl.dot(a, b, total)
    tl.store(
        c_ptr + rows[:, None] * c_row + columns[None, :], total.to(c_ptr.dtype.element_ty),
        mask=(rows[:, None] < M) & (columns[None, :] < N),
    )  # fmt: skip


def matmul(a, b, out_dtype=None, block_m=64, block_n=64, block_k=32):
    (M, K), N = a.shape, b.shape[1]
    c = torch.empty((M, N), dtype=out_dtype or a.dtype, device=a.device)
    grid = (triton.cdiv(M, block_m), triton.cdiv(N, block_n))
    matmul_kernel[grid](
        a, b, c, M, N, K, a.stride(0), a.stride(1), b.stride(0), b.stride(1), c.stride(0), block_m, block_n, block_k
    )
    return c

# %% exercise="matmul" wrong="blocks_ignored"
"""Tiles are 64 x 64 in steps of 32, whatever was asked for."""
@triton.jit
def matmul_kernel(
    a_ptr, b_ptr, c_ptr, M, N, K, a_row, a_col, b_row, b_col, c_row,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    rows = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    columns = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)
    total = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for start in range(0, K, BLOCK_K):
        k = start + tl.arange(0, BLOCK_K)
        a = tl.load(
            a_ptr + rows[:, None] * a_row + k[None, :] * a_col,
            mask=(rows[:, None] < M) & (k[None, :] < K), other=0.0,
        )  # fmt: skip
        b = tl.load(
            b_ptr + k[:, None] * b_row + columns[None, :] * b_col,
            mask=(k[:, None] < K) & (columns[None, :] < N), other=0.0,
        )  # fmt: skip
        total = tl.dot(a, b, total)
    tl.store(
        c_ptr + rows[:, None] * c_row + columns[None, :], total.to(c_ptr.dtype.element_ty),
        mask=(rows[:, None] < M) & (columns[None, :] < N),
    )  # fmt: skip


def matmul(a, b, out_dtype=None, block_m=64, block_n=64, block_k=32):
    (M, K), N = a.shape, b.shape[1]
    c = torch.empty((M, N), dtype=out_dtype or a.dtype, device=a.device)
    block_m, block_n, block_k = 64, 64, 32
    grid = (triton.cdiv(M, block_m), triton.cdiv(N, block_n))
    matmul_kernel[grid](
        a, b, c, M, N, K, a.stride(0), a.stride(1), b.stride(0), b.stride(1), c.stride(0), block_m, block_n, block_k
    )
    return c

# %% exercise="matmul" wrong="one_program_for_all_tiles_too"
"""A single program walks over all tiles."""
@triton.jit
def matmul_kernel(
    a_ptr, b_ptr, c_ptr, M, N, K, a_row, a_col, b_row, b_col, c_row,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    across = tl.cdiv(N, BLOCK_N)
    for tile in range(tl.program_id(0), tl.cdiv(M, BLOCK_M) * across, tl.num_programs(0)):
        rows = (tile // across) * BLOCK_M + tl.arange(0, BLOCK_M)
        columns = (tile % across) * BLOCK_N + tl.arange(0, BLOCK_N)
        total = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
        for start in range(0, K, BLOCK_K):
            k = start + tl.arange(0, BLOCK_K)
            a = tl.load(a_ptr + rows[:, None] * a_row + k * a_col, mask=(rows[:, None] < M) & (k < K), other=0.0)
            b = tl.load(b_ptr + k[:, None] * b_row + columns * b_col, mask=(k[:, None] < K) & (columns < N), other=0.0)
            total += tl.dot(a, b)
        inside = (rows[:, None] < M) & (columns[None, :] < N)
        tl.store(c_ptr + rows[:, None] * c_row + columns[None, :], total.to(c_ptr.dtype.element_ty), mask=inside)


def matmul(a, b, out_dtype=None, block_m=64, block_n=64, block_k=32):
    M, K = a.shape
    N = b.shape[1]
    c = torch.empty(M, N, dtype=out_dtype or a.dtype, device=a.device)
    matmul_kernel[(1,)](
        a, b, c, M, N, K, a.stride(0), a.stride(1), b.stride(0), b.stride(1), N, block_m, block_n, block_k
    )
    return c

# %% exercise="matmul" wrong="border_of_the_flat_result"
"""The store asks only if a place lies in the memory of c: columns past N fall into the next row."""
@triton.jit
def matmul_kernel(
    a_ptr, b_ptr, c_ptr, M, N, K, a_row, a_col, b_row, b_col, c_row,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    rows = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    columns = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)
    total = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for start in range(0, K, BLOCK_K):
        k = start + tl.arange(0, BLOCK_K)
        a = tl.load(
            a_ptr + rows[:, None] * a_row + k[None, :] * a_col,
            mask=(rows[:, None] < M) & (k[None, :] < K), other=0.0,
        )  # fmt: skip
        b = tl.load(
            b_ptr + k[:, None] * b_row + columns[None, :] * b_col,
            mask=(k[:, None] < K) & (columns[None, :] < N), other=0.0,
        )  # fmt: skip
        total = tl.dot(a, b, total)
    tl.store(
        c_ptr + rows[:, None] * c_row + columns[None, :], total.to(c_ptr.dtype.element_ty),
        mask=rows[:, None] * c_row + columns[None, :] < M * N,
    )  # fmt: skip


def matmul(a, b, out_dtype=None, block_m=64, block_n=64, block_k=32):
    (M, K), N = a.shape, b.shape[1]
    c = torch.empty((M, N), dtype=out_dtype or a.dtype, device=a.device)
    grid = (triton.cdiv(M, block_m), triton.cdiv(N, block_n))
    matmul_kernel[grid](
        a, b, c, M, N, K, a.stride(0), a.stride(1), b.stride(0), b.stride(1), c.stride(0), block_m, block_n, block_k
    )
    return c

# %% exercise="matmul" wrong="result_is_a_transposed_view_too"
"""The numbers are right, but the result is the transpose of an (N, M) tensor, not contiguous."""
@triton.jit
def matmul_kernel(
    a_ptr, b_ptr, c_ptr, M, N, K, a_row, a_col, b_row, b_col, c_row,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    rows = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    columns = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)
    total = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for start in range(0, K, BLOCK_K):
        k = start + tl.arange(0, BLOCK_K)
        a = tl.load(
            a_ptr + rows[:, None] * a_row + k[None, :] * a_col,
            mask=(rows[:, None] < M) & (k[None, :] < K), other=0.0,
        )  # fmt: skip
        b = tl.load(
            b_ptr + k[:, None] * b_row + columns[None, :] * b_col,
            mask=(k[:, None] < K) & (columns[None, :] < N), other=0.0,
        )  # fmt: skip
        total = tl.dot(a, b, total)
    tl.store(
        c_ptr + rows[:, None] + columns[None, :] * c_row, total.to(c_ptr.dtype.element_ty),
        mask=(rows[:, None] < M) & (columns[None, :] < N),
    )  # fmt: skip


def matmul(a, b, out_dtype=None, block_m=64, block_n=64, block_k=32):
    (M, K), N = a.shape, b.shape[1]
    c = torch.empty((N, M), dtype=out_dtype or a.dtype, device=a.device).T
    grid = (triton.cdiv(M, block_m), triton.cdiv(N, block_n))
    matmul_kernel[grid](
        a, b, c, M, N, K, a.stride(0), a.stride(1), b.stride(0), b.stride(1), c.stride(1), block_m, block_n, block_k
    )
    return c

# %% exercise="linear_gelu" wrong="exact_gelu"
"""torch's default GELU with the error function, not the tanh form."""
@triton.jit
def linear_gelu_kernel(
    x_ptr, w_ptr, bias_ptr, y_ptr, M, N, K, x_row, x_col, w_row, w_col, y_row,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    rows = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)[:, None]
    cols = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)[None, :]
    total = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for start in range(0, K, BLOCK_K):
        k = start + tl.arange(0, BLOCK_K)
        x_k, w_k = k[None, :], k[:, None]
        x = tl.load(x_ptr + rows * x_row + x_k * x_col, mask=(rows < M) & (x_k < K), other=0.0)
        w = tl.load(w_ptr + cols * w_row + w_k * w_col, mask=(cols < N) & (w_k < K), other=0.0)
        total = tl.dot(x, w, total)
    z = total + tl.load(bias_ptr + cols, mask=cols < N, other=0.0)
    y = 0.5 * z * (1.0 + tl.erf(z * 0.7071067811865476))
    tl.store(y_ptr + rows * y_row + cols, y.to(y_ptr.dtype.element_ty), mask=(rows < M) & (cols < N))


def linear_gelu(x: Tensor, w: Tensor, bias: Tensor, block_m: int = 64, block_n: int = 64, block_k: int = 32) -> Tensor:
    (M, K), N = x.shape, w.shape[0]
    y = torch.empty(M, N, dtype=x.dtype, device=x.device)
    linear_gelu_kernel[(triton.cdiv(M, block_m), triton.cdiv(N, block_n))](
        x, w, bias, y, M, N, K, x.stride(0), x.stride(1), w.stride(0), w.stride(1), y.stride(0),
        BLOCK_M=block_m, BLOCK_N=block_n, BLOCK_K=block_k,
    )  # fmt: skip
    return y

# %% exercise="linear_gelu" wrong="sigmoid_of_1_702_z"
"""The third form of the paper: z times sigmoid(1.702 z)."""
@triton.jit
def linear_gelu_kernel(
    x_ptr, w_ptr, bias_ptr, y_ptr, M, N, K, x_row, x_col, w_row, w_col, y_row,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    rows = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)[:, None]
    cols = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)[None, :]
    total = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for start in range(0, K, BLOCK_K):
        k = start + tl.arange(0, BLOCK_K)
        x_k, w_k = k[None, :], k[:, None]
        x = tl.load(x_ptr + rows * x_row + x_k * x_col, mask=(rows < M) & (x_k < K), other=0.0)
        w = tl.load(w_ptr + cols * w_row + w_k * w_col, mask=(cols < N) & (w_k < K), other=0.0)
        total = tl.dot(x, w, total)
    z = total + tl.load(bias_ptr + cols, mask=cols < N, other=0.0)
    y = z * tl.sigmoid(1.702 * z)
    tl.store(y_ptr + rows * y_row + cols, y.to(y_ptr.dtype.element_ty), mask=(rows < M) & (cols < N))


def linear_gelu(x: Tensor, w: Tensor, bias: Tensor, block_m: int = 64, block_n: int = 64, block_k: int = 32) -> Tensor:
    (M, K), N = x.shape, w.shape[0]
    y = torch.empty(M, N, dtype=x.dtype, device=x.device)
    linear_gelu_kernel[(triton.cdiv(M, block_m), triton.cdiv(N, block_n))](
        x, w, bias, y, M, N, K, x.stride(0), x.stride(1), w.stride(0), w.stride(1), y.stride(0),
        BLOCK_M=block_m, BLOCK_N=block_n, BLOCK_K=block_k,
    )  # fmt: skip
    return y

# %% exercise="linear_gelu" wrong="sigmoid_of_u"
"""sigmoid(u) where 0.5 * (1 + tanh(u)) is sigmoid(2 u)."""
@triton.jit
def linear_gelu_kernel(
    x_ptr, w_ptr, bias_ptr, y_ptr, M, N, K, x_row, x_col, w_row, w_col, y_row,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    rows = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)[:, None]
    cols = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)[None, :]
    total = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for start in range(0, K, BLOCK_K):
        k = start + tl.arange(0, BLOCK_K)
        x_k, w_k = k[None, :], k[:, None]
        x = tl.load(x_ptr + rows * x_row + x_k * x_col, mask=(rows < M) & (x_k < K), other=0.0)
        w = tl.load(w_ptr + cols * w_row + w_k * w_col, mask=(cols < N) & (w_k < K), other=0.0)
        total = tl.dot(x, w, total)
    z = total + tl.load(bias_ptr + cols, mask=cols < N, other=0.0)
    u = 0.7978845608028654 * (z + 0.044715 * z * z * z)
    y = z * tl.sigmoid(u)
    tl.store(y_ptr + rows * y_row + cols, y.to(y_ptr.dtype.element_ty), mask=(rows < M) & (cols < N))


def linear_gelu(x: Tensor, w: Tensor, bias: Tensor, block_m: int = 64, block_n: int = 64, block_k: int = 32) -> Tensor:
    (M, K), N = x.shape, w.shape[0]
    y = torch.empty(M, N, dtype=x.dtype, device=x.device)
    linear_gelu_kernel[(triton.cdiv(M, block_m), triton.cdiv(N, block_n))](
        x, w, bias, y, M, N, K, x.stride(0), x.stride(1), w.stride(0), w.stride(1), y.stride(0),
        BLOCK_M=block_m, BLOCK_N=block_n, BLOCK_K=block_k,
    )  # fmt: skip
    return y

# %% exercise="linear_gelu" wrong="tanh_divides_infinities"
"""tanh as (e^2u - 1) / (e^2u + 1): NaN for large pre-activations."""
@triton.jit
def linear_gelu_kernel(
    x_ptr, w_ptr, bias_ptr, y_ptr, M, N, K, x_row, x_col, w_row, w_col, y_row,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    rows = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)[:, None]
    cols = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)[None, :]
    total = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for start in range(0, K, BLOCK_K):
        k = start + tl.arange(0, BLOCK_K)
        x_k, w_k = k[None, :], k[:, None]
        x = tl.load(x_ptr + rows * x_row + x_k * x_col, mask=(rows < M) & (x_k < K), other=0.0)
        w = tl.load(w_ptr + cols * w_row + w_k * w_col, mask=(cols < N) & (w_k < K), other=0.0)
        total = tl.dot(x, w, total)
    z = total + tl.load(bias_ptr + cols, mask=cols < N, other=0.0)
    u = 0.7978845608028654 * (z + 0.044715 * z * z * z)
    e = tl.exp(2.0 * u)
    y = 0.5 * z * (1.0 + (e - 1.0) / (e + 1.0))
    tl.store(y_ptr + rows * y_row + cols, y.to(y_ptr.dtype.element_ty), mask=(rows < M) & (cols < N))


def linear_gelu(x: Tensor, w: Tensor, bias: Tensor, block_m: int = 64, block_n: int = 64, block_k: int = 32) -> Tensor:
    (M, K), N = x.shape, w.shape[0]
    y = torch.empty(M, N, dtype=x.dtype, device=x.device)
    linear_gelu_kernel[(triton.cdiv(M, block_m), triton.cdiv(N, block_n))](
        x, w, bias, y, M, N, K, x.stride(0), x.stride(1), w.stride(0), w.stride(1), y.stride(0),
        BLOCK_M=block_m, BLOCK_N=block_n, BLOCK_K=block_k,
    )  # fmt: skip
    return y

# %% exercise="linear_gelu" wrong="factor_on_the_first_term_only"
"""sqrt(2 / pi) multiplies z, but not the cubic term."""
@triton.jit
def linear_gelu_kernel(
    x_ptr, w_ptr, bias_ptr, y_ptr, M, N, K, x_row, x_col, w_row, w_col, y_row,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    rows = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)[:, None]
    cols = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)[None, :]
    total = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for start in range(0, K, BLOCK_K):
        k = start + tl.arange(0, BLOCK_K)
        x_k, w_k = k[None, :], k[:, None]
        x = tl.load(x_ptr + rows * x_row + x_k * x_col, mask=(rows < M) & (x_k < K), other=0.0)
        w = tl.load(w_ptr + cols * w_row + w_k * w_col, mask=(cols < N) & (w_k < K), other=0.0)
        total = tl.dot(x, w, total)
    z = total + tl.load(bias_ptr + cols, mask=cols < N, other=0.0)
    u = 0.7978845608028654 * z + 0.044715 * z * z * z
    y = z * tl.sigmoid(2 * u)
    tl.store(y_ptr + rows * y_row + cols, y.to(y_ptr.dtype.element_ty), mask=(rows < M) & (cols < N))


def linear_gelu(x: Tensor, w: Tensor, bias: Tensor, block_m: int = 64, block_n: int = 64, block_k: int = 32) -> Tensor:
    (M, K), N = x.shape, w.shape[0]
    y = torch.empty(M, N, dtype=x.dtype, device=x.device)
    linear_gelu_kernel[(triton.cdiv(M, block_m), triton.cdiv(N, block_n))](
        x, w, bias, y, M, N, K, x.stride(0), x.stride(1), w.stride(0), w.stride(1), y.stride(0),
        BLOCK_M=block_m, BLOCK_N=block_n, BLOCK_K=block_k,
    )  # fmt: skip
    return y

# %% exercise="linear_gelu" wrong="sum_rounded_before_the_bias"
"""The product is rounded to half precision before the bias is added."""
@triton.jit
def linear_gelu_kernel(
    x_ptr, w_ptr, bias_ptr, y_ptr, M, N, K, x_row, x_col, w_row, w_col, y_row,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    rows = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)[:, None]
    cols = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)[None, :]
    total = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for start in range(0, K, BLOCK_K):
        k = start + tl.arange(0, BLOCK_K)
        x_k, w_k = k[None, :], k[:, None]
        x = tl.load(x_ptr + rows * x_row + x_k * x_col, mask=(rows < M) & (x_k < K), other=0.0)
        w = tl.load(w_ptr + cols * w_row + w_k * w_col, mask=(cols < N) & (w_k < K), other=0.0)
        total = tl.dot(x, w, total)
    product = total.to(y_ptr.dtype.element_ty).to(tl.float32)
    z = product + tl.load(bias_ptr + cols, mask=cols < N, other=0.0)
    u = 0.7978845608028654 * (z + 0.044715 * z * z * z)
    y = z * tl.sigmoid(2 * u)
    tl.store(y_ptr + rows * y_row + cols, y.to(y_ptr.dtype.element_ty), mask=(rows < M) & (cols < N))


def linear_gelu(x: Tensor, w: Tensor, bias: Tensor, block_m: int = 64, block_n: int = 64, block_k: int = 32) -> Tensor:
    (M, K), N = x.shape, w.shape[0]
    y = torch.empty(M, N, dtype=x.dtype, device=x.device)
    linear_gelu_kernel[(triton.cdiv(M, block_m), triton.cdiv(N, block_n))](
        x, w, bias, y, M, N, K, x.stride(0), x.stride(1), w.stride(0), w.stride(1), y.stride(0),
        BLOCK_M=block_m, BLOCK_N=block_n, BLOCK_K=block_k,
    )  # fmt: skip
    return y

# %% exercise="linear_gelu" wrong="pre_activation_rounded"
"""Product plus bias is rounded to half precision, and gelu is computed of that."""
@triton.jit
def linear_gelu_kernel(
    x_ptr, w_ptr, bias_ptr, y_ptr, M, N, K, x_row, x_col, w_row, w_col, y_row,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    rows = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)[:, None]
    cols = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)[None, :]
    total = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for start in range(0, K, BLOCK_K):
        k = start + tl.arange(0, BLOCK_K)
        x_k, w_k = k[None, :], k[:, None]
        x = tl.load(x_ptr + rows * x_row + x_k * x_col, mask=(rows < M) & (x_k < K), other=0.0)
        w = tl.load(w_ptr + cols * w_row + w_k * w_col, mask=(cols < N) & (w_k < K), other=0.0)
        total = tl.dot(x, w, total)
    z = total + tl.load(bias_ptr + cols, mask=cols < N, other=0.0)
    z = z.to(y_ptr.dtype.element_ty).to(tl.float32)
    u = 0.7978845608028654 * (z + 0.044715 * z * z * z)
    y = z * tl.sigmoid(2 * u)
    tl.store(y_ptr + rows * y_row + cols, y.to(y_ptr.dtype.element_ty), mask=(rows < M) & (cols < N))


def linear_gelu(x: Tensor, w: Tensor, bias: Tensor, block_m: int = 64, block_n: int = 64, block_k: int = 32) -> Tensor:
    (M, K), N = x.shape, w.shape[0]
    y = torch.empty(M, N, dtype=x.dtype, device=x.device)
    linear_gelu_kernel[(triton.cdiv(M, block_m), triton.cdiv(N, block_n))](
        x, w, bias, y, M, N, K, x.stride(0), x.stride(1), w.stride(0), w.stride(1), y.stride(0),
        BLOCK_M=block_m, BLOCK_N=block_n, BLOCK_K=block_k,
    )  # fmt: skip
    return y

# %% exercise="linear_gelu" wrong="bias_in_half_precision"
"""The bias is rounded to x's dtype before it is added."""
@triton.jit
def linear_gelu_kernel(
    x_ptr, w_ptr, bias_ptr, y_ptr, M, N, K, x_row, x_col, w_row, w_col, y_row,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    rows = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)[:, None]
    cols = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)[None, :]
    total = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for start in range(0, K, BLOCK_K):
        k = start + tl.arange(0, BLOCK_K)
        x_k, w_k = k[None, :], k[:, None]
        x = tl.load(x_ptr + rows * x_row + x_k * x_col, mask=(rows < M) & (x_k < K), other=0.0)
        w = tl.load(w_ptr + cols * w_row + w_k * w_col, mask=(cols < N) & (w_k < K), other=0.0)
        total = tl.dot(x, w, total)
    shift = tl.load(bias_ptr + cols, mask=cols < N, other=0.0)
    z = total + shift.to(x_ptr.dtype.element_ty).to(tl.float32)
    u = 0.7978845608028654 * (z + 0.044715 * z * z * z)
    y = z * tl.sigmoid(2 * u)
    tl.store(y_ptr + rows * y_row + cols, y.to(y_ptr.dtype.element_ty), mask=(rows < M) & (cols < N))


def linear_gelu(x: Tensor, w: Tensor, bias: Tensor, block_m: int = 64, block_n: int = 64, block_k: int = 32) -> Tensor:
    (M, K), N = x.shape, w.shape[0]
    y = torch.empty(M, N, dtype=x.dtype, device=x.device)
    linear_gelu_kernel[(triton.cdiv(M, block_m), triton.cdiv(N, block_n))](
        x, w, bias, y, M, N, K, x.stride(0), x.stride(1), w.stride(0), w.stride(1), y.stride(0),
        BLOCK_M=block_m, BLOCK_N=block_n, BLOCK_K=block_k,
    )  # fmt: skip
    return y

# %% exercise="linear_gelu" wrong="bias_in_every_step"
"""The bias is added in each step along K."""
@triton.jit
def linear_gelu_kernel(
    x_ptr, w_ptr, bias_ptr, y_ptr, M, N, K, x_row, x_col, w_row, w_col, y_row,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    rows = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)[:, None]
    cols = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)[None, :]
    total = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for start in range(0, K, BLOCK_K):
        k = start + tl.arange(0, BLOCK_K)
        x_k, w_k = k[None, :], k[:, None]
        x = tl.load(x_ptr + rows * x_row + x_k * x_col, mask=(rows < M) & (x_k < K), other=0.0)
        w = tl.load(w_ptr + cols * w_row + w_k * w_col, mask=(cols < N) & (w_k < K), other=0.0)
        total = tl.dot(x, w, total) + tl.load(bias_ptr + cols, mask=cols < N, other=0.0)
    z = total
    u = 0.7978845608028654 * (z + 0.044715 * z * z * z)
    y = z * tl.sigmoid(2 * u)
    tl.store(y_ptr + rows * y_row + cols, y.to(y_ptr.dtype.element_ty), mask=(rows < M) & (cols < N))


def linear_gelu(x: Tensor, w: Tensor, bias: Tensor, block_m: int = 64, block_n: int = 64, block_k: int = 32) -> Tensor:
    (M, K), N = x.shape, w.shape[0]
    y = torch.empty(M, N, dtype=x.dtype, device=x.device)
    linear_gelu_kernel[(triton.cdiv(M, block_m), triton.cdiv(N, block_n))](
        x, w, bias, y, M, N, K, x.stride(0), x.stride(1), w.stride(0), w.stride(1), y.stride(0),
        BLOCK_M=block_m, BLOCK_N=block_n, BLOCK_K=block_k,
    )  # fmt: skip
    return y

# %% exercise="linear_gelu" wrong="bias_behind_gelu"
"""gelu(x @ w.T) + bias."""
@triton.jit
def linear_gelu_kernel(
    x_ptr, w_ptr, bias_ptr, y_ptr, M, N, K, x_row, x_col, w_row, w_col, y_row,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    rows = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)[:, None]
    cols = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)[None, :]
    total = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for start in range(0, K, BLOCK_K):
        k = start + tl.arange(0, BLOCK_K)
        x_k, w_k = k[None, :], k[:, None]
        x = tl.load(x_ptr + rows * x_row + x_k * x_col, mask=(rows < M) & (x_k < K), other=0.0)
        w = tl.load(w_ptr + cols * w_row + w_k * w_col, mask=(cols < N) & (w_k < K), other=0.0)
        total = tl.dot(x, w, total)
    z = total
    u = 0.7978845608028654 * (z + 0.044715 * z * z * z)
    y = z * tl.sigmoid(2 * u) + tl.load(bias_ptr + cols, mask=cols < N, other=0.0)
    tl.store(y_ptr + rows * y_row + cols, y.to(y_ptr.dtype.element_ty), mask=(rows < M) & (cols < N))


def linear_gelu(x: Tensor, w: Tensor, bias: Tensor, block_m: int = 64, block_n: int = 64, block_k: int = 32) -> Tensor:
    (M, K), N = x.shape, w.shape[0]
    y = torch.empty(M, N, dtype=x.dtype, device=x.device)
    linear_gelu_kernel[(triton.cdiv(M, block_m), triton.cdiv(N, block_n))](
        x, w, bias, y, M, N, K, x.stride(0), x.stride(1), w.stride(0), w.stride(1), y.stride(0),
        BLOCK_M=block_m, BLOCK_N=block_n, BLOCK_K=block_k,
    )  # fmt: skip
    return y

# %% exercise="linear_gelu" wrong="gelu_of_each_step"
"""gelu is applied to the product of each step, and the results are summed; the bias comes in with the first one."""
@triton.jit
def linear_gelu_kernel(
    x_ptr, w_ptr, bias_ptr, y_ptr, M, N, K, x_row, x_col, w_row, w_col, y_row,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    rows = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)[:, None]
    cols = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)[None, :]
    total = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for start in range(0, K, BLOCK_K):
        k = start + tl.arange(0, BLOCK_K)
        x_k, w_k = k[None, :], k[:, None]
        x = tl.load(x_ptr + rows * x_row + x_k * x_col, mask=(rows < M) & (x_k < K), other=0.0)
        w = tl.load(w_ptr + cols * w_row + w_k * w_col, mask=(cols < N) & (w_k < K), other=0.0)
        z = tl.dot(x, w) + tl.where(start == 0, 1.0, 0.0) * tl.load(bias_ptr + cols, mask=cols < N, other=0.0)
        total += z * tl.sigmoid(1.5957691216057308 * (z + 0.044715 * z * z * z))
    y = total
    tl.store(y_ptr + rows * y_row + cols, y.to(y_ptr.dtype.element_ty), mask=(rows < M) & (cols < N))


def linear_gelu(x: Tensor, w: Tensor, bias: Tensor, block_m: int = 64, block_n: int = 64, block_k: int = 32) -> Tensor:
    (M, K), N = x.shape, w.shape[0]
    y = torch.empty(M, N, dtype=x.dtype, device=x.device)
    linear_gelu_kernel[(triton.cdiv(M, block_m), triton.cdiv(N, block_n))](
        x, w, bias, y, M, N, K, x.stride(0), x.stride(1), w.stride(0), w.stride(1), y.stride(0),
        BLOCK_M=block_m, BLOCK_N=block_n, BLOCK_K=block_k,
    )  # fmt: skip
    return y

# %% exercise="linear_gelu" wrong="bias_of_the_tile_in_row_zero"
"""Every tile of columns takes the bias of the first one."""
@triton.jit
def linear_gelu_kernel(
    x_ptr, w_ptr, bias_ptr, y_ptr, M, N, K, x_row, x_col, w_row, w_col, y_row,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    rows = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)[:, None]
    cols = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)[None, :]
    total = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for start in range(0, K, BLOCK_K):
        k = start + tl.arange(0, BLOCK_K)
        x_k, w_k = k[None, :], k[:, None]
        x = tl.load(x_ptr + rows * x_row + x_k * x_col, mask=(rows < M) & (x_k < K), other=0.0)
        w = tl.load(w_ptr + cols * w_row + w_k * w_col, mask=(cols < N) & (w_k < K), other=0.0)
        total = tl.dot(x, w, total)
    first = tl.arange(0, BLOCK_N)[None, :]
    z = total + tl.load(bias_ptr + first, mask=first < N, other=0.0)
    u = 0.7978845608028654 * (z + 0.044715 * z * z * z)
    y = z * tl.sigmoid(2 * u)
    tl.store(y_ptr + rows * y_row + cols, y.to(y_ptr.dtype.element_ty), mask=(rows < M) & (cols < N))


def linear_gelu(x: Tensor, w: Tensor, bias: Tensor, block_m: int = 64, block_n: int = 64, block_k: int = 32) -> Tensor:
    (M, K), N = x.shape, w.shape[0]
    y = torch.empty(M, N, dtype=x.dtype, device=x.device)
    linear_gelu_kernel[(triton.cdiv(M, block_m), triton.cdiv(N, block_n))](
        x, w, bias, y, M, N, K, x.stride(0), x.stride(1), w.stride(0), w.stride(1), y.stride(0),
        BLOCK_M=block_m, BLOCK_N=block_n, BLOCK_K=block_k,
    )  # fmt: skip
    return y

# %% exercise="linear_gelu" wrong="result_float32"
"""The result is float32 instead of x's dtype."""
@triton.jit
def linear_gelu_kernel(
    x_ptr, w_ptr, bias_ptr, y_ptr, M, N, K, x_row, x_col, w_row, w_col, y_row,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    rows = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)[:, None]
    cols = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)[None, :]
    total = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for start in range(0, K, BLOCK_K):
        k = start + tl.arange(0, BLOCK_K)
        x_k, w_k = k[None, :], k[:, None]
        x = tl.load(x_ptr + rows * x_row + x_k * x_col, mask=(rows < M) & (x_k < K), other=0.0)
        w = tl.load(w_ptr + cols * w_row + w_k * w_col, mask=(cols < N) & (w_k < K), other=0.0)
        total = tl.dot(x, w, total)
    z = total + tl.load(bias_ptr + cols, mask=cols < N, other=0.0)
    u = 0.7978845608028654 * (z + 0.044715 * z * z * z)
    y = z * tl.sigmoid(2 * u)
    tl.store(y_ptr + rows * y_row + cols, y.to(y_ptr.dtype.element_ty), mask=(rows < M) & (cols < N))


def linear_gelu(x: Tensor, w: Tensor, bias: Tensor, block_m: int = 64, block_n: int = 64, block_k: int = 32) -> Tensor:
    (M, K), N = x.shape, w.shape[0]
    y = torch.empty(M, N, dtype=torch.float32, device=x.device)
    linear_gelu_kernel[(triton.cdiv(M, block_m), triton.cdiv(N, block_n))](
        x, w, bias, y, M, N, K, x.stride(0), x.stride(1), w.stride(0), w.stride(1), y.stride(0),
        BLOCK_M=block_m, BLOCK_N=block_n, BLOCK_K=block_k,
    )  # fmt: skip
    return y

# %% exercise="linear_gelu" wrong="weight_copied_first"
"""w.T.contiguous() makes a copy: a second launch."""
@triton.jit
def linear_gelu_kernel(
    x_ptr, w_ptr, bias_ptr, y_ptr, M, N, K, x_row, x_col, w_row, w_col, y_row,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    rows = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)[:, None]
    cols = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)[None, :]
    total = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for start in range(0, K, BLOCK_K):
        k = start + tl.arange(0, BLOCK_K)
        x_k, w_k = k[None, :], k[:, None]
        x = tl.load(x_ptr + rows * x_row + x_k * x_col, mask=(rows < M) & (x_k < K), other=0.0)
        w = tl.load(w_ptr + cols * w_row + w_k * w_col, mask=(cols < N) & (w_k < K), other=0.0)
        total = tl.dot(x, w, total)
    z = total + tl.load(bias_ptr + cols, mask=cols < N, other=0.0)
    u = 0.7978845608028654 * (z + 0.044715 * z * z * z)
    y = z * tl.sigmoid(2 * u)
    tl.store(y_ptr + rows * y_row + cols, y.to(y_ptr.dtype.element_ty), mask=(rows < M) & (cols < N))


def linear_gelu(x: Tensor, w: Tensor, bias: Tensor, block_m: int = 64, block_n: int = 64, block_k: int = 32) -> Tensor:
    (M, K), N = x.shape, w.shape[0]
    w = w.T.contiguous().T
    y = torch.empty(M, N, dtype=x.dtype, device=x.device)
    linear_gelu_kernel[(triton.cdiv(M, block_m), triton.cdiv(N, block_n))](
        x, w, bias, y, M, N, K, x.stride(0), x.stride(1), w.stride(0), w.stride(1), y.stride(0),
        BLOCK_M=block_m, BLOCK_N=block_n, BLOCK_K=block_k,
    )  # fmt: skip
    return y

# %% exercise="linear_gelu" wrong="bias_and_gelu_by_torch"
"""The kernel makes the product only; bias and gelu are torch's, with launches of their own."""
@triton.jit
def linear_gelu_kernel(
    x_ptr, w_ptr, bias_ptr, y_ptr, M, N, K, x_row, x_col, w_row, w_col, y_row,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    rows = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)[:, None]
    cols = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)[None, :]
    total = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for start in range(0, K, BLOCK_K):
        k = start + tl.arange(0, BLOCK_K)
        x_k, w_k = k[None, :], k[:, None]
        x = tl.load(x_ptr + rows * x_row + x_k * x_col, mask=(rows < M) & (x_k < K), other=0.0)
        w = tl.load(w_ptr + cols * w_row + w_k * w_col, mask=(cols < N) & (w_k < K), other=0.0)
        total = tl.dot(x, w, total)
    y = total
    tl.store(y_ptr + rows * y_row + cols, y.to(y_ptr.dtype.element_ty), mask=(rows < M) & (cols < N))


def linear_gelu(x: Tensor, w: Tensor, bias: Tensor, block_m: int = 64, block_n: int = 64, block_k: int = 32) -> Tensor:
    (M, K), N = x.shape, w.shape[0]
    y = torch.empty(M, N, dtype=torch.float32, device=x.device)
    linear_gelu_kernel[(triton.cdiv(M, block_m), triton.cdiv(N, block_n))](
        x, w, bias, y, M, N, K, x.stride(0), x.stride(1), w.stride(0), w.stride(1), y.stride(0),
        BLOCK_M=block_m, BLOCK_N=block_n, BLOCK_K=block_k,
    )  # fmt: skip
    return nn.functional.gelu(y + bias, approximate="tanh").to(x.dtype)

# %% exercise="linear_gelu" wrong="strides_of_w_taken_as_dense"
"""Hands over K and 1 as strides of w: a view with other strides is read wrongly."""
@triton.jit
def linear_gelu_kernel(
    x_ptr, w_ptr, bias_ptr, y_ptr, M, N, K, x_row, x_col, w_row, w_col, y_row,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    rows = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)[:, None]
    cols = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)[None, :]
    total = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for start in range(0, K, BLOCK_K):
        k = start + tl.arange(0, BLOCK_K)
        x_k, w_k = k[None, :], k[:, None]
        x = tl.load(x_ptr + rows * x_row + x_k * x_col, mask=(rows < M) & (x_k < K), other=0.0)
        w = tl.load(w_ptr + cols * w_row + w_k * w_col, mask=(cols < N) & (w_k < K), other=0.0)
        total = tl.dot(x, w, total)
    z = total + tl.load(bias_ptr + cols, mask=cols < N, other=0.0)
    u = 0.7978845608028654 * (z + 0.044715 * z * z * z)
    y = z * tl.sigmoid(2 * u)
    tl.store(y_ptr + rows * y_row + cols, y.to(y_ptr.dtype.element_ty), mask=(rows < M) & (cols < N))


def linear_gelu(x: Tensor, w: Tensor, bias: Tensor, block_m: int = 64, block_n: int = 64, block_k: int = 32) -> Tensor:
    (M, K), N = x.shape, w.shape[0]
    y = torch.empty(M, N, dtype=x.dtype, device=x.device)
    linear_gelu_kernel[(triton.cdiv(M, block_m), triton.cdiv(N, block_n))](
        x, w, bias, y, M, N, K, x.stride(0), x.stride(1), K, 1, y.stride(0),
        BLOCK_M=block_m, BLOCK_N=block_n, BLOCK_K=block_k,
    )  # fmt: skip
    return y

# %% exercise="linear_gelu" wrong="bias_added_in_every_step"
"""The bias is added once for each step along K."""
@triton.jit
def linear_gelu_kernel(
    x_ptr, w_ptr, bias_ptr, y_ptr, M, N, K, x_row, x_col, w_row, w_col, y_row,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    rows = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    columns = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)
    total = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for start in range(0, K, BLOCK_K):
        k = start + tl.arange(0, BLOCK_K)
        x = tl.load(
            x_ptr + rows[:, None] * x_row + k[None, :] * x_col,
            mask=(rows[:, None] < M) & (k[None, :] < K), other=0.0,
        )  # fmt: skip
        w = tl.load(
            w_ptr + columns[None, :] * w_row + k[:, None] * w_col,
            mask=(k[:, None] < K) & (columns[None, :] < N), other=0.0,
        )  # fmt: skip
        total = tl.dot(x, w, total)
        total += tl.load(bias_ptr + columns, mask=columns < N, other=0.0)[None, :]
    z = total
    y = z * tl.sigmoid(2 * 0.7978845608028654 * (z + 0.044715 * z * z * z))
    tl.store(
        y_ptr + rows[:, None] * y_row + columns[None, :], y.to(y_ptr.dtype.element_ty),
        mask=(rows[:, None] < M) & (columns[None, :] < N),
    )  # fmt: skip


def linear_gelu(x, w, bias, block_m=64, block_n=64, block_k=32):
    (M, K), N = x.shape, len(w)
    y = torch.empty((M, N), dtype=x.dtype, device=x.device)
    linear_gelu_kernel[triton.cdiv(M, block_m), triton.cdiv(N, block_n)](
        x, w, bias, y, M, N, K, *x.stride(), *w.stride(), N, block_m, block_n, block_k
    )
    return y

# %% exercise="linear_gelu" wrong="gelu_of_every_step"
"""gelu is applied to the sum after each step, not once at the end."""
@triton.jit
def linear_gelu_kernel(
    x_ptr, w_ptr, bias_ptr, y_ptr, M, N, K, x_row, x_col, w_row, w_col, y_row,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    rows = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    columns = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)
    total = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for start in range(0, K, BLOCK_K):
        k = start + tl.arange(0, BLOCK_K)
        x = tl.load(
            x_ptr + rows[:, None] * x_row + k[None, :] * x_col,
            mask=(rows[:, None] < M) & (k[None, :] < K), other=0.0,
        )  # fmt: skip
        w = tl.load(
            w_ptr + columns[None, :] * w_row + k[:, None] * w_col,
            mask=(k[:, None] < K) & (columns[None, :] < N), other=0.0,
        )  # fmt: skip
        total = tl.dot(x, w, total)
        if start + BLOCK_K < K:
            total = total * tl.sigmoid(2 * 0.7978845608028654 * (total + 0.044715 * total * total * total))
    z = total + tl.load(bias_ptr + columns, mask=columns < N, other=0.0)[None, :]
    y = z * tl.sigmoid(2 * 0.7978845608028654 * (z + 0.044715 * z * z * z))
    tl.store(
        y_ptr + rows[:, None] * y_row + columns[None, :], y.to(y_ptr.dtype.element_ty),
        mask=(rows[:, None] < M) & (columns[None, :] < N),
    )  # fmt: skip


def linear_gelu(x, w, bias, block_m=64, block_n=64, block_k=32):
    (M, K), N = x.shape, len(w)
    y = torch.empty((M, N), dtype=x.dtype, device=x.device)
    linear_gelu_kernel[triton.cdiv(M, block_m), triton.cdiv(N, block_n)](
        x, w, bias, y, M, N, K, *x.stride(), *w.stride(), N, block_m, block_n, block_k
    )
    return y

# %% exercise="linear_gelu" wrong="exact_gelu_too"
"""The form with erf, not the one with tanh."""
@triton.jit
def linear_gelu_kernel(
    x_ptr, w_ptr, bias_ptr, y_ptr, M, N, K, x_row, x_col, w_row, w_col, y_row,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    rows = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    columns = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)
    total = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for start in range(0, K, BLOCK_K):
        k = start + tl.arange(0, BLOCK_K)
        x = tl.load(
            x_ptr + rows[:, None] * x_row + k[None, :] * x_col,
            mask=(rows[:, None] < M) & (k[None, :] < K), other=0.0,
        )  # fmt: skip
        w = tl.load(
            w_ptr + columns[None, :] * w_row + k[:, None] * w_col,
            mask=(k[:, None] < K) & (columns[None, :] < N), other=0.0,
        )  # fmt: skip
        total = tl.dot(x, w, total)
    z = total + tl.load(bias_ptr + columns, mask=columns < N, other=0.0)[None, :]
    y = 0.5 * z * (1 + tl.erf(z * 0.7071067811865476))
    tl.store(
        y_ptr + rows[:, None] * y_row + columns[None, :], y.to(y_ptr.dtype.element_ty),
        mask=(rows[:, None] < M) & (columns[None, :] < N),
    )  # fmt: skip


def linear_gelu(x, w, bias, block_m=64, block_n=64, block_k=32):
    (M, K), N = x.shape, len(w)
    y = torch.empty((M, N), dtype=x.dtype, device=x.device)
    linear_gelu_kernel[triton.cdiv(M, block_m), triton.cdiv(N, block_n)](
        x, w, bias, y, M, N, K, *x.stride(), *w.stride(), N, block_m, block_n, block_k
    )
    return y

# %% exercise="linear_gelu" wrong="tanh_of_exponentials"
"""tanh as (e - 1) / (e + 1) with e = exp(2u): NaN for large pre-activations."""
@triton.jit
def linear_gelu_kernel(
    x_ptr, w_ptr, bias_ptr, y_ptr, M, N, K, x_row, x_col, w_row, w_col, y_row,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    rows = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    columns = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)
    total = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for start in range(0, K, BLOCK_K):
        k = start + tl.arange(0, BLOCK_K)
        x = tl.load(
            x_ptr + rows[:, None] * x_row + k[None, :] * x_col,
            mask=(rows[:, None] < M) & (k[None, :] < K), other=0.0,
        )  # fmt: skip
        w = tl.load(
            w_ptr + columns[None, :] * w_row + k[:, None] * w_col,
            mask=(k[:, None] < K) & (columns[None, :] < N), other=0.0,
        )  # fmt: skip
        total = tl.dot(x, w, total)
    z = total + tl.load(bias_ptr + columns, mask=columns < N, other=0.0)[None, :]
    e = tl.exp(2 * 0.7978845608028654 * (z + 0.044715 * z * z * z))
    y = 0.5 * z * (1 + (e - 1) / (e + 1))
    tl.store(
        y_ptr + rows[:, None] * y_row + columns[None, :], y.to(y_ptr.dtype.element_ty),
        mask=(rows[:, None] < M) & (columns[None, :] < N),
    )  # fmt: skip


def linear_gelu(x, w, bias, block_m=64, block_n=64, block_k=32):
    (M, K), N = x.shape, len(w)
    y = torch.empty((M, N), dtype=x.dtype, device=x.device)
    linear_gelu_kernel[triton.cdiv(M, block_m), triton.cdiv(N, block_n)](
        x, w, bias, y, M, N, K, *x.stride(), *w.stride(), N, block_m, block_n, block_k
    )
    return y

# %% exercise="linear_gelu" wrong="sum_rounded_before_the_bias_too"
"""The sum is rounded to the dtype of x before the bias is added."""
@triton.jit
def linear_gelu_kernel(
    x_ptr, w_ptr, bias_ptr, y_ptr, M, N, K, x_row, x_col, w_row, w_col, y_row,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    rows = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    columns = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)
    total = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for start in range(0, K, BLOCK_K):
        k = start + tl.arange(0, BLOCK_K)
        x = tl.load(
            x_ptr + rows[:, None] * x_row + k[None, :] * x_col,
            mask=(rows[:, None] < M) & (k[None, :] < K), other=0.0,
        )  # fmt: skip
        w = tl.load(
            w_ptr + columns[None, :] * w_row + k[:, None] * w_col,
            mask=(k[:, None] < K) & (columns[None, :] < N), other=0.0,
        )  # fmt: skip
        total = tl.dot(x, w, total)
    total = total.to(x_ptr.dtype.element_ty).to(tl.float32)
    z = total + tl.load(bias_ptr + columns, mask=columns < N, other=0.0)[None, :]
    y = z * tl.sigmoid(2 * 0.7978845608028654 * (z + 0.044715 * z * z * z))
    tl.store(
        y_ptr + rows[:, None] * y_row + columns[None, :], y.to(y_ptr.dtype.element_ty),
        mask=(rows[:, None] < M) & (columns[None, :] < N),
    )  # fmt: skip


def linear_gelu(x, w, bias, block_m=64, block_n=64, block_k=32):
    (M, K), N = x.shape, len(w)
    y = torch.empty((M, N), dtype=x.dtype, device=x.device)
    linear_gelu_kernel[triton.cdiv(M, block_m), triton.cdiv(N, block_n)](
        x, w, bias, y, M, N, K, *x.stride(), *w.stride(), N, block_m, block_n, block_k
    )
    return y

# %% exercise="linear_gelu" wrong="pre_activation_rounded_too"
"""Sum and bias are rounded to the dtype of x before gelu."""
@triton.jit
def linear_gelu_kernel(
    x_ptr, w_ptr, bias_ptr, y_ptr, M, N, K, x_row, x_col, w_row, w_col, y_row,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    rows = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    columns = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)
    total = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for start in range(0, K, BLOCK_K):
        k = start + tl.arange(0, BLOCK_K)
        x = tl.load(
            x_ptr + rows[:, None] * x_row + k[None, :] * x_col,
            mask=(rows[:, None] < M) & (k[None, :] < K), other=0.0,
        )  # fmt: skip
        w = tl.load(
            w_ptr + columns[None, :] * w_row + k[:, None] * w_col,
            mask=(k[:, None] < K) & (columns[None, :] < N), other=0.0,
        )  # fmt: skip
        total = tl.dot(x, w, total)
    z = total + tl.load(bias_ptr + columns, mask=columns < N, other=0.0)[None, :]
    z = z.to(x_ptr.dtype.element_ty).to(tl.float32)
    y = z * tl.sigmoid(2 * 0.7978845608028654 * (z + 0.044715 * z * z * z))
    tl.store(
        y_ptr + rows[:, None] * y_row + columns[None, :], y.to(y_ptr.dtype.element_ty),
        mask=(rows[:, None] < M) & (columns[None, :] < N),
    )  # fmt: skip


def linear_gelu(x, w, bias, block_m=64, block_n=64, block_k=32):
    (M, K), N = x.shape, len(w)
    y = torch.empty((M, N), dtype=x.dtype, device=x.device)
    linear_gelu_kernel[triton.cdiv(M, block_m), triton.cdiv(N, block_n)](
        x, w, bias, y, M, N, K, *x.stride(), *w.stride(), N, block_m, block_n, block_k
    )
    return y

# %% exercise="linear_gelu" wrong="bias_rounded_to_half"
"""The bias is rounded to the dtype of x."""
@triton.jit
def linear_gelu_kernel(
    x_ptr, w_ptr, bias_ptr, y_ptr, M, N, K, x_row, x_col, w_row, w_col, y_row,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    rows = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    columns = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)
    total = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for start in range(0, K, BLOCK_K):
        k = start + tl.arange(0, BLOCK_K)
        x = tl.load(
            x_ptr + rows[:, None] * x_row + k[None, :] * x_col,
            mask=(rows[:, None] < M) & (k[None, :] < K), other=0.0,
        )  # fmt: skip
        w = tl.load(
            w_ptr + columns[None, :] * w_row + k[:, None] * w_col,
            mask=(k[:, None] < K) & (columns[None, :] < N), other=0.0,
        )  # fmt: skip
        total = tl.dot(x, w, total)
    z = total + tl.load(bias_ptr + columns, mask=columns < N, other=0.0).to(x_ptr.dtype.element_ty)[None, :]
    y = z * tl.sigmoid(2 * 0.7978845608028654 * (z + 0.044715 * z * z * z))
    tl.store(
        y_ptr + rows[:, None] * y_row + columns[None, :], y.to(y_ptr.dtype.element_ty),
        mask=(rows[:, None] < M) & (columns[None, :] < N),
    )  # fmt: skip


def linear_gelu(x, w, bias, block_m=64, block_n=64, block_k=32):
    (M, K), N = x.shape, len(w)
    y = torch.empty((M, N), dtype=x.dtype, device=x.device)
    linear_gelu_kernel[triton.cdiv(M, block_m), triton.cdiv(N, block_n)](
        x, w, bias, y, M, N, K, *x.stride(), *w.stride(), N, block_m, block_n, block_k
    )
    return y

# %% exercise="linear_gelu" wrong="half_of_the_argument"
"""sigmoid(u) in place of sigmoid(2u)."""
@triton.jit
def linear_gelu_kernel(
    x_ptr, w_ptr, bias_ptr, y_ptr, M, N, K, x_row, x_col, w_row, w_col, y_row,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    rows = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    columns = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)
    total = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for start in range(0, K, BLOCK_K):
        k = start + tl.arange(0, BLOCK_K)
        x = tl.load(
            x_ptr + rows[:, None] * x_row + k[None, :] * x_col,
            mask=(rows[:, None] < M) & (k[None, :] < K), other=0.0,
        )  # fmt: skip
        w = tl.load(
            w_ptr + columns[None, :] * w_row + k[:, None] * w_col,
            mask=(k[:, None] < K) & (columns[None, :] < N), other=0.0,
        )  # fmt: skip
        total = tl.dot(x, w, total)
    z = total + tl.load(bias_ptr + columns, mask=columns < N, other=0.0)[None, :]
    y = z * tl.sigmoid(0.7978845608028654 * (z + 0.044715 * z * z * z))
    tl.store(
        y_ptr + rows[:, None] * y_row + columns[None, :], y.to(y_ptr.dtype.element_ty),
        mask=(rows[:, None] < M) & (columns[None, :] < N),
    )  # fmt: skip


def linear_gelu(x, w, bias, block_m=64, block_n=64, block_k=32):
    (M, K), N = x.shape, len(w)
    y = torch.empty((M, N), dtype=x.dtype, device=x.device)
    linear_gelu_kernel[triton.cdiv(M, block_m), triton.cdiv(N, block_n)](
        x, w, bias, y, M, N, K, *x.stride(), *w.stride(), N, block_m, block_n, block_k
    )
    return y

# %% exercise="linear_gelu" wrong="short_form_of_gelu"
"""z sigmoid(1.702 z), the other approximation of the paper."""
@triton.jit
def linear_gelu_kernel(
    x_ptr, w_ptr, bias_ptr, y_ptr, M, N, K, x_row, x_col, w_row, w_col, y_row,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    rows = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    columns = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)
    total = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for start in range(0, K, BLOCK_K):
        k = start + tl.arange(0, BLOCK_K)
        x = tl.load(
            x_ptr + rows[:, None] * x_row + k[None, :] * x_col,
            mask=(rows[:, None] < M) & (k[None, :] < K), other=0.0,
        )  # fmt: skip
        w = tl.load(
            w_ptr + columns[None, :] * w_row + k[:, None] * w_col,
            mask=(k[:, None] < K) & (columns[None, :] < N), other=0.0,
        )  # fmt: skip
        total = tl.dot(x, w, total)
    z = total + tl.load(bias_ptr + columns, mask=columns < N, other=0.0)[None, :]
    y = z * tl.sigmoid(1.702 * z)
    tl.store(
        y_ptr + rows[:, None] * y_row + columns[None, :], y.to(y_ptr.dtype.element_ty),
        mask=(rows[:, None] < M) & (columns[None, :] < N),
    )  # fmt: skip


def linear_gelu(x, w, bias, block_m=64, block_n=64, block_k=32):
    (M, K), N = x.shape, len(w)
    y = torch.empty((M, N), dtype=x.dtype, device=x.device)
    linear_gelu_kernel[triton.cdiv(M, block_m), triton.cdiv(N, block_n)](
        x, w, bias, y, M, N, K, *x.stride(), *w.stride(), N, block_m, block_n, block_k
    )
    return y

# %% exercise="linear_gelu" wrong="w_not_transposed"
"""The strides of w are exchanged: x @ w where w is square."""
@triton.jit
def linear_gelu_kernel(
    x_ptr, w_ptr, bias_ptr, y_ptr, M, N, K, x_row, x_col, w_row, w_col, y_row,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    rows = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    columns = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)
    total = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for start in range(0, K, BLOCK_K):
        k = start + tl.arange(0, BLOCK_K)
        x = tl.load(
            x_ptr + rows[:, None] * x_row + k[None, :] * x_col,
            mask=(rows[:, None] < M) & (k[None, :] < K), other=0.0,
        )  # fmt: skip
        w = tl.load(
            w_ptr + columns[None, :] * w_col + k[:, None] * w_row,
            mask=(k[:, None] < K) & (columns[None, :] < N), other=0.0,
        )  # fmt: skip
        total = tl.dot(x, w, total)
    z = total + tl.load(bias_ptr + columns, mask=columns < N, other=0.0)[None, :]
    y = z * tl.sigmoid(2 * 0.7978845608028654 * (z + 0.044715 * z * z * z))
    tl.store(
        y_ptr + rows[:, None] * y_row + columns[None, :], y.to(y_ptr.dtype.element_ty),
        mask=(rows[:, None] < M) & (columns[None, :] < N),
    )  # fmt: skip


def linear_gelu(x, w, bias, block_m=64, block_n=64, block_k=32):
    (M, K), N = x.shape, len(w)
    y = torch.empty((M, N), dtype=x.dtype, device=x.device)
    linear_gelu_kernel[triton.cdiv(M, block_m), triton.cdiv(N, block_n)](
        x, w, bias, y, M, N, K, *x.stride(), *w.stride(), N, block_m, block_n, block_k
    )
    return y

# %% exercise="linear_gelu" wrong="bias_of_the_first_tile"
"""Every tile adds the bias of the first BLOCK_N columns."""
@triton.jit
def linear_gelu_kernel(
    x_ptr, w_ptr, bias_ptr, y_ptr, M, N, K, x_row, x_col, w_row, w_col, y_row,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    rows = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    columns = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)
    total = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for start in range(0, K, BLOCK_K):
        k = start + tl.arange(0, BLOCK_K)
        x = tl.load(
            x_ptr + rows[:, None] * x_row + k[None, :] * x_col,
            mask=(rows[:, None] < M) & (k[None, :] < K), other=0.0,
        )  # fmt: skip
        w = tl.load(
            w_ptr + columns[None, :] * w_row + k[:, None] * w_col,
            mask=(k[:, None] < K) & (columns[None, :] < N), other=0.0,
        )  # fmt: skip
        total = tl.dot(x, w, total)
    first = tl.arange(0, BLOCK_N)
    z = total + tl.load(bias_ptr + first, mask=first < N, other=0.0)[None, :]
    y = z * tl.sigmoid(2 * 0.7978845608028654 * (z + 0.044715 * z * z * z))
    tl.store(
        y_ptr + rows[:, None] * y_row + columns[None, :], y.to(y_ptr.dtype.element_ty),
        mask=(rows[:, None] < M) & (columns[None, :] < N),
    )  # fmt: skip


def linear_gelu(x, w, bias, block_m=64, block_n=64, block_k=32):
    (M, K), N = x.shape, len(w)
    y = torch.empty((M, N), dtype=x.dtype, device=x.device)
    linear_gelu_kernel[triton.cdiv(M, block_m), triton.cdiv(N, block_n)](
        x, w, bias, y, M, N, K, *x.stride(), *w.stride(), N, block_m, block_n, block_k
    )
    return y

# %% exercise="linear_gelu" wrong="gelu_by_torch"
"""The kernel makes the pre-activation, torch makes gelu of it: more launches, and rounded between."""
@triton.jit
def linear_gelu_kernel(
    x_ptr, w_ptr, bias_ptr, y_ptr, M, N, K, x_row, x_col, w_row, w_col, y_row,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    rows = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    columns = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)
    total = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for start in range(0, K, BLOCK_K):
        k = start + tl.arange(0, BLOCK_K)
        x = tl.load(
            x_ptr + rows[:, None] * x_row + k[None, :] * x_col,
            mask=(rows[:, None] < M) & (k[None, :] < K), other=0.0,
        )  # fmt: skip
        w = tl.load(
            w_ptr + columns[None, :] * w_row + k[:, None] * w_col,
            mask=(k[:, None] < K) & (columns[None, :] < N), other=0.0,
        )  # fmt: skip
        total = tl.dot(x, w, total)
    z = total + tl.load(bias_ptr + columns, mask=columns < N, other=0.0)[None, :]
    y = z
    tl.store(
        y_ptr + rows[:, None] * y_row + columns[None, :], y.to(y_ptr.dtype.element_ty),
        mask=(rows[:, None] < M) & (columns[None, :] < N),
    )  # fmt: skip


def linear_gelu(x, w, bias, block_m=64, block_n=64, block_k=32):
    (M, K), N = x.shape, len(w)
    y = torch.empty((M, N), dtype=x.dtype, device=x.device)
    linear_gelu_kernel[triton.cdiv(M, block_m), triton.cdiv(N, block_n)](
        x, w, bias, y, M, N, K, *x.stride(), *w.stride(), N, block_m, block_n, block_k
    )
    return nn.functional.gelu(y, approximate="tanh")

# %% exercise="linear_gelu" wrong="pre_activation_clamped"
"""Pre-activations are cut off at 10, so that nothing overflows: gelu(1000) is 10."""
@triton.jit
def linear_gelu_kernel(
    x_ptr, w_ptr, bias_ptr, y_ptr, M, N, K, x_row, x_col, w_row, w_col, y_row,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    rows = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    columns = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)
    total = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for start in range(0, K, BLOCK_K):
        k = start + tl.arange(0, BLOCK_K)
        x = tl.load(
            x_ptr + rows[:, None] * x_row + k[None, :] * x_col,
            mask=(rows[:, None] < M) & (k[None, :] < K), other=0.0,
        )  # fmt: skip
        w = tl.load(
            w_ptr + columns[None, :] * w_row + k[:, None] * w_col,
            mask=(k[:, None] < K) & (columns[None, :] < N), other=0.0,
        )  # fmt: skip
        total = tl.dot(x, w, total)
    z = total + tl.load(bias_ptr + columns, mask=columns < N, other=0.0)[None, :]
    z = tl.minimum(tl.maximum(z, -10.0), 10.0)
    y = z * tl.sigmoid(2 * 0.7978845608028654 * (z + 0.044715 * z * z * z))
    tl.store(
        y_ptr + rows[:, None] * y_row + columns[None, :], y.to(y_ptr.dtype.element_ty),
        mask=(rows[:, None] < M) & (columns[None, :] < N),
    )  # fmt: skip


def linear_gelu(x, w, bias, block_m=64, block_n=64, block_k=32):
    (M, K), N = x.shape, len(w)
    y = torch.empty((M, N), dtype=x.dtype, device=x.device)
    linear_gelu_kernel[triton.cdiv(M, block_m), triton.cdiv(N, block_n)](
        x, w, bias, y, M, N, K, *x.stride(), *w.stride(), N, block_m, block_n, block_k
    )
    return y

# %% exercise="linear_gelu" wrong="tiles_converted_to_float32"
"""Tiles are converted to float32 before tl.dot."""
@triton.jit
def linear_gelu_kernel(
    x_ptr, w_ptr, bias_ptr, y_ptr, M, N, K, x_row, x_col, w_row, w_col, y_row,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    rows = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    columns = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)
    total = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for start in range(0, K, BLOCK_K):
        k = start + tl.arange(0, BLOCK_K)
        x = tl.load(
            x_ptr + rows[:, None] * x_row + k[None, :] * x_col,
            mask=(rows[:, None] < M) & (k[None, :] < K), other=0.0,
        )  # fmt: skip
        w = tl.load(
            w_ptr + columns[None, :] * w_row + k[:, None] * w_col,
            mask=(k[:, None] < K) & (columns[None, :] < N), other=0.0,
        )  # fmt: skip
        total = tl.dot(x.to(tl.float32), w.to(tl.float32), total)
    z = total + tl.load(bias_ptr + columns, mask=columns < N, other=0.0)[None, :]
    y = z * tl.sigmoid(2 * 0.7978845608028654 * (z + 0.044715 * z * z * z))
    tl.store(
        y_ptr + rows[:, None] * y_row + columns[None, :], y.to(y_ptr.dtype.element_ty),
        mask=(rows[:, None] < M) & (columns[None, :] < N),
    )  # fmt: skip


def linear_gelu(x, w, bias, block_m=64, block_n=64, block_k=32):
    (M, K), N = x.shape, len(w)
    y = torch.empty((M, N), dtype=x.dtype, device=x.device)
    linear_gelu_kernel[triton.cdiv(M, block_m), triton.cdiv(N, block_n)](
        x, w, bias, y, M, N, K, *x.stride(), *w.stride(), N, block_m, block_n, block_k
    )
    return y

# %% exercise="linear_gelu" wrong="transposed_copy_of_w"
"""w is transposed by a copy first: one launch more."""
@triton.jit
def linear_gelu_kernel(
    x_ptr, w_ptr, bias_ptr, y_ptr, M, N, K, x_row, x_col, w_row, w_col, y_row,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    rows = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    columns = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)
    total = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for start in range(0, K, BLOCK_K):
        k = start + tl.arange(0, BLOCK_K)
        x = tl.load(
            x_ptr + rows[:, None] * x_row + k[None, :] * x_col,
            mask=(rows[:, None] < M) & (k[None, :] < K), other=0.0,
        )  # fmt: skip
        w = tl.load(
            w_ptr + columns[None, :] * w_row + k[:, None] * w_col,
            mask=(k[:, None] < K) & (columns[None, :] < N), other=0.0,
        )  # fmt: skip
        total = tl.dot(x, w, total)
    z = total + tl.load(bias_ptr + columns, mask=columns < N, other=0.0)[None, :]
    y = z * tl.sigmoid(2 * 0.7978845608028654 * (z + 0.044715 * z * z * z))
    tl.store(
        y_ptr + rows[:, None] * y_row + columns[None, :], y.to(y_ptr.dtype.element_ty),
        mask=(rows[:, None] < M) & (columns[None, :] < N),
    )  # fmt: skip


def linear_gelu(x, w, bias, block_m=64, block_n=64, block_k=32):
    (M, K), N = x.shape, len(w)
    w = w.T.contiguous()  # (K, N)
    y = torch.empty((M, N), dtype=x.dtype, device=x.device)
    linear_gelu_kernel[triton.cdiv(M, block_m), triton.cdiv(N, block_n)](
        x, w, bias, y, M, N, K, *x.stride(), w.stride(1), w.stride(0), N, block_m, block_n, block_k
    )
    return y

# %% exercise="linear_gelu" wrong="x_taken_for_dense"
"""x is read as if its rows lay one behind the other."""
@triton.jit
def linear_gelu_kernel(
    x_ptr, w_ptr, bias_ptr, y_ptr, M, N, K, x_row, x_col, w_row, w_col, y_row,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    rows = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    columns = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)
    total = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for start in range(0, K, BLOCK_K):
        k = start + tl.arange(0, BLOCK_K)
        x = tl.load(
            x_ptr + rows[:, None] * x_row + k[None, :] * x_col,
            mask=(rows[:, None] < M) & (k[None, :] < K), other=0.0,
        )  # fmt: skip
        w = tl.load(
            w_ptr + columns[None, :] * w_row + k[:, None] * w_col,
            mask=(k[:, None] < K) & (columns[None, :] < N), other=0.0,
        )  # fmt: skip
        total = tl.dot(x, w, total)
    z = total + tl.load(bias_ptr + columns, mask=columns < N, other=0.0)[None, :]
    y = z * tl.sigmoid(2 * 0.7978845608028654 * (z + 0.044715 * z * z * z))
    tl.store(
        y_ptr + rows[:, None] * y_row + columns[None, :], y.to(y_ptr.dtype.element_ty),
        mask=(rows[:, None] < M) & (columns[None, :] < N),
    )  # fmt: skip


def linear_gelu(x, w, bias, block_m=64, block_n=64, block_k=32):
    (M, K), N = x.shape, len(w)
    y = torch.empty((M, N), dtype=x.dtype, device=x.device)
    linear_gelu_kernel[triton.cdiv(M, block_m), triton.cdiv(N, block_n)](
        x, w, bias, y, M, N, K, K, 1, *w.stride(), N, block_m, block_n, block_k
    )
    return y

# %% exercise="linear_gelu" wrong="tail_wraps_around"
"""Lanes past the end of K load the first columns again."""
@triton.jit
def linear_gelu_kernel(
    x_ptr, w_ptr, bias_ptr, y_ptr, M, N, K, x_row, x_col, w_row, w_col, y_row,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    rows = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    columns = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)
    total = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for start in range(0, K, BLOCK_K):
        k = (start + tl.arange(0, BLOCK_K)) % K
        x = tl.load(
            x_ptr + rows[:, None] * x_row + k[None, :] * x_col,
            mask=(rows[:, None] < M) & (k[None, :] < K), other=0.0,
        )  # fmt: skip
        w = tl.load(
            w_ptr + columns[None, :] * w_row + k[:, None] * w_col,
            mask=(k[:, None] < K) & (columns[None, :] < N), other=0.0,
        )  # fmt: skip
        total = tl.dot(x, w, total)
    z = total + tl.load(bias_ptr + columns, mask=columns < N, other=0.0)[None, :]
    y = z * tl.sigmoid(2 * 0.7978845608028654 * (z + 0.044715 * z * z * z))
    tl.store(
        y_ptr + rows[:, None] * y_row + columns[None, :], y.to(y_ptr.dtype.element_ty),
        mask=(rows[:, None] < M) & (columns[None, :] < N),
    )  # fmt: skip


def linear_gelu(x, w, bias, block_m=64, block_n=64, block_k=32):
    (M, K), N = x.shape, len(w)
    y = torch.empty((M, N), dtype=x.dtype, device=x.device)
    linear_gelu_kernel[triton.cdiv(M, block_m), triton.cdiv(N, block_n)](
        x, w, bias, y, M, N, K, *x.stride(), *w.stride(), N, block_m, block_n, block_k
    )
    return y

# %% exercise="linear_gelu" wrong="cube_taken_for_a_square"
"""0.044715 times the square of z."""
@triton.jit
def linear_gelu_kernel(
    x_ptr, w_ptr, bias_ptr, y_ptr, M, N, K, x_row, x_col, w_row, w_col, y_row,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    rows = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    columns = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)
    total = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for start in range(0, K, BLOCK_K):
        k = start + tl.arange(0, BLOCK_K)
        x = tl.load(
            x_ptr + rows[:, None] * x_row + k[None, :] * x_col,
            mask=(rows[:, None] < M) & (k[None, :] < K), other=0.0,
        )  # fmt: skip
        w = tl.load(
            w_ptr + columns[None, :] * w_row + k[:, None] * w_col,
            mask=(k[:, None] < K) & (columns[None, :] < N), other=0.0,
        )  # fmt: skip
        total = tl.dot(x, w, total)
    z = total + tl.load(bias_ptr + columns, mask=columns < N, other=0.0)[None, :]
    y = z * tl.sigmoid(2 * 0.7978845608028654 * (z + 0.044715 * z * z))
    tl.store(
        y_ptr + rows[:, None] * y_row + columns[None, :], y.to(y_ptr.dtype.element_ty),
        mask=(rows[:, None] < M) & (columns[None, :] < N),
    )  # fmt: skip


def linear_gelu(x, w, bias, block_m=64, block_n=64, block_k=32):
    (M, K), N = x.shape, len(w)
    y = torch.empty((M, N), dtype=x.dtype, device=x.device)
    linear_gelu_kernel[triton.cdiv(M, block_m), triton.cdiv(N, block_n)](
        x, w, bias, y, M, N, K, *x.stride(), *w.stride(), N, block_m, block_n, block_k
    )
    return y

# %% exercise="choose_family" wrong="encoder_has_a_cache"
"""An encoder reads only what is new in each turn."""
def choose_family(
    reads: int, writes: int, turns: int = 1, two_sided: bool = False, layers: tuple[int, ...] = (12, 12, 12, 12)
) -> tuple[str, dict[str, str | int]]:
    if reads < 1 or turns < 1 or writes < 0:
        raise ValueError("reads, writes or turns")
    read = turns * reads + (turns - 1) * writes
    reasons = {
        "encoder-only": "does not write" if writes else layers[0] * read,
        "decoder-only": "reads one way" if two_sided else layers[1] * turns * (reads + writes),
        "encoder-decoder": layers[2] * read + layers[3] * turns * writes if writes else "nothing to write",
    }
    able = [name for name, reason in reasons.items() if not isinstance(reason, str)]
    return min(able, key=reasons.get), reasons

# %% exercise="choose_family" wrong="own_answers_forgotten"
"""What was written in earlier turns is not read again."""
def choose_family(
    reads: int, writes: int, turns: int = 1, two_sided: bool = False, layers: tuple[int, ...] = (12, 12, 12, 12)
) -> tuple[str, dict[str, str | int]]:
    if reads < 1 or turns < 1 or writes < 0:
        raise ValueError("reads, writes or turns")
    read = sum(t * reads for t in range(1, turns + 1))
    reasons = {
        "encoder-only": "does not write" if writes else layers[0] * read,
        "decoder-only": "reads one way" if two_sided else layers[1] * turns * (reads + writes),
        "encoder-decoder": layers[2] * read + layers[3] * turns * writes if writes else "nothing to write",
    }
    able = [name for name, reason in reasons.items() if not isinstance(reason, str)]
    return min(able, key=reasons.get), reasons

# %% exercise="choose_family" wrong="this_turns_answer_read_too"
"""The encoder also reads what is only written in this turn."""
def choose_family(
    reads: int, writes: int, turns: int = 1, two_sided: bool = False, layers: tuple[int, ...] = (12, 12, 12, 12)
) -> tuple[str, dict[str, str | int]]:
    if reads < 1 or turns < 1 or writes < 0:
        raise ValueError("reads, writes or turns")
    read = sum(t * (reads + writes) for t in range(1, turns + 1))
    reasons = {
        "encoder-only": "does not write" if writes else layers[0] * read,
        "decoder-only": "reads one way" if two_sided else layers[1] * turns * (reads + writes),
        "encoder-decoder": layers[2] * read + layers[3] * turns * writes if writes else "nothing to write",
    }
    able = [name for name, reason in reasons.items() if not isinstance(reason, str)]
    return min(able, key=reasons.get), reasons

# %% exercise="choose_family" wrong="decoder_without_a_cache"
"""A decoder-only model reads everything again in each turn."""
def choose_family(
    reads: int, writes: int, turns: int = 1, two_sided: bool = False, layers: tuple[int, ...] = (12, 12, 12, 12)
) -> tuple[str, dict[str, str | int]]:
    if reads < 1 or turns < 1 or writes < 0:
        raise ValueError("reads, writes or turns")
    read = sum(t * reads + (t - 1) * writes for t in range(1, turns + 1))
    reasons = {
        "encoder-only": "does not write" if writes else layers[0] * read,
        "decoder-only": "reads one way" if two_sided else layers[1] * (read + turns * writes),
        "encoder-decoder": layers[2] * read + layers[3] * turns * writes if writes else "nothing to write",
    }
    able = [name for name, reason in reasons.items() if not isinstance(reason, str)]
    return min(able, key=reasons.get), reasons

# %% exercise="choose_family" wrong="later_family_wins_ties"
"""With equal work the later family wins."""
def choose_family(
    reads: int, writes: int, turns: int = 1, two_sided: bool = False, layers: tuple[int, ...] = (12, 12, 12, 12)
) -> tuple[str, dict[str, str | int]]:
    if reads < 1 or turns < 1 or writes < 0:
        raise ValueError("reads, writes or turns")
    read = sum(t * reads + (t - 1) * writes for t in range(1, turns + 1))
    reasons = {
        "encoder-only": "does not write" if writes else layers[0] * read,
        "decoder-only": "reads one way" if two_sided else layers[1] * turns * (reads + writes),
        "encoder-decoder": layers[2] * read + layers[3] * turns * writes if writes else "nothing to write",
    }
    able = [name for name, reason in reasons.items() if not isinstance(reason, str)]
    return min(reversed(able), key=reasons.get), reasons

# %% exercise="choose_family" wrong="decoder_refused_only_where_nothing_is_written"
"""two_sided keeps the decoder-only model out only where it writes nothing."""
def choose_family(
    reads: int, writes: int, turns: int = 1, two_sided: bool = False, layers: tuple[int, ...] = (12, 12, 12, 12)
) -> tuple[str, dict[str, str | int]]:
    if reads < 1 or turns < 1 or writes < 0:
        raise ValueError("reads, writes or turns")
    read = sum(t * reads + (t - 1) * writes for t in range(1, turns + 1))
    reasons = {
        "encoder-only": "does not write" if writes else layers[0] * read,
        "decoder-only": "reads one way" if two_sided and not writes else layers[1] * turns * (reads + writes),
        "encoder-decoder": layers[2] * read + layers[3] * turns * writes if writes else "nothing to write",
    }
    able = [name for name, reason in reasons.items() if not isinstance(reason, str)]
    return min(able, key=reasons.get), reasons

# %% exercise="choose_family" wrong="encoder_decoder_judges_too"
"""Where no text is to be written the encoder-decoder takes part with its encoder's work."""
def choose_family(
    reads: int, writes: int, turns: int = 1, two_sided: bool = False, layers: tuple[int, ...] = (12, 12, 12, 12)
) -> tuple[str, dict[str, str | int]]:
    if reads < 1 or turns < 1 or writes < 0:
        raise ValueError("reads, writes or turns")
    read = sum(t * reads + (t - 1) * writes for t in range(1, turns + 1))
    reasons = {
        "encoder-only": "does not write" if writes else layers[0] * read,
        "decoder-only": "reads one way" if two_sided else layers[1] * turns * (reads + writes),
        "encoder-decoder": layers[2] * read + layers[3] * turns * writes,
    }
    able = [name for name, reason in reasons.items() if not isinstance(reason, str)]
    return min(able, key=reasons.get), reasons

# %% exercise="choose_family" wrong="every_token_passes_both_stacks"
"""In an encoder-decoder the tokens that are read pass the decoder's layers, too."""
def choose_family(
    reads: int, writes: int, turns: int = 1, two_sided: bool = False, layers: tuple[int, ...] = (12, 12, 12, 12)
) -> tuple[str, dict[str, str | int]]:
    if reads < 1 or turns < 1 or writes < 0:
        raise ValueError("reads, writes or turns")
    read = sum(t * reads + (t - 1) * writes for t in range(1, turns + 1))
    reasons = {
        "encoder-only": "does not write" if writes else layers[0] * read,
        "decoder-only": "reads one way" if two_sided else layers[1] * turns * (reads + writes),
        "encoder-decoder": layers[2] * read + layers[3] * (read + turns * writes) if writes else "nothing to write",
    }
    able = [name for name, reason in reasons.items() if not isinstance(reason, str)]
    return min(able, key=reasons.get), reasons

# %% exercise="choose_family" wrong="decoder_writes_earlier_answers_again"
"""The encoder-decoder's decoder passes all that was written up to now in each turn."""
def choose_family(
    reads: int, writes: int, turns: int = 1, two_sided: bool = False, layers: tuple[int, ...] = (12, 12, 12, 12)
) -> tuple[str, dict[str, str | int]]:
    if reads < 1 or turns < 1 or writes < 0:
        raise ValueError("reads, writes or turns")
    read = sum(t * reads + (t - 1) * writes for t in range(1, turns + 1))
    written = writes * turns * (turns + 1) // 2
    reasons = {
        "encoder-only": "does not write" if writes else layers[0] * read,
        "decoder-only": "reads one way" if two_sided else layers[1] * turns * (reads + writes),
        "encoder-decoder": layers[2] * read + layers[3] * written if writes else "nothing to write",
    }
    able = [name for name, reason in reasons.items() if not isinstance(reason, str)]
    return min(able, key=reasons.get), reasons

# %% exercise="choose_family" wrong="encoder_of_the_wrong_model"
"""The encoder-decoder is counted with the layers of the encoder-only model."""
def choose_family(
    reads: int, writes: int, turns: int = 1, two_sided: bool = False, layers: tuple[int, ...] = (12, 12, 12, 12)
) -> tuple[str, dict[str, str | int]]:
    if reads < 1 or turns < 1 or writes < 0:
        raise ValueError("reads, writes or turns")
    read = sum(t * reads + (t - 1) * writes for t in range(1, turns + 1))
    reasons = {
        "encoder-only": "does not write" if writes else layers[0] * read,
        "decoder-only": "reads one way" if two_sided else layers[1] * turns * (reads + writes),
        "encoder-decoder": layers[0] * read + layers[3] * turns * writes if writes else "nothing to write",
    }
    able = [name for name, reason in reasons.items() if not isinstance(reason, str)]
    return min(able, key=reasons.get), reasons

# %% exercise="choose_family" wrong="work_as_float"
"""The sum over the turns is divided by 2 with /: the work is a float."""
def choose_family(
    reads: int, writes: int, turns: int = 1, two_sided: bool = False, layers: tuple[int, ...] = (12, 12, 12, 12)
) -> tuple[str, dict[str, str | int]]:
    if reads < 1 or turns < 1 or writes < 0:
        raise ValueError("reads, writes or turns")
    read = reads * turns * (turns + 1) / 2 + writes * turns * (turns - 1) / 2
    reasons = {
        "encoder-only": "does not write" if writes else layers[0] * read,
        "decoder-only": "reads one way" if two_sided else layers[1] * turns * (reads + writes),
        "encoder-decoder": layers[2] * read + layers[3] * turns * writes if writes else "nothing to write",
    }
    able = [name for name, reason in reasons.items() if not isinstance(reason, str)]
    return min(able, key=reasons.get), reasons

# %% exercise="choose_family" wrong="those_that_cannot_left_out"
"""The dict holds only the families that can do the task."""
def choose_family(
    reads: int, writes: int, turns: int = 1, two_sided: bool = False, layers: tuple[int, ...] = (12, 12, 12, 12)
) -> tuple[str, dict[str, str | int]]:
    if reads < 1 or turns < 1 or writes < 0:
        raise ValueError("reads, writes or turns")
    read = sum(t * reads + (t - 1) * writes for t in range(1, turns + 1))
    reasons = {
        "encoder-only": "does not write" if writes else layers[0] * read,
        "decoder-only": "reads one way" if two_sided else layers[1] * turns * (reads + writes),
        "encoder-decoder": layers[2] * read + layers[3] * turns * writes if writes else "nothing to write",
    }
    able = [name for name, reason in reasons.items() if not isinstance(reason, str)]
    return min(able, key=reasons.get), {name: reasons[name] for name in able}

# %% exercise="choose_family" wrong="no_turns_accepted"
"""turns = 0 raises no ValueError: all work is 0."""
def choose_family(
    reads: int, writes: int, turns: int = 1, two_sided: bool = False, layers: tuple[int, ...] = (12, 12, 12, 12)
) -> tuple[str, dict[str, str | int]]:
    if reads < 1 or turns < 0 or writes < 0:
        raise ValueError("reads, writes or turns")
    read = sum(t * reads + (t - 1) * writes for t in range(1, turns + 1))
    reasons = {
        "encoder-only": "does not write" if writes else layers[0] * read,
        "decoder-only": "reads one way" if two_sided else layers[1] * turns * (reads + writes),
        "encoder-decoder": layers[2] * read + layers[3] * turns * writes if writes else "nothing to write",
    }
    able = [name for name, reason in reasons.items() if not isinstance(reason, str)]
    return min(able, key=reasons.get), reasons

# %% exercise="choose_family" wrong="nothing_to_write_refused"
"""writes = 0, a judgement, raises ValueError."""
def choose_family(
    reads: int, writes: int, turns: int = 1, two_sided: bool = False, layers: tuple[int, ...] = (12, 12, 12, 12)
) -> tuple[str, dict[str, str | int]]:
    if reads < 1 or turns < 1 or writes < 1:
        raise ValueError("reads, writes or turns")
    read = sum(t * reads + (t - 1) * writes for t in range(1, turns + 1))
    reasons = {
        "encoder-only": "does not write" if writes else layers[0] * read,
        "decoder-only": "reads one way" if two_sided else layers[1] * turns * (reads + writes),
        "encoder-decoder": layers[2] * read + layers[3] * turns * writes if writes else "nothing to write",
    }
    able = [name for name, reason in reasons.items() if not isinstance(reason, str)]
    return min(able, key=reasons.get), reasons

# %% exercise="choose_family" wrong="each_token_read_once"
"""An encoder reads only what is new in each turn."""
def choose_family(reads, writes, turns=1, two_sided=False, layers=(12, 12, 12, 12)):
    if reads < 1 or turns < 1 or writes < 0:
        raise ValueError("a task has something to read, and a turn")
    seen = encoder = decoder = both = 0
    for _ in range(turns):
        seen = reads
        encoder += seen * layers[0]
        decoder += (reads + writes) * layers[1]
        both += seen * layers[2] + writes * layers[3]
    reasons = {
        "encoder-only": "does not write" if writes else encoder,
        "decoder-only": "reads one way" if two_sided else decoder,
        "encoder-decoder": both if writes else "nothing to write",
    }
    able = [name for name, reason in reasons.items() if isinstance(reason, int)]
    return min(able, key=lambda name: reasons[name]), reasons

# %% exercise="choose_family" wrong="written_tokens_not_read_again"
"""What was written in earlier turns is no part of what an encoder reads."""
def choose_family(reads, writes, turns=1, two_sided=False, layers=(12, 12, 12, 12)):
    if reads < 1 or turns < 1 or writes < 0:
        raise ValueError("a task has something to read, and a turn")
    seen = encoder = decoder = both = 0
    for _ in range(turns):
        seen += reads
        encoder += seen * layers[0]
        decoder += (reads + writes) * layers[1]
        both += seen * layers[2] + writes * layers[3]
    reasons = {
        "encoder-only": "does not write" if writes else encoder,
        "decoder-only": "reads one way" if two_sided else decoder,
        "encoder-decoder": both if writes else "nothing to write",
    }
    able = [name for name, reason in reasons.items() if isinstance(reason, int)]
    return min(able, key=lambda name: reasons[name]), reasons

# %% exercise="choose_family" wrong="answer_of_this_turn_read"
"""An encoder also reads what is written in the same turn."""
def choose_family(reads, writes, turns=1, two_sided=False, layers=(12, 12, 12, 12)):
    if min(reads, turns, writes + 1) < 1:
        raise ValueError("out of range")
    encoder, decoder, first, second = layers
    read_again = reads * turns * (turns + 1) // 2 + writes * turns * (turns + 1) // 2
    works = {}
    if writes == 0:
        works["encoder-only"] = encoder * read_again
    if not two_sided:
        works["decoder-only"] = decoder * turns * (reads + writes)
    if writes > 0:
        works["encoder-decoder"] = first * read_again + second * turns * writes
    best = None
    for family in ("encoder-only", "decoder-only", "encoder-decoder"):
        if family in works and (best is None or works[family] < works[best]):
            best = family
    why = {"encoder-only": "does not write", "decoder-only": "reads one way", "encoder-decoder": "nothing to write"}
    return best, {**why, **works}

# %% exercise="choose_family" wrong="decoder_without_cache"
"""The decoder-only model reads everything again in each turn."""
def choose_family(reads, writes, turns=1, two_sided=False, layers=(12, 12, 12, 12)):
    if reads < 1 or turns < 1 or writes < 0:
        raise ValueError("a task has something to read, and a turn")
    seen = encoder = decoder = both = 0
    for _ in range(turns):
        seen += reads
        encoder += seen * layers[0]
        decoder += (seen + writes) * layers[1]
        both += seen * layers[2] + writes * layers[3]
        seen += writes
    reasons = {
        "encoder-only": "does not write" if writes else encoder,
        "decoder-only": "reads one way" if two_sided else decoder,
        "encoder-decoder": both if writes else "nothing to write",
    }
    able = [name for name, reason in reasons.items() if isinstance(reason, int)]
    return min(able, key=lambda name: reasons[name]), reasons

# %% exercise="choose_family" wrong="last_of_equal_families"
"""With equal work the later family wins."""
def choose_family(reads, writes, turns=1, two_sided=False, layers=(12, 12, 12, 12)):
    if min(reads, turns, writes + 1) < 1:
        raise ValueError("out of range")
    encoder, decoder, first, second = layers
    read_again = reads * turns * (turns + 1) // 2 + writes * turns * (turns - 1) // 2
    works = {}
    if writes == 0:
        works["encoder-only"] = encoder * read_again
    if not two_sided:
        works["decoder-only"] = decoder * turns * (reads + writes)
    if writes > 0:
        works["encoder-decoder"] = first * read_again + second * turns * writes
    best = None
    for family in ("encoder-only", "decoder-only", "encoder-decoder"):
        if family in works and (best is None or works[family] <= works[best]):
            best = family
    why = {"encoder-only": "does not write", "decoder-only": "reads one way", "encoder-decoder": "nothing to write"}
    return best, {**why, **works}

# %% exercise="choose_family" wrong="alphabetical_order"
"""With equal work the first name in the alphabet wins, so decoder-only before encoder-only."""
def choose_family(reads, writes, turns=1, two_sided=False, layers=(12, 12, 12, 12)):
    if reads < 1 or turns < 1 or writes < 0:
        raise ValueError("reads and turns are at least 1, writes at least 0")
    read = sum(t * reads + (t - 1) * writes for t in range(1, turns + 1))
    reasons = {
        "encoder-only": layers[0] * read if writes == 0 else "does not write",
        "decoder-only": "reads one way" if two_sided else layers[1] * turns * (reads + writes),
        "encoder-decoder": layers[2] * read + layers[3] * turns * writes if writes else "nothing to write",
    }
    work, family = min((work, name) for name, work in reasons.items() if not isinstance(work, str))
    return family, reasons

# %% exercise="choose_family" wrong="decoder_has_the_layers_of_the_encoder"
"""The encoder-decoder's decoder is taken to be as deep as its encoder."""
def choose_family(reads, writes, turns=1, two_sided=False, layers=(12, 12, 12, 12)):
    if reads < 1 or turns < 1 or writes < 0:
        raise ValueError("a task has something to read, and a turn")
    seen = encoder = decoder = both = 0
    for _ in range(turns):
        seen += reads
        encoder += seen * layers[0]
        decoder += (reads + writes) * layers[1]
        both += seen * layers[2] + writes * layers[2]
        seen += writes
    reasons = {
        "encoder-only": "does not write" if writes else encoder,
        "decoder-only": "reads one way" if two_sided else decoder,
        "encoder-decoder": both if writes else "nothing to write",
    }
    able = [name for name, reason in reasons.items() if isinstance(reason, int)]
    return min(able, key=lambda name: reasons[name]), reasons

# %% exercise="choose_family" wrong="no_turns_accepted_too"
"""turns = 0 raises no ValueError."""
def choose_family(reads, writes, turns=1, two_sided=False, layers=(12, 12, 12, 12)):
    if reads < 1 or turns < 0 or writes < 0:
        raise ValueError("a task has something to read, and a turn")
    seen = encoder = decoder = both = 0
    for _ in range(turns):
        seen += reads
        encoder += seen * layers[0]
        decoder += (reads + writes) * layers[1]
        both += seen * layers[2] + writes * layers[3]
        seen += writes
    reasons = {
        "encoder-only": "does not write" if writes else encoder,
        "decoder-only": "reads one way" if two_sided else decoder,
        "encoder-decoder": both if writes else "nothing to write",
    }
    able = [name for name, reason in reasons.items() if isinstance(reason, int)]
    return min(able, key=lambda name: reasons[name]), reasons

# %% exercise="choose_family" wrong="negative_writes_accepted"
"""writes below 0 raises no ValueError."""
def choose_family(
    reads: int, writes: int, turns: int = 1, two_sided: bool = False, layers: tuple[int, ...] = (12, 12, 12, 12)
) -> tuple[str, dict[str, str | int]]:
    for name, value, least in (("reads", reads, 1), ("turns", turns, 1)):
        if value < least:
            raise ValueError(f"{name} must be at least {least}")
    length = sum(t * reads + (t - 1) * writes for t in range(1, turns + 1))
    candidates = [
        (layers[0] * length, 0, "encoder-only", "does not write" if writes > 0 else None),
        (layers[1] * (reads + writes) * turns, 1, "decoder-only", "reads one way" if two_sided else None),
        (layers[2] * length + layers[3] * writes * turns, 2, "encoder-decoder",
         "nothing to write" if writes == 0 else None),
    ]  # fmt: skip
    able = sorted(each for each in candidates if each[3] is None)
    return able[0][2], {name: work if no is None else no for work, _, name, no in reversed(candidates)}

# %% exercise="choose_family" wrong="only_those_that_can"
"""The dict holds only the families that can do the task."""
def choose_family(
    reads: int, writes: int, turns: int = 1, two_sided: bool = False, layers: tuple[int, ...] = (12, 12, 12, 12)
) -> tuple[str, dict[str, str | int]]:
    for name, value, least in (("reads", reads, 1), ("turns", turns, 1), ("writes", writes, 0)):
        if value < least:
            raise ValueError(f"{name} must be at least {least}")
    length = sum(t * reads + (t - 1) * writes for t in range(1, turns + 1))
    candidates = [
        (layers[0] * length, 0, "encoder-only", "does not write" if writes > 0 else None),
        (layers[1] * (reads + writes) * turns, 1, "decoder-only", "reads one way" if two_sided else None),
        (layers[2] * length + layers[3] * writes * turns, 2, "encoder-decoder",
         "nothing to write" if writes == 0 else None),
    ]  # fmt: skip
    able = sorted(each for each in candidates if each[3] is None)
    return able[0][2], {name: work for work, _, name, no in candidates if no is None}

# %% exercise="choose_family" wrong="work_as_a_float"
"""The work is a float, as the sum is halved with /."""
def choose_family(reads, writes, turns=1, two_sided=False, layers=(12, 12, 12, 12)):
    if min(reads, turns, writes + 1) < 1:
        raise ValueError("out of range")
    encoder, decoder, first, second = layers
    read_again = (reads * turns * (turns + 1) + writes * turns * (turns - 1)) / 2
    works = {}
    if writes == 0:
        works["encoder-only"] = encoder * read_again
    if not two_sided:
        works["decoder-only"] = decoder * turns * (reads + writes)
    if writes > 0:
        works["encoder-decoder"] = first * read_again + second * turns * writes
    best = None
    for family in ("encoder-only", "decoder-only", "encoder-decoder"):
        if family in works and (best is None or works[family] < works[best]):
            best = family
    why = {"encoder-only": "does not write", "decoder-only": "reads one way", "encoder-decoder": "nothing to write"}
    return best, {**why, **works}

# %% exercise="choose_family" wrong="two_sided_asked_of_judges_only"
"""Where a text is written, two_sided does not keep the decoder-only model out."""
def choose_family(reads, writes, turns=1, two_sided=False, layers=(12, 12, 12, 12)):
    if reads < 1 or turns < 1 or writes < 0:
        raise ValueError("a task has something to read, and a turn")
    seen = encoder = decoder = both = 0
    for _ in range(turns):
        seen += reads
        encoder += seen * layers[0]
        decoder += (reads + writes) * layers[1]
        both += seen * layers[2] + writes * layers[3]
        seen += writes
    reasons = {
        "encoder-only": "does not write" if writes else encoder,
        "decoder-only": "reads one way" if two_sided and not writes else decoder,
        "encoder-decoder": both if writes else "nothing to write",
    }
    able = [name for name, reason in reasons.items() if isinstance(reason, int)]
    return min(able, key=lambda name: reasons[name]), reasons

# %% exercise="choose_family" wrong="earlier_answers_decoded_again"
"""The encoder-decoder's decoder passes all that was written up to now, in each turn."""
def choose_family(reads, writes, turns=1, two_sided=False, layers=(12, 12, 12, 12)):
    if min(reads, turns, writes + 1) < 1:
        raise ValueError("out of range")
    encoder, decoder, first, second = layers
    read_again = reads * turns * (turns + 1) // 2 + writes * turns * (turns - 1) // 2
    works = {}
    if writes == 0:
        works["encoder-only"] = encoder * read_again
    if not two_sided:
        works["decoder-only"] = decoder * turns * (reads + writes)
    if writes > 0:
        works["encoder-decoder"] = first * read_again + second * writes * turns * (turns + 1) // 2
    best = None
    for family in ("encoder-only", "decoder-only", "encoder-decoder"):
        if family in works and (best is None or works[family] < works[best]):
            best = family
    why = {"encoder-only": "does not write", "decoder-only": "reads one way", "encoder-decoder": "nothing to write"}
    return best, {**why, **works}

# %% exercise="choose_family" wrong="nothing_to_write_refused_too"
"""writes = 0 raises ValueError, though it means a task of judging."""
def choose_family(reads, writes, turns=1, two_sided=False, layers=(12, 12, 12, 12)):
    if reads < 1 or turns < 1 or writes < 1:
        raise ValueError("a task has something to read, and a turn")
    seen = encoder = decoder = both = 0
    for _ in range(turns):
        seen += reads
        encoder += seen * layers[0]
        decoder += (reads + writes) * layers[1]
        both += seen * layers[2] + writes * layers[3]
        seen += writes
    reasons = {
        "encoder-only": "does not write" if writes else encoder,
        "decoder-only": "reads one way" if two_sided else decoder,
        "encoder-decoder": both if writes else "nothing to write",
    }
    able = [name for name, reason in reasons.items() if isinstance(reason, int)]
    return min(able, key=lambda name: reasons[name]), reasons
