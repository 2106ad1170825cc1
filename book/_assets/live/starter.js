// Before a generator runs: says what it costs, or why it cannot be, and starts it on a click.

import { catalog, studio } from "./generators.js";
import { button, element } from "./shared.js";

/** A size in words: tenths of a megabyte below two. */
export const megabytes = (bytes) => `${(bytes / 2 ** 20).toFixed(bytes < 2 ** 21 ? 1 : 0)} MB`;

/** A job that runs again if it was asked for while it ran, and never twice at a time. */
export function repeatedly(job) {
  let [wanted, running] = [false, null];
  const loop = async () => {
    while (wanted) {
      wanted = false;
      await job();
    }
    running = null;
  };
  return () => {
    wanted = true;
    running ??= loop();
    return running;
  };
}

/** A button in `node` that loads the runtime and one model, and no other, from `base`, then calls
 * `begin(facts, works, model)`, which fills the node. The figure's element says how far it is:
 * `data-still` where nothing can run, `data-started` once it runs. */
export async function starter(node, base, { label, without, name = null, begin }) {
  const told = element("p", { className: "gb-live-note" }, "\u2026");
  const place = node.parentElement;
  node.append(told);
  const facts = await catalog(base).catch((error) => ({ models: [], why: error.message }));
  const first = facts.models.find((model) => model.name === name) ?? facts.models[0];
  if (!first) {
    told.textContent = `${without}: ${facts.why}.`;
    place.dataset.still = "";
    return;
  }
  const weight = facts.runtime.bytes + Object.values(first.parts).reduce((sum, p) => sum + p.bytes, 0);
  told.textContent = `It loads ${megabytes(weight)} from this site and nothing from elsewhere, and then `
    + "needs no network.";
  const start = button(label, async () => {
    start.disabled = true;
    told.textContent = "Starting \u2026";
    try {
      const works = studio(base, facts);
      await begin(facts, works, await works.open(first.name));
      place.dataset.started = "";
    } catch (error) {
      start.disabled = false;
      told.textContent = `It could not start: ${error.message}`;
    }
  }, { className: "gb-main" });
  node.prepend(start);
}
