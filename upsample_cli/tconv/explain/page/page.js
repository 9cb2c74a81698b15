// The page: sliders, grids, and what is marked in them. The arithmetic is in `tconv`.
const WORDS = {
  en: {
    title: "Transposed convolution, cell by cell", theme: "Light / dark", other: "中文",
    intro: "Choose a cell of the input to see where it goes, or a cell of the output to see what makes it. " +
      "Point, tap, or use Tab and the arrow keys.",
    settings: "Settings", axes: "axes", numbers: "numbers", linked: "all axes alike",
    given: "given, or counting", ones: "all ones", bilinear: "bilinear kernel",
    size: "size", input: "input X", kernel: "kernel K", output: "output Y; hatched: cropped by padding",
    inserted: "input with zeros", flipped: "flipped kernel",
    insertion: "The same by inserting zeros",
    insertion_text: "stride - 1 zeros between the samples and dilation*(kernel_size-1) - padding around them; then an " +
      "ordinary convolution with the flipped kernel. Its window is marked for a chosen output.",
    matrix: "The same as a matrix",
    matrix_text: "A row for each output, a column for each input: the transpose of the ordinary convolution's matrix.",
    too_large: "The matrix is too large to show: choose smaller settings.",
    code: "The same in PyTorch", copy: "Copy", copied: "Copied",
    none: "no tap reaches it, so it holds the bias alone",
    spread: (cell, value) => `${cell} = ${value} is multiplied by every tap and added to the marked cells.`,
    output_padding: "output_padding must be smaller than stride or dilation: torch refuses this.",
    nothing: "padding crops the whole output: torch refuses this.",
  },
  zh: {
    title: "转置卷积,逐格演示", theme: "浅色 / 深色", other: "English",
    intro: "选择输入的一格,看它流向哪里;选择输出的一格,看它由什么得到。可用鼠标、触摸,或 Tab 键和方向键。",
    settings: "参数", axes: "维数", numbers: "数值", linked: "各轴相同",
    given: "给定值或依次计数", ones: "全为 1", bilinear: "双线性核",
    size: "尺寸", input: "输入 X", kernel: "卷积核 K", output: "输出 Y;斜线部分被 padding 裁掉",
    inserted: "插零后的输入", flipped: "翻转的卷积核",
    insertion: "等价做法:插零",
    insertion_text: "样本之间插入 stride - 1 个零,四周补 dilation*(kernel_size-1) - padding 个零;再用翻转的卷积核做普通卷积。" +
      "选中一个输出时,会标出它的窗口。",
    matrix: "等价做法:矩阵",
    matrix_text: "每行是一个输出,每列是一个输入:普通卷积矩阵的转置。",
    too_large: "矩阵太大,无法显示:请减小参数。",
    code: "对应的 PyTorch 代码", copy: "复制", copied: "已复制",
    none: "没有权重到达这一格,其值只有偏置",
    spread: (cell, value) => `${cell} = ${value} 与每个权重相乘,加到标出的格子上。`,
    output_padding: "output_padding 必须小于 stride 或 dilation:torch 会拒绝。",
    nothing: "padding 裁掉了整个输出:torch 会拒绝。",
  },
};
const SLIDERS = { size: [1, 7], kernel_size: [1, 7], stride: [1, 4], padding: [0, 6], output_padding: [0, 3],
                  dilation: [1, 3] };
const MOST_MATRIX_CELLS = 4096;
const DEFAULTS = { kernel_size: null, stride: 1, padding: 0, output_padding: 0, dilation: 1 };
const AXIS_NAMES = { 1: [""], 2: [" ↕", " ↔"] };
const given = JSON.parse(document.getElementById("given").textContent);
const state = { axes: given.axes, language: navigator.language.startsWith("zh") ? "zh" : "en", chosen: null };
const at = (id) => document.getElementById(id);
const word = (key) => WORDS[state.language][key];
const shown = (number) => String(Math.round(number * 1e4) / 1e4);
const named = (letter, place) => `${letter}[${place.join(",")}]`;
const sizesOf = (name) => state.axes.map((axis) => axis[name]);

