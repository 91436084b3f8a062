"""The page of `ecp serve` in a browser: Debian's Chromium, driven by playwright."""

import json
import math
import os
import re
import sys
import unittest
from pathlib import Path

CHROMIUM = "/usr/bin/chromium"

try:
    from playwright.sync_api import expect, sync_playwright
except ImportError as error:
    print(f"skipped: playwright cannot be imported ({error}); scripts/setup --python installs it")
    sys.exit(77)
if not os.path.exists(CHROMIUM):
    print(f"skipped: no {CHROMIUM}; scripts/setup --python installs it")
    sys.exit(77)

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "cli"))
from serving import Server  # noqa: E402
from support import written_checkpoints  # noqa: E402

TIMEOUT = 20_000  # ms, for whatever is waited for
expect.set_options(timeout=TIMEOUT)
PROMPT = "the cat sat on the mat and the dog sat on the log while the cat "


def setUpModule():
    global folder, checkpoints, playwright, browser
    folder = written_checkpoints()
    checkpoints = Path(folder.name)
    playwright = sync_playwright().start()
    browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"] if os.geteuid() == 0 else [])


def tearDownModule():
    browser.close()
    playwright.stop()
    folder.cleanup()


def contrast(*colours):
    """Of two colours as browsers tell them, by WCAG's formula."""
    def luminance(colour):
        values = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
        red, green, blue = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in values]
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue
    dark, light = sorted(map(luminance, colours))
    return (light + 0.05) / (dark + 0.05)


def grouped(choice):
    """(text, [tokens]) by the offsets, in characters; tokens that end within one belong to its last one."""
    told, text, groups, open_ = choice["logprobs"], choice["text"], [], []
    ends = told["text_offset"][1:] + [len(text)]
    for i, (piece, begin, end) in enumerate(zip(told["tokens"], told["text_offset"], ends)):
        open_.append(i)
        if begin < end or not piece.startswith("bytes:"):
            groups.append((text[begin:end], open_))
            open_ = []
    return groups


class PageTest(unittest.TestCase):
    """Each test has a browser of its own; what it asked for and complained of is looked at in the end."""

    expected_errors = ()  # parts of what the browser may complain of

    def serve(self, checkpoint="words", *arguments, **options):
        server = Server(checkpoints / checkpoint, *arguments, **options)
        self.addCleanup(server.__exit__)
        return server

    def open(self, server, ready=True, **options):
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        self.addCleanup(context.close)
        page = context.new_page()
        page.set_default_timeout(TIMEOUT)
        self.origin = origin = f"http://127.0.0.1:{server.port}"
        self.asked = asked = []
        self.complaints = complaints = []
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: complaints.append(message.text) if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(self.origin + "/")
        if ready:
            expect(page.locator("#model-name")).to_have_text(re.compile("."))
        self.addCleanup(self.check_behaviour, origin, asked, complaints)
        return page

    def check_behaviour(self, origin, asked, complaints):
        self.assertEqual([url for url in asked if not url.startswith(origin + "/")], [])
        self.assertEqual([text for text in complaints if not any(part in text for part in self.expected_errors)], [])

    def settings(self, page, **values):
        page.evaluate("document.getElementById('sampling-box').open = true")
        for name, value in values.items():
            page.locator(f"#{name}").fill(str(value))

    def write(self, page, prompt=PROMPT, **settings):
        """A whole text."""
        self.settings(page, **settings)
        page.locator("#prompt").fill(prompt)
        page.locator("#write").click()
        self.finished(page)

    def finished(self, page):
        expect(page.locator("#status")).to_contain_text(re.compile("token"))
        expect(page.locator("#stop")).to_be_disabled()

    def cells(self, page):
        return page.evaluate("""() => [...document.querySelectorAll('#text .t')].map((cell) => ({
            text: cell.textContent, classes: cell.className, zone: cell.dataset.zone ?? cell.closest('.block').dataset.zone }))""")

    def await_cells(self, page, many):
        page.locator("#text .t").nth(many).wait_for(state="attached")  # a control character can't be seen

    def text(self, page):
        return "".join(cell["text"] for cell in self.cells(page))

    def server_tokens(self, server, text):
        return server.json("/tokenize", {"text": text})[1]["tokens"]

    def api(self, server, **fields):
        status, answer = server.json("/v1/completions", {"temperature": 0.8, "top_p": 0.95, "logprobs": 5, "echo": True, **fields})
        self.assertEqual(status, 200, answer)
        return answer["choices"][0]


