// The laboratory: a small GAN on the plane that trains while you watch and change it.

import { DEFAULTS, alive, generate, generatorGradient, judge, play, start as begin } from "./game.js";
import { LOSSES, LOSS_NAMES } from "./losses.js";
import { arrow, chart, plane, told } from "./plot.js";
import {
  announcer, button, canvas, channels, choices, colors, element, field, mount, onLook, select,
  slider, tick,
} from "./shared.js";
import {
  blurred, countModes, drawn, grid, jensenShannon, ring, sample, spiral, twoMoons,
} from "./toys.js";
import { stream } from "./xoshiro.js";

const SIZE = 520;
const EXTENT = 3.2;
const VIEW = plane(SIZE, EXTENT);
const CELLS = 52; // of the heat map and of the blurred densities, a side
const AREA = ((2 * EXTENT) / CELLS) ** 2;
const BLUR = 0.15; // standard deviation by which both densities are blurred before they are compared
const MEASURED = 1000; // generated points that are counted
const EVERY = 20; // steps between two measurements
const LEG = 500; // steps that one button plays
const NEAREST = 0.25; // of two places drawn by hand
const MOST = 60; // places drawn by hand
const SETS = {
  ring: ["a ring of 8", (sd) => ring(sd)],
  grid: ["a grid of 25", (sd) => grid(sd, 5, 1)],
  spiral: ["a spiral", (sd) => spiral(sd)],
  moons: ["two moons", (sd) => twoMoons(sd)],
  drawn: ["drawn by hand", null],
};
const RATES = [1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5];
const WEIGHTS = [0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20];
const SPEEDS = [[1, "1 step a second"], [10, "10 steps a second"], [60, "60 steps a second"],
  [Infinity, "as fast as it can"]];

const listed = (id, values, value, oninput) => slider(id, {
  min: 0, max: values.length - 1, step: 1, value: values.indexOf(value),
  read: (i) => values[i], format: (x) => told(x),
}, oninput);

