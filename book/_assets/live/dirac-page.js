// The phase portrait of the Dirac-GAN: where two players go who each follow their own gradient.

import { atGoal, field, game, trajectory } from "./dirac.js";
import { LOSS_NAMES } from "./losses.js";
import { arrow, chart, font, plane, told, written } from "./plot.js";
import {
  announcer, button, canvas, choices, colors, element, field as labelled, mount, onLook, select,
  slider, tick,
} from "./shared.js";

const SIZE = 520;
const EXTENT = 2.5;
const DRAWN = plane(SIZE, EXTENT);
const RULES = [
  ["simultaneous", "at once"], ["alternating", "in turns, D first"],
  ["extragradient", "extragradient: look ahead, then move"],
];
const WORDS = {
  arrive: (size) => `The largest |μ| is ${size}, below 1: near the goal the players arrive.`,
  leave: (size) => `The largest |μ| is ${size}, above 1: near the goal the players leave.`,
  undecided: () => "The largest |μ| is exactly 1: the linear part does not decide.",
};
const limited = (x) => Math.max(-EXTENT, Math.min(EXTENT, Math.round(x * 100) / 100));
const exact = (x, digits) => told(Number(x.toFixed(digits)), 8);

function start(place) {
  const state = { start: [1, 0], playing: null, shown: Infinity };
  const phase = canvas(SIZE, SIZE, "");
  const circle = canvas(360, 230, "");
  const distance = canvas(360, 190, "");
  const said = announcer();

  // the controls
  const loss = select("dirac-loss", LOSS_NAMES, "saturating", () => renew());
  const rule = choices("The players move", "dirac-rule", RULES, "simultaneous", () => renew());
  const two = (value) => value.toFixed(2);
  const gamma = slider(
    "dirac-gamma", { min: 0, max: 3, step: 0.01, value: 0, format: two }, () => renew(),
  );
  const noise = slider(
    "dirac-noise", { min: 0, max: 2, step: 0.05, value: 0, format: two }, () => renew(),
  );
  const rates = { min: 0.01, max: 4, step: 0.01, value: 0.3, format: two };
  const etaG = slider("dirac-eta-g", rates, (value) => {
    if (same.checked) etaD.value = value;
    renew();
  });
  const etaD = slider("dirac-eta-d", rates, (value) => {
    if (same.checked) etaG.value = value;
    renew();
  });
  const same = tick("dirac-same", "the same rate for both", true, (on) => {
    if (on) etaD.value = etaG.value;
    renew();
  });
  const rounds = slider("dirac-rounds", {
    min: 10, max: 1000, step: 10, value: 100,
  }, () => renew());
  const number = (id, axis) => element("input", {
    id, type: "number", min: -EXTENT, max: EXTENT, step: 0.05, value: state.start[axis],
    onchange: () => {
      state.start[axis] = limited(inputs[axis].valueAsNumber || 0);
      renew();
    },
  });
  const inputs = [];
  inputs.push(number("dirac-theta", 0), number("dirac-psi", 1));
  const playing = button("Play", () => (state.playing ? stop() : play()), { className: "gb-main" });
  const again = button("Back to the first settings", () => {
    stop();
    loss.value = "saturating";
    rule.value = "simultaneous";
    [gamma.value, noise.value, etaG.value, etaD.value, rounds.value] = [0, 0, 0.3, 0.3, 100];
    same.checked = true;
    state.start = [1, 0];
    renew();
  });

  // the start, to be dragged or moved by arrow keys
  const handle = element("button", {
    type: "button", className: "gb-dirac-handle", id: "dirac-start",
    "aria-describedby": "dirac-start-help",
  });
  const move = ([theta, psi]) => {
    state.start = [limited(theta), limited(psi)];
    renew();
  };
  const follow = (event) => move(DRAWN.back(phase.place(event)));
  for (const node of [handle, phase.node]) {
    node.addEventListener("pointerdown", (event) => {
      if (node === phase.node && event.pointerType === "touch") return; // the page may scroll
      event.preventDefault();
      handle.focus();
      node.setPointerCapture(event.pointerId);
      if (node === phase.node) follow(event);
      node.addEventListener("pointermove", follow);
    });
    for (const name of ["pointerup", "pointercancel"]) {
      node.addEventListener(name, () => node.removeEventListener("pointermove", follow));
    }
  }
  phase.node.addEventListener("click", follow);
  handle.addEventListener("keydown", (event) => {
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
    if (!way[event.key]) return;
    event.preventDefault();
    const step = event.shiftKey ? 0.25 : 0.05;
    move(state.start.map((x, i) => x + step * way[event.key][i]));
  });

  // what is drawn
  function renew() {
    const rules = game({ loss: loss.value, r1: gamma.value, noise: noise.value });
    const path = trajectory(
      rules, rule.value, state.start, etaG.value, etaD.value, rounds.value,
    );
    Object.assign(state, { rules, path, goal: atGoal(rules, rule.value, etaG.value, etaD.value) });
    inputs.forEach((input, axis) => (input.value = state.start[axis]));
    const [theta, psi] = state.start.map((x) => told(x, 4));
    handle.setAttribute("aria-label", `Start: theta ${theta}, psi ${psi}`);
    handle.style.left = `${(100 * DRAWN.x(state.start[0])) / SIZE}%`;
    handle.style.top = `${(100 * DRAWN.y(state.start[1])) / SIZE}%`;
    draw();
  }

  function draw() {
    const look = colors(place);
    drawPhase(look);
    drawCircle(look);
    const far = state.path.map((w, i) => [i, Math.hypot(...w)]);
    chart(distance, look, {
      title: "Distance from the goal", xName: "round", log: true,
      lines: [{ points: far, color: look.line }],
    });
    const last = far.at(-1);
    const cut = state.path.length <= rounds.value;
    const after = `After ${last[0]} rounds the distance is ${told(last[1])}`
      + `${cut ? ", and it is no longer followed" : ""}.`;
    distance.say(`Distance from the goal. ${after}`);
    phase.say(
      `Phase plane, theta to the right and psi upward. Start ${told(state.start[0])}, `
      + `${told(state.start[1])}. ${after}`,
    );
    const { verdict, size, values } = state.goal;
    const sentence = WORDS[verdict](exact(size, 4));
    const pair = values[0].im
      ? `${exact(values[0].re, 4)} ± ${exact(Math.abs(values[0].im), 4)} i`
      : values.map(({ re }) => exact(re, 4)).join(" and ");
    circle.say(`The eigenvalues of one round at the goal: ${pair}. ${sentence}`);
    readout.eigen.textContent = pair;
    readout.size.textContent = exact(size, 4);
    readout.rounds.textContent = `${last[0]}${cut ? " (then beyond a million)" : ""}`;
    readout.distance.textContent = told(last[1]);
    if (said.textContent !== sentence) said.textContent = sentence;
  }

  function drawPhase(look) {
    const context = phase.clear();
    context.fillStyle = look.paper;
    context.fillRect(0, 0, SIZE, SIZE);
    context.strokeStyle = look.rule;
    context.lineWidth = 1;
    context.beginPath();
    context.moveTo(0, SIZE / 2);
    context.lineTo(SIZE, SIZE / 2);
    context.moveTo(SIZE / 2, 0);
    context.lineTo(SIZE / 2, SIZE);
    context.stroke();
    context.strokeStyle = look.faint;
    context.globalAlpha = 0.55;
    for (let i = -6; i <= 6; i += 1) {
      for (let j = -6; j <= 6; j += 1) {
        const w = [0.38 * i, 0.38 * j];
        const { v } = field(state.rules, w);
        const size = Math.hypot(...v);
        if (size < 1e-9) continue;
        const long = (24 * Math.sqrt(Math.min(1, size / 1.6))) / size;
        const [dx, dy] = [long * v[0], -long * v[1]];
        arrow(context, DRAWN.x(w[0]) - dx / 2, DRAWN.y(w[1]) - dy / 2, dx, dy);
      }
    }
    context.globalAlpha = 1;
    // the path, its dots fading to where it began
    const shown = state.path.slice(0, Math.floor(Math.min(state.shown, state.path.length)));
    context.strokeStyle = look.line;
    context.lineWidth = 1.3;
    context.beginPath();
    shown.forEach(([x, y], i) => context[i ? "lineTo" : "moveTo"](DRAWN.x(x), DRAWN.y(y)));
    context.stroke();
    context.fillStyle = look.line;
    if (shown.length < 400) {
      for (const [x, y] of shown) {
        context.beginPath();
        context.arc(DRAWN.x(x), DRAWN.y(y), 2.2, 0, 7);
        context.fill();
      }
    }
    const [x, y] = shown.at(-1) ?? state.start;
    context.lineWidth = 2;
    context.fillStyle = look.paper;
    context.strokeStyle = look.line;
    context.beginPath();
    context.arc(DRAWN.x(x), DRAWN.y(y), 5.5, 0, 7);
    context.fill();
    context.stroke();
    // the goal, and the names of the axes
    context.strokeStyle = look.good;
    context.lineWidth = 2.5;
    context.beginPath();
    for (const sign of [1, -1]) {
      context.moveTo(SIZE / 2 - 7, SIZE / 2 - 7 * sign);
      context.lineTo(SIZE / 2 + 7, SIZE / 2 + 7 * sign);
    }
    context.stroke();
    context.fillStyle = look.ink;
    font(context, 14);
    context.textBaseline = "bottom";
    context.textAlign = "right";
    written(context, look, "θ, what the generator says", SIZE - 8, SIZE / 2 - 6);
    context.textAlign = "left";
    context.textBaseline = "top";
    written(context, look, "ψ, the discriminator's slope", SIZE / 2 + 8, 8);
  }

  function drawCircle(look) {
    const context = circle.clear();
    const { width, height } = circle;
    const { values, size } = state.goal;
    const scale = 84 / Math.max(1, Math.min(size, 40) / 1.15);
    const [cx, cy] = [width / 2, height / 2 + 14];
    context.fillStyle = look.paper;
    context.fillRect(0, 0, width, height);
    context.strokeStyle = look.rule;
    context.lineWidth = 1;
    context.beginPath();
    context.moveTo(8, cy);
    context.lineTo(width - 8, cy);
    context.moveTo(cx, 34);
    context.lineTo(cx, height - 6);
    context.stroke();
    context.strokeStyle = look.faint;
    context.fillStyle = look.line;
    context.beginPath();
    context.arc(cx, cy, scale, 0, 7);
    context.globalAlpha = 0.1;
    context.fill();
    context.globalAlpha = 1;
    context.stroke();
    context.fillStyle = size > 1 + 1e-9 ? look.warn : look.good;
    for (const { re, im } of values) {
      context.beginPath();
      context.arc(cx + scale * re, cy - scale * im, 5.5, 0, 7);
      context.fill();
    }
    context.fillStyle = look.ink;
    context.textAlign = "left";
    context.textBaseline = "top";
    font(context, 13, 650);
    context.fillText("Eigenvalues of a round, and the unit circle", 8, 6);
  }

  function stop() {
    cancelAnimationFrame(state.playing);
    Object.assign(state, { playing: null, shown: Infinity });
    playing.textContent = "Play";
    draw();
  }

  function play() {
    state.shown = 1;
    playing.textContent = "Stop";
    const pace = Math.max(0.15, state.path.length / 400);
    const frame = () => {
      state.shown += pace;
      if (state.shown >= state.path.length) return stop();
      drawPhase(colors(place));
      state.playing = requestAnimationFrame(frame);
    };
    state.playing = requestAnimationFrame(frame);
  }

  // the page
  const readout = Object.fromEntries(
    ["eigen", "size", "rounds", "distance"].map((name) => [name, element("dd")]),
  );
  const rows = [
    ["Eigenvalues μ", readout.eigen], ["Largest |μ|", readout.size],
    ["Rounds played", readout.rounds], ["Distance at the end", readout.distance],
  ];
  place.append(
    element("div", { className: "gb-desk" },
      element("div", { className: "gb-stage" },
        element("div", { className: "gb-dirac-square" }, phase.node, handle),
        element("div", { className: "gb-buttons gb-wide" }, playing, again),
      ),
      element("div", { className: "gb-words" },
        said,
        element("small", { id: "dirac-start-help" },
          "Drag the ring, click or tap a place, or focus the ring and use the arrow keys (with "
          + "Shift: larger steps). Cross: the goal. Blue circle: the end."),
      ),
      element("div", { className: "gb-controls" },
        labelled("Loss", loss),
        rule,
        labelled("Penalty γ of R1 or R2", gamma, "The same thing here: D is linear."),
        labelled("Instance noise, standard deviation", noise),
        element("div", {}, labelled("Learning rate of G", etaG), same),
        labelled("Learning rate of D", etaD),
        labelled("Rounds", rounds),
        labelled("Start: θ", inputs[0]),
        labelled("Start: ψ", inputs[1]),
      ),
      element("div", { className: "gb-side" },
        circle.node,
        element("dl", { className: "gb-readout" },
          ...rows.flatMap(([name, node]) => [element("dt", {}, name), node])),
        distance.node,
      ),
    ),
  );
  renew();
  onLook(place, draw);
}

mount("#live-dirac", start);
