"""Whether `vqkit evaluate --real --fake` says what pytorch-fid says, and what torchmetrics' and torch-fidelity's formulas say of
pytorch-fid's features, on the same images and weights. Extractors of torchmetrics and torch-fidelity are not compared: they resize in
another way.

    python fid_agreement.py VQKIT REAL FAKE [--weights FILE]

VQKIT is the binary, REAL and FAKE are folders of pictures, FILE pytorch-fid's weights; without one, the weights of the golden `fid-inception`.
Prints a row for every figure: ours, theirs, and the relative difference; fails where one exceeds 1e-3.
"""

import argparse
import json
import subprocess
import tempfile

import fid
import numpy as np
import torch
from pytorch_fid import fid_score, inception
from torchmetrics.image.fid import _compute_fid

TOLERANCE = 1e-3


def ours(options, weights):
    call = [options.vqkit, "evaluate", "--real", options.real, "--fake", options.fake, "--weights", weights, "--json"]
    return json.loads(subprocess.run(call, check=True, stdout=subprocess.PIPE).stdout)["metrics"]


def theirs(options, state):
    inception.load_state_dict_from_url = lambda *_, **__: state
    model = inception.InceptionV3([3]).eval()
    activations = {}

    def features(folder):
        files = sorted(file for file in fid_score.pathlib.Path(folder).iterdir())
        activations[folder] = fid_score.get_activations(files, model, 50, 2048, "cpu", 0)
        rows = activations[folder]
        return rows.mean(0), np.cov(rows, rowvar=False)

    real, fake = features(options.real), features(options.fake)
    moments = [torch.from_numpy(part) for part in (*real, *fake)]
    rows = torch.from_numpy(activations[options.fake]).double()
    # As torch-fidelity computes it of its own features: without the bias of the last layer, ten splits after a permutation.
    probabilities = torch.softmax(rows.float() @ state["fc.weight"].T, 1).double()
    probabilities = probabilities[np.random.RandomState(2020).permutation(len(probabilities))]
    bounds = [split * len(probabilities) // 10 for split in range(11)]
    scores = []
    for split in (probabilities[begin:end] for begin, end in zip(bounds, bounds[1:])):
        scores.append((split * (split.log() - split.mean(0, keepdim=True).log())).sum(1).mean().exp())
    return {
        "fid (pytorch-fid)": float(fid_score.calculate_frechet_distance(*real, *fake)),
        "fid (torchmetrics' formula)": float(_compute_fid(*moments)),
        "inception_score": float(torch.stack(scores).mean()),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("vqkit")
    parser.add_argument("real")
    parser.add_argument("fake")
    parser.add_argument("--weights")
    options = parser.parse_args()
    state = torch.load(options.weights) if options.weights else fid.golden_state()
    with tempfile.NamedTemporaryFile(suffix=".pth") as file:
        torch.save(state, file.name)
        found = ours(options, options.weights or file.name)
    worst = 0.0
    for name, value in theirs(options, state).items():
        mine = found[name.split(" ")[0]]
        difference = abs(mine - value) / abs(value)
        worst = max(worst, difference)
        print(f"{name:24} ours {mine:.8g}   theirs {value:.8g}   relative difference {difference:.1e}")
    if worst > TOLERANCE:
        raise SystemExit(f"a figure differs by more than {TOLERANCE}")


if __name__ == "__main__":
    main()
