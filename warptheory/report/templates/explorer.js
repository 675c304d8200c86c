"use strict";
// Draws what is chosen: curves from the numbers in the page, and a picture that it warps itself.
// The setting stands in the address after "#", such as #kernel=keys&dim=2, and can be linked to.

const data = JSON.parse(document.getElementById("data").textContent);
const { panels, formulas, choices, photograph } = data;
const element = (id) => document.getElementById(id);

// ---- what is chosen ----------------------------------------------------------------------------------------

const SLIDERS = ["spread", "slope", "depth"].filter((name) => choices[name].length);
const START = { dim: 2, sigma: 1, spread: 0.5, slope: 0.6, depth: 1 };
let kept = null;

function nearest(values, wanted) {
  let best = 0;
  values.forEach((value, place) => { if (Math.abs(value - wanted) < Math.abs(values[best] - wanted)) best = place; });
  return best;
}

function chosen() {
  const found = { kernel: element("member").value, dim: element("dim").value, offsets: element("offsets").value,
    sigma: Number(element("sigma").value), picture: element("picture").value, field: element("field").value };
  for (const name of SLIDERS) found[name] = choices[name][Number(element(name).value)];
  return found;
}

const keyOf = (panel, setting) => panel.choices.map((name) => setting[name]).join("|");
const curveOf = (panel, setting) => panel.curves[keyOf(panel, setting)];
// The curve with most choices says which settings there are.
const widest = panels.reduce((best, panel) => (panel.choices.length > best.choices.length ? panel : best), panels[0]);

function setFamily(family, name) {
  const members = choices.kernels.filter((kernel) => kernel.family === family);
  const select = element("member");
  select.replaceChildren(...members.map((kernel) => new Option(String(kernel.value ?? kernel.name).replace("-", "−"), kernel.name)));
  element("member-control").hidden = members.length < 2;
  element("member-label").textContent = `${members[0].parameter ?? "parameter"} of the kernel`;
  select.value = members.some((kernel) => kernel.name === name) ? name : (members.find((k) => k.name === family) ?? members[0]).name;
}

// What was not computed cannot be chosen.
function limitOffsets() {
  const setting = chosen();
  const select = element("offsets");
  for (const option of select.options) option.disabled = !curveOf(widest, { ...setting, offsets: option.value });
  if (select.selectedOptions[0]?.disabled) {
    const possible = [...select.options].find((option) => !option.disabled);
    if (possible) select.value = possible.value;
  }
}

function readAddress() {
  const wanted = new URLSearchParams(location.hash.slice(1));
  const kernel = choices.kernels.find((each) => each.name === wanted.get("kernel"));
  const first = choices.kernels.find((each) => each.name === "linear") ?? choices.kernels[0];
  element("family").value = (kernel ?? first).family;
  setFamily(element("family").value, (kernel ?? first).name);
  for (const name of ["dim", "offsets", "sigma", "picture", "field"]) {
    const input = element(name), value = wanted.get(name) ?? START[name];
    if (value !== undefined) input.value = value;
    if (input.tagName === "SELECT" && input.selectedIndex < 0) input.selectedIndex = 0;
  }
  for (const name of SLIDERS) {
    const value = Number(wanted.get(name) ?? START[name]);
    element(name).value = nearest(choices[name], Number.isFinite(value) ? value : START[name]);
  }
  limitOffsets();
}

function writeAddress(setting) {
  history.replaceState(null, "", "#" + new URLSearchParams(setting));
}

// ---- curves ------------------------------------------------------------------------------------------------

const WIDTH = 460, HEIGHT = 270, LEFT = 78, RIGHT = 14, TOP = 12, BOTTOM = 48;
const shown = (value, digits = 4) => (value === 0 ? "0" : Math.abs(value) >= 1e-3 && Math.abs(value) < 1e5
  ? String(Number(value.toPrecision(digits))) : value.toExponential(digits - 1));

function svg(name, attributes, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function ticks(low, high, count) {
  const raw = (high - low) / count, power = 10 ** Math.floor(Math.log10(raw));
  const step = power * [1, 2, 5, 10].find((each) => each * power >= raw * 0.999);
  const found = [];
  for (let value = Math.ceil(low / step - 1e-9) * step; value <= high + step * 1e-9; value += step) found.push(Number(value.toPrecision(8)));
  return found;
}

function decades(low, high) {
  const found = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++) found.push(10 ** power);
  return found.filter((value) => value >= low * 0.999 && value <= high * 1.001);
}

