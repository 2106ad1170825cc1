// The generator explorer: choose a model and a seed, move a picture, walk to another one, mix
// styles, and save what you found with a record of where it comes from.

import { pixels } from "./generators.js";
import { move, truncate } from "./latents.js";
import { encode, provenance } from "./png.js";
import { announcer, button, choices, element, field, select, slider } from "./shared.js";
import { repeatedly, starter } from "./starter.js";

const COUNT = 24; // pictures of a seed on the wall
const STEPS = 9; // pictures of a walk
const REACH = 3; // of a direction's slider, in standard deviations
const SAVED = 256; // least side of a saved picture
const SIZES = [32, 64, 128, 256];
const LARGEST_SEED = 2 ** 32 - 1;

const decimal = (x) => x.toFixed(2).replace("-", "\u2212");
const signed = (x) => (x > 0 ? "+" : "") + x.toFixed(1).replace("-", "\u2212");

/** A canvas that shows small pictures, pixel by pixel. */
function tile(properties = { "aria-hidden": "true" }) {
  const node = element("canvas", { className: "gb-ex-picture", ...properties });
  return {
    node,
    show(image) {
      if (node.width !== image.width) [node.width, node.height] = [image.width, image.height];
      node.getContext("2d").putImageData(image, 0, 0);
    },
  };
}

/** The explorer in `node`, once a reader starts it. `base` is where the files lie. */
export function explorer(node, base) {
  const still = node.parentElement.querySelector(".gb-ex-still");
  return starter(node, base, {
    label: "Start the explorer",
    without: "Only this still picture can be shown",
    async begin(facts, works, model) {
      const figure = await built(facts, works, model);
      still?.remove();
      node.replaceChildren(figure.node);
      figure.focus();
    },
  });
}