class Writing(PageTest):
    def test_a_text_streams_in_and_can_be_stopped(self):
        server = self.serve("wide")
        page = self.open(server)
        page.locator("#endless").check()
        prompt = page.locator("#prompt")
        prompt.fill("")
        prompt.press_sequentially("the cat")
        prompt.press("Control+Enter")
        expect(page.locator("#text")).to_contain_text("the cat")
        self.await_cells(page, 40)
        before = len(self.cells(page))
        self.await_cells(page, before + 40)
        self.assertEqual(server.metric("ecp_slots_busy"), 1)
        page.keyboard.press("Escape")
        expect(page.locator("#status")).to_contain_text("Stopped after")
        self.assertTrue(server.wait_until(lambda: server.metric("ecp_slots_busy") == 0))
        self.assertEqual(server.metric("ecp_cancelled_total"), 1)
        written = self.text(page)
        page.wait_for_timeout(300)
        self.assertEqual(self.text(page), written)
        # With the button, too, and what stands there goes on.
        page.locator("#go-on").click()
        self.await_cells(page, len(self.cells(page)) + 40)
        page.locator("#stop").click()
        expect(page.locator("#status")).to_contain_text("Stopped after")
        self.assertTrue(self.text(page).startswith(written))
        self.assertTrue(server.wait_until(lambda: server.metric("ecp_slots_busy") == 0))
        page.locator("#clear").click()
        self.assertEqual(self.cells(page), [])
        self.assertEqual(prompt.input_value(), "")

    def test_the_text_is_the_servers_and_its_tokens_lie_right(self):
        for checkpoint, prompt in (("words", PROMPT), ("bytes", "the cät 中 🙂 and"), ("wordpiece", "the cat sat")):
            with self.subTest(checkpoint):
                server = self.serve(checkpoint)
                page = self.open(server)
                for seed in (1, 2, 3):
                    self.write(page, prompt, max_tokens=120, seed=seed)
                    choice = self.api(server, prompt=prompt, max_tokens=120, seed=seed)
                    cells = self.cells(page)
                    self.assertEqual("".join(cell["text"] for cell in cells), choice["text"])
                    self.assertEqual([cell["text"] for cell in cells], [text for text, _ in grouped(choice)])
                    expect(page.locator("#position")).to_have_text(str(len(choice["logprobs"]["tokens"])))

    def test_going_on_takes_the_very_tokens(self):
        server = self.serve("bytes")
        page = self.open(server)
        self.write(page, "the cat", max_tokens=30, temperature=0, top_p=1)
        first = self.text(page)
        page.locator("#max_tokens").fill("50")
        page.locator("#go-on").click()
        expect(page.locator("#position")).to_have_text("87")
        self.finished(page)
        whole = self.api(server, prompt="the cat", max_tokens=80, temperature=0, top_p=1)["text"]
        # A character that the end cut in two stays cut; all else is as if there had been no end.
        self.assertTrue(whole.startswith(first.rstrip("\ufffd")), (first, whole))
        self.assertEqual(self.text(page).replace("\ufffd", ""), whole.replace("\ufffd", ""))

    def test_stop_strings_end_it_and_it_goes_on_past_them(self):
        server = self.serve()
        page = self.open(server)
        text = self.api(server, prompt="the", max_tokens=60, seed=4, temperature=1, top_p=1)["text"]
        stop = next(text[at:at + 2] for at in range(8, 60) if text.find(text[at:at + 2], 3) == at and text[at:at + 2].isalpha())
        page.locator("#stop-strings").fill(stop)
        self.write(page, "the", max_tokens=60, seed=4, temperature=1, top_p=1)
        choice = self.api(server, prompt="the", max_tokens=60, seed=4, temperature=1, top_p=1, stop=[stop])
        self.assertEqual((choice["finish_reason"], self.text(page)), ("stop", choice["text"]))
        expect(page.locator("#status")).to_contain_text("at a stop string")
        page.locator("#stop-strings").fill("")
        page.locator("#go-on").click()
        self.finished(page)
        self.assertTrue(self.text(page).startswith(choice["text"] + stop), self.text(page))

    def test_markup_stays_text(self):
        page = self.open(self.serve("bytes"))
        evil = "<img src=x onerror=alert(1)><script>alert(2)</script>&amp;<b>"
        self.write(page, evil, max_tokens=5)
        self.assertTrue(self.text(page).startswith(evil))
        self.assertEqual(page.locator("#text img, #text script, #text b, #card b:not(.piece)").count(), 0)
        page.locator("#text .t").nth(1).hover()
        expect(page.locator("#card")).to_contain_text("Token 1")

    def test_a_prompt_too_long_for_spans(self):
        page = self.open(self.serve("bytes"))
        prompt = "the cat sat on the mat\n" * 9000
        self.settings(page, max_tokens=20)
        page.evaluate("(text) => { document.getElementById('prompt').value = text; }", prompt)  # typing it takes long
        page.locator("#write").click()
        self.finished(page)
        expect(page.locator("#position")).to_have_text(f"{len(prompt) + 20:,}")
        self.assertEqual(page.locator("#text .plain").text_content(), prompt)
        self.assertLessEqual(len(self.cells(page)), 20)
        page.locator("#go-on").click()
        expect(page.locator("#position")).to_have_text(f"{len(prompt) + 40:,}")
        self.finished(page)
        page.locator("#show-reach").check()
        page.locator("#text .t").last.click()
        expect(page.locator("#card .view dd").last).to_have_text(re.compile(r"^0–[\d,]+ \([\d,]+\)$"))
        self.assertEqual(page.locator("#text .plain").get_attribute("data-zone"), "out")

    @unittest.skipIf(os.environ.get("ECP_SANITIZE"), "a matter of speed")
    def test_long_texts_stay_smooth(self):
        page = self.open(self.serve("wide"))
        page.evaluate("""() => {
            window.frames = [];
            let last = performance.now();
            const frame = () => { const now = performance.now(); window.frames.push(now - last); last = now; requestAnimationFrame(frame); };
            requestAnimationFrame(frame);
        }""")
        self.settings(page, max_tokens=20000)
        page.locator("#show-reach").evaluate("(box) => { box.checked = true; box.dispatchEvent(new Event('change')); }")
        page.locator("#write").click()
        expect(page.locator("#status")).to_contain_text("20,000 tokens", timeout=120_000)
        gaps = sorted(page.evaluate("window.frames"))
        print(f"20,000 tokens: {len(gaps)} frames, median {gaps[len(gaps) // 2]:.0f} ms, 95 of 100 within {gaps[len(gaps) * 95 // 100]:.0f} ms")
        self.assertLess(gaps[len(gaps) // 2], 100)
        self.assertGreater(page.locator("#text .block").count(), 20)
        self.assertRegex(page.locator("#speed").text_content(), r"^[\d,]+$")
        least, most = re.match(r"(?:([\d.]+)–)?([\d.]+) MB", page.locator("#memory-range").text_content()).groups()
        self.assertLess(float(most) - float(least or most), 16)  # of a server that holds nothing more for longer texts
        for line in ("speed-line", "memory-line"):
            self.assertGreater(page.locator(f"#{line} path").get_attribute("d").count("L"), 1)


class Looking(PageTest):
    def test_probabilities_are_coloured_and_alternatives_shown(self):
        server = self.serve()
        page = self.open(server)
        self.write(page, max_tokens=40, seed=3)
        choice = self.api(server, prompt=PROMPT, max_tokens=40, seed=3)
        told, groups = choice["logprobs"], grouped(choice)
        cells = self.cells(page)
        self.assertEqual([cell["text"] for cell in cells], [text for text, _ in groups])
        prompt = len(self.server_tokens(server, PROMPT))
        for cell, (_, tokens) in zip(cells, groups):
            logprob = sum(told["token_logprobs"][i] for i in tokens) if tokens[0] > 0 else None
            shade = "x" if logprob is None else next((s for s, bound in enumerate((0.5, 0.2, 0.05, 0.01)) if math.exp(logprob) >= bound), 4)
            self.assertIn(f"p{shade}", cell["classes"].split())
            self.assertEqual("prompt" in cell["classes"].split(), tokens[0] < prompt)
        self.assertGreater(len({cell["classes"] for cell in cells}), 3)
        background = "(cell) => getComputedStyle(cell).backgroundColor"
        unlikely = next(i for i, cell in enumerate(cells) if "p4" in cell["classes"] and "prompt" in cell["classes"])
        shade = page.locator("#text .t").nth(unlikely).evaluate(background)
        page.locator("#colour-prompt").uncheck()
        self.assertNotEqual(page.locator("#text .t").nth(unlikely).evaluate(background), shade)
        page.locator("#colour-prompt").check()
        page.locator("#colour").uncheck()
        self.assertNotEqual(page.locator("#text .t").nth(unlikely).evaluate(background), shade)
        expect(page.locator("#shades")).to_be_hidden()
        page.locator("#colour").check()

        def check_card(at):
            i = groups[at][1][-1]
            card = page.locator("#card")
            expect(card).to_contain_text(f"Token {i}")
            values = card.locator(".alternatives li").all_text_contents()
            best = max(told["top_logprobs"][i].values())
            self.assertGreaterEqual(len(values), 5)
            self.assertIn(f"{math.exp(best) * 100:.{0 if best > math.log(0.1) else 1}f} %", values[0])
            self.assertEqual(card.locator(".own").count(), len(groups[at][1]))
            expect(page.locator("#text .chosen")).to_have_text(cells[at]["text"])

        # By pointer, by keyboard, by tap.
        page.locator("#text .t").nth(prompt + 3).hover()
        check_card(prompt + 3)
        page.mouse.move(5, 5)
        expect(page.locator("#card")).to_be_hidden()
        page.locator("#copy").focus()
        page.keyboard.press("Tab")
        expect(page.locator("#card")).to_contain_text("nothing is before it")
        for _ in range(3):
            page.keyboard.press("ArrowRight")
        check_card(3)
        focused = page.evaluate("[document.activeElement.getAttribute('role'), document.activeElement.getAttribute('aria-describedby')]")
        self.assertEqual(focused, ["button", "card"])
        page.keyboard.press("ArrowLeft")
        check_card(2)
        page.keyboard.press("End")
        expect(page.locator("#card")).to_contain_text(f"Token {len(told['tokens']) - 1}")
        page.keyboard.press("Escape")
        expect(page.locator("#card")).to_be_hidden()
        page.locator("#text .t").nth(prompt + 5).click()
        page.mouse.move(5, 5)
        check_card(prompt + 5)

    def test_the_receptive_field_is_the_models(self):
        def group(row, shift=0):
            return max(0, (row + shift) // 8 * 8 - shift)

        layers = {  # the first row that one layer sees, by the architectures' definitions
            "bytes": lambda row: max(0, (row // 8 - 1) * 8),
            "sliding": lambda row: max(0, row + 1 - 8),
            "shifted": lambda row: min(group(row), group(row, 4)),
            "full": lambda row: 0,
        }
        for checkpoint, first in layers.items():
            with self.subTest(checkpoint):
                page = self.open(self.serve(checkpoint))
                length = 30 if checkpoint == "full" else 64  # a byte is a token and a character
                prompt = ("the cat sat on the mat and the dog sat on the log " * 2)[:length]
                self.write(page, prompt, max_tokens=1)
                page.locator("#colour").uncheck()
                page.locator("#show-reach").check()
                for row in (0, 1, 7, 8, 13, 20, 29) + ((31, 32, 44, 63) if length > 40 else ()):
                    page.locator("#text .t").nth(row).click()
                    expect(page.locator("#reach-of")).to_have_text("the chosen token")
                    one, two = first(row), first(first(row))
                    expected = ["out" if at < two else "2" if at < one else "1" if at < row else "self" if at == row else "later"
                                for at in range(length)]
                    self.assertEqual([cell["zone"] for cell in self.cells(page)][:length], expected, row)
                    count = f"{one}–{row} ({row - one + 1})" if one < row else f"{row} (1)"
                    expect(page.locator("#card .view dd").first).to_have_text(count)
                    page.keyboard.press("Escape")
                expect(page.locator("#reach-of")).to_have_text("the newest token")
                page.locator("#show-reach").uncheck()
                self.assertEqual({cell["zone"] for cell in self.cells(page)}, {None})

    def test_full_attention_ends_where_its_training_did(self):
        page = self.open(self.serve("full"))
        expect(page.locator("#model")).to_contain_text("at most 32 tokens")
        self.write(page, "the cat", max_tokens=400)  # no more than there is room for
        expect(page.locator("#position")).to_have_text("32")

    def test_both_themes(self):
        server = self.serve()
        backgrounds = {}
        for scheme in ("light", "dark"):
            page = self.open(server, color_scheme=scheme)
            colours = page.evaluate("[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]")
            backgrounds[scheme] = colours[0]
            self.assertGreater(contrast(*colours), 7)
            self.write(page, max_tokens=40, seed=1, temperature=1.5)
            for shade in range(5):
                inked = page.evaluate("""(shade) => {
                    const cell = document.querySelector(`#text .t.p${shade}`), style = cell && getComputedStyle(cell);
                    return style && [style.backgroundColor, style.color];
                }""", shade)
                if inked and inked[0] != "rgba(0, 0, 0, 0)":
                    self.assertGreater(contrast(*inked), 4.5, (scheme, shade))
        self.assertNotEqual(backgrounds["light"], backgrounds["dark"])
        # The switch: auto, light, dark; it holds when the page is loaded again.
        button = page.get_by_role("button", name="Theme")
        for scheme in ("light", "dark", "auto", "light"):
            button.click()
            expect(button).to_have_text(f"Theme: {scheme}")
            shown = page.evaluate("getComputedStyle(document.body).backgroundColor")
            self.assertEqual(shown, backgrounds["light" if scheme == "light" else "dark"])
        page.reload()
        expect(button).to_have_text("Theme: light")
        self.assertEqual(page.evaluate("getComputedStyle(document.body).backgroundColor"), backgrounds["light"])

    def test_phone(self):
        server = self.serve("wide")
        page = self.open(server, viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True, reduced_motion="reduce")

        def fits():
            self.assertLessEqual(page.evaluate("document.documentElement.scrollWidth"), 390)

        fits()
        page.locator("#sampling-box summary").tap()
        page.locator("#model-box summary").tap()
        fits()
        self.write(page, PROMPT + "a" * 300, max_tokens=60)
        page.locator("#show-reach").check()
        page.locator("#text .t").nth(12).tap()
        expect(page.locator("#card")).to_be_visible()
        fits()
        box = page.locator("#card").bounding_box()
        self.assertAlmostEqual(box["y"] + box["height"], 844, delta=2)
        self.assertEqual(page.evaluate("getComputedStyle(document.getElementById('write')).transitionDuration"), "0s")
        # The button to stop stays in sight.
        page.locator("#endless").check()
        page.locator("#go-on").click()
        page.locator("#status").scroll_into_view_if_needed()
        page.locator("#stop").tap()
        expect(page.locator("#status")).to_contain_text("Stopped")

    def test_everything_has_a_name_and_can_be_reached_by_keyboard(self):
        page = self.open(self.serve())
        self.write(page, max_tokens=5)
        page.locator("#show-reach").check()
        tree = page.context.new_cdp_session(page).send("Accessibility.getFullAXTree")["nodes"]
        roles = ("button", "textbox", "slider", "spinbutton", "checkbox", "DisclosureTriangle", "link", "region", "complementary", "group", "image")
        controls = [node for node in tree if not node["ignored"] and node["role"]["value"] in roles]
        names = [node.get("name", {}).get("value", "") for node in controls if node["role"]["value"] != "group"]
        self.assertGreater(len(names), 20)
        self.assertTrue(all(names), [(node["role"]["value"], node.get("name")) for node in controls])
        for name in ("Temperature", "Top-p", "Top-k", "Min-p", "Repetition penalty", "Tokens to write", "Seed", "Stop strings", "The beginning"):
            self.assertIn(name, names)
        reached = []
        page.locator("#prompt").focus()
        for _ in range(40):
            page.keyboard.press("Tab")
            element = page.evaluate("""() => { const one = document.activeElement, style = getComputedStyle(one);
                return one === document.body ? null : [one.id || one.className || one.tagName, style.outlineStyle]; }""")
            if element is None:
                break
            self.assertNotEqual(element[1], "none", element)  # where the focus is can be seen
            reached.append(element[0])
        for name in ("write", "go-on", "clear", "temperature", "seed", "stop-strings", "colour", "show-reach", "copy"):
            self.assertIn(name, reached)
        self.assertTrue(any(name.startswith("t ") for name in reached), reached)  # the text is one stop
        self.assertEqual(sum(name.startswith("t ") for name in reached), 1)


class Errors(PageTest):
    def test_a_prompt_that_is_too_long(self):
        self.expected_errors = ("status of 400",)
        page = self.open(self.serve("bytes", "--max-prompt", "8"))
        self.write(page, "a cat", max_tokens=5)
        page.locator("#prompt").fill("the cat sat on the mat")
        page.locator("#write").click()
        alert = page.get_by_role("alert")
        expect(alert).to_have_text("prompt: expected at most 8 tokens, got 22")
        expect(page.locator("#write")).to_be_enabled()
        self.assertTrue(self.text(page).startswith("a cat"))  # what was there stays
        self.write(page, "the", max_tokens=5)
        expect(alert).to_have_count(0)

    def test_a_full_queue(self):
        self.expected_errors = ("status of 429",)
        server = self.serve("wide", "--slots", "1", "--queue", "1")
        body = json.dumps({"prompt": "a", "max_tokens": 60000, "stream": True})
        request = f"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
        clients = [server.raw(request)]
        self.assertTrue(server.wait_until(lambda: server.metric("ecp_slots_busy") == 1))
        clients.append(server.raw(request))
        self.assertTrue(server.wait_until(lambda: server.metric("ecp_queue") == 1))
        page = self.open(server)
        page.locator("#write").click()
        expect(page.get_by_role("alert")).to_contain_text("too many requests wait already")
        for client in clients:
            client.close()

    def test_a_server_that_goes(self):
        self.expected_errors = ("net::ERR_",)
        server = self.serve("wide")
        page = self.open(server)
        page.locator("#endless").check()
        page.locator("#write").click()
        self.await_cells(page, 60)
        server.process.kill()
        expect(page.get_by_role("alert")).to_contain_text("broke off")
        page.locator("#go-on").click()
        expect(page.get_by_role("alert")).to_contain_text("can't be reached")

    def test_a_key(self):
        self.expected_errors = ("status of 401",)
        server = self.serve("words", environment={"ECP_API_KEY": "secret"})
        page = self.open(server, ready=False)
        key = page.get_by_label("API key", exact=True).and_(page.locator("input"))
        expect(key).to_be_focused()
        expect(page.locator("#write")).to_be_disabled()
        key.fill("wrong")
        key.press("Enter")
        expect(page.locator("#key-note")).to_have_text("The server doesn't take this key.")
        key.fill("secret")
        page.get_by_role("button", name="Use this key").click()
        expect(page.locator("#model-name")).to_have_text("words")
        expect(key).to_be_hidden()
        self.write(page, max_tokens=5)
        self.assertTrue(all("secret" not in url for url in self.asked))
        self.assertEqual(page.evaluate("[JSON.stringify(localStorage), document.cookie].join()"), "{},")
        page.reload()  # the tab still knows it
        expect(page.locator("#model-name")).to_have_text("words")
        # Another tab doesn't.
        other = page.context.new_page()
        other.goto(self.origin + "/")
        expect(other.locator("#key")).to_be_focused()


if __name__ == "__main__":
    unittest.main()
