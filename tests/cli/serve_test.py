"""ecp serve: completions and chat as OpenAI's clients speak them, limits, disconnects, many streams, stopping."""

import contextlib
import json
import os
import pathlib
import re
import signal
import subprocess
import threading
import time
import unittest

from serving import ECP, Server
from support import written_checkpoints


SOURCE = pathlib.Path(os.environ["ECP_SOURCE_DIR"])


def setUpModule():
    global folder, checkpoints
    folder = written_checkpoints()
    checkpoints = pathlib.Path(folder.name)


def tearDownModule():
    folder.cleanup()


def events(text):
    """The objects of a stream that ends as it should."""
    parts = text.split("\n\n")
    assert parts[-2:] == ["data: [DONE]", ""], parts[-2:]
    assert all(part.startswith("data: ") for part in parts[:-1])
    return [json.loads(part[len("data: "):]) for part in parts[:-2]]


class Serving(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server(checkpoints / "bytes", "--slots", "8", "--queue", "400", "--model-name", "tiny", "--max-body", "100000")

    @classmethod
    def tearDownClass(cls):
        cls.server.__exit__()

    def complete(self, **fields):
        status, answer = self.server.json("/v1/completions", {"prompt": "the cat", "max_tokens": 8, "seed": 1, **fields})
        self.assertEqual(status, 200, answer)
        return answer

    def stream(self, path="/v1/completions", **fields):
        status, headers, text = self.server.ask(path, {"max_tokens": 8, "seed": 1, "stream": True, **fields})
        self.assertEqual((status, headers["Content-Type"]), (200, "text/event-stream"))
        return events(text)

    def test_a_completion_is_what_generate_writes(self):
        written = subprocess.run([ECP, "generate", str(checkpoints / "bytes"), "--prompt", "the cat", "--max-tokens", "8", "--seed", "1",
                                  "--temperature", "1", "--quiet"], capture_output=True, timeout=60).stdout.decode()
        answer = self.complete()
        self.assertEqual("the cat" + answer["choices"][0]["text"] + "\n", written)
        self.assertEqual(answer["object"], "text_completion")
        self.assertEqual(answer["model"], "tiny")
        self.assertEqual(answer["choices"][0]["finish_reason"], "length")
        self.assertEqual(answer["usage"], {"prompt_tokens": 7, "completion_tokens": 8, "total_tokens": 15})
        self.assertEqual(self.complete(echo=True)["choices"][0]["text"], "the cat" + answer["choices"][0]["text"])
        self.assertNotEqual(self.complete(seed=2)["choices"], answer["choices"])

    def test_a_stream_is_the_same_in_pieces(self):
        whole = self.complete(logprobs=2)["choices"][0]
        pieces = self.stream(prompt="the cat", logprobs=2, stream_options={"include_usage": True})
        self.assertEqual("".join(p["choices"][0]["text"] for p in pieces[:-1]), whole["text"])
        self.assertEqual([p["choices"][0]["finish_reason"] for p in pieces[:-1]][-1], "length")
        self.assertEqual([token for p in pieces[:-1] for token in p["choices"][0]["logprobs"]["tokens"]], whole["logprobs"]["tokens"])
        self.assertEqual((pieces[-1]["choices"], pieces[-1]["usage"]["total_tokens"]), ([], 15))

    def test_several_prompts_and_choices_keep_their_order(self):
        answer = self.complete(prompt=["the cat", "a dog"], n=2, echo=True)
        texts = [choice["text"] for choice in answer["choices"]]
        self.assertEqual([choice["index"] for choice in answer["choices"]], [0, 1, 2, 3])
        self.assertEqual([text[:5] for text in texts], ["the c", "the c", "a dog", "a dog"])
        self.assertEqual(texts[0], "the cat" + self.complete()["choices"][0]["text"])
        self.assertEqual(texts[1], "the cat" + self.complete(seed=2)["choices"][0]["text"])
        self.assertEqual(answer["usage"]["completion_tokens"], 32)
        streamed = {}
        for piece in self.stream(prompt=["the cat", "a dog"], n=2, echo=True):
            for choice in piece["choices"]:
                streamed[choice["index"]] = streamed.get(choice["index"], "") + choice["text"]
        self.assertEqual([streamed[i] for i in range(4)], texts)

    def test_probabilities_of_a_prompt(self):
        """As lm-eval asks: everything echoed, nothing or one token more."""
        for tokens in (0, 1):
            choice = self.complete(prompt="the cat", max_tokens=tokens, echo=True, logprobs=1, temperature=0)["choices"][0]
            told = choice["logprobs"]
            self.assertEqual("".join(told["tokens"])[:7], "the cat")
            self.assertEqual(len(told["tokens"]), 7 + tokens)
            self.assertEqual(told["text_offset"][:7], list(range(7)))
            self.assertIsNone(told["token_logprobs"][0])
            self.assertIsNone(told["top_logprobs"][0])
            for value, top in zip(told["token_logprobs"][1:], told["top_logprobs"][1:]):
                self.assertLessEqual(value, max(top.values()))
        self.assertEqual(told["token_logprobs"][-1], max(told["top_logprobs"][-1].values()))  # greedy
        piece = self.stream(prompt="the cat", max_tokens=0, echo=True, logprobs=1)
        self.assertEqual(len(piece[0]["choices"][0]["logprobs"]["tokens"]), 7)

    def test_tokens_are_told_where_they_are_asked_for(self):
        plain = self.complete()["choices"][0]
        self.assertNotIn("token_ids", plain)
        choices = self.complete(n=2, return_token_ids=True)["choices"]
        for choice in choices:
            self.assertEqual(bytes(choice["prompt_token_ids"]), b"the cat")
            self.assertEqual(len(choice["token_ids"]), 8)
            self.assertEqual(bytes(choice["token_ids"]).decode(errors="replace"), choice["text"])
        pieces = [piece["choices"][0] for piece in self.stream(prompt="the cat", return_token_ids=True)]
        self.assertEqual([token for piece in pieces for token in piece["token_ids"]], choices[0]["token_ids"])
        self.assertEqual(["prompt_token_ids" in piece for piece in pieces], [True] + [False] * (len(pieces) - 1))
        # From the tokens a text goes on as if it had not been interrupted.
        whole = self.complete(temperature=0, max_tokens=16, return_token_ids=True)["choices"][0]["token_ids"]
        more = self.complete(prompt=list(b"the cat") + whole[:5], temperature=0, max_tokens=11, return_token_ids=True)
        self.assertEqual(more["choices"][0]["token_ids"], whole[5:])

    def test_the_page(self):
        status, headers, page = self.server.ask("/")
        self.assertEqual((status, headers["Content-Type"]), (200, "text/html; charset=utf-8"))
        self.assertIn("base model, not a chat model", page)
        linked = set(re.findall(r'(?:src|href)="(page/[^"]+)"', page))
        names = {path.name for path in (SOURCE / "ecp/serve/page").iterdir()} - {"index.html"}
        self.assertLess(linked, {"page/" + name for name in names})
        kinds = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}
        for path in ["/"] + ["/page/" + name for name in sorted(names)]:
            status, headers, text = self.server.ask(path)
            self.assertEqual(status, 200, path)
            if path != "/":
                self.assertEqual(headers["Content-Type"], kinds[path.rsplit(".", 1)[1]])
                self.assertEqual(text, (SOURCE / "ecp/serve" / path[1:]).read_text(encoding="utf-8"))
            self.assertEqual(headers["Content-Security-Policy"],
                             "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
                             "base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
            self.assertEqual([headers[name] for name in ("X-Content-Type-Options", "Referrer-Policy", "Cache-Control")],
                             ["nosniff", "no-referrer", "no-cache"])
            # Nothing of a text can become markup or script, and nothing is loaded from elsewhere.
            self.assertNotRegex(text, r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|style=\"|\son[a-z]+=\"")
            self.assertNotRegex(text.replace("http://www.w3.org/2000/svg", ""), r"https?://")
            with contextlib.closing(self.server.connect()) as connection:
                connection.request("HEAD", path)
                answer = connection.getresponse()
                self.assertEqual((answer.status, answer.headers["Content-Length"], answer.read()),
                                 (200, str(len(text.encode())), b""))
        for path in ("/page/", "/page/absent.js", "/page/index.html", "/page/../index.html", "/page", "/favicon.ico"):
            self.assertEqual(self.server.ask(path)[0], 404, path)
        self.assertEqual(self.server.ask("/", {})[0], 405)
        self.assertEqual(self.server.ask("/page/main.js", {})[0], 404)

    def test_the_model_is_described(self):
        status, answer = self.server.json("/v1/models")
        model = answer["data"][0]
        self.assertEqual(model, {**model, "architecture": "ecp", "preset": "modern", "layers": 2, "trained_length": 32, "vocabulary": 256,
                                 "attention": [{"pattern": "ecp", "parameters": [8, 1], "heads": 2}],
                                 "reach": {"period": 8, "tiles": [{"begin": 0, "first": [-8, -16]}]},
                                 "holds_positions": False, "max_context": None, "max_tokens": 65536, "max_prompt_tokens": 1 << 20})
        expected = {"full": (None, 32), "sliding": ({"period": 1, "tiles": [{"begin": 0, "first": [-7, -14]}]}, None),
                    "shifted": ({"period": 8, "tiles": [{"begin": 0, "first": [-4, -8]}, {"begin": 4, "first": [0, -4]}]}, None)}
        for name, (reach, context) in expected.items():
            with Server(checkpoints / name) as server:
                model = server.json("/v1/models")[1]["data"][0]
                self.assertEqual((model["id"], model["reach"], model["max_context"]), (name, reach, context))
        with Server(checkpoints / "paper") as server:
            self.assertTrue(server.json("/v1/models")[1]["data"][0]["holds_positions"])

    def test_chat(self):
        messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "the cat?"}]
        status, answer = self.server.json("/v1/chat/completions", {"messages": messages, "max_tokens": 6, "seed": 1, "logprobs": True,
                                                                   "top_logprobs": 2})
        self.assertEqual(status, 200)
        plain = self.complete(prompt="System: Be brief.\n\nUser: the cat?\n\nAssistant:", max_tokens=6)
        self.assertEqual(answer["choices"][0]["message"]["content"], plain["choices"][0]["text"])
        self.assertEqual(answer["object"], "chat.completion")
        self.assertEqual(len(answer["choices"][0]["logprobs"]["content"]), 6)
        self.assertEqual(len(answer["choices"][0]["logprobs"]["content"][0]["top_logprobs"]), 2)
        pieces = self.stream("/v1/chat/completions", messages=messages, max_tokens=6)
        self.assertEqual(pieces[0]["choices"][0]["delta"]["role"], "assistant")
        self.assertEqual("".join(p["choices"][0]["delta"].get("content", "") for p in pieces), plain["choices"][0]["text"])

    def test_other_paths(self):
        self.assertEqual(self.server.json("/health"), (200, {"status": "ok"}))
        self.assertEqual(self.server.json("/v1/models")[1]["data"][0]["id"], "tiny")
        self.assertEqual(self.server.json("/v1/models/tiny")[1]["id"], "tiny")
        self.assertEqual(self.server.json("/v1/models/huge")[0], 404)
        self.assertEqual(self.server.json("/v1/modelsandmore")[1]["error"]["code"], "unknown_path")
        status, answer = self.server.json("/tokenize", {"text": "aé"})
        self.assertEqual((status, answer["tokens"], answer["pieces"]), (200, [97, 195, 169], ["a", "bytes:\\xc3", "bytes:\\xa9"]))
        self.assertEqual(self.server.json("/detokenize", {"tokens": [97, 195, 169]})[1],
                         {"text": "aé", "prompt": "aé"})
        as_vllm = {"prompt": "aé", "add_special_tokens": False}
        self.assertEqual(self.server.json("/tokenize", as_vllm)[1]["tokens"], [97, 195, 169])
        self.assertEqual(self.server.json("/tokenize", {**as_vllm, "add_special_tokens": True})[0], 400)
        self.assertEqual(self.server.json("/tokenizer_info")[1],
                         {"kind": "bytes", "vocabulary": 256, "end_of_text": None, "bos_token": "\n", "eos_token": None})
        self.assertEqual(self.server.json("/detokenize", {"tokens": [256]})[0], 400)
        self.assertEqual(self.server.json("/tokenize", {"test": "a"})[0], 400)
        self.assertGreaterEqual(self.server.metric("ecp_steps_total"), 0)
        with contextlib.closing(self.server.connect()) as connection:  # several requests of one connection
            for _ in range(3):
                connection.request("GET", "/health")
                self.assertEqual(connection.getresponse().read(), b'{"status":"ok"}\n')
            connection.request("HEAD", "/health")
            self.assertEqual(connection.getresponse().status, 200)

    def test_bad_requests_are_told_what_is_wrong(self):
        for body, status, code in (("{", 400, "invalid_json"), ('{"prompt": "a", "temperature": 1e309}', 400, "invalid_json"),
                                   ('{"prompt": "a", "temperature": NaN}', 400, "invalid_json"), (b'{"prompt": "\xff"}', 400, "invalid_json"),
                                   ({"prompt": "a", "temperature": -1}, 400, "invalid_value"),
                                   ({"prompt": "a", "max_tokens": 10**9}, 400, "invalid_value"),
                                   ({"prompt": "a", "n": 9}, 400, "invalid_value"),
                                   ({"prompt": "a", "model": "gpt-4"}, 404, "model_not_found"),
                                   ({"prompt": "a", "best": 1}, 400, "unknown_parameter"),
                                   ({"prompt": "a" * 100000}, 413, None)):
            got, answer = self.server.json("/v1/completions", body)
            self.assertEqual((got, answer["error"]["code"]), (status, code), answer)
            self.assertEqual(answer["error"]["type"], "invalid_request_error")
        self.assertEqual(self.server.ask("/v1/completions", method="GET")[0], 405)
        status, answer = self.server.json("/v1/complete", {})
        self.assertEqual(status, 404)
        self.assertIn("did you mean '/v1/completions'", answer["error"]["message"])
        self.assertIn("400 Bad Request", self.server.raw_answer(b"nonsense\r\n\r\n"))
        self.assertIn(" 431 ", self.server.raw_answer(b"GET / HTTP/1.1\r\nX: " + b"a" * 20000 + b"\r\n\r\n"))
        chunks = b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + b"fff\r\n" + b" " * 4095 + b"\r\n"
        self.assertIn(" 413 ", self.server.raw_answer(chunks + (b"fff\r\n" + b" " * 4095 + b"\r\n") * 30))
        self.assertIn(" 413 ", self.server.raw_answer(b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n"))

    def test_clients_that_go_free_their_slots(self):
        before = self.server.metric("ecp_cancelled_total")
        body = json.dumps({"prompt": "a", "max_tokens": 60000, "stream": True})
        request = f"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
        clients = [self.server.raw(request) for _ in range(40)]
        self.assertTrue(self.server.wait_until(lambda: self.server.metric("ecp_slots_busy") == 8))
        for client in clients:
            client.close()
        self.assertTrue(self.server.wait_until(lambda: self.server.metric("ecp_slots_busy") + self.server.metric("ecp_queue") == 0))
        self.assertEqual(self.server.metric("ecp_cancelled_total") - before, 40)

    def test_slow_clients_hurt_nobody(self):
        body = json.dumps({"prompt": "a", "max_tokens": 60000, "stream": True})
        never_reading = [self.server.raw(f"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
                         for _ in range(4)]
        slow = [self.server.raw(b"POST /v1/completions HTTP/1.1\r\nContent-Le") for _ in range(8)]
        for _ in range(5):
            for client in slow:
                client.sendall(b"n")
            self.assertEqual(self.server.ask("/health")[0], 200)
            self.assertEqual(len(self.complete()["choices"][0]["text"]) > 0, True)
        for client in never_reading + slow:
            client.close()
        self.assertTrue(self.server.wait_until(lambda: self.server.metric("ecp_slots_busy") == 0))

    def test_pages_of_other_origins_cannot_make_it_write(self):
        plain = {"Content-Type": "text/plain"}  # which a browser sends without asking first
        body = json.dumps({"prompt": "a", "max_tokens": 1})
        own = f"http://127.0.0.1:{self.server.port}"
        for origin, status in (("http://evil.example", 403), ("null", 403), (own, 200), (own.replace("http", "https"), 200)):
            self.assertEqual(self.server.ask("/v1/completions", body, headers={**plain, "Origin": origin})[0], status, origin)
        with Server(checkpoints / "bytes", "--cors", "http://friend.example") as server:
            for origin, status in (("http://friend.example", 200), ("http://evil.example", 403)):
                self.assertEqual(server.ask("/v1/completions", body, headers={"Origin": origin})[0], status, origin)

    def test_a_body_whose_end_is_not_sure_ends_the_connection(self):
        for coding in ("gzip", "identity", "chunked, gzip"):
            answer = self.server.raw_answer(f"POST /v1/completions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: {coding}\r\n\r\n".encode()
                                            + b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            self.assertEqual(answer.count("Server: "), 1, answer)
            self.assertIn(" 400 ", answer.splitlines()[0])

    def test_deep_nesting_is_refused(self):
        server = self.server
        for path, field in (("/v1/completions", "temperature"), ("/v1/chat/completions", "messages"), ("/tokenize", "text"), ("/detokenize", "tokens")):
            status, answer = server.json(path, f'{{"{field}":' + "[" * 40000 + "]" * 40000 + "}")
            self.assertEqual((status, answer["error"]["code"]), (400, "invalid_json"), path)
            self.assertIn("nested deeper than 16 levels", answer["error"]["message"])

    def test_tokenize_tells_what_is_wrong(self):
        for path, body, says in (
                ("/tokenize", '{"text": "a", "foo": 1}', "unknown field 'foo'"),
                ("/tokenize", '{"text": "a" x', "expected JSON"),
                ("/tokenize", b'{"text": "a\xff"}', "UTF-8"),
                ("/tokenize", "{}", "text: expected a string"),
                ("/tokenize", '{"prompt": "a", "add_special_tokens": true}', "add_special_tokens: expected false"),
                ("/detokenize", '{"tokens": [], "foo": 1}', "unknown field 'foo'"),
                ("/detokenize", '{"tokens": [1e9]}', "tokens: expected tokens from 0"),
                ("/v1/chat/completions", '{"messages": [{"role": "user"}]}', "content"),
                ("/v1/chat/completions", '{"messages": [{"role": "user", "content": "a", "foo": 1}]}', "unknown field 'foo'")):
            status, answer = self.server.json(path, body)
            self.assertEqual(status, 400, body)
            self.assertIn(says, answer["error"]["message"])

    def test_bodies_have_a_common_limit(self):
        with Server(checkpoints / "bytes", "--max-body", "100000", "--max-bodies", "250000") as server:
            head = b"POST /tokenize HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n"
            body = json.dumps({"text": "a" * (100000 - len('{"text": ""}'))}).encode()
            with contextlib.ExitStack() as stack:
                held = [stack.enter_context(contextlib.closing(server.raw(head + body[:90000]))) for _ in range(2)]
                time.sleep(0.3)  # until they are read
                refused = server.raw_answer(head + body[:90000])
                self.assertIn(" 503 ", refused.splitlines()[0])
                self.assertIn("too much is being read", refused)
                for connection in held:  # they lose nothing
                    connection.sendall(body[90000:])
                    self.assertIn(b" 200 ", connection.recv(64))
            self.assertIn(" 200 ", server.raw_answer(head.replace(b"Host: x", b"Connection: close") + body).splitlines()[0])
        done = subprocess.run([ECP, "serve", str(checkpoints / "bytes"), "--max-body", "5000", "--max-bodies", "4000"],
                              capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("--max-bodies: expected at least --max-body", done.stderr)

    def test_many_streams_at_once(self):
        expected = {seed: self.complete(seed=seed, max_tokens=20)["choices"][0]["text"] for seed in range(10)}
        wrong = []

        def one(number):
            seed = number % 10
            try:
                text = "".join(p["choices"][0]["text"] for p in self.stream(prompt="the cat", seed=seed, max_tokens=20))
                if text != expected[seed]:
                    wrong.append((number, text))
            except Exception as error:  # reported below, not lost in its thread
                wrong.append((number, repr(error)))

        threads = [threading.Thread(target=one, args=(i,)) for i in range(200)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(wrong, [])

    def test_pages_of_other_origins_are_not_let_in(self):
        _, headers, _ = self.server.ask("/health", headers={"Origin": "http://elsewhere"})
        self.assertNotIn("Access-Control-Allow-Origin", headers)
        self.assertEqual(self.server.ask("/health", method="OPTIONS")[0], 405)


class Otherwise(unittest.TestCase):
    def test_an_empty_key_is_none(self):
        for arguments, environment in ((["--api-key", ""], {}), ([], {"ECP_API_KEY": ""})):
            done = subprocess.run([ECP, "serve", str(checkpoints / "bytes"), "--port", "0", *arguments], capture_output=True, text=True,
                                  timeout=60, check=False, env={**os.environ, **environment})
            self.assertEqual(done.returncode, 1)
            self.assertIn("expected a key, got an empty one", done.stderr)

    def test_an_origin_that_no_browser_sends(self):
        for origin in ("nonsense", "http://a/", "http://", "http://a, http://b", ""):
            done = subprocess.run([ECP, "serve", str(checkpoints / "bytes"), "--port", "0", "--cors", origin], capture_output=True,
                                  text=True, timeout=60, check=False)
            self.assertEqual(done.returncode, 2, origin)
            self.assertIn("--cors: expected * or an origin", done.stderr)

    def test_a_key_is_asked_for(self):
        with Server(checkpoints / "bytes", "--cors", "*", environment={"ECP_API_KEY": "secret"}) as server:
            for path, status in (("/health", 200), ("/", 200), ("/page/main.js", 200), ("/page/absent.js", 404), ("/metrics", 401)):
                self.assertEqual(server.ask(path)[0], status, path)
            for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "secret"}, {"Authorization": "Bearer "}):
                status, answer = server.json("/v1/models", headers=headers)
                self.assertEqual((status, answer["error"]["type"]), (401, "authentication_error"))
            status, headers, _ = server.ask("/v1/models", headers={"Authorization": "bearer secret"})
            self.assertEqual((status, headers["Access-Control-Allow-Origin"]), (200, "*"))
            self.assertEqual(server.ask("/v1/models", method="OPTIONS")[0], 204)
            key = {"Authorization": "Bearer secret"}
            for body, status in (({"prompt": "a"}, 200), ({"prompt": "a", "stream": True}, 200), ({"prompt": 5}, 400)):
                got, headers, _ = server.ask("/v1/completions", body, headers=key)
                self.assertEqual((got, headers["Access-Control-Allow-Origin"]), (status, "*"))

    def test_a_full_queue_says_so(self):
        with Server(checkpoints / "bytes", "--slots", "1", "--queue", "1") as server:
            body = json.dumps({"prompt": "a", "max_tokens": 60000, "stream": True})
            request = f"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
            working = server.raw(request)
            self.assertTrue(server.wait_until(lambda: server.metric("ecp_slots_busy") == 1))
            waiting = server.raw(request)
            self.assertTrue(server.wait_until(lambda: server.metric("ecp_queue") == 1))
            status, headers, text = server.ask("/v1/completions", {"prompt": "a"})
            self.assertEqual((status, headers["Retry-After"]), (429, "1"))
            self.assertEqual(json.loads(text)["error"]["type"], "rate_limit_error")
            waiting.close()  # whoever goes leaves the queue, though the slot is taken
            self.assertTrue(server.wait_until(lambda: server.metric("ecp_queue") == 0))
            self.assertEqual(server.metric("ecp_slots_busy"), 1)
            working.close()

    def test_deadlines(self):
        with Server(checkpoints / "bytes", "--deadline", "1", "--max-tokens", "1000000000") as server:
            status, answer = server.json("/v1/completions", {"prompt": "a", "max_tokens": 10**9})
            self.assertEqual((status, answer["error"]["type"]), (504, "server_error"))
            _, _, text = server.ask("/v1/completions", {"prompt": "a", "max_tokens": 10**9, "stream": True})
            self.assertIn("longer than it may", text)
            self.assertNotIn("[DONE]", text)

    def test_stopping_lets_texts_end(self):
        with Server(checkpoints / "bytes") as server:
            with contextlib.closing(server.connect()) as connection:
                connection.request("POST", "/v1/completions", json.dumps({"prompt": "a", "max_tokens": 5000, "stream": True}))
                answer = connection.getresponse()
                answer.read(10)
                server.process.send_signal(signal.SIGTERM)
                rest = answer.read().decode()
                self.assertTrue(rest.endswith("data: [DONE]\n\n"), rest[-200:])
            self.assertEqual(server.process.wait(timeout=20), 0)
            self.assertIn("stopping", server.process.stderr.read())

    def test_what_cannot_be_served(self):
        def refused(*arguments):
            done = subprocess.run([ECP, "serve", *arguments], capture_output=True, text=True, timeout=60)
            self.assertNotEqual(done.returncode, 0)
            self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
            return done.stderr

        self.assertIn("nowhere", refused(str(checkpoints / "nowhere")))
        self.assertIn("--host: expected an IP address", refused(str(checkpoints / "bytes"), "--host", "example.org"))
        self.assertIn("--port", refused(str(checkpoints / "bytes"), "--port", "70000"))
        with Server(checkpoints / "bytes") as server:
            self.assertIn("cannot listen on 127.0.0.1", refused(str(checkpoints / "bytes"), "--port", str(server.port)))


if __name__ == "__main__":
    unittest.main()
