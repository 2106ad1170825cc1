// What the live figures share: small helpers for elements, controls, canvases and colors.

/** An element. Properties are set as properties ("className", "onclick"), or as attributes where
 * they have a hyphen or are "role", "for", "list"; children are elements or texts. */
export function element(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes("-") || name === "role" || name === "for" || name === "list") {
      node.setAttribute(name, value);
    } else {
      node[name] = value;
    }
  }
  node.append(...children);
  return node;
}

/** A label above its control, with a hint below where one is given. The control needs an id. */
export function field(label, control, hint = "") {
  const input = control.matches("input, select") ? control : control.querySelector("input, select");
  const parts = [element("label", { for: input.id }, label), control];
  if (hint) {
    const id = `${input.id}-hint`;
    input.setAttribute("aria-describedby", id);
    parts.push(element("small", { id }, hint));
  }
  return element("div", { className: "gb-field" }, ...parts);
}

/** A menu of [value, text] pairs. */
export function select(id, options, value, onchange = null) {
  const node = element("select", { id, onchange });
  for (const [name, text] of options) {
    node.append(element("option", { value: name, selected: name === value }, text));
  }
  return node;
}

/** A slider with its value beside it. Returns a box; `box.value` reads and sets the number that
 * `read` makes of the position. `format` says it in words, for the eye and for screen readers. */
export function slider(id, { min, max, step, value, read = Number, format = String }, oninput) {
  const shown = element("output", { className: "gb-value" });
  const input = element("input", { id, type: "range", min, max, step });
  const show = () => {
    const text = format(read(input.valueAsNumber));
    shown.textContent = text;
    input.setAttribute("aria-valuetext", text);
  };
  shown.setAttribute("for", id);
  input.value = value;
  input.addEventListener("input", () => {
    show();
    oninput?.(read(input.valueAsNumber));
  });
  show();
  const box = element("div", { className: "gb-slider" }, input, shown);
  Object.defineProperty(box, "value", {
    get: () => read(input.valueAsNumber),
    set: (position) => {
      input.value = position;
      show();
    },
  });
  return box;
}

/** A button. */
export function button(text, onclick, properties = {}) {
  return element("button", { type: "button", onclick, ...properties }, text);
}

/** A group of radio buttons for [value, text] pairs. Returns a fieldset; `node.value` reads it. */
export function choices(legend, name, options, value, onchange = null) {
  const node = element("fieldset", { className: "gb-choices" }, element("legend", {}, legend));
  for (const [choice, text] of options) {
    const input = element("input", {
      type: "radio", name, value: choice, id: `${name}-${choice}`, checked: choice === value,
      onchange: () => onchange?.(choice),
    });
    node.append(element("label", { for: input.id }, input, text));
  }
  Object.defineProperty(node, "value", {
    get: () => node.querySelector("input:checked").value,
    set: (choice) => {
      node.querySelector(`input[value="${choice}"]`).checked = true;
    },
  });
  return node;
}

/** A box to tick, with its label. `node.checked` reads and sets it. */
export function tick(id, text, checked, onchange = null) {
  const input = element("input", {
    type: "checkbox", id, checked, onchange: () => onchange?.(input.checked),
  });
  const node = element("label", { className: "gb-tick", for: id }, input, text);
  Object.defineProperty(node, "checked", {
    get: () => input.checked,
    set: (value) => {
      input.checked = value;
    },
  });
  return node;
}

/** A canvas that is sharp on every screen: `width` x `height` are CSS pixels of its drawing, which
 * is scaled to whatever width the page gives it. `label` is its text for screen readers. */
export function canvas(width, height, label) {
  const node = element("canvas", { className: "gb-canvas", role: "img", "aria-label": label });
  node.style.aspectRatio = `${width} / ${height}`;
  node.style.maxWidth = `${width}px`;
  const context = node.getContext("2d");
  /** Set the scale anew, and clear. */
  const clear = () => {
    const shown = (node.clientWidth || width) * (globalThis.devicePixelRatio || 1);
    const scale = Math.max(1, shown / width);
    const size = [Math.round(width * scale), Math.round(height * scale)];
    if (node.width !== size[0] || node.height !== size[1]) [node.width, node.height] = size;
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.clearRect(0, 0, width, height);
    return context;
  };
  /** Where a pointer is, in the drawing's pixels. */
  const place = (event) => {
    const box = node.getBoundingClientRect();
    return [
      ((event.clientX - box.left) * width) / box.width,
      ((event.clientY - box.top) * height) / box.height,
    ];
  };
  const say = (text) => node.setAttribute("aria-label", text);
  return { node, context, width, height, clear, place, say };
}

/** The page's colors, as live.css names them for its light and its dark dress. */
export function colors(node) {
  const style = getComputedStyle(node);
  const read = (name) => style.getPropertyValue(`--gb-live-${name}`).trim();
  const names = ["paper", "ink", "faint", "rule", "real", "fake", "line", "warn", "good", "extra"];
  return Object.fromEntries(names.map((name) => [name, read(name)]));
}

/** Red, green and blue of a color "#rrggbb". */
export function channels(color) {
  return [1, 3, 5].map((i) => parseInt(color.slice(i, i + 2), 16));
}

/** Call back whenever the page changes between light and dark, or the node its width. */
export function onLook(node, callback) {
  new MutationObserver(callback).observe(document.documentElement, { attributeFilter: ["data-theme"] });
  let width = node.clientWidth;
  new ResizeObserver(() => {
    if (node.clientWidth !== width) {
      width = node.clientWidth;
      callback();
    }
  }).observe(node);
}

/** A line that screen readers read out when it changes. */
export function announcer() {
  return element("p", { className: "gb-say", role: "status" });
}

/** Start a figure in its place: `start(node)` fills it once the still picture is gone. Should it
 * fail, the still picture stays, with a sentence. */
export function mount(selector, start) {
  const place = document.querySelector(selector);
  if (!place) return;
  const still = place.querySelector(".gb-live-still");
  const figure = element("div", { className: "gb-live-figure" });
  try {
    place.append(figure);
    start(figure);
    still?.remove();
    place.dataset.ready = "";
  } catch (error) {
    figure.remove();
    place.append(element("p", { className: "gb-live-note" }, `It could not start: ${error.message}`));
  }
}
