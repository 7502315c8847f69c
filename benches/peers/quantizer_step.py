"""Steps per second of a quantizer of vector-quantize-pytorch in training: forward, its codebook's update, backward.

The counterpart of crates/quantizer/examples/quantizer_step.rs. The modules are as their users make them: `ema` is
VectorQuantize with its defaults (moving averages with decay 0.8, the rotation trick, commitment weight 1, no revival of codes),
whose forward in training also moves the codebook; `fsq` is FSQ with levels 8, 5, 5, 5; `lfq` is LFQ with the entropy loss of
its defaults. The input is float32, [1, N, D], normal, and takes a gradient; the loss is the mean of the codes times a fixed
random probe, and the loss that the module gives.

`extra_bytes` is the most memory that the process held in a step beyond what it held before it, with input and module made. A
step on a few points comes first, so that the code of the libraries, which is loaded when it is first run, is not counted.
Prints one line of JSON.
"""

import argparse
import json
import resource
import sys
import time

import torch
from vector_quantize_pytorch import FSQ, LFQ, VectorQuantize

FEW_POINTS = 16
LEVELS = [8, 5, 5, 5]


def module_of(options):
    if options.kind == "ema":
        return VectorQuantize(dim=options.dim, codebook_size=options.codes)
    if options.kind == "fsq":
        return FSQ(levels=LEVELS)
    return LFQ(codebook_size=options.codes, dim=options.dim)


def step(module, points, probe):
    """One step; returns the loss."""
    points.grad = None
    output = module(points)
    loss = (output[0] * probe).mean()
    if len(output) == 3:
        loss = loss + output[2]
    loss.backward()
    return loss.item()


def status(key):
    """A line of /proc/self/status in bytes; None where the system has none."""
    try:
        with open("/proc/self/status") as lines:
            return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(key))
    except (OSError, StopIteration):
        return None


class Memory:
    """How much more than now the process holds at its peak from here on."""

    def __init__(self):
        try:
            with open("/proc/self/clear_refs", "w") as file:
                file.write("5")  # the peak starts again at what is held now
        except OSError:
            pass
        held = status("VmRSS")
        self.before = self.peak() if held is None else held

    @staticmethod
    def peak():
        highest = status("VmHWM")
        if highest is not None:
            return highest
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit

    def extra(self):
        return self.peak() - self.before


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", choices=["ema", "fsq", "lfq"], default="ema")
    parser.add_argument("--points", type=int, default=8192)
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--codes", type=int, default=1024)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=4.0, help="how long to time, after the warm-up")
    options = parser.parse_args()

    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    module = module_of(options).train()
    points = torch.randn(1, options.points, options.dim)
    probe = torch.randn(1, options.points, options.dim)
    few = points[:, :FEW_POINTS].clone().requires_grad_()
    points.requires_grad_()
    step(module, few, probe[:, :FEW_POINTS])
    memory = Memory()
    start, warm_up = time.perf_counter(), 0
    while warm_up < 2 or time.perf_counter() - start < options.seconds / 4:
        loss = step(module, points, probe)
        warm_up += 1
    extra = memory.extra()
    start, steps = time.perf_counter(), 0
    while steps < 2 or time.perf_counter() - start < options.seconds:
        loss = step(module, points, probe)
        steps += 1
    rate = steps / (time.perf_counter() - start)
    figures = {
        "steps_per_second": rate,
        "steps": steps,
        "kind": options.kind,
        "points": options.points,
        "dim": options.dim,
        "codes": options.codes,
        "loss": loss,
        "extra_bytes": extra,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
