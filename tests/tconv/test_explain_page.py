"""The interactive page in a browser: its arithmetic equals torch's, and its cells, words and code are right."""

import html
import json
import random
import re
import subprocess

import numpy as np
import pytest
import torch
from support.browser import CHROMIUM, needs_browser
from support.commands import call

from upsample_cli.errors import OutputExistsError, UsageError
from upsample_cli.tconv.explain.example import example
from upsample_cli.tconv.explain.explain import explain
from upsample_cli.tconv.explain.page import page, write_page

SHOWN = example(np.array([[1.0, 2], [3, 4]]), np.arange(9.0).reshape(3, 3), stride=2, padding=1)

COMPUTE = """
const results = cases.map(({ axes, input, kernel }) => {
  const sizes = axes.map(tconv.outputSize), canvases = axes.map(tconv.canvasSize), fault = tconv.fault(axes);
  if (fault) return { fault };
  const inputs = axes.map((axis) => axis.size), taps = axes.map((axis) => axis.kernel_size);
  const outputs = tconv.places(sizes), sums = tconv.canvas(axes, input, kernel);
  const cropped = outputs.map((place) => sums[tconv.flat(place.map((at, n) => at + axes[n].padding), canvases)]);
  const gathered = outputs.map((place) => tconv.sources(axes, place).reduce((sum, one) =>
    sum + input[tconv.flat(one.input, inputs)] * kernel[tconv.flat(one.tap, taps)], 0));
  const grid = new Map(tconv.places(inputs).map((place) =>
    [String(tconv.insertedPlace(axes, place)), input[tconv.flat(place, inputs)]]));
  const slid = outputs.map((place) => tconv.windowOf(axes, place).reduce((sum, one) =>
    sum + (grid.get(String(one.place)) ?? 0) * kernel[tconv.flat(one.tap, taps)], 0));
  return { sizes, cropped, gathered, slid };
});
"""


def seen_in_browser(tmp_path, script, shown=SHOWN):
    """The results of a script that runs after the page's own, and the page's document."""
    extra = f"<script>{script}\nconst told = document.createElement('pre'); told.id = 'told';"
    extra += "told.textContent = JSON.stringify(results); document.body.append(told);</script></body>"
    path = tmp_path / "page.html"
    path.write_text(page(shown).replace("</body>", extra), encoding="utf-8")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--lang=en", "--virtual-time-budget=20000", "--dump-dom"]
    command = [CHROMIUM, *flags, f"--user-data-dir={tmp_path}/profile", path.as_uri()]
    document = subprocess.run(command, capture_output=True, text=True, check=True, timeout=180).stdout
    told = re.search(r'<pre id="told">(.*?)</pre>', document, flags=re.DOTALL)
    return json.loads(html.unescape(told[1]))


def random_case(numbers):
    axes = [
        {
            "size": numbers.randint(1, 5),
            "kernel_size": numbers.randint(1, 5),
            "stride": numbers.randint(1, 4),
            "padding": numbers.randint(0, 3),
            "output_padding": numbers.randint(0, 3),
            "dilation": numbers.randint(1, 3),
        }
        for _ in range(numbers.randint(1, 2))
    ]
    counts = (int(np.prod([axis[name] for axis in axes])) for name in ("size", "kernel_size"))
    arrays = ([numbers.randint(-9, 9) for _ in range(count)] for count in counts)
    return {"axes": axes, **dict(zip(("input", "kernel"), arrays, strict=True))}


def by_torch(case):
    """The layer's output, or None if torch refuses the settings."""
    axes = case["axes"]
    settings = {name: [axis[name] for axis in axes] for name in ("stride", "padding", "output_padding", "dilation")}
    x, k = (
        torch.tensor(case[name], dtype=torch.float64).reshape(1, 1, *(axis[size] for axis in axes))
        for name, size in (("input", "size"), ("kernel", "kernel_size"))
    )
    layer = torch.nn.functional.conv_transpose1d if len(axes) == 1 else torch.nn.functional.conv_transpose2d
    try:
        return layer(x, k, **settings)[0, 0]
    except RuntimeError:
        return None


@needs_browser
def test_the_arithmetic_of_the_page_equals_torch_for_hundreds_of_settings(tmp_path):
    numbers = random.Random(5)
    cases = [random_case(numbers) for _ in range(600)]
    results = seen_in_browser(tmp_path, f"const cases = {json.dumps(cases)};{COMPUTE}")
    computed = 0
    for case, result in zip(cases, results, strict=True):
        right = by_torch(case)
        if right is None:
            assert result["fault"] in {"output_padding", "nothing"}
            continue
        assert result["sizes"] == list(right.shape)
        for way in ("cropped", "gathered", "slid"):
            assert result[way] == right.reshape(-1).tolist(), (case, way)
        computed += 1
    assert computed > 200
    assert len(cases) - computed > 50