/** The figure itself, with the pictures of the first model. */
async function built(facts, works, first) {
  let model = first;
  let drawn = []; // the seed's pictures, as the network draws them
  let wall = []; // the same, truncated, moved and labelled
  const chosen = { a: 0, b: 5 };
  const stale = new Set(["drawn"]);
  const say = announcer();

  // What is chosen
  const menu = field("Model", select("ex-model", facts.models.map((m) => [m.name, m.name]),
    model.about.name, () => change(menu.querySelector("select").value)));
  const about = element("p", { className: "gb-live-note gb-ex-about" });
  const seed = element("input", { type: "number", id: "ex-seed", min: 0, max: LARGEST_SEED, step: 1,
    value: 0, inputMode: "numeric", onchange: () => refresh("drawn") });
  const another = button("Another seed", () => {
    seed.value = Math.floor(Math.random() * 100_000);
    refresh("drawn");
  });
  const psi = slider("ex-psi", { min: 0, max: 1.2, step: 0.05, value: 1, format: decimal },
    () => refresh("wall"));
  const labels = element("div", { className: "gb-ex-labels gb-controls" });
  let asked = [];

  // The wall, from which A and B are chosen
  const slot = choices("A click on the wall chooses", "ex-slot", [["a", "picture A"], ["b", "picture B"]],
    "a", () => marked());
  const tiles = Array.from({ length: COUNT }, (_, i) => {
    const picture = tile();
    const input = element("input", { type: "radio", name: "ex-tile", value: i,
      "aria-label": `Picture ${i + 1}`, onchange: () => {
        chosen[slot.value] = i;
        marked();
        refresh("walk");
      } });
    const badge = element("span", { className: "gb-ex-badge", "aria-hidden": "true" });
    return { input, badge, show: picture.show,
      node: element("label", { className: "gb-ex-tile" }, input, picture.node, badge) };
  });
  const board = element("fieldset", { className: "gb-ex-wall" },
    element("legend", {}, `The first ${COUNT} pictures of the seed`), ...tiles.map((t) => t.node));

  // The picture, and what moves it
  const large = tile({ role: "img", "aria-label": "" });
  const caption = element("p", { className: "gb-ex-caption" });
  const directions = first.about.directions.map((_, k) => slider(`ex-direction-${k + 1}`,
    { min: -REACH, max: REACH, step: 0.1, value: 0, format: signed }, () => refresh("wall")));
  const detail = field("Painted at", select("ex-side", SIZES.map((s) => [String(s), `${s} \u00d7 ${s}`]),
    "128", () => refresh("large")));
  const reset = button("Back to the start", () => {
    directions.forEach((d) => { d.value = 0; });
    psi.value = 1;
    way.value = 0;
    layer.value = 0;
    refresh("wall");
  });
  const save = button("Save as PNG", () => saved().catch((error) => {
    say.textContent = `It could not be saved: ${error.message}`;
  }));

  // Between A and B
  const film = Array.from({ length: STEPS }, () => tile());
  const way = slider("ex-way", { min: 0, max: 1, step: 0.01, value: 0,
    format: (t) => `${Math.round(100 * t)} %` }, () => refresh("large"));
  const strip = (pictures) =>
    element("div", { className: "gb-ex-strip", "aria-hidden": "true" }, ...pictures.map((p) => p.node));
  const most = Math.max(...facts.models.map((m) => m.layers));
  const mixtures = Array.from({ length: most + 1 }, () => tile());
  const layer = slider("ex-layer", { min: 0, max: most, step: 1, value: 0 }, () => refresh("large"));
  const mixing = element("section", { className: "gb-ex-between" },
    field("Layers that take the style of B, from the finest on",
      element("div", {}, strip(mixtures), layer),
      "Left: all styles from A. Right: all from B. The noise stays that of A."));

  const figure = element("div", { className: "gb-ex" },
    element("div", { className: "gb-ex-columns" },
      element("section", { className: "gb-ex-choose", "aria-label": "Choose" },
        element("div", { className: "gb-controls" }, menu,
          field("Seed", element("div", { className: "gb-ex-seed" }, seed, another)),
          field("Truncation \u03c8", psi), about),
        labels, board, slot),
      element("section", { className: "gb-ex-shape", "aria-label": "Shape" },
        element("div", { className: "gb-ex-frame" }, large.node), caption,
        element("fieldset", { className: "gb-ex-directions" },
          element("legend", {}, "Move along the first directions"),
          ...directions.map((d, k) => field(`${k + 1}`, d))),
        detail,
        element("div", { className: "gb-buttons" }, save, reset), say)),
    element("section", { className: "gb-ex-between" },
      field("Walk from A to B", element("div", {}, strip(film), way))),
    mixing);

  /** The weights of the classes of picture `i`: as asked, or in turn. */
  function labelled(i) {
    let [index, rest] = [0, i];
    const turns = [];
    for (const { options } of [...model.about.labels].reverse()) {
      turns.unshift(rest % options.length);
      rest = Math.floor(rest / options.length);
    }
    model.about.labels.forEach(({ options }, k) => {
      const own = asked[k].value;
      index = index * options.length + (own === "turn" ? turns[k] : Number(own));
    });
    return model.labels(index);
  }

  /** Controls for what this model has. */
  function fitted() {
    const { name, about: text, space, layers, any_size: any } = model.about;
    about.textContent = `${name}: ${text}.`;
    asked = model.about.labels.map(({ name: question, options }) => select(
      `ex-${question.toLowerCase()}`, [["turn", "each in turn"], ...options.map((o, i) => [String(i), o])],
      "turn", () => refresh("wall")));
    labels.replaceChildren(...asked.map((menu_, k) => field(model.about.labels[k].name, menu_)));
    labels.hidden = !asked.length;
    detail.hidden = !any;
    mixing.hidden = !layers;
    layer.querySelector("input").max = layers || most;
    figure.dataset.space = space;
  }

  function marked() {
    tiles.forEach(({ input, badge }, i) => {
      const letters = ["a", "b"].filter((key) => chosen[key] === i);
      badge.textContent = letters.join(" ").toUpperCase();
      badge.hidden = !letters.length;
      input.checked = chosen[slot.value] === i;
      input.setAttribute("aria-label", `Picture ${i + 1}${letters.length ? `, now ${badge.textContent}` : ""}`);
    });
  }

  async function change(name) {
    say.textContent = `Loading ${name} \u2026`;
    try {
      model = await works.open(name);
    } catch (error) {
      say.textContent = `It could not be loaded: ${error.message}`;
      return;
    }
    say.textContent = "";
    fitted();
    directions.forEach((d) => { d.value = 0; });
    [psi.value, way.value, layer.value] = [1, 0, 0];
    await refresh("drawn");
  }

  /** The large picture as it is described by A, B and the sliders. */
  function composed() {
    const [a, b] = [wall[chosen.a], wall[chosen.b]];
    const on = model.between(a, b, way.value);
    const { layers } = model.about;
    return layers && layer.value ? model.mixed(on, b, layers - layer.value) : on;
  }

  const refreshed = repeatedly(async () => {
    const todo = new Set(stale);
    stale.clear();
    const from = ["drawn", "wall", "walk", "large"].findIndex((name) => todo.has(name));
    const number = Math.min(LARGEST_SEED, Math.max(0, Math.floor(seed.valueAsNumber) || 0));
    seed.value = number;
    if (from <= 0) drawn = await model.drawn(COUNT, number);
    if (from <= 1) {
      const { directions: units, steps, mean } = model.about;
      const amounts = directions.map((d) => d.value);
      wall = drawn.map(({ code, noise }, i) => ({
        code: move(truncate(code, psi.value, mean), units, steps, amounts), noise, labels: labelled(i),
      }));
    }
    await painted();
    if (from <= 1) {
      const pictures = await model.paint(wall);
      tiles.forEach((t, i) => t.show(pixels(pictures, i)));
    }
    if (from <= 2) {
      const [a, b] = [wall[chosen.a], wall[chosen.b]];
      const walk = film.map((_, i) => model.between(a, b, i / (STEPS - 1)));
      const pictures = await model.paint(walk);
      film.forEach((t, i) => t.show(pixels(pictures, i)));
      if (model.about.layers) {
        const mixed = mixtures.map((_, i) => model.mixed(a, b, model.about.layers - i));
        const shown = await model.paint(mixed);
        mixtures.forEach((t, i) => t.show(pixels(shown, i)));
      }
    }
  });

  async function painted() {
    const side = model.about.any_size ? Number(detail.querySelector("select").value) : undefined;
    const picture = await model.paint([composed()], side);
    large.show(pixels(picture));
    const [a, b] = [chosen.a + 1, chosen.b + 1];
    const where = way.value ? `${Math.round(100 * way.value)} % of the way from picture ${a} to ${b}` : `Picture ${a}`;
    const { layers } = model.about;
    const mix = layers && layer.value
      ? `, its ${layer.value} finest of ${layers} layers in the style of picture ${b}` : "";
    caption.textContent = `${where} of seed ${seed.value}${mix}, ${picture.width} \u00d7 ${picture.height}`;
    large.node.setAttribute("aria-label", `${caption.textContent}, painted by ${model.about.name}`);
    return picture;
  }

  function refresh(what) {
    stale.add(what);
    return refreshed();
  }

  async function saved() {
    const picture = await painted();
    const { data } = pixels(picture);
    const times = Math.max(1, Math.ceil(SAVED / picture.width));
    const [width, height] = [picture.width * times, picture.height * times];
    const rgb = new Uint8Array(3 * width * height);
    for (let y = 0, to = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        const from = 4 * (Math.floor(y / times) * picture.width + Math.floor(x / times));
        for (let c = 0; c < 3; c++) rgb[to++] = data[from + c];
      }
    }
    const titles = model.about.labels.map(({ name, options }, k) =>
      [name.toLowerCase(), asked[k].value === "turn" ? "in turn" : options[Number(asked[k].value)]]);
    const made = {
      model: model.about.name, seed: Number(seed.value), number: chosen.a, truncation: psi.value,
      directions: directions.map((d) => d.value), enlarged: times, ...Object.fromEntries(titles),
    };
    if (way.value) Object.assign(made, { walk_to: chosen.b, walk: way.value });
    if (layer.value && model.about.layers) Object.assign(made, { style_of: chosen.b, layers: layer.value });
    const file = await encode(width, height, rgb, provenance(model.about.record, made, width, height, rgb));
    const address = URL.createObjectURL(new Blob([file], { type: "image/png" }));
    const name = `${model.about.name}-seed-${seed.value}-${chosen.a + 1}.png`;
    element("a", { href: address, download: name }).click();
    setTimeout(() => URL.revokeObjectURL(address), 10_000);
    say.textContent = `Saved as ${name}, with a record of where it comes from.`;
  }

  fitted();
  marked();
  drawn = await model.drawn(COUNT, 0);
  wall = drawn.map((picture, i) => ({ ...picture, labels: labelled(i) }));
  await painted(); // the rest follows when the figure is shown
  refresh("wall");
  return { node: figure, focus: () => menu.querySelector("select").focus({ preventScroll: true }) };
}
