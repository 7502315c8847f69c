"""Tokens per second that a GPT draws, among the 100 likeliest at temperature 1.

The counterpart of crates/priors/examples/gpt_speed.rs. `mingpt` is the model of gpt.py with its concatenated cache;
`transformers` is GPT-2 of the package of that name, its `generate` with a `dynamic` or `static` cache. Prints one line of JSON.
"""

import argparse
import json
import time

import torch
from torch.nn import functional as F

from gpt import GPT

TOP_K = 100


def mingpt(options):
    model = GPT(options.layers, options.width, options.heads, options.codes, options.tokens).eval()
    model = model.to(options.device, KINDS[options.precision])

    def draw():
        x, past, drawn = model.start.expand(options.batch, 1, -1), None, []
        for _ in range(options.tokens):
            logits, past = model(x, past)
            logits = logits[:, -1].float()
            least = logits.topk(TOP_K).values[:, -1:]
            logits = logits.masked_fill(logits < least, float("-inf"))
            token = torch.multinomial(F.softmax(logits, dim=-1), 1)
            drawn.append(token)
            x = model.tok_emb(token)
        return torch.cat(drawn, dim=1)

    return draw


def transformers(options):
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        vocab_size=options.codes, n_positions=options.tokens + 1, n_embd=options.width, n_layer=options.layers,
        n_head=options.heads, bos_token_id=0, eos_token_id=None, pad_token_id=0,
    )
    model = GPT2LMHeadModel(config).eval().to(options.device, KINDS[options.precision])
    start = torch.zeros(options.batch, 1, dtype=torch.long, device=options.device)
    settings = dict(
        max_new_tokens=options.tokens, min_new_tokens=options.tokens, do_sample=True, top_k=TOP_K,
        cache_implementation=options.cache, attention_mask=torch.ones_like(start),
    )
    return lambda: model.generate(start, **settings)[:, 1:]


KINDS = {"fp32": torch.float32, "bf16": torch.bfloat16}


@torch.no_grad()
def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", choices=["mingpt", "transformers"], default="mingpt")
    parser.add_argument("--cache", choices=["dynamic", "static"], default="dynamic")
    parser.add_argument("--precision", choices=list(KINDS), default="fp32")
    parser.add_argument("--weights", default="fp32", help="for our side only")
    parser.add_argument("--device", default="cpu")
    for name, value in dict(layers=12, width=512, heads=8, codes=1024, tokens=256, batch=1, threads=2, draws=3).items():
        parser.add_argument(f"--{name}", type=int, default=value)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    draw = mingpt(options) if options.peer == "mingpt" else transformers(options)
    draw()
    best = float("inf")
    for _ in range(options.draws):
        start = time.perf_counter()
        drawn = draw()
        drawn.cpu()
        best = min(best, time.perf_counter() - start)
    assert drawn.shape == (options.batch, options.tokens)
    figures = dict(tokens_per_second=options.batch * options.tokens / best, torch=torch.__version__)
    print(json.dumps({**figures, "peer": options.peer, "cache": options.cache, "precision": options.precision}))


if __name__ == "__main__":
    main()
