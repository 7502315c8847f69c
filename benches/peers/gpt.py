"""A minGPT: learned positions, layer normalisation, GELU, attention written out, and a cache that each step concatenates.

The usual PyTorch of a GPT over image tokens, as taming-transformers and its relatives sample it; of the same sizes as
vqkit's `gpt2`. Other files here import it.
"""

import math

import torch
from torch import nn
from torch.nn import functional as F


class Attention(nn.Module):
    def __init__(self, width, heads, length):
        super().__init__()
        self.key, self.query, self.value, self.proj = (nn.Linear(width, width) for _ in range(4))
        self.heads = heads
        self.register_buffer("mask", torch.ones(length, length).tril().view(1, 1, length, length))

    def forward(self, x, past):
        batch, length, width = x.shape
        split = lambda t: t.view(batch, length, self.heads, width // self.heads).transpose(1, 2)
        query, key, value = split(self.query(x)), split(self.key(x)), split(self.value(x))
        if past is not None:
            key, value = torch.cat((past[0], key), dim=2), torch.cat((past[1], value), dim=2)
        scores = query @ key.transpose(-2, -1) / math.sqrt(width // self.heads)
        if past is None:
            scores = scores.masked_fill(self.mask[:, :, :length, :length] == 0, float("-inf"))
        read = F.softmax(scores, dim=-1) @ value
        return self.proj(read.transpose(1, 2).reshape(batch, length, width)), (key, value)


class Block(nn.Module):
    def __init__(self, width, heads, length):
        super().__init__()
        self.ln1, self.ln2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = Attention(width, heads, length)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x, past):
        read, present = self.attn(self.ln1(x), past)
        x = x + read
        return x + self.mlp(self.ln2(x)), present


class GPT(nn.Module):
    def __init__(self, layers, width, heads, codes, length):
        super().__init__()
        self.tok_emb = nn.Embedding(codes, width)
        self.start = nn.Parameter(torch.randn(1, 1, width) * 0.02)
        self.pos_emb = nn.Parameter(torch.zeros(1, length, width))
        self.blocks = nn.ModuleList(Block(width, heads, length) for _ in range(layers))
        self.ln_f = nn.LayerNorm(width)
        self.head = nn.Linear(width, codes, bias=False)
        for module in self.modules():
            if isinstance(module, (nn.Linear, nn.Embedding)):
                nn.init.normal_(module.weight, std=0.02)
            if isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)

    def forward(self, x, past=None):
        """Vectors [B, T, D] behind what `past` holds, to logits [B, T, K] and the longer past."""
        first = 0 if past is None else past[0][0].shape[2]
        x = x + self.pos_emb[:, first : first + x.shape[1]]
        presents = []
        for index, block in enumerate(self.blocks):
            x, present = block(x, None if past is None else past[index])
            presents.append(present)
        return self.head(self.ln_f(x)), presents

    def before(self, tokens):
        """What tokens [B, N] are predicted from: the start and all but the last, [B, N, D]."""
        start = self.start.expand(tokens.shape[0], 1, -1)
        return torch.cat((start, self.tok_emb(tokens[:, :-1])), dim=1)
