"""Networks for images with late-phase batch norm and head, as one would write them in PyTorch: Wide ResNets with four
ways to have K members, torchvision's with the first of them.

loop     K batch norms in a list, of which the current member's is used; members run one after another, as in the
         method's authors' code.
grouped  one pass over all members' images, image b of member k at b K + k: seen as [B, K C, H, W] without a copy, one
         batch norm of K C channels has statistics for every member. Needs memory in NCHW order.
stacked  one pass over all members' images, image b of member k at k B + b; per-member statistics by plain reductions:
         any memory order.
vmap     the same images, functional.batch_norm mapped over the members. Keeps no running statistics: vmap cannot update
         them in place.
"""

import re

import torch
from torch import nn
from torch.fx.experimental.optimization import fuse
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval


class LoopNorm(nn.Module):
    def __init__(self, members, channels):
        super().__init__()
        self.norms = nn.ModuleList(nn.BatchNorm2d(channels) for _ in range(members))
        self.member = 0

    def forward(self, x):
        return self.norms[self.member](x)


class GroupedNorm(nn.Module):
    def __init__(self, members, channels):
        super().__init__()
        self.norm = nn.BatchNorm2d(members * channels)

    def forward(self, x):
        return self.norm(x.view(-1, self.norm.num_features, *x.shape[2:])).view_as(x)


class StackedNorm(nn.Module):
    def __init__(self, members, channels, momentum=0.1, epsilon=1e-5):
        super().__init__()
        self.members, self.momentum, self.epsilon = members, momentum, epsilon
        self.weight = nn.Parameter(torch.ones(members, channels))
        self.bias = nn.Parameter(torch.zeros(members, channels))
        self.register_buffer("running_mean", torch.zeros(members, channels))
        self.register_buffer("running_var", torch.ones(members, channels))

    def forward(self, x):
        stacked = x.unflatten(0, (self.members, -1))
        variance, mean = torch.var_mean(stacked.to(self.weight.dtype), (1, 3, 4), correction=0)
        with torch.no_grad():
            count = stacked.numel() // mean.numel()
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * (count / (count - 1)), self.momentum)
        scale = self.weight * torch.rsqrt(variance + self.epsilon)
        shift = self.bias - mean * scale
        affine = [each[:, None, :, None, None] for each in (scale, shift)]
        return (stacked * affine[0] + affine[1]).to(x.dtype).flatten(0, 1)


class VmapNorm(nn.Module):
    def __init__(self, members, channels):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(members, channels))
        self.bias = nn.Parameter(torch.zeros(members, channels))

    def forward(self, x):
        def norm(member, weight, bias):
            return functional.batch_norm(member, None, None, weight, bias, training=True)

        return torch.vmap(norm)(x.unflatten(0, (len(self.weight), -1)), self.weight, self.bias).flatten(0, 1)


NORMS = {"loop": LoopNorm, "grouped": GroupedNorm, "stacked": StackedNorm, "vmap": VmapNorm}


class Head(nn.Module):
    """K heads. `kind` says where a member's rows are, as above."""

    def __init__(self, kind, members, features, classes):
        super().__init__()
        self.kind, self.member = kind, 0
        self.weight = nn.Parameter(nn.init.kaiming_normal_(torch.empty(members, classes, features)))
        self.bias = nn.Parameter(torch.zeros(members, classes))

    def forward(self, x):
        if self.kind == "loop":
            return functional.linear(x, self.weight[self.member], self.bias[self.member])
        members = len(self.weight)
        rows = (
            x.unflatten(0, (-1, members)).transpose(0, 1) if self.kind == "grouped" else x.unflatten(0, (members, -1))
        )
        return torch.baddbmm(self.bias[:, None], rows, self.weight.transpose(1, 2))  # [K, B, classes]


class Block(nn.Module):
    def __init__(self, kind, members, in_channels, channels, stride):
        super().__init__()
        norm = NORMS[kind]
        self.bn1 = norm(members, in_channels)
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, 1, bias=False)
        self.bn2 = norm(members, channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        changes = stride != 1 or in_channels != channels
        self.shortcut = nn.Conv2d(in_channels, channels, 1, stride, bias=False) if changes else None

    def forward(self, x):
        a = functional.relu(self.bn1(x), inplace=True)
        h = functional.relu(self.bn2(self.conv1(a)), inplace=True)
        return self.conv2(h) + (self.shortcut(a) if self.shortcut else x)


class WideResNet(nn.Module):
    def __init__(self, kind, depth, widen, members, classes=10):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        channels, blocks = 16, []
        for group in range(3):
            for i in range((depth - 4) // 6):
                out = (16 << group) * widen
                blocks.append(Block(kind, members, channels, out, 2 if group and not i else 1))
                channels = out
        self.blocks = nn.Sequential(*blocks)
        self.bn = NORMS[kind](members, channels)
        self.fc = Head(kind, members, channels, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)

    def forward(self, images):
        x = functional.relu(self.bn(self.blocks(self.conv1(images))), inplace=True)
        return self.fc(x.mean((2, 3)))


def made(kind, model, members):
    """wrn-DEPTH-WIDEN, or a network of torchvision's, of which there is `loop` alone."""
    size = re.fullmatch(r"wrn-(\d+)-(\d+)", model)
    if size:
        return WideResNet(kind, *map(int, size.groups()), members)
    if kind != "loop":
        raise SystemExit(f"{model}: as {kind} there are wrn-DEPTH-WIDEN alone")
    network = plain_torchvision(model)
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.BatchNorm2d):
                setattr(module, name, LoopNorm(members, child.num_features))
            elif isinstance(child, nn.Linear):
                setattr(module, name, Head(kind, members, child.in_features, child.out_features))
    return network


def plain_torchvision(model):
    import torchvision  # where one of its networks is asked for

    return torchvision.models.get_model(model, weights=None)


def made_for_evaluation(model, folds):
    """The plain network in evaluation mode; `folds`: batch norms in the convolutions' weights."""
    if not model.startswith("wrn-"):
        network = plain_torchvision(model).eval()
        return fuse(network) if folds else network
    network = made("loop", model, 1).eval()
    if folds:
        fold_norms(network)
    return network


def select(network, member):
    """Which member the next passes are of, where members run one after another."""
    for module in network.modules():
        if isinstance(module, (LoopNorm, Head)):
            module.member = member


def folded(conv, norm):
    return fuse_conv_bn_eval(conv, norm.norms[0]), nn.Identity()


def fold_norms(network):
    """Puts batch norms of a plain network (loop, one member) in evaluation into the convolutions whose results only
    they read."""
    first = network.blocks[0]
    if first.shortcut:
        network.conv1, first.bn1 = folded(network.conv1, first.bn1)
    for block in network.blocks:
        block.conv1, block.bn2 = folded(block.conv1, block.bn2)
