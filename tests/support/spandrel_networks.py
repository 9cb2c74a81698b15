"""Small random networks of spandrel's architectures, as files of weights."""

import warnings

import torch


def esrgan():
    from spandrel.architectures.ESRGAN import ESRGAN

    return ESRGAN(in_nc=3, out_nc=3, num_filters=4, num_blocks=1, scale=4)


def compact(channels=3, factor=2):
    from spandrel.architectures.Compact import Compact

    return Compact(num_in_ch=channels, num_out_ch=channels, num_feat=4, num_conv=2, upscale=factor)


def grey():
    return compact(channels=1)


def span():
    from spandrel.architectures.SPAN import SPAN

    return SPAN(num_in_ch=3, num_out_ch=3, feature_channels=4, upscale=2)


def plksr():
    from spandrel.architectures.PLKSR import PLKSR

    return PLKSR(dim=8, n_blocks=2, upscaling_factor=2, kernel_size=9)


def swinir():
    from spandrel.architectures.SwinIR import SwinIR

    return SwinIR(
        img_size=16, window_size=8, depths=[2], embed_dim=8, num_heads=[2], mlp_ratio=2, upscale=2,
        upsampler="pixelshuffledirect", img_range=1.0,
    )  # fmt: skip


def safmn():
    from spandrel.architectures.SAFMN import SAFMN

    return SAFMN(dim=8, n_blocks=2, upscaling_factor=2)


def rcan():
    from spandrel.architectures.RCAN import RCAN

    return RCAN(n_resgroups=1, n_resblocks=1, n_feats=16, scale=2)


def omnisr():
    from spandrel.architectures.OmniSR import OmniSR

    return OmniSR(num_feat=8, res_num=1, block_num=1, window_size=8, up_scale=2, bias=True, pe=True)


def write_network(path, make, *, seed=0):
    """Write the weights of a network, and return the network as spandrel loads it: the oracle."""
    import spandrel
    from safetensors.torch import save_file

    torch.manual_seed(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch, about how spandrel calls it
        state = make().state_dict()
    with torch.no_grad():  # outputs in the middle of the range, so that limiting to 0..1 hides no difference
        biases = [key for key in state if key.endswith("bias") and state[key].ndim == 1]
        state[biases[-1]] += 0.5
    if path.suffix == ".safetensors":
        save_file(state, path, metadata={"license": "CC0-1.0"})
    else:
        torch.save(state, path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return spandrel.ModelLoader().load_from_state_dict(dict(state)).eval()


def whole(descriptor, pixels):
    """What a network makes of a whole image, by hand: (height, width, channels) of whole levels."""
    import numpy as np

    largest = np.iinfo(pixels.dtype).max
    image = torch.from_numpy(pixels.astype(np.float64) / largest).float().permute(2, 0, 1)[None]
    made = descriptor(image.expand(1, descriptor.input_channels, -1, -1).contiguous())[0]
    made = made if pixels.shape[2] == made.shape[0] else made.mean(0, keepdim=True)
    return made.permute(1, 2, 0).double().numpy() * largest
