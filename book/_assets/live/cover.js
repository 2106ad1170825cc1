// The cover, painted anew: one model fills a wall, of which a reader changes three things.

import { pixels } from "./generators.js";
import { move, truncate } from "./latents.js";
import { announcer, button, element, field, slider } from "./shared.js";
import { repeatedly, starter } from "./starter.js";

const MODEL = "atelier-32";
const [WIDE, NARROW] = [[16, 6], [8, 7]]; // columns and rows of the wall
const GAP = 2; // pixels between two pictures
const decimal = (x) => x.toFixed(2).replace("-", "\u2212");

/** The figure in `node`: a click replaces the still picture `still` by a wall that the network
 * paints, and what its caption says. `base` is where the files lie. */
export function cover(node, base, still, caption) {
  return starter(node, base, {
    label: "Let the network paint here",
    without: "The network does not run here",
    name: MODEL,
    async begin(facts, works, model) {
      const { about } = model;
      const [height, width] = about.size;
      const [columns, rows] = node.clientWidth < 500 ? NARROW : WIDE;
      const count = columns * rows;
      const wall = element("canvas", {
        className: "gb-cover-wall", role: "img", width: columns * (width + GAP) - GAP,
        height: rows * (height + GAP) - GAP,
      });
      const context = wall.getContext("2d");
      const say = announcer();
      let seed = 0;
      let drawn = await model.drawn(count, seed);
      const again = repeatedly(async () => {
        const codes = drawn.map((one) => ({
          ...one, code: move(truncate(one.code, psi.value, about.mean), about.directions, about.steps, [way.value]),
        }));
        const pictures = await model.paint(codes);
        codes.forEach((_, i) => context.putImageData(pixels(pictures, i),
          (i % columns) * (width + GAP), Math.floor(i / columns) * (height + GAP)));
        caption.replaceChildren(element("em", {}, `Painted just now, in this page: the first ${count} pictures of seed ${seed}, `
          + "none left out."));
        wall.setAttribute("aria-label", `${count} pictures painted by ${about.name} just now: seed ${seed}, `
          + `truncation ${decimal(psi.value)}, moved by ${decimal(way.value)} along the first direction`);
      });
      const psi = slider("cover-psi", { min: 0, max: 1.2, step: 0.05, value: 1, format: decimal }, again);
      const way = slider("cover-way", { min: -3, max: 3, step: 0.1, value: 0, format: decimal }, again);
      const other = button("Other pictures", async () => {
        seed += 1;
        drawn = await model.drawn(count, seed);
        await again();
        say.textContent = `Seed ${seed}: ${count} other pictures.`;
      }, { className: "gb-main" });
      await again();
      still.replaceWith(wall);
      node.replaceChildren(
        element("div", { className: "gb-buttons" }, other, say),
        element("div", { className: "gb-controls" },
          field("Truncation \u03c8", psi, "How far codes may lie from their mean."),
          field("Along the first direction", way, "Moves the code of every picture.")),
        element("p", { className: "gb-live-note" }, `A code is ${about.z_dim} random numbers; each picture is what the `
          + "network makes of one code. More of this in the ",
          element("a", { href: "explorer.html" }, "generator explorer"), "."));
      other.focus({ preventScroll: true });
    },
  });
}