function start(place) {
  const use = { ...DEFAULTS };
  const lab = { running: null, places: [], sd: 0.1, owed: 0, last: 0, goal: Infinity };
  const view = canvas(SIZE, SIZE, "");
  const charts = {
    losses: canvas(360, 150, ""), divergence: canvas(360, 150, ""), modes: canvas(360, 150, ""),
  };
  const said = announcer();

  // the controls; those in `fresh` need a new beginning, the others act at once
  const fresh = (name) => (value) => {
    use[name] = value;
    renew();
  };
  const live = (name) => (value) => {
    use[name] = value;
    if (lab.game) {
      lab.game.use[name] = value;
      lab.game.half = LOSSES[use.loss];
    }
  };
  const chosen = (change) => (event) => change(event.target.value);
  const set = select(
    "lab-set", Object.entries(SETS).map(([name, [text]]) => [name, text]), "ring",
    () => renew(true),
  );
  const loss = select("lab-loss", LOSS_NAMES, use.loss, chosen(live("loss")));
  const r1 = listed("lab-r1", WEIGHTS, use.r1, live("r1"));
  const r2 = listed("lab-r2", WEIGHTS, use.r2, live("r2"));
  const gp = listed("lab-gp", WEIGHTS, use.gp, live("gp"));
  const spectral = tick("lab-spectral", "spectral normalization of D", false, fresh("spectral"));
  const order = choices("The players move", "lab-order", [
    ["alternating", "in turns, D first"], ["simultaneous", "at once"],
  ], use.order, live("order"));
  const rateG = listed("lab-rate-g", RATES, use.rateG, live("rateG"));
  const rateD = listed("lab-rate-d", RATES, use.rateD, live("rateD"));
  const whole = (change) => (event) => change(Number(event.target.value));
  const beta1 = select("lab-beta1", [
    [0.9, "Adam, momentum 0.9"], [0.5, "Adam, momentum 0.5"], [0, "Adam, momentum 0"],
    [-1, "plain gradient descent"],
  ], use.beta1, whole((value) => {
    Object.assign(use, value < 0 ? { adam: false } : { adam: true, beta1: value });
    renew();
  }));
  const seed = element("input", {
    id: "lab-seed", type: "number", min: 0, max: 999999, step: 1, value: use.seed,
    onchange: (event) => fresh("seed")(Math.abs(Math.trunc(event.target.valueAsNumber || 0))),
  });
  const numbers = (values, unit) => values.map((n) => [n, `${n} ${n === 1 ? unit.slice(0, -1) : unit}`]);
  const dSteps = select("lab-d-steps", numbers([1, 2, 5], "steps"), use.dSteps, whole(live("dSteps")));
  const width = select("lab-width", numbers([8, 16, 32, 64], "units"), use.width, whole(fresh("width")));
  const layers = select("lab-layers", numbers([1, 2, 3, 4], "layers"), use.layers, whole(fresh("layers")));
  const batch = select("lab-batch", numbers([16, 32, 64, 128], "points"), use.batch, whole(fresh("batch")));
  const sd = select("lab-sd", [0.02, 0.05, 0.1, 0.2].map((x) => [x, String(x)]), 0.1, whole((value) => {
    lab.sd = value;
    renew();
  }));
  const speed = select("lab-speed", SPEEDS, Infinity);
  const shows = {
    heat: tick("lab-heat", "what D says, as colors", true, () => draw()),
    arrows: tick("lab-arrows", "where G's points are pulled, as arrows", true, () => draw()),
  };

  // the buttons
  const run = button("Run", () => (lab.running ? pause() : go()), { className: "gb-main" });
  const leg = button(`${LEG} steps`, () => {
    if (lab.running) pause();
    go(lab.game.step + LEG);
  });
  const step = button("One step", () => {
    if (lab.running) pause();
    advance(1);
    measure();
    draw();
    tell();
  });
  const again = button("Start anew", () => renew());
  const wipe = button("Erase the drawing", () => {
    lab.places = [];
    renew();
  });
  const buttons = element("div", { className: "gb-buttons gb-wide" }, run, leg, step, again, wipe);

  // drawing by hand: a pointer paints places, arrow keys move a cursor and space sets one
  const cursor = [0, 0];
  const hand = {
    add([x, y]) {
      const far = lab.places.every(([a, b]) => Math.hypot(a - x, b - y) >= NEAREST);
      if (Math.max(Math.abs(x), Math.abs(y)) > EXTENT - 0.2 || !far) return;
      if (lab.places.length >= MOST) {
        said.textContent = `${MOST} places are the most.`;
        return;
      }
      lab.places.push([x, y]);
      renew();
    },
  };
  const drawing = () => set.value === "drawn";
  const paint = (event) => hand.add(VIEW.back(view.place(event)));
  view.node.addEventListener("pointerdown", (event) => {
    if (!drawing()) return;
    event.preventDefault();
    view.node.focus();
    view.node.setPointerCapture(event.pointerId);
    paint(event);
    view.node.addEventListener("pointermove", paint);
  });
  for (const name of ["pointerup", "pointercancel"]) {
    view.node.addEventListener(name, () => view.node.removeEventListener("pointermove", paint));
  }
  view.node.addEventListener("keydown", (event) => {
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
    if (!drawing() || !(way[event.key] || event.key === " ")) return;
    event.preventDefault();
    if (event.key === " ") {
      hand.add([...cursor]);
      said.textContent = `${lab.places.length} places.`;
    } else {
      cursor.forEach((at, i) => {
        const moved = at + 0.1 * way[event.key][i];
        cursor[i] = Math.max(0.2 - EXTENT, Math.min(EXTENT - 0.2, moved));
      });
      said.textContent = `Cursor at ${cursor.map((at) => told(Number(at.toFixed(1)))).join(", ")}.`;
    }
    draw();
  });

  // the game
  function renew(other = false) {
    if (lab.running && (other || drawing())) pause();
    const made = drawing()
      ? lab.places.length ? drawn(lab.sd, lab.places.map((at) => [...at])) : null
      : SETS[set.value][1](lab.sd);
    lab.game = made && begin(made, use);
    lab.history = { d: [], g: [], divergence: [], modes: [] };
    if (lab.goal < Infinity) lab.goal = LEG; // of this new game
    if (made) {
      const eyes = stream(use.seed + 7919);
      lab.z = Float64Array.from({ length: MEASURED * use.zDim }, () => eyes.normal());
      lab.real = sample(made, MEASURED, eyes);
      lab.truth = blurred(made.centers, Math.hypot(lab.sd, BLUR), EXTENT, CELLS);
      lab.floor = divergence(lab.real);
      measure();
    }
    for (const control of [run, leg, step, again]) control.disabled = !made;
    wipe.hidden = !drawing();
    if (drawing()) view.node.tabIndex = 0;
    else view.node.removeAttribute("tabindex");
    view.node.style.touchAction = drawing() ? "none" : "";
    view.node.style.cursor = drawing() ? "crosshair" : "";
    help.textContent = drawing()
      ? "Draw on the square: with the mouse or a finger, or focus it, move by the arrow keys and "
        + "set a place with the space bar."
      : "Circles: the places of the real data, drawn through where G visits them, dashed where not.";
    draw();
    tell();
  }

  function divergence(points) {
    const places = Array.from(
      { length: points.length / 2 }, (_, i) => [points[2 * i], points[2 * i + 1]],
    );
    return jensenShannon(lab.truth, blurred(places, BLUR, EXTENT, CELLS), AREA);
  }

  function measure() {
    const { game, history } = lab;
    lab.points = generate(game, lab.z);
    lab.count = countModes(game.set, lab.points);
    lab.jensen = divergence(lab.points);
    history.divergence.push([game.step, lab.jensen]);
    history.modes.push([game.step, lab.count.captured]);
    if (game.step) {
      history.d.push([game.step, game.logs.d]);
      history.g.push([game.step, game.logs.g]);
    }
  }

  function advance(count) {
    for (let i = 0; i < count; i += 1) {
      play(lab.game);
      if (lab.game.step % EVERY === 0) {
        measure();
        if (!alive(lab.game)) {
          pause();
          said.textContent = `The numbers are no longer finite at step ${lab.game.step}: this game `
            + "has blown up. Start anew with a smaller learning rate or a penalty.";
          return false;
        }
      }
    }
    return true;
  }

  function go(goal = Infinity) {
    run.textContent = "Pause";
    said.textContent = "Training.";
    Object.assign(lab, { goal, owed: 0, last: performance.now() });
    const frame = (now) => {
      const pace = Number(speed.value);
      lab.owed = Math.min(lab.owed + ((now - lab.last) / 1000) * pace, 60);
      lab.last = now;
      const until = performance.now() + 24;
      while ((pace === Infinity || lab.owed >= 1) && performance.now() < until) {
        if (!advance(1)) return;
        if (lab.game.step >= lab.goal) {
          pause();
          return;
        }
        lab.owed -= 1;
      }
      if (!Number.isFinite(lab.owed)) lab.owed = 0;
      draw();
      lab.running = requestAnimationFrame(frame);
    };
    lab.running = requestAnimationFrame(frame);
  }

  function pause() {
    cancelAnimationFrame(lab.running);
    lab.running = null;
    run.textContent = "Run";
    draw();
    tell();
  }

  // what is drawn and said
  function summary() {
    const { game, count, jensen } = lab;
    if (!game) return "Nothing is drawn yet.";
    return `Step ${game.step}: G visits ${count.captured} of ${game.set.modes.length} places; `
      + `${Math.round(100 * count.quality)} % of its points lie near one; Jensen-Shannon `
      + `divergence ${told(jensen, 2)}.`;
  }

  function tell() {
    said.textContent = summary();
  }

  function draw() {
    const look = colors(place);
    const context = view.clear();
    context.fillStyle = look.paper;
    context.fillRect(0, 0, SIZE, SIZE);
    const { game } = lab;
    if (game) {
      lab.shown = generate(game, lab.z.subarray(0, 400 * use.zDim));
      if (shows.heat.checked) drawHeat(context, look);
      drawPlaces(context, look);
      drawPoints(context, lab.real, look.real, 400, false);
      if (shows.arrows.checked) drawArrows(context, look);
      drawPoints(context, lab.shown, look.fake, 400, true);
      readout.step.textContent = game.step;
      readout.modes.textContent = `${lab.count.captured} of ${game.set.modes.length}`;
      readout.quality.textContent = `${Math.round(100 * lab.count.quality)} %`;
      readout.divergence.textContent = `${told(lab.jensen, 2)} (floor ${told(lab.floor, 2)})`;
    } else {
      for (const node of Object.values(readout)) node.textContent = "–";
    }
    if (drawing()) {
      const [x, y] = [VIEW.x(cursor[0]), VIEW.y(cursor[1])];
      context.strokeStyle = look.ink;
      context.lineWidth = 1.5;
      context.beginPath();
      context.moveTo(x - 8, y);
      context.lineTo(x + 8, y);
      context.moveTo(x, y - 8);
      context.lineTo(x, y + 8);
      context.stroke();
    }
    view.say(`The plane with real points, generated points and what D says. ${summary()}`);
    drawCharts(look);
  }

  function drawHeat(context, look) {
    const at = new Float64Array(2 * CELLS * CELLS);
    for (let j = 0; j < CELLS; j += 1) {
      for (let i = 0; i < CELLS; i += 1) {
        at[2 * (j * CELLS + i)] = -EXTENT + ((i + 0.5) * 2 * EXTENT) / CELLS;
        at[2 * (j * CELLS + i) + 1] = EXTENT - ((j + 0.5) * 2 * EXTENT) / CELLS;
      }
    }
    const logits = judge(lab.game, at);
    // half-way between what D says of real and of generated points is neutral
    const mean = (points) => {
      const values = judge(lab.game, points.subarray(0, 400));
      return values.reduce((sum, value) => sum + value, 0) / values.length;
    };
    const [real, fake] = [mean(lab.real), mean(lab.shown)];
    const [middle, reach] = [(real + fake) / 2, Math.abs(real - fake) / 2 + 0.5];
    const [paper, warm, cool] = [look.paper, look.real, look.fake].map(channels);
    lab.heat ??= document.createElement("canvas");
    lab.heat.width = lab.heat.height = CELLS;
    const small = lab.heat.getContext("2d");
    const image = small.createImageData(CELLS, CELLS);
    logits.forEach((logit, i) => {
      const lean = Math.tanh((logit - middle) / reach);
      const share = 0.42 * Math.abs(lean);
      const target = lean > 0 ? warm : cool;
      paper.forEach((value, k) => {
        image.data[4 * i + k] = value + share * (target[k] - value);
      });
      image.data[4 * i + 3] = 255;
    });
    small.putImageData(image, 0, 0);
    context.imageSmoothingEnabled = true;
    context.drawImage(lab.heat, 0, 0, SIZE, SIZE);
  }

  function drawPlaces(context, look) {
    const { set: made } = lab.game;
    const needed = 0.1 / made.modes.length;
    context.strokeStyle = look.ink;
    made.modes.forEach(([x, y], k) => {
      const held = lab.count.shares[k] >= needed;
      context.lineWidth = held ? 1.8 : 1;
      context.setLineDash(held ? [] : [3, 4]);
      context.beginPath();
      context.arc(VIEW.x(x), VIEW.y(y), Math.max(7, 3 * made.sd * VIEW.scale), 0, 7);
      context.stroke();
    });
    context.setLineDash([]);
  }

  function drawPoints(context, points, color, most, round) {
    context.fillStyle = color;
    for (let i = 0; i < Math.min(most, points.length / 2); i += 1) {
      const [x, y] = [VIEW.x(points[2 * i]), VIEW.y(points[2 * i + 1])];
      context.beginPath();
      if (round) context.arc(x, y, 2.4, 0, 7);
      else context.rect(x - 1.3, y - 1.3, 2.6, 2.6);
      context.fill();
    }
  }

  function drawArrows(context, look) {
    const n = 80;
    const { byPoint } = generatorGradient(
      lab.game, lab.real.subarray(0, 2 * n), lab.z.subarray(0, n * use.zDim),
    );
    context.strokeStyle = look.fake;
    context.lineWidth = 1.2;
    for (let i = 0; i < n; i += 1) {
      const [dx, dy] = [-n * byPoint[2 * i], -n * byPoint[2 * i + 1]];
      const size = Math.hypot(dx, dy);
      if (!(size > 0)) continue;
      const long = (46 * Math.tanh(size / 2)) / size; // long gradients are shortened
      arrow(
        context, VIEW.x(lab.shown[2 * i]), VIEW.y(lab.shown[2 * i + 1]), long * dx, -long * dy,
      );
    }
  }

  function drawCharts(look) {
    const history = lab.history;
    const most = lab.game?.set.modes.length ?? 1;
    const end = lab.game?.step ?? 0;
    chart(charts.losses, look, {
      title: "Losses",
      lines: [
        { name: "D", points: history.d, color: look.real },
        { name: "G", points: history.g, color: look.fake, dash: [5, 3] },
      ],
    });
    chart(charts.divergence, look, {
      title: "Jensen-Shannon divergence", low: 0, high: 0.7,
      lines: [
        { name: "now", points: history.divergence, color: look.fake },
        {
          name: "1,000 real points", color: look.real, dash: [2, 3],
          points: lab.game ? [[0, lab.floor], [end, lab.floor]] : [],
        },
      ],
    });
    chart(charts.modes, look, {
      title: "Places visited", low: 0, high: most,
      lines: [{ name: `of ${most}: now`, points: history.modes, color: look.fake }],
    });
    const ends = (points) => (points.length ? told(points.at(-1)[1]) : "not yet known");
    charts.losses.say(`Losses over steps. D's now: ${ends(history.d)}, G's: ${ends(history.g)}.`);
    charts.divergence.say(`Jensen-Shannon divergence over steps. Now: ${ends(history.divergence)}.`);
    charts.modes.say(`Places visited over steps. Now: ${ends(history.modes)} of ${most}.`);
  }

  // the page
  const readout = Object.fromEntries(
    ["step", "modes", "quality", "divergence"].map((name) => [name, element("dd")]),
  );
  const rows = [
    ["Steps", readout.step], ["Places visited", readout.modes],
    ["Points near a place", readout.quality], ["Jensen-Shannon", readout.divergence],
  ];
  const dot = (color, text) => element("li", {}, element("i", { className: color }), text);
  const help = element("small");
  place.append(
    element("div", { className: "gb-desk gb-lab" },
      element("div", { className: "gb-stage" }, view.node, buttons),
      element("div", { className: "gb-words" },
        said,
        element("ul", { className: "gb-key" },
          dot("gb-is-real", "real; where D leans to real"),
          dot("gb-is-fake", "generated; where D leans to generated")),
        help,
      ),
      element("div", { className: "gb-controls" },
        field("Learning rate of G", rateG), field("Learning rate of D", rateD), order,
        field("R1: slope of D at real points", r1), field("R2: slope at generated points", r2),
        field("WGAN-GP: slope 1 in between", gp),
        field("Real data", set), field("Loss", loss), field("Optimizer", beta1),
        field("Seed", seed), field("Speed", speed), spectral,
      ),
      element("details", {}, element("summary", {}, "More settings"),
        element("div", { className: "gb-controls" },
          field("Steps of D for each of G", dSteps), field("Width of both networks", width),
          field("Hidden layers", layers), field("Batch", batch), field("Spread of a place", sd),
          shows.heat, shows.arrows)),
      element("div", { className: "gb-side" },
        element("dl", { className: "gb-readout" },
          ...rows.flatMap(([name, node]) => [element("dt", {}, name), node])),
        charts.modes.node, charts.divergence.node, charts.losses.node,
      ),
    ),
  );
  renew();
  onLook(place, draw);
}

mount("#live-laboratory", start);