// The axes stay where they are when the setting changes, so that it is the curve that moves.
function scales(panel, factor) {
  const all = Object.values(panel.curves);
  const x = [Math.min(...all.flatMap((curve) => curve.x)), Math.max(...all.flatMap((curve) => curve.x))];
  const values = all.flatMap((curve) => curve.theory);
  const top = Math.max(...values) * factor;
  const low = panel.logarithmic ? Math.max(Math.min(...values) * factor, top * 1e-5) : Math.min(0, Math.min(...values) * factor);
  const y = panel.logarithmic ? [low / 1.3, top * 1.3] : [low, (top * 1.06) || 1];
  const across = (value) => LEFT + ((value - x[0]) / (x[1] - x[0] || 1)) * (WIDTH - LEFT - RIGHT);
  const share = panel.logarithmic
    ? (value) => Math.log(value / y[0]) / Math.log(y[1] / y[0]) : (value) => (value - y[0]) / (y[1] - y[0]);
  const up = (value) => HEIGHT - BOTTOM - Math.max(-0.02, share(value)) * (HEIGHT - TOP - BOTTOM);
  return { x, y, across, up, xTicks: ticks(...x, 6), yTicks: panel.logarithmic ? decades(...y) : ticks(...y, 5) };
}

function path(curve, factor, scale) {
  return curve.x.map((x, place) => `${place ? "L" : "M"}${scale.across(x).toFixed(2)} ${scale.up(curve.theory[place] * factor).toFixed(2)}`).join("");
}

const zOf = (curve, place) => {
  const difference = curve.estimate[place] - curve.expected[place];
  if (curve.stderr[place] > 1e-12 * Math.abs(curve.expected[place])) return difference / curve.stderr[place];
  return Math.abs(difference) <= 1e-9 * Math.abs(curve.expected[place]) ? 0 : Infinity * Math.sign(difference);
};
const zShown = (z) => (Number.isFinite(z) ? z.toFixed(2).replace("-", "−").replace(/^−0\.00$/, "0.00") : "∞");

function drawAxes(picture, panel, scale) {
  for (const value of scale.xTicks) {
    const x = scale.across(value);
    picture.append(svg("line", { class: "grid", x1: x, x2: x, y1: TOP, y2: HEIGHT - BOTTOM }),
      svg("text", { x, y: HEIGHT - BOTTOM + 16, "text-anchor": "middle" }, shown(value)));
  }
  for (const value of scale.yTicks) {
    const y = scale.up(value);
    picture.append(svg("line", { class: "grid", x1: LEFT, x2: WIDTH - RIGHT, y1: y, y2: y }),
      svg("text", { x: LEFT - 6, y: y + 4, "text-anchor": "end" }, shown(value)));
  }
  const middle = (TOP + HEIGHT - BOTTOM) / 2;
  picture.append(svg("path", { class: "axis", d: `M${LEFT} ${TOP}V${HEIGHT - BOTTOM}H${WIDTH - RIGHT}` }),
    svg("text", { x: (LEFT + WIDTH - RIGHT) / 2, y: HEIGHT - 8, "text-anchor": "middle" }, panel.abscissa),
    svg("text", { transform: `translate(15 ${middle}) rotate(-90)`, "text-anchor": "middle" }, panel.axis));
}

function drawCurve(picture, panel, curve, factor, scale, here) {
  picture.append(svg("line", { class: "here", x1: scale.across(curve.x[here]), x2: scale.across(curve.x[here]), y1: TOP, y2: HEIGHT - BOTTOM }),
    svg("path", { class: "curve", d: path(curve, factor, scale) }));
  curve.at.forEach((value, place) => {
    const x = scale.across(value), mean = curve.estimate[place] * factor, bar = curve.stderr[place] * factor;
    const [low, high] = [Math.max(mean - bar, scale.y[0]), mean + bar].map(scale.up);
    const told = `at ${shown(value)}: simulation ${shown(mean, 6)} ± ${shown(bar, 2)}, n = ${curve.n[place]}; closed form ` +
      `${shown(curve.expected[place] * factor, 6)}; z = ${zShown(zOf(curve, place))}`;
    picture.append(svg("path", { class: "bar", d: `M${x} ${low}V${high}M${x - 4} ${low}h8M${x - 4} ${high}h8` }),
      svg("circle", { class: "point", cx: x, cy: scale.up(mean), r: 4.5 }, svg("title", {}, told)));
  });
  picture.append(svg("circle", { class: "mark", cx: scale.across(curve.x[here]), cy: scale.up(curve.theory[here] * factor), r: 5.5 }));
}