// Numbers: those given where they exist, otherwise counting from 0.
function numbersOf(name, sizes) {
  const { values, sizes: had } = given[name];
  return tconv.places(sizes).map((place, number) => {
    if (at("numbers").value === "ones") return 1;
    if (name === "kernel" && at("numbers").value === "bilinear")
      return place.reduce((all, tap, axis) => all * bilinear(tap, state.axes[axis]), 1);
    const fits = had.length === sizes.length && place.every((index, axis) => index < had[axis]);
    return fits ? values[tconv.flat(place, had)] : number;
  });
}

const bilinear = (tap, { stride, kernel_size }) =>
  Math.max(0, 1 - Math.abs(tap - (kernel_size - 1) / 2) / stride);

function grid(name, caption, sizes, cell) {
  const table = document.createElement("table");
  table.dataset.grid = name;
  table.createCaption().textContent = caption;
  const [rows, columns] = sizes.length === 1 ? [1, sizes[0]] : sizes;
  for (let row = 0; row < rows; row++) {
    const line = table.insertRow();
    for (let column = 0; column < columns; column++) {
      const place = sizes.length === 1 ? [column] : [row, column];
      const { text, kind = "", canChoose = false } = cell(place);
      const box = line.insertCell();
      box.textContent = text;
      box.className = kind;
      box.dataset.place = place.join(",");
      if (canChoose) box.tabIndex = 0;
      if (canChoose) box.setAttribute("aria-label", `${named(name[0].toUpperCase(), place)} ${text}`);
    }
  }
  return table;
}

function draw() {
  const axes = state.axes, fault = tconv.fault(axes);
  at("fault").textContent = fault ? word(fault) : "";
  at("views").hidden = Boolean(fault);
  if (fault) return;
  const inputs = sizesOf("size"), taps = sizesOf("kernel_size");
  const outputs = axes.map(tconv.outputSize), canvases = axes.map(tconv.canvasSize);
  const x = numbersOf("input", inputs), k = numbersOf("kernel", taps), sums = tconv.canvas(axes, x, k);
  Object.assign(state, { x, k, sums, inputs, taps, outputs, canvases });
  at("size").textContent = [...new Set(axes.map((axis, number) =>
    `(${axis.size}-1)*${axis.stride} - 2*${axis.padding} + ${axis.dilation}*(${axis.kernel_size}-1) + ` +
    `${axis.output_padding} + 1 = ${outputs[number]}`))].join("; ");
  at("grids").replaceChildren(
    grid("input", word("input"), inputs, (place) => ({ text: shown(x[tconv.flat(place, inputs)]), canChoose: true })),
    grid("kernel", word("kernel"), taps, (place) => ({ text: shown(k[tconv.flat(place, taps)]) })),
    grid("output", word("output"), canvases, (place) => {
      const kept = place.every((index, axis) => outputPlace(place)[axis] >= 0 && outputPlace(place)[axis] < outputs[axis]);
      return { text: shown(sums[tconv.flat(place, canvases)]), kind: kept ? "" : "cropped", canChoose: kept };
    }));
  drawInsertion();
  drawMatrix();
  at("code").textContent = code();
  mark();
}

const outputPlace = (canvas) => canvas.map((index, axis) => index - state.axes[axis].padding);

function drawInsertion() {
  const sizes = state.axes.map(tconv.insertedSize), values = new Map();
  for (const place of tconv.places(state.inputs))
    values.set(tconv.insertedPlace(state.axes, place).join(","), shown(state.x[tconv.flat(place, state.inputs)]));
  at("insertion").replaceChildren(
    grid("inserted", word("inserted"), sizes, (place) => {
      const value = values.get(place.join(","));
      return { text: value ?? "0", kind: value === undefined ? "zero" : "" };
    }),
    grid("flipped", word("flipped"), state.taps, (place) => {
      const tap = place.map((index, axis) => state.taps[axis] - 1 - index);
      return { text: shown(state.k[tconv.flat(tap, state.taps)]) };
    }));
}

