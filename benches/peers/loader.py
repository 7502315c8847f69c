"""Images per second of PyTorch's DataLoader with Pillow on a tar archive: decode, antialiased resize, batch.

The counterpart of crates/data/examples/loader_throughput.rs: the same archive, the same filter (triangle), the same batch
size, float batches [B, 3, H, W] in [-1, 1]. Members are read by offset, so that neither side searches. Prints one line of
JSON.
"""

import argparse
import io
import json
import tarfile
import time

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

WARM_UP = 4


class TarImages(Dataset):
    """The images of an archive, by index."""

    def __init__(self, path, size):
        with tarfile.open(path) as archive:
            images = [member for member in archive if member.name.endswith((".jpg", ".png", ".webp"))]
            self.spans = [(member.offset_data, member.size) for member in images]
        self.path, self.size, self.file = path, size, None

    def __len__(self):
        return len(self.spans)

    def __getitem__(self, index):
        if self.file is None:  # one handle per worker process
            self.file = open(self.path, "rb")
        offset, length = self.spans[index]
        self.file.seek(offset)
        image = Image.open(io.BytesIO(self.file.read(length))).convert("RGB")
        image = image.resize((self.size, self.size), Image.Resampling.BILINEAR)
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)
        return pixels.float().div_(127.5).sub_(1.0)


def epochs(loader):
    while True:
        yield from loader


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("archive")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--images", type=int, default=8192)
    options = parser.parse_args()

    data = TarImages(options.archive, options.size)
    loader = DataLoader(
        data, options.batch, shuffle=True, num_workers=options.workers, drop_last=True, persistent_workers=True
    )
    batches = epochs(loader)
    for _ in range(WARM_UP):
        next(batches)
    start, count = time.perf_counter(), 0
    while count < options.images:
        count += len(next(batches))
    rate = count / (time.perf_counter() - start)
    print(json.dumps({"images_per_second": rate, "images": count, "workers": options.workers, "size": options.size}))


if __name__ == "__main__":
    main()