function fillTable(section, panel, curve, factor) {
  section.querySelector("caption").textContent = panel.axis;
  section.querySelector("th").textContent = panel.abscissa;
  const rows = curve.x.map((x, place) => {
    const at = curve.at.indexOf(x);
    const cells = at < 0 ? ["", "", "", ""] : [shown(curve.estimate[at] * factor, 6), shown(curve.stderr[at] * factor, 2), curve.n[at], zShown(zOf(curve, at))];
    const row = document.createElement("tr");
    row.append(...[shown(x), shown(curve.theory[place] * factor, 6), ...cells].map((text) => Object.assign(document.createElement("td"), { textContent: text })));
    return row;
  });
  section.querySelector("tbody").replaceChildren(...rows);
}

// Says for which settings there is a curve, where there is none for the one that is chosen.
function offered(panel) {
  const values = panel.choices.map((name, place) => `${{ kernel: "kernel", dim: "d =", offsets: "offsets" }[name]} ${[...new Set(Object.keys(panel.curves).map((key) => key.split("|")[place]))].join(", ")}`);
  return `${panel.label} is not computed for this choice, but for: ${values.join("; ")}.`;
}

// Says what the scale of a law in a formula is, where it is not the standard deviation.
function scaleOf(panel, setting) {
  const { symbol, deviation } = choices.laws[setting.offsets];
  return panel.control === "spread" && deviation !== 1 ? ` In the formula ${symbol} is the spread / ${shown(deviation)}.` : "";
}

function drawPanel(panel, place, setting) {
  const section = element(`panel-${place}`), curve = curveOf(panel, setting);
  const readout = section.querySelector(".readout"), formula = section.querySelector(".formula");
  const meanings = section.querySelector(".meanings");
  const factor = setting.sigma ** panel.power, scale = scales(panel, factor);
  const picture = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img" });
  drawAxes(picture, panel, scale);
  const old = kept && curveOf(panel, kept), legend = section.querySelector(".kept");
  const isOther = Boolean(old) && keyOf(panel, kept) !== keyOf(panel, setting);
  if (isOther) picture.append(svg("path", { class: "ghost", d: path(old, factor, scale) }));
  legend.hidden = !isOther;
  legend.textContent = isOther ? `kept: ${panel.choices.map((name) => (name === "dim" ? `d = ${kept.dim}` : kept[name])).join(", ")}` : "";
  for (const part of ["details", ".plot", ".legend", ".formula", ".meanings"]) section.querySelector(part).hidden = !curve;
  if (curve) {
    const here = nearest(curve.x, setting[panel.control]), at = nearest(curve.at, setting[panel.control]);
    drawCurve(picture, panel, curve, factor, scale, here);
    fillTable(section, panel, curve, factor);
    const simulated = curve.at.length ? ` Simulated at ${shown(curve.at[at])}: ${shown(curve.estimate[at] * factor, 5)} ± ${shown(curve.stderr[at] * factor, 2)}` +
      ` (n = ${curve.n[at]}, z = ${zShown(zOf(curve, at))}).` : " Not simulated for this choice.";
    readout.textContent = `Closed form at ${shown(curve.x[here])}: ${shown(curve.theory[here] * factor, 5)}.${simulated}${scaleOf(panel, setting)}`;
    const { mathml, symbols } = formulas[panel.formulas[keyOf(panel, setting)]];
    formula.innerHTML = mathml;  // checked when the page was written
    meanings.textContent = symbols.map(([name, meaning]) => `${name}: ${meaning}`).join("; ");
  } else {
    readout.textContent = offered(panel);
    formula.replaceChildren();
    meanings.textContent = "";
  }
  picture.setAttribute("aria-label", `${panel.axis} against ${panel.abscissa}. ${readout.textContent}`);
  section.querySelector(".plot").replaceChildren(picture);
}

// ---- the picture -------------------------------------------------------------------------------------------

const [ROWS, COLUMNS] = photograph.size, PIXELS = ROWS * COLUMNS, MIDDLE = 0.5;
const LAYER_STRIDE = 7919;  // places by which the field of independent offsets is read further on in each layer

