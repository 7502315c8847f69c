"""Steps per second of training a VQGAN as its Python original does: both players move once a step.

The counterpart of crates/vqkit/examples/vqgan_step.rs: the same autoencoder (diffusers' VQModel, parameter for parameter
that of taming-transformers), LPIPS on a random VGG16 (lpips), the same PatchGAN, on random images that are made once.

The procedure is taming's `VQModel.training_step` as pytorch-lightning 1.0.8 calls it, once for each of the two optimizers:

- Every call runs the whole autoencoder anew. While one optimizer has its turn, the parameters of the other take no gradient
  (Lightning's `toggle_optimizer`), so in the discriminator's turn the autoencoder leaves no graph.
- Every call computes the pixel loss and LPIPS, though the discriminator's turn uses neither.
- The generator's adaptive weight takes two gradients at the decoder's last layer, through LPIPS and through the discriminator,
  and the loss is then differentiated as a whole.
- Both optimizers are torch.optim.Adam with betas (0.5, 0.9); the game is on from the first step.

Assumed: no gradient clipping and no logging but of the two losses. In bf16 the forward passes run under autocast. Prints one
line of JSON.
"""

import argparse
import json
import resource
import sys
import time

import lpips
import torch
from diffusers import VQModel
from torch import nn
from torch.nn import functional as F

WARM_UP = 3
CHANNELS = (32, 32, 64, 128)
LATENT = 64
CODES = 1024


def autoencoder():
    """Three halvings, one residual block a level, attention in the middle and on the coarsest level."""
    plain = len(CHANNELS) - 1
    return VQModel(
        down_block_types=("DownEncoderBlock2D",) * plain + ("AttnDownEncoderBlock2D",),
        up_block_types=("AttnUpDecoderBlock2D",) + ("UpDecoderBlock2D",) * plain,
        block_out_channels=CHANNELS,
        layers_per_block=1,
        latent_channels=LATENT,
        vq_embed_dim=LATENT,
        num_vq_embeddings=CODES,
        norm_num_groups=32,
    )


def discriminator(width=64):
    """The PatchGAN of pix2pix with two halvings."""
    return nn.Sequential(
        nn.Conv2d(3, width, 4, 2, 1),
        nn.LeakyReLU(0.2, True),
        nn.Conv2d(width, 2 * width, 4, 2, 1, bias=False),
        nn.BatchNorm2d(2 * width),
        nn.LeakyReLU(0.2, True),
        nn.Conv2d(2 * width, 4 * width, 4, 1, 1, bias=False),
        nn.BatchNorm2d(4 * width),
        nn.LeakyReLU(0.2, True),
        nn.Conv2d(4 * width, 1, 4, 1, 1),
    )


def perceptual():
    """LPIPS with random weights. It is made without memory first: torchvision's VGG16 comes with a classifier of half a
    gigabyte that LPIPS drops at once, and that should not count as the peer's peak."""
    with torch.device("meta"):
        network = lpips.LPIPS(net="vgg", pretrained=False, pnet_rand=True, verbose=False)
    network.to_empty(device="cpu").requires_grad_(False)
    network.scaling_layer = lpips.lpips.ScalingLayer()
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            if layer.bias is None:  # a head, which weighs squares
                layer.weight.abs_()
            else:
                layer.bias.zero_()
    return network


class Training:
    """The two players, their optimizers, and one training step of each."""

    def __init__(self, learning_rate=1e-4):
        self.model = autoencoder()
        self.discriminator = discriminator()
        self.perceptual = perceptual()
        optimizer = lambda network: torch.optim.Adam(network.parameters(), learning_rate, betas=(0.5, 0.9))
        self.turns = [
            (self.model, self.discriminator, optimizer(self.model), self.generator_loss),
            (self.discriminator, self.model, optimizer(self.discriminator), self.discriminator_loss),
        ]

    def step(self, images, kind):
        """Both turns; returns the discriminator's loss."""
        for mover, other, optimizer, loss_of in self.turns:
            other.requires_grad_(False)
            mover.requires_grad_(True)
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=kind == "bf16"):
                output = self.model.decode(self.model.encode(images).latents)
                reconstruction, codebook = output.sample, output.commit_loss.mean()
                pixels = (images - reconstruction).abs()
                nll = (pixels + self.perceptual(images, reconstruction)).mean()
                loss = loss_of(images, reconstruction, nll, codebook)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            value = loss.item()
        return value

    def generator_loss(self, _images, reconstruction, nll, codebook):
        generator = -self.discriminator(reconstruction).mean()
        last_layer = self.model.decoder.conv_out.weight
        of_nll = torch.autograd.grad(nll, last_layer, retain_graph=True)[0]
        of_generator = torch.autograd.grad(generator, last_layer, retain_graph=True)[0]
        weight = (of_nll.norm() / (of_generator.norm() + 1e-4)).clamp(0.0, 1e4).detach() * 0.8
        return nll + weight * generator + codebook

    def discriminator_loss(self, images, reconstruction, _nll, _codebook):
        real = self.discriminator(images.detach())
        fake = self.discriminator(reconstruction.detach())
        return 0.5 * (F.relu(1.0 - real).mean() + F.relu(1.0 + fake).mean())


def peak_bytes():
    """The most memory that this process ever held; Linux counts in KiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=12.0, help="how long to time, after the warm-up")
    options = parser.parse_args()

    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    training = Training()
    images = torch.rand(options.batch, 3, options.size, options.size) * 2.0 - 1.0
    for _ in range(WARM_UP):
        loss = training.step(images, options.precision)
    start, steps = time.perf_counter(), 0
    while time.perf_counter() - start < options.seconds:
        loss = training.step(images, options.precision)
        steps += 1
    rate = steps / (time.perf_counter() - start)
    figures = {
        "steps_per_second": rate,
        "steps": steps,
        "size": options.size,
        "batch": options.batch,
        "precision": options.precision,
        "parameters": sum(parameter.numel() for parameter in training.model.parameters()),
        "discriminator_parameters": sum(parameter.numel() for parameter in training.discriminator.parameters()),
        "discriminator_loss": loss,
        "peak_bytes": peak_bytes(),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
