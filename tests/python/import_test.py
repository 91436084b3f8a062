"""ecp import of files that torch.save wrote, for all of the authors' models: the same checkpoint as from safetensors."""

import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

try:
    import torch
    from safetensors.torch import load_file
except Exception as error:  # the slim LibTorch has no Python part that works
    print(f"skipped: the whole PyTorch cannot be imported ({error}); scripts/setup --python installs it")
    sys.exit(77)

BINARY = Path(os.environ["ECP_BINARY_DIR"])
SOURCE = Path(os.environ["ECP_SOURCE_DIR"])
GOLDEN = Path(os.environ.get("ECP_SHARED", SOURCE / ".." / "shared")) / "golden"
# What weights don't tell.
GIVEN = {
    "ecp": ["sequence=48", "block=8"],
    "perceiver_ar": ["sequence=48", "latents=16"],
    "double": ["sequence=48", "latents=16", "architecture=double"],
    "split": ["sequence=48", "latents=16", "architecture=split", "history_segment=8"],
    "compressed": ["sequence=48"],
}


def transposed(tensor):
    """The same values, not in C order."""
    return tensor.t().contiguous().t() if tensor.dim() == 2 else tensor


def training_state(weights):
    """A checkpoint as training programs leave it."""
    parameters = [torch.nn.Parameter(tensor.clone()) for tensor in weights.values()]
    optimizer = torch.optim.AdamW(parameters)
    sum(parameter.sum() for parameter in parameters).backward()
    optimizer.step()
    return {"epoch": 3, "best": 1.5, "args": {"lr": 2e-4, "name": "x", "sizes": [1, (2, None)]}, "optimizer": optimizer.state_dict(),
            "model": {"module." + name: tensor for name, tensor in weights.items()}, "seed": 2**64 - 1, "raw": b"bytes"}


class ImportTorch(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory(prefix="ecp-import-")
        self.addCleanup(temporary.cleanup)
        self.folder = Path(temporary.name)

    def ecp_import(self, file, name, *options):
        return subprocess.run([BINARY / "ecp", "import", file, "--output", self.folder / name, *options], capture_output=True,
                              text=True, check=False)

    def content(self, name):
        return {file: (self.folder / name / file).read_bytes() for file in ("config.json", "model.safetensors")}

    def golden(self, architecture):
        path = GOLDEN / f"{architecture}.safetensors"
        if not path.exists():
            self.skipTest(f"{path} is not there")
        return path, {name.removeprefix("model."): tensor for name, tensor in load_file(path).items() if name.startswith("model.")}

    def check(self, architecture, forms):
        path, _ = self.golden(architecture)
        options = [word for setting in GIVEN[architecture] for word in ("--set", "model." + setting)]
        done = self.ecp_import(path, architecture)
        self.assertEqual(done.returncode, 0, done.stderr)
        for name, save in forms.items():
            with self.subTest(architecture=architecture, form=name):
                file = self.folder / f"{architecture}-{name}.pt"
                save(file)
                done = self.ecp_import(file, f"{architecture}-{name}", *options)
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assertEqual(self.content(f"{architecture}-{name}"), self.content(architecture))

    def test_all_of_the_authors_models(self):
        for architecture in GIVEN:
            _, weights = self.golden(architecture)
            self.check(architecture, {"bare": lambda file: torch.save(weights, file),
                                      "training": lambda file: torch.save(training_state(weights), file)})

    def test_all_forms_of_files(self):
        _, weights = self.golden("ecp")
        forms = {f"protocol-{i}": lambda file, i=i: torch.save(weights, file, pickle_protocol=i) for i in (2, 3, 4, 5)}
        forms["legacy"] = lambda file: torch.save(training_state(weights), file, _use_new_zipfile_serialization=False)
        forms["parameters"] = lambda file: torch.save({name: torch.nn.Parameter(t) for name, t in weights.items()}, file)
        forms["transposed"] = lambda file: torch.save({name: transposed(t) for name, t in weights.items()}, file)
        everything = torch.cat([tensor.flatten() for tensor in weights.values()])
        parts = everything.split([tensor.numel() for tensor in weights.values()])
        views = {name: part.view_as(t) for (name, t), part in zip(weights.items(), parts)}
        forms["one-storage"] = lambda file: torch.save(views, file)
        self.check("ecp", forms)

    def test_other_types(self):
        _, weights = self.golden("ecp")
        for dtype in (torch.bfloat16, torch.float16, torch.float64):
            torch.save({name: tensor.to(dtype) for name, tensor in weights.items()}, self.folder / "x.pt")
            name = str(dtype)
            done = self.ecp_import(self.folder / "x.pt", name, "--set", "model.sequence=48", "--set", "model.block=8")
            self.assertEqual(done.returncode, 0, done.stderr)
            imported = load_file(self.folder / name / "model.safetensors")["embedding.weight"]
            self.assertTrue(torch.equal(imported, weights["token_emb.weight"].to(dtype)))

    def test_a_module_is_refused_by_name(self):
        torch.save(torch.nn.Linear(2, 3), self.folder / "x.pt")
        done = self.ecp_import(self.folder / "x.pt", "out")
        self.assertEqual(done.returncode, 1)
        self.assertIn("it asks for 'torch.nn.modules.linear.Linear', refused", done.stderr)
        scripted = torch.jit.script(torch.nn.Linear(2, 3))
        torch.jit.save(scripted, str(self.folder / "y.pt"))
        self.assertIn("it is a TorchScript program", self.ecp_import(self.folder / "y.pt", "out").stderr)


if __name__ == "__main__":
    unittest.main()
