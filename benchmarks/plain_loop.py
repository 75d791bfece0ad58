"""The loop that anybody would write: one process, one model, `perf_counter` around the call. Knows nothing of this suite.

Reads on stdin how many iterations to run, and answers on stdout with their durations in seconds, one JSON list a line.
"""

import json
import sys
import time

import torch


def main(name: str, batch_size: int, image_size: int, threads: int) -> None:
    """Serve timed loops of the torchvision or timm model `name` until stdin closes."""
    from fixtures.models.torchvision_models import import_torchvision

    import_torchvision()  # also where a CUDA build of torchvision stands beside a CPU torch
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    source, _, architecture = name.partition(":")
    if source == "torchvision":
        from torchvision import models

        model = models.get_model(architecture, weights=None)
    else:
        import timm
        from timm.models.vision_transformer import VisionTransformer

        model = VisionTransformer(img_size=image_size) if architecture == "VisionTransformer" else timm.create_model(architecture)
    model.eval()
    images = torch.randn(batch_size, 3, image_size, image_size)
    with torch.no_grad():
        for line in sys.stdin:
            durations_s = []
            for _ in range(int(line)):
                start_s = time.perf_counter()
                model(images)
                durations_s.append(time.perf_counter() - start_s)
            print(json.dumps(durations_s), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:5]))
