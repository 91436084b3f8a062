"""The wheel's operator: every pattern against SDPA under the dense mask, FlexAttention and local-attention; gradcheck, opcheck,
torch.compile, autocast, errors; and that the modules train."""

import os
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import wheel_support  # noqa: E402

wheel_support.enter()

import torch  # noqa: E402
import torch._dynamo.testing  # noqa: E402
import torch.nn.functional as F  # noqa: E402

import ecp  # noqa: E402
from ecp import patterns  # noqa: E402

ALL = [patterns.full(), patterns.all_keys(), patterns.ecp(8), patterns.ecp(8, lookback=2, shift=3), patterns.ecp(64), patterns.group(8, 4),
       patterns.sliding(1), patterns.sliding(11), patterns.segments(8), patterns.neighbours(8), patterns.neighbours(5, 2), patterns.shifted(16),
       patterns.per_head(patterns.ecp(8), patterns.full())]
OPERATOR = torch.ops.ecp_python.interval_attention.default


def mask_of(pattern, heads, rows):
    """[heads, rows, rows]"""
    parts = pattern.patterns if isinstance(pattern, patterns.HeadPatterns) else (pattern,)
    return torch.stack([part.mask(rows) for part in parts]).repeat_interleave(heads // len(parts), 0)


def dense(q, k, v, pattern, **options):
    heads_first = [t.repeat_interleave(q.shape[2] // t.shape[2], 2).transpose(1, 2) for t in (q, k, k if v is None else v)]
    return F.scaled_dot_product_attention(*heads_first, attn_mask=mask_of(pattern, q.shape[2], q.shape[1]), **options).transpose(1, 2)


def tensors(rows, heads=4, kv_heads=2, width=16, dtype=torch.float32, batch=2):
    torch.manual_seed(rows)
    return [torch.randn(batch, rows, h, width, dtype=torch.float32).to(dtype) for h in (heads, kv_heads, kv_heads, heads)]


def results(function, inputs, grad):
    """The output and the gradients of the inputs."""
    leaves = [None if t is None else t.detach().clone().requires_grad_() for t in inputs]
    out = function(*leaves)
    out.backward(grad)
    return [out.detach(), *(t.grad for t in leaves if t is not None)]


class Operator(unittest.TestCase):
    def close(self, got, want, tolerance=2e-5):
        for a, b in zip(got, want, strict=True):
            torch.testing.assert_close(a, b, atol=tolerance, rtol=tolerance)

    def test_every_pattern_is_attention_under_its_mask(self):
        for pattern in ALL:
            for rows in (1, 37, 128):
                for shared in (False, True):
                    with self.subTest(pattern=pattern, rows=rows, shared=shared):
                        q, k, v, grad = tensors(rows)
                        inputs = (q, k, None if shared else v)
                        self.close(results(lambda *x: ecp.interval_attention(*x, pattern=pattern), inputs, grad),
                                   results(lambda *x: dense(*x, pattern), inputs, grad))

    def test_bfloat16_is_as_near_as_its_rounding(self):
        for pattern in (patterns.ecp(32), patterns.sliding(40), patterns.neighbours(32), patterns.shifted(32)):
            with self.subTest(pattern=pattern):
                *inputs, grad = tensors(256, width=64, dtype=torch.bfloat16)
                got = results(lambda *x: ecp.interval_attention(*x, pattern=pattern), inputs, grad)
                exact = results(lambda *x: dense(*x, pattern), [t.double() for t in inputs], grad.double())
                peer = results(lambda *x: dense(*x, pattern), inputs, grad)
                for ours, theirs, want in zip(got, peer, exact, strict=True):
                    error, other = ((t.double() - want).norm() / want.norm() for t in (ours, theirs))
                    self.assertEqual(ours.dtype, torch.bfloat16)
                    self.assertLess(error, max(2 * other, 8e-3))

    def test_any_strides(self):
        q, k, v, grad = tensors(40)
        want = results(lambda *x: ecp.interval_attention(*x, pattern=patterns.ecp(8)), (q, k, v), grad)
        for change in (lambda t: t.transpose(1, 2).contiguous().transpose(1, 2), lambda t: t.transpose(1, 3).contiguous().transpose(1, 3),
                       lambda t: torch.cat((t, t), 3)[..., :t.shape[3]]):
            got = results(lambda *x: ecp.interval_attention(*map(change, x), pattern=patterns.ecp(8)), (q, k, v), change(grad))
            for a, b in zip(got, want):
                self.assertTrue(torch.equal(a, b))

    def test_offsets_documents_and_scale(self):
        q, k, v, _ = tensors(40)
        whole = ecp.interval_attention(q, k, v, pattern=patterns.ecp(8), scale=0.3)
        part = ecp.interval_attention(q[:, 24:], k[:, 16:], v[:, 16:], pattern=patterns.ecp(8), scale=0.3, query_offset=24, key_offset=16)
        self.close([part], [whole[:, 24:]])
        starts = torch.tensor([0] * 20 + [20] * 20, dtype=torch.int32).expand(2, 40)
        apart = ecp.interval_attention(q, k, v, pattern=patterns.full(), document_start=starts)
        second = ecp.interval_attention(q[:, 20:], k[:, 20:], v[:, 20:], pattern=patterns.full())
        self.close([apart[:, 20:]], [second])

    def test_dropout_is_a_function_of_its_key(self):
        q, k, v, grad = tensors(64)
        for pattern in (patterns.ecp(16), patterns.shifted(16)):
            def attend(key):
                return results(lambda *x: ecp.interval_attention(*x, pattern=pattern, dropout=0.5, dropout_key=key), (q, k, v), grad)

            first, again, other = attend([1, 0, 0, 0, 1]), attend([1, 0, 0, 0, 1]), attend([2, 0, 0, 0, 1])
            for a, b, c in zip(first, again, other):
                self.assertTrue(torch.equal(a, b))
                self.assertFalse(torch.equal(a, c))
        torch.manual_seed(7)
        drawn = ecp.interval_attention(q, k, v, pattern=patterns.ecp(16), dropout=0.5)
        torch.manual_seed(7)
        self.assertTrue(torch.equal(drawn, ecp.interval_attention(q, k, v, pattern=patterns.ecp(16), dropout=0.5)))
        self.assertFalse(torch.equal(drawn, ecp.interval_attention(q, k, v, pattern=patterns.ecp(16), dropout=0.5)))
        ones = torch.ones(1, 4096, 1, 16)
        kept = ecp.interval_attention(torch.zeros_like(ones), ones, pattern=patterns.segments(256), dropout=0.25).mean()
        self.assertAlmostEqual(kept.item(), 1, delta=0.01)

    def test_gradcheck(self):
        torch.manual_seed(1)
        q = torch.randn(2, 9, 4, 4, dtype=torch.float64, requires_grad=True)
        k, v = (torch.randn(2, 9, 2, 4, dtype=torch.float64, requires_grad=True) for _ in range(2))
        starts = torch.tensor([[0] * 9, [0] * 5 + [5] * 4], dtype=torch.int32)
        for pattern in (patterns.full(), patterns.ecp(4), patterns.ecp(3, 2, 1), patterns.sliding(3), patterns.neighbours(2), patterns.shifted(4)):
            for shared in (False, True):
                with self.subTest(pattern=pattern, shared=shared):
                    self.assertTrue(torch.autograd.gradcheck(
                        lambda *x: ecp.interval_attention(*x, pattern=pattern, document_start=starts, scale=0.7, dropout=0.2,
                                                          dropout_key=[1, 2, 3, 10, 11]), (q, k) if shared else (q, k, v)))

    def test_opcheck(self):
        key = torch.tensor([1, 0, 0, 0, 1])
        for dtype in (torch.float32, torch.float64, torch.bfloat16):
            for shared in (False, True):
                q, k, v, _ = (t.requires_grad_() for t in tensors(9, dtype=dtype))
                starts = torch.zeros(2, 9, dtype=torch.int32)
                tests = ("test_schema", "test_autograd_registration", "test_faketensor", "test_aot_dispatch_dynamic")
                with self.subTest(dtype=dtype, shared=shared):
                    passed = torch.library.opcheck(OPERATOR, (q, k, None if shared else v, "ecp", [4, 1, 0], 0, 0, starts, None, 0.2, key),
                                                   test_utils=tests)
                    self.assertEqual(passed, dict.fromkeys(tests, "SUCCESS"))

    def test_no_second_derivative(self):
        q = torch.randn(1, 4, 1, 2, dtype=torch.float64, requires_grad=True)
        grad, = torch.autograd.grad(ecp.interval_attention(q, q, pattern=patterns.full()).sum(), q, create_graph=True)
        with self.assertRaisesRegex(RuntimeError, "no second derivative"):
            grad.sum().backward()

    def test_compiled_it_gives_the_same_numbers_in_one_graph(self):
        q, k, v, grad = tensors(48)
        for pattern in (patterns.full(), patterns.ecp(8), patterns.shifted(16)):
            for dropout in (0.0, 0.3):
                torch._dynamo.reset()

                def function(q, k, v):
                    return ecp.interval_attention(2 * q, k, v, pattern=pattern, dropout=dropout, dropout_key=[1, 0, 0, 0, 1])

                with self.subTest(pattern=pattern, dropout=dropout):
                    self.close(results(torch.compile(function, fullgraph=True), (q, k, v), grad), results(function, (q, k, v), grad), 1e-6)

    def test_compiled_with_lengths_that_change(self):
        torch._dynamo.reset()
        counter = torch._dynamo.testing.CompileCounterWithBackend("aot_eager")
        function = torch.compile(lambda q, k: ecp.interval_attention(q, k, pattern=ecp.patterns.ecp(8)).sin(), fullgraph=True, dynamic=True,
                                 backend=counter)
        graphs = None
        for rows in (24, 40, 57):
            q, k, _, _ = tensors(rows)
            self.close([function(q, k)], [ecp.interval_attention(q, k, pattern=patterns.ecp(8)).sin()], 1e-6)
            graphs = graphs or len(counter.graphs)
            self.assertEqual(len(counter.graphs), graphs, "compiled once for all lengths")

    def test_flex_attention(self):
        from torch.nn.attention.flex_attention import create_block_mask, flex_attention

        q, k, v, _ = tensors(256, kv_heads=4)
        sees = {
            patterns.ecp(32): lambda b, h, i, j: (j <= i) & (j // 32 >= i // 32 - 1),
            patterns.sliding(48): lambda b, h, i, j: (j <= i) & (j > i - 48),
            patterns.neighbours(32): lambda b, h, i, j: (j // 32 - i // 32).abs() <= 1,
            patterns.shifted(64): lambda b, h, i, j: (j <= i) & ((j + (h // 2) * 32) // 64 == (i + (h // 2) * 32) // 64),
        }
        for pattern, see in sees.items():
            with self.subTest(pattern=pattern):
                mask = create_block_mask(see, None, 4, 256, 256, device="cpu")
                torch._dynamo.reset()
                theirs = torch.compile(flex_attention)(*(t.transpose(1, 2) for t in (q, k, v)), block_mask=mask)
                self.close([ecp.interval_attention(q, k, v, pattern=pattern)], [theirs.transpose(1, 2)])

    def test_local_attention(self):
        try:
            from local_attention import LocalAttention
        except ImportError:
            self.skipTest("the package local-attention is not installed; scripts/setup --python installs it")
        q, k, v, grad = tensors(256, kv_heads=4)
        for pattern, options in ((patterns.ecp(32), {"causal": True, "look_backward": 1, "look_forward": 0}),
                                 (patterns.ecp(32, 2), {"causal": True, "look_backward": 2, "look_forward": 0}),
                                 (patterns.neighbours(32), {"causal": False, "look_backward": 1, "look_forward": 1})):
            local = LocalAttention(window_size=32, use_rotary_pos_emb=False, **options)
            with self.subTest(pattern=pattern):
                self.close(results(lambda *x: ecp.interval_attention(*x, pattern=pattern), (q, k, v), grad),
                           results(lambda *x: local(*(t.transpose(1, 2) for t in x)).transpose(1, 2), (q, k, v), grad))

    def test_beside_the_other_library_of_the_operator(self):
        other = Path(os.environ.get("ECP_BINARY_DIR", "")) / "libecp_ops.so"
        if not other.exists() or not torch.__version__.startswith("2.11."):
            self.skipTest("no libecp_ops.so for this PyTorch")
        torch.ops.load_library(str(other))
        q, k, v, _ = tensors(100)
        theirs, _ = torch.ops.ecp.interval_attention(q, k, v, "ecp", [16, 1])
        self.assertTrue(torch.equal(theirs, ecp.interval_attention(q, k, v, pattern=patterns.ecp(16))))

    def test_the_same_bits_with_any_number_of_threads(self):
        *inputs, grad = tensors(300, heads=6, kv_heads=3)
        before = torch.get_num_threads()
        self.addCleanup(torch.set_num_threads, before)
        both = []
        for threads in (1, 3):
            torch.set_num_threads(threads)
            both.append(results(lambda *x: ecp.interval_attention(*x, pattern=patterns.ecp(16)), inputs, grad))
        for a, b in zip(*both):
            self.assertTrue(torch.equal(a, b))

    def test_autocast(self):
        q = torch.randn(1, 8, 2, 4)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            self.assertEqual(ecp.interval_attention(q, q, pattern=patterns.ecp(4)).dtype, torch.bfloat16)
            self.assertEqual(ecp.interval_attention(q.double(), q.double(), pattern=patterns.ecp(4)).dtype, torch.float64)
        self.assertEqual(ecp.interval_attention(q, q, pattern=patterns.ecp(4)).dtype, torch.float32)

    def test_meta_tensors_and_empty_ones(self):
        q = torch.empty(2, 8, 4, 16, device="meta", dtype=torch.bfloat16)
        out = ecp.interval_attention(q, q, pattern=patterns.ecp(4))
        self.assertEqual((out.shape, out.dtype, out.device.type), (q.shape, torch.bfloat16, "meta"))
        none = torch.empty(2, 0, 4, 16, requires_grad=True)
        out = ecp.interval_attention(none, none, pattern=patterns.ecp(4))
        out.sum().backward()
        self.assertEqual((out.shape, none.grad.shape), (none.shape, none.shape))

    def test_errors_say_what_was_expected(self):
        q = torch.randn(1, 8, 4, 4)
        for error, words, call in [
            (ValueError, "a number of heads that divides q's 4, got 3", lambda: ecp.interval_attention(q, torch.randn(1, 8, 3, 4), pattern=patterns.full())),
            (ValueError, r"q: expected 4 dimensions .* got \[8, 4, 4\]", lambda: ecp.interval_attention(q[0], q, pattern=patterns.full())),
            (ValueError, r"v: expected k's shape \[1, 8, 4, 4\]", lambda: ecp.interval_attention(q, q, q[:, :4], pattern=patterns.full())),
            (TypeError, "expected dtype float32, bfloat16 or float64, got torch.float16", lambda: ecp.interval_attention(q.half(), q.half(), pattern=patterns.full())),
            (TypeError, "q's dtype torch.float32, got torch.float64", lambda: ecp.interval_attention(q, q.double(), pattern=patterns.full())),
            (TypeError, "pattern: expected one of ecp.patterns, got 'ecp'", lambda: ecp.interval_attention(q, q, pattern="ecp")),
            (ValueError, r"dropout: expected a value in \[0, 1\), got 1", lambda: ecp.interval_attention(q, q, pattern=patterns.full(), dropout=1)),
            (ValueError, "document_start: expected int32", lambda: ecp.interval_attention(q, q, pattern=patterns.full(), document_start=torch.zeros(1, 8))),
            (ValueError, "shared out among 3 patterns", lambda: ecp.interval_attention(q, q, pattern=patterns.per_head(*[patterns.full()] * 3))),
            (ValueError, "block: expected at least 1, got 0", lambda: patterns.ecp(0)),
            (ValueError, "shift: expected from 0 to 7, got 8", lambda: patterns.ecp(8, shift=8)),
            (TypeError, "window: expected an integer, got 2.5", lambda: patterns.sliding(2.5)),
            (RuntimeError, "pattern: expected full, ecp", lambda: OPERATOR(q, q, None, "slide", [4])),
            (RuntimeError, "4 dimensions", lambda: OPERATOR(q[0], q, None, "full", [])),
            (RuntimeError, "dropout_key: expected seed, step, layer", lambda: OPERATOR(q, q, None, "full", [], dropout=0.5)),
        ]:
            with self.subTest(words=words):
                with self.assertRaisesRegex(error, words) as caught:
                    call()
                self.assertEqual(len(str(caught.exception).strip().splitlines()), 1)


class Modules(unittest.TestCase):
    def test_attention_is_what_it_says(self):
        torch.manual_seed(1)
        module = ecp.nn.IntervalAttention(32, 4, pattern=patterns.ecp(8), kv_heads=2, qk_norm=True, bias=True)
        self.assertEqual(sorted(module.state_dict()), sorted([*(f"{n}.{p}" for n in ("q", "k", "v", "out") for p in ("weight", "bias")),
                                                              "q_norm.weight", "k_norm.weight"]))
        x = torch.randn(2, 40, 32)
        q, k, v = module.q(x).unflatten(-1, (4, 8)), module.k(x).unflatten(-1, (2, 8)), module.v(x).unflatten(-1, (2, 8))
        q, k = ecp.nn.rotate(module.q_norm(q)), ecp.nn.rotate(module.k_norm(k))
        torch.testing.assert_close(module(x), module.out(dense(q, k, v, module.pattern).flatten(2)), atol=1e-5, rtol=1e-5)
        copy = ecp.nn.IntervalAttention(32, 4, pattern=patterns.ecp(8), kv_heads=2, qk_norm=True, bias=True)
        copy.load_state_dict(module.state_dict())
        self.assertTrue(torch.equal(copy(x), module(x)))

    def test_rotated_scores_depend_on_distance_alone(self):
        x = torch.randn(1, 1, 1, 8).expand(1, 10, 1, 8)
        turned = ecp.nn.rotate(x)[0, :, 0]
        scores = turned @ turned.T
        torch.testing.assert_close(scores[0, 3], scores[4, 7])
        torch.testing.assert_close(ecp.nn.rotate(x, offset=5)[0, 0, 0], turned[5])

    def test_a_language_model_trains_compiled_or_not(self):
        for compiled in (False, True):
            torch.manual_seed(1)
            torch._dynamo.reset()
            model = ecp.nn.LanguageModel(29, 32, 2, 4, pattern=patterns.shifted(16), dropout=0.1)
            run = torch.compile(model, fullgraph=True) if compiled else model
            optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
            tokens = torch.arange(65).remainder(29).expand(4, 65)
            losses = []
            for _ in range(30):
                loss = F.cross_entropy(run(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten())
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                losses.append(loss.item())
            with self.subTest(compiled=compiled):
                self.assertGreater(losses[0], 3)
                self.assertLess(losses[-1], 0.5)

    def test_errors(self):
        with self.assertRaisesRegex(ValueError, "heads: expected a divisor of dim 32, got 5"):
            ecp.nn.IntervalAttention(32, 5, pattern=patterns.full())
        with self.assertRaisesRegex(ValueError, "kv_heads: expected a divisor of heads 4, got 3"):
            ecp.nn.IntervalAttention(32, 4, pattern=patterns.full(), kv_heads=3)


if __name__ == "__main__":
    unittest.main()