function drawMatrix() {
  const rows = tconv.places(state.outputs), columns = tconv.places(state.inputs);
  if (rows.length * columns.length > MOST_MATRIX_CELLS) return at("matrix").replaceChildren(word("too_large"));
  const weights = rows.map((output) => {
    const row = Array(columns.length).fill("0");
    for (const { input, tap } of tconv.sources(state.axes, output))
      row[tconv.flat(input, state.inputs)] = shown(state.k[tconv.flat(tap, state.taps)]);
    return row;
  });
  at("matrix").replaceChildren(grid("matrix", `${rows.length} x ${columns.length}`, [rows.length, columns.length],
    ([row, column]) => ({ text: weights[row][column], kind: weights[row][column] === "0" ? "zero" : "" })));
}

function code() {
  const settings = Object.entries(DEFAULTS).flatMap(([name, usual]) => {
    const values = sizesOf(name), isAlike = values.every((value) => value === values[0]);
    if (isAlike && values[0] === usual) return [];
    return `${name}=${isAlike ? values[0] : `(${values.join(", ")})`}`;
  });
  const shape = (sizes) => `1, 1, ${sizes.join(", ")}`;
  const list = (values) => `[${values.join(", ")}], dtype=torch.float64`;
  return [
    "import torch",
    `layer = torch.nn.ConvTranspose${state.axes.length}d(1, 1, ${settings.join(", ")}, bias=False).double()`,
    `kernel = torch.tensor(${list(state.k)}).reshape(${shape(state.taps)})`,
    `x = torch.tensor(${list(state.x)}).reshape(${shape(state.inputs)})`,
    "with torch.no_grad():",
    "    layer.weight.copy_(kernel)",
    "    print(layer(x))",
  ].join("\n");
}

function cellOf(name, place) {
  return document.querySelector(`[data-grid="${name}"] [data-place="${place.join(",")}"]`);
}

function mark() {
  for (const box of document.querySelectorAll("td")) box.classList.remove("chosen", "part", "tap");
  at("formula").textContent = "";
  const { name, place } = state.chosen ?? {}, box = name && cellOf(name, place);
  if (!box || box.tabIndex < 0) return;
  box.classList.add("chosen");
  if (name === "input") markTargets(place);
  else markSources(outputPlace(place));
}

function markTargets(place) {
  const column = tconv.flat(place, state.inputs), value = shown(state.x[column]);
  for (const { canvas } of tconv.targets(state.axes, place)) cellOf("output", canvas).classList.add("part");
  cellOf("inserted", tconv.insertedPlace(state.axes, place))?.classList.add("part");
  for (const row of tconv.places(state.outputs).keys()) cellOf("matrix", [row, column])?.classList.add("part");
  at("formula").textContent = word("spread")(named("X", place), value);
}

function markSources(output) {
  const row = tconv.flat(output, state.outputs), sources = tconv.sources(state.axes, output);
  for (const { input, tap } of sources) {
    cellOf("input", input).classList.add("part");
    cellOf("kernel", tap).classList.add("tap");
  }
  for (const { place } of tconv.windowOf(state.axes, output)) cellOf("inserted", place).classList.add("tap");
  for (const column of tconv.places(state.inputs).keys()) cellOf("matrix", [row, column])?.classList.add("part");
  const sum = state.sums[tconv.flat(output.map((index, axis) => index + state.axes[axis].padding), state.canvases)];
  const names = sources.map(({ input, tap }) => `${named("X", input)}·${named("K", tap)}`);
  const numbers = sources.map(({ input, tap }) =>
    `${shown(state.x[tconv.flat(input, state.inputs)])}·${shown(state.k[tconv.flat(tap, state.taps)])}`);
  at("formula").textContent = sources.length
    ? `${named("Y", output)} = ${names.join(" + ")} = ${numbers.join(" + ")} = ${shown(sum)}`
    : `${named("Y", output)} = 0: ${word("none")}`;
}

