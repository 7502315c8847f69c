"""Steps per second of training a GPT on random tokens: forward, backward, clipping, AdamW.

The counterpart of crates/priors/examples/gpt_step.rs. The model is that of gpt.py; weights of two axes decay, AdamW is
PyTorch's fused one. With `bf16` the forward runs under autocast. Prints one line of JSON.
"""

import argparse
import contextlib
import json
import time

import torch
from torch.nn import functional as F

from gpt import GPT


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--precision", help="for our side only")
    parser.add_argument("--peer-precision", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seconds", type=float, default=20.0)
    for name, value in dict(layers=12, width=512, heads=8, codes=1024, tokens=256, batch=4, threads=2).items():
        parser.add_argument(f"--{name}", type=int, default=value)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    model = GPT(options.layers, options.width, options.heads, options.codes, options.tokens).to(options.device)
    parameters = list(model.parameters())
    decayed = [p for name, p in model.named_parameters() if p.dim() >= 2 and "emb" not in name and name != "start"]
    chosen = set(map(id, decayed))
    plain = [p for p in parameters if id(p) not in chosen]
    groups = [dict(params=decayed, weight_decay=0.01), dict(params=plain, weight_decay=0.0)]
    optimizer = torch.optim.AdamW(groups, lr=1e-4, betas=(0.9, 0.95), fused=True)
    tokens = torch.randint(options.codes, (options.batch, options.tokens), device=options.device)
    low = lambda: torch.autocast(options.device.split(":")[0], torch.bfloat16)
    arithmetic = low if options.peer_precision == "bf16" else contextlib.nullcontext

    def step():
        optimizer.zero_grad(set_to_none=True)
        with arithmetic():
            logits, _ = model(model.before(tokens))
        loss = F.cross_entropy(logits.float().flatten(0, 1), tokens.flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        return loss.item()

    for _ in range(2):
        step()
    steps, start = 0, time.perf_counter()
    while steps < 2 or time.perf_counter() - start < options.seconds:
        loss = step()
        steps += 1
    seconds = time.perf_counter() - start
    print(json.dumps(dict(steps_per_second=steps / seconds, steps=steps, loss=loss, precision=options.peer_precision)))


if __name__ == "__main__":
    main()
