"""Compares exported tokenizers with what vqkit computed.

    python compare.py FOLDER ...                  encode.onnx and decode.onnx, with onnxruntime and numpy
    python compare.py --torchscript FOLDER ...    tokenizer.pt, with torch and numpy
    python compare.py --time ... FOLDER ...       also how long images 0 take, in milliseconds: medians of seven calls

A folder has the exported files, and for N = 0, 1, ... images N.images.npy, vqkit's tokens N.indices.LEVEL.npy
[B, Q, H', W'] and its images N.decoded.npy. Prints a line for each folder; fails where indices differ, or images by more
than 1e-5 of the largest value (which counts as 1 where it is smaller).
"""

import json
import statistics
import sys
import time
from pathlib import Path

import numpy as np

TOLERANCE = 1e-5


class Onnx:
    """encode.onnx and decode.onnx in onnxruntime."""

    def __init__(self, folder):
        import onnxruntime

        open_model = lambda name: onnxruntime.InferenceSession(str(folder / name), providers=["CPUExecutionProvider"])
        self.encoder, self.decoder = open_model("encode.onnx"), open_model("decode.onnx")
        self.properties = self.encoder.get_modelmeta().custom_metadata_map
        assert self.properties == self.decoder.get_modelmeta().custom_metadata_map

    def encode(self, images):
        return self.encoder.run(None, {"images": images})

    def decode(self, indices):
        names = [argument.name for argument in self.decoder.get_inputs()]
        return self.decoder.run(["images"], dict(zip(names, indices, strict=True)))[0]


class TorchScript:
    """tokenizer.pt in torch."""

    def __init__(self, folder):
        import torch

        self.torch, files = torch, {"vqkit.json": ""}
        self.module = torch.jit.load(str(folder / "tokenizer.pt"), _extra_files=files)
        self.properties = json.loads(files["vqkit.json"])
        assert not self.module.training

    def encode(self, images):
        with self.torch.no_grad():
            indices = self.module.encode(self.torch.from_numpy(images))
        levels = [indices] if isinstance(indices, self.torch.Tensor) else indices
        return [level.numpy() for level in levels]

    def decode(self, indices):
        with self.torch.no_grad():
            return self.module.decode(*(self.torch.from_numpy(level) for level in indices)).numpy()


def compare(folder, tokenizer):
    """The largest difference between images, of all numbers in a folder."""
    worst = 0.0
    sizes = json.loads(tokenizer.properties["codebook_sizes"])
    for path in sorted(folder.glob("*.images.npy")):
        number = path.name.split(".")[0]
        wanted = [np.load(folder / f"{number}.indices.{level}.npy") for level in range(len(sizes))]
        if [len(level) for level in sizes] == [1]:
            wanted = [wanted[0].squeeze(1)]
        indices = tokenizer.encode(np.load(path))
        assert len(indices) == len(wanted)
        for level, (found, want) in enumerate(zip(indices, wanted)):
            assert found.dtype == np.int64 and found.shape == want.shape, f"{found.dtype} {found.shape}"
            assert (found == want).all(), f"images {number}, level {level}: {(found != want).sum()} indices differ"
        found, want = tokenizer.decode(wanted), np.load(folder / f"{number}.decoded.npy")
        assert found.shape == want.shape, found.shape
        worst = max(worst, float(np.abs(found - want).max()) / max(1.0, float(np.abs(want).max())))
    assert worst <= TOLERANCE, f"images differ by {worst}"
    return worst


def milliseconds(call, *arguments):
    """The median time of seven calls, after three that are not counted."""
    times = []
    for _ in range(10):
        begin = time.perf_counter()
        call(*arguments)
        times.append(1000 * (time.perf_counter() - begin))
    return statistics.median(times[3:])


def main(arguments):
    kind = TorchScript if "--torchscript" in arguments else Onnx
    failed = False
    for folder in [Path(argument) for argument in arguments if not argument.startswith("--")]:
        try:
            tokenizer = kind(folder)
            worst = compare(folder, tokenizer)
            print(f"{folder.name} (images differ by {worst:.1e}): the same")
            if "--time" in arguments:
                images = np.load(folder / "0.images.npy")
                indices = tokenizer.encode(images)
                encode = milliseconds(tokenizer.encode, images)
                print(f"encode {encode:.0f} ms, decode {milliseconds(tokenizer.decode, indices):.0f} ms")
        except Exception as error:
            failed = True
            print(f"{folder.name}: {type(error).__name__}: {error}")
    sys.exit(failed)


main(sys.argv[1:])