function decoded(text, type) {
  const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  return new type(bytes.buffer);
}

const once = (make) => { const known = new Map(); return (name) => { if (!known.has(name)) known.set(name, make(name)); return known.get(name); }; };
const levels = decoded(photograph.levels, Uint16Array);
const wavevectors = decoded(photograph.wavevectors, Float64Array), amplitudes = decoded(photograph.amplitudes, Float64Array);
const quantiles = once((law) => decoded(photograph.laws[law], Float32Array));
const kernelOf = once((name) => ({ taps: photograph.kernels[name].taps, weights: decoded(photograph.kernels[name].weights, Float32Array) }));
const pictureOf = once((name) => {
  const bytes = decoded(photograph.pictures[name].pixels, Uint8Array);
  return Array.from({ length: photograph.pictures[name].channels }, (_, c) => Float64Array.from(bytes.subarray(c * PIXELS, (c + 1) * PIXELS), (v) => v / 255));
});

function independentOffsets(setting, layer) {
  const values = quantiles(setting.offsets);
  return [0, 1].map((axis) => Float64Array.from({ length: PIXELS }, (_, pixel) =>
    setting.spread * values[levels[axis * PIXELS + (pixel + layer * LAYER_STRIDE) % PIXELS]]));
}

// Σ a cos(k·t τ/s) + b sin(k·t τ/s), by the waves along rows and along columns.
function smoothOffsets(setting, layer) {
  const { waves } = photograph, rate = setting.slope / setting.spread;
  const along = (axis, length, wave) => Array.from({ length }, (_, t) => wavevectors[2 * wave + axis] * t * rate);
  const found = [new Float64Array(PIXELS), new Float64Array(PIXELS)];
  for (let wave = 0; wave < waves; wave++) {
    const down = along(0, ROWS, wave), across = along(1, COLUMNS, wave);
    const [cosines, sines] = [across.map(Math.cos), across.map(Math.sin)];
    for (let axis = 0; axis < 2; axis++) {
      const first = ((layer * 2 + axis) * 2) * waves + wave;
      const a = setting.spread * amplitudes[first], b = setting.spread * amplitudes[first + waves];
      for (let i = 0; i < ROWS; i++) {
        const c = Math.cos(down[i]), s = Math.sin(down[i]);
        const p = a * c + b * s, q = b * c - a * s;
        for (let j = 0; j < COLUMNS; j++) found[axis][i * COLUMNS + j] += p * cosines[j] + q * sines[j];
      }
    }
  }
  return found;
}

// Offsets of a layer in pixels: along the rows' axis first; with d = 1 only along the other.
function offsetsOf(setting, layer) {
  const found = setting.field === "smooth" ? smoothOffsets(setting, layer) : independentOffsets(setting, layer);
  if (setting.dim === "1") found[0].fill(0);
  return found;
}

// Offsets as the warp takes them, in units of 1/256 of a pixel.
const rounded = (offsets) => Int32Array.from(offsets, (value) => Math.floor(value * photograph.fractions + 0.5));

const reflected = (place, size) => { const at = ((place % (2 * size)) + 2 * size) % (2 * size); return at < size ? at : 2 * size - 1 - at; };

function warped(channels, offsets, setting) {
  const count = photograph.fractions, { taps, weights } = kernelOf(setting.kernel);
  const still = { taps: [0], weights: new Float32Array(count).fill(1) };  // along an axis that does not move
  const [down, across] = [setting.dim === "1" ? still : { taps, weights }, { taps, weights }];
  const [y, x] = offsets.map(rounded);
  const result = channels.map(() => new Float64Array(PIXELS));
  const columns = new Int32Array(across.taps.length), columnWeights = new Float64Array(across.taps.length);
  for (let i = 0, pixel = 0; i < ROWS; i++) {
    for (let j = 0; j < COLUMNS; j++, pixel++) {
      const row = i + Math.floor(y[pixel] / count), column = j + Math.floor(x[pixel] / count);
      const f = y[pixel] & (count - 1), g = x[pixel] & (count - 1);
      across.taps.forEach((tap, k) => { columns[k] = reflected(column + tap, COLUMNS); columnWeights[k] = across.weights[k * count + g]; });
      for (let k = 0; k < down.taps.length; k++) {
        const weight = down.weights[k * count + f], start = reflected(row + down.taps[k], ROWS) * COLUMNS;
        if (weight === 0) continue;
        for (let c = 0; c < channels.length; c++) {
          let sum = 0;
          for (let m = 0; m < columns.length; m++) sum += columnWeights[m] * channels[c][start + columns[m]];
          result[c][pixel] += weight * sum;
        }
      }
    }
  }
  return result;
}