function choose(box) {
  const name = box.closest("table")?.dataset.grid;
  if (!["input", "output"].includes(name) || box.tabIndex < 0) return;
  state.chosen = { name, place: box.dataset.place.split(",").map(Number) };
  mark();
}

function step(event) {
  const moves = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
  const move = moves[event.key], box = event.target;
  if (!move || box.tagName !== "TD") return;
  const place = box.dataset.place.split(",").map(Number);
  const next = place.map((index, axis) => index + move[axis + 2 - place.length]);
  const target = cellOf(box.closest("table").dataset.grid, next);
  event.preventDefault();
  if (target?.tabIndex >= 0) target.focus();
}

function setting(name, number) {
  const label = document.createElement("label"), text = document.createElement("span");
  const slider = document.createElement("input"), value = document.createElement("output");
  const [least, most] = SLIDERS[name];
  Object.assign(slider, { type: "range", min: least, max: Math.max(most, state.axes[number][name]) });
  slider.value = state.axes[number][name];
  value.textContent = slider.value;
  label.className = "setting";
  label.append(text, slider, value);
  text.textContent = (name === "size" ? word("size") : name) + (at("linked").checked ? "" : AXIS_NAMES[state.axes.length][number]);
  slider.addEventListener("input", () => {
    const changed = at("linked").checked ? state.axes.keys() : [number];
    for (const axis of changed) state.axes[axis][name] = Number(slider.value);
    value.textContent = slider.value;
    draw();
  });
  return label;
}

function drawSettings() {
  for (const old of document.querySelectorAll(".setting:has([type=range])")) old.remove();
  at("axes").value = state.axes.length;
  at("linked").closest("label").hidden = state.axes.length === 1;
  for (const name of Object.keys(SLIDERS))
    for (const number of at("linked").checked ? [0] : state.axes.keys()) at("settings").append(setting(name, number));
}

function drawWords() {
  document.documentElement.lang = state.language === "zh" ? "zh-CN" : "en";
  for (const element of document.querySelectorAll("[data-text]")) element.textContent = word(element.dataset.text);
  at("language").textContent = word("other");
  drawSettings();
  draw();
}

at("linked").checked = state.axes.every((axis) => JSON.stringify(axis) === JSON.stringify(state.axes[0]));
at("linked").addEventListener("change", () => {
  if (at("linked").checked) state.axes = state.axes.map(() => ({ ...state.axes[0] }));
  drawSettings();
  draw();
});
at("axes").addEventListener("change", () => {
  state.axes = Array.from({ length: Number(at("axes").value) }, (_, number) => ({ ...(state.axes[number] ?? state.axes[0]) }));
  at("linked").checked = true;
  state.chosen = null;
  drawSettings();
  draw();
});
at("numbers").addEventListener("change", draw);
at("language").addEventListener("click", () => {
  state.language = state.language === "zh" ? "en" : "zh";
  drawWords();
});
at("theme").addEventListener("click", () => {
  const root = document.documentElement;
  const isDark = root.style.colorScheme ? root.style.colorScheme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.style.colorScheme = isDark ? "light" : "dark";
});
at("copy").addEventListener("click", async () => {
  getSelection().selectAllChildren(at("code"));
  try { await navigator.clipboard.writeText(at("code").textContent); } catch { document.execCommand("copy"); }
  at("copy").textContent = word("copied");
});
for (const kind of ["pointerover", "focusin", "click"])
  at("grids").addEventListener(kind, (event) => event.target.tagName === "TD" && choose(event.target));
document.addEventListener("keydown", step);
drawWords();
