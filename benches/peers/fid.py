"""How fast pytorch-fid takes features, and the Fréchet distance of 2048 dimensions: the counterpart of crates/metrics/examples/fid_speed.rs.

The network is pytorch-fid's InceptionV3 with the weights of the golden `fid-inception`, filled in by its formula; the pictures are the
same random ones. The distance is pytorch-fid's `calculate_frechet_distance`, which takes scipy.linalg.sqrtm. Prints one line of JSON.
"""

import argparse
import json
import os
import pathlib
import time

import numpy as np
import torch
from pytorch_fid import inception
from pytorch_fid.fid_score import calculate_frechet_distance

ROOT = pathlib.Path(__file__).resolve().parents[2]
GOLDEN = ROOT / os.environ.get("VQKIT_GOLDEN", "tests/golden") / "fid-inception"


def filled(name, key, salt):
    """The tensor of this name: splitmix64 from the FNV-1a hash of the name, as the golden's README says."""
    mask = (1 << 64) - 1
    seed = 0xCBF29CE484222325
    for byte in name.encode():
        seed = ((seed ^ byte) * 0x100000001B3) & mask
    count = int(np.prod(key["shape"]))
    with np.errstate(over="ignore"):
        z = np.uint64(seed ^ salt) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    unit = (z >> np.uint64(40)).astype(np.float64) / 2.0**24
    values = (key["c"] + key["a"] * (2.0 * unit - 1.0)).astype(np.float32)
    return torch.from_numpy(values.reshape(key["shape"]))


def golden_state():
    """The state dict of the golden."""
    keys = json.loads((GOLDEN / "keys.json").read_text())
    salt = json.loads((GOLDEN / "config.json").read_text())["salt"]
    return {name: filled(name, key, salt) for name, key in keys.items()}


def network():
    state = golden_state()
    inception.load_state_dict_from_url = lambda *_, **__: state
    return inception.InceptionV3([3]).eval()


def features(options):
    images = torch.rand(options.batch, 3, options.size, options.size)
    model = network()
    with torch.no_grad():
        total = model(images)[0].double().sum().item()
        start, count = time.perf_counter(), 0
        while time.perf_counter() - start < options.seconds or count == 0:
            model(images)
            count += options.batch
    rate = count / (time.perf_counter() - start)
    return {"images_per_second": rate, "images": count, "feature_sum": total}


def distance(options):
    def gathered(shift):
        rows = (torch.randn(3000, options.width, dtype=torch.float64) + shift).numpy()
        return rows.mean(0), np.cov(rows, rowvar=False)

    here, there = gathered(0.0), gathered(0.1)
    start, count = time.perf_counter(), 0
    while time.perf_counter() - start < options.seconds or count == 0:
        found = calculate_frechet_distance(*here, *there)
        count += 1
    rate = count / (time.perf_counter() - start)
    return {"distances_per_second": rate, "distances": count, "distance": float(found)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", choices=["features", "distance"], default="features")
    parser.add_argument("--batch", type=int, default=25)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--width", type=int, default=2048)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=15.0, help="how long to time")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    print(json.dumps({"features": features, "distance": distance}[options.work](options)))


if __name__ == "__main__":
    main()
