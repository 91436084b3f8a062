"""ecp import of PyTorch checkpoints: what it says to files that it can't take. No PyTorch is needed."""

import io
import os
import pickle
import unittest
import zipfile

from support import CommandTest


class Evil:
    """What a pickle does that runs a command when it is loaded."""

    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


def archive(content, compression=zipfile.ZIP_STORED):
    """A file as torch.save would make it, of a pickle."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", compression) as file:
        file.writestr("archive/data.pkl", content)
        file.writestr("archive/version", "3\n")
    return data.getvalue()


class ImportTorch(CommandTest):
    def refused(self, content, *options):
        """The one line that is said to a file of this content; nothing may be written."""
        (self.folder / "x.pt").write_bytes(content)
        line = self.fails("import", "x.pt", "--output", "out", *options)
        self.assertEqual(sorted(p.name for p in self.folder.iterdir()), ["x.pt"])
        return line

    def test_nothing_is_executed(self):
        for protocol in range(6):
            content = pickle.dumps({"model": {"w": Evil("touch owned")}}, protocol)
            for form in (content, archive(content)):
                line = self.refused(form)
                if protocol >= 2:
                    self.assertIn("it asks for 'posix.system', refused", line)
        # os.system may be spelled in protocol 0, which begins without saying its protocol.
        self.assertIn("it asks for 'os.system', refused", self.refused(archive(b"cos\nsystem\n(S'touch owned'\ntR.")))

    def test_other_files_are_told_from_checkpoints(self):
        self.assertIn("begins neither as a zip archive nor as a pickle", self.refused(b""))
        self.assertIn("begins neither as a zip archive nor as a pickle", self.refused(b"hello"))
        self.assertIn("no data.pkl is in the archive", self.refused(archive(b"").replace(b"data.pkl", b"date.pkl")))
        self.assertIn("it ends at byte 0", self.refused(archive(b"")))
        self.assertIn("it is a pickle, but not of torch.save", self.refused(pickle.dumps({"w": 1}, 2)))
        self.assertIn("is compressed (method 8)", self.refused(archive(b"N." * 100, zipfile.ZIP_DEFLATED)))
        whole = archive(pickle.dumps({"epoch": 3}, 2))
        self.assertIn("found no directory at its end (truncated?)", self.refused(whole[:-30]))
        self.assertIn("expected a state_dict, or a dict with one under", self.refused(whole))
        self.assertIn("expected a state_dict, got a list", self.refused(archive(pickle.dumps([1], 2))))

    def test_options(self):
        self.assertIn("none.pt", self.fails("import", "none.pt", "--output", "out"))
        text = self.ecp("import", "--help").stdout
        for expected in (".safetensors", ".pt", "--set model.sequence=2048", "nothing in it is executed"):
            self.assertIn(expected, text)


if __name__ == "__main__":
    unittest.main()