function contrasted(channels, sigma) {
  return channels.map((channel) => channel.map((value) => MIDDLE + sigma * (value - MIDDLE)));
}

function warpedPicture(setting) {
  let channels = contrasted(pictureOf(setting.picture), setting.sigma);
  for (let layer = 0; layer < setting.depth; layer++) channels = warped(channels, offsetsOf(setting, layer), setting);
  return channels;
}

function variance(channels) {
  const means = channels.map((channel) => channel.reduce((sum, value) => sum + value, 0) / PIXELS);
  return channels.reduce((sum, channel, c) => sum + channel.reduce((part, value) => part + (value - means[c]) ** 2, 0) / PIXELS, 0);
}

// Share of the pixels with J < 0, by forward differences.
function foldShare(offsets, dim) {
  let folds = 0;
  for (let i = 0; i < ROWS - 1; i++) {
    for (let j = 0; j < COLUMNS - 1; j++) {
      const at = i * COLUMNS + j;
      const slope = (axis, step) => offsets[axis][at + step] - offsets[axis][at];
      const across = 1 + slope(1, 1);
      const determinant = dim === "1" ? across : (1 + slope(0, COLUMNS)) * across - slope(0, 1) * slope(1, COLUMNS);
      if (determinant < 0) folds++;
    }
  }
  return folds / ((ROWS - 1) * (COLUMNS - 1));
}

function paint(canvas, channels) {
  canvas.width = COLUMNS;
  canvas.height = ROWS;
  const image = new ImageData(COLUMNS, ROWS);
  for (let pixel = 0; pixel < PIXELS; pixel++) {
    for (let c = 0; c < 3; c++) image.data[4 * pixel + c] = Math.round(255 * channels[channels.length === 1 ? 0 : c][pixel]);
    image.data[4 * pixel + 3] = 255;
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
}

function drawPicture(setting) {
  const before = contrasted(pictureOf(setting.picture), setting.sigma), after = warpedPicture(setting);
  paint(element("before"), before);
  paint(element("after"), after);
  const layers = setting.depth === 1 ? "one layer" : `${setting.depth} layers`;
  element("after-caption").textContent = `after ${layers}`;
  const share = variance(after) / variance(before);
  const smooth = setting.field === "smooth";
  const offsets = smooth ? `Correlation length s/τ = ${shown(setting.spread / setting.slope, 3)} pixels; ${(100 * foldShare(offsetsOf(setting, 0), setting.dim)).toFixed(1)} % of the first layer's field are folded. ` : "";
  element("picture-readout").textContent = `${offsets}${(100 * share).toFixed(1)} % of the picture's variance is left.`;
}

// ---- together ----------------------------------------------------------------------------------------------

function show() {
  limitOffsets();
  const setting = chosen();
  for (const name of SLIDERS) element(`${name}-shown`).textContent = shown(setting[name]) + { spread: " pixels", slope: "", depth: "" }[name];
  element("sigma-shown").textContent = setting.sigma;
  panels.forEach((panel, place) => drawPanel(panel, place, setting));
  drawPicture(setting);
  return setting;
}

function start() {
  const families = [...new Set(choices.kernels.map((kernel) => kernel.family))];
  element("family").replaceChildren(...families.map((family) => new Option(family, family)));
  readAddress();
  element("family").addEventListener("change", () => setFamily(element("family").value));
  let waiting = 0;  // one drawing a frame, however fast a slider moves
  const soon = () => { cancelAnimationFrame(waiting); waiting = requestAnimationFrame(() => writeAddress(show())); };
  document.addEventListener("input", soon);
  document.addEventListener("change", soon);
  element("controls").addEventListener("submit", (event) => event.preventDefault());
  element("keep").addEventListener("click", () => { kept = chosen(); soon(); });
  addEventListener("hashchange", () => { readAddress(); show(); });
  show();
}

start();
// For tests, and for those who look into the console.
window.explorer = { chosen, offsetsOf, rounded, pictureOf, warped, warpedPicture, foldShare, show };