@needs_browser
def test_control_a_changed_formula_is_detected(tmp_path):
    case = {"axes": [{"size": 3, "kernel_size": 3, "stride": 2, "padding": 1, "output_padding": 0, "dilation": 1}],
            "input": [1, 2, 3], "kernel": [1, 2, 4]}  # fmt: skip
    wrong = COMPUTE.replace("at + axes[n].padding", "at")
    (result,) = seen_in_browser(tmp_path, f"const cases = {json.dumps([case])};{wrong}")
    assert result["gathered"] == by_torch(case).tolist() != result["cropped"]


@needs_browser
def test_a_person_can_point_tap_and_use_the_keyboard(tmp_path):
    script = """
    const results = {}, box = (name, place) => document.querySelector(
      `[data-grid=${name}] [data-place="${place}"]`);
    const marked = (name, kind) => [...document.querySelectorAll(`[data-grid=${name}] .${kind}`)]
      .map((one) => one.dataset.place);
    box("output", "2,2").dispatchEvent(new PointerEvent("pointerover", { bubbles: true }));
    results.output = { formula: at("formula").textContent, inputs: marked("input", "part"),
                       taps: marked("kernel", "tap"), window: marked("inserted", "tap") };
    box("input", "0,1").click();
    results.input = { formula: at("formula").textContent, canvas: marked("output", "part").length };
    box("input", "0,1").focus();
    box("input", "0,1").dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowDown", bubbles: true }));
    results.focused = document.activeElement.dataset.place;
    at("language").click();
    results.chinese = [document.documentElement.lang, document.querySelector("h1").textContent];
    at("theme").click();
    results.theme = document.documentElement.style.colorScheme;
    const slider = [...document.querySelectorAll("[type=range]")][3];
    slider.value = 3;
    slider.dispatchEvent(new Event("input"));
    results.refused = [at("fault").textContent, at("views").hidden];
    slider.value = 0;
    slider.dispatchEvent(new Event("input"));
    results.code = at("code").textContent;
    """
    found = seen_in_browser(tmp_path, script)
    assert found["output"]["inputs"] == ["0,0", "0,1", "1,0", "1,1"]
    assert found["output"]["taps"] == ["0,0", "0,2", "2,0", "2,2"]
    assert len(found["output"]["window"]) == 9
    assert found["output"]["formula"].endswith("= 1·8 + 2·6 + 3·2 + 4·0 = 26")
    assert found["input"] == {
        "formula": "X[0,1] = 2 is multiplied by every tap and added to the marked cells.", "canvas": 9,
    }  # fmt: skip
    assert found["focused"] == "1,1"
    assert found["chinese"] == ["zh-CN", "转置卷积,逐格演示"]
    assert found["theme"] in {"light", "dark"}
    assert found["refused"] == ["padding 裁掉了整个输出:torch 会拒绝。", True]
    printed = []
    exec(found["code"], {"print": printed.append})
    right = explain(example(SHOWN.input[0], SHOWN.kernel[0, 0], stride=2)).output
    np.testing.assert_array_equal(printed[0][0].numpy(), right)


def test_the_page_is_one_file_that_loads_nothing():
    text = page(SHOWN)
    assert not re.search(r"""(?:src|href)\s*=|url\(|@import|fetch\(|https?://""", text)
    assert "default-src 'none'" in text
    assert "$" not in re.sub(r"\$\{", "", text)


def test_the_command_writes_the_page_once(tmp_path, capsys, monkeypatch):
    path = tmp_path / "page.html"
    status, output, _ = call(capsys, monkeypatch, "explain", "--stride", "2", "--html", str(path))
    assert status == 0
    assert output.endswith(f"written: {path}\n")
    assert '"stride": 2' in path.read_text(encoding="utf-8")
    status, _, errors = call(capsys, monkeypatch, "explain", "--html", str(path))
    assert status == 1
    assert "exists" in errors
    with pytest.raises(OutputExistsError):
        write_page(SHOWN, path, overwrite=False)
    status, _, errors = call(capsys, monkeypatch, "explain", "--channels", "2,3", "--html", str(tmp_path / "b.html"))
    assert status == 2
    assert "the page shows one channel" in errors
    assert not (tmp_path / "b.html").exists()


def test_a_notebook_shows_the_page_in_a_frame():
    shown = explain(SHOWN)._repr_html_()
    assert shown.startswith('<iframe sandbox="allow-scripts"')
    assert page(SHOWN) in html.unescape(shown)
    with pytest.raises(UsageError, match="one channel"):
        page(example(np.ones((2, 3)), np.ones((2, 1, 2))))
