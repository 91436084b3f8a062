"""The operator from Python: loaded with torch.ops.load_library, against scaled_dot_product_attention and gradcheck."""

import os
import sys
import unittest

try:
    import torch
except Exception as error:  # the slim LibTorch has no Python part that works
    print(f"skipped: the whole PyTorch cannot be imported ({error}); scripts/setup --python installs it")
    sys.exit(77)

torch.ops.load_library(os.path.join(os.environ["ECP_BINARY_DIR"], "libecp_ops.so"))
attention = torch.ops.ecp.interval_attention


def mask_of(n, block, lookback):
    row, key = torch.arange(n)[:, None], torch.arange(n)[None, :]
    if block == 0:
        return key <= row
    return (key <= row) & (key >= (row // block - lookback) * block)


def spelled(block, lookback):
    return ("full", []) if block == 0 else ("ecp", [block, lookback])


class IntervalAttention(unittest.TestCase):
    def test_agrees_with_scaled_dot_product_attention(self):
        for n, heads, kv_heads, width, block, lookback in [
            (1, 1, 1, 2, 4, 1), (37, 4, 2, 8, 8, 1), (64, 2, 2, 16, 16, 2), (129, 2, 1, 64, 32, 1), (100, 4, 4, 8, 0, 1),
        ]:
            with self.subTest(n=n, block=block, lookback=lookback, heads=heads, kv_heads=kv_heads):
                torch.manual_seed(n)
                q, grad = (torch.randn(2, n, heads, width) for _ in range(2))
                k, v = (torch.randn(2, n, kv_heads, width) for _ in range(2))
                results = []
                for ours in (True, False):
                    leaves = [t.clone().requires_grad_() for t in (q, k, v)]
                    if ours:
                        out, _ = attention(*leaves, *spelled(block, lookback))
                    else:
                        heads_first = [t.repeat_interleave(heads // t.shape[2], 2).transpose(1, 2) for t in leaves]
                        out = torch.nn.functional.scaled_dot_product_attention(
                            *heads_first, attn_mask=mask_of(n, block, lookback)).transpose(1, 2)
                    out.backward(grad)
                    results.append([out.detach()] + [t.grad for t in leaves])
                for got, want in zip(*results):
                    torch.testing.assert_close(got, want, atol=2e-5, rtol=2e-5)

    def test_gradcheck(self):
        for block, lookback, shared in [(4, 1, False), (3, 2, True), (0, 1, False), (0, 1, True)]:
            with self.subTest(block=block, lookback=lookback, shared=shared):
                torch.manual_seed(1)
                q = torch.randn(2, 9, 4, 4, dtype=torch.float64, requires_grad=True)
                k, v = (torch.randn(2, 9, 2, 4, dtype=torch.float64, requires_grad=True) for _ in range(2))
                starts = torch.tensor([[0] * 9, [0] * 5 + [5] * 4], dtype=torch.int32)

                def function(*inputs):
                    q, k, v = inputs if not shared else (*inputs, None)
                    return attention(q, k, v, *spelled(block, lookback), document_start=starts, scale=0.7,
                                     dropout=0.2, dropout_key=[1, 2, 3, 10, 11])[0]

                self.assertTrue(torch.autograd.gradcheck(function, (q, k) if shared else (q, k, v)))

    def test_second_derivatives_are_refused(self):
        q = torch.randn(1, 4, 1, 2, dtype=torch.float64, requires_grad=True)
        out, _ = attention(q, q, None, "full", [])
        grad, = torch.autograd.grad(out.sum(), q, create_graph=True)
        with self.assertRaises(RuntimeError):
            grad.sum().backward()

    def test_meta_and_fake_tensors(self):
        q = torch.empty(2, 8, 4, 16, device="meta", dtype=torch.bfloat16)
        out, sums = attention(q, q, None, "ecp", [4, 1])
        self.assertEqual((out.shape, out.dtype), (q.shape, torch.bfloat16))
        self.assertEqual((sums.shape, sums.dtype), ((2, 4, 8), torch.float32))

    def test_autocast(self):
        q = torch.randn(1, 8, 2, 4)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            self.assertEqual(attention(q, q, None, "ecp", [4, 1])[0].dtype, torch.bfloat16)

    def test_bad_input_is_an_exception_of_one_line(self):
        q = torch.randn(1, 8, 4, 4)
        with self.assertRaisesRegex(RuntimeError, "expected a number of heads that divides q's 4, got 3"):
            attention(q, torch.randn(1, 8, 3, 4), None, "full", [])
        with self.assertRaisesRegex(RuntimeError, "pattern"):
            attention(q, q, None, "slide", [4])


if __name__ == "__main__":
    unittest.main()
