// Plays what a JSON file asks for with the modules of the live figures; prints the results as JSON.
//   node tests/live/play.mjs cases.json

import { readFileSync } from "node:fs";

import * as dirac from "../../book/_assets/live/dirac.js";
import * as games from "../../book/_assets/live/game.js";
import * as toys from "../../book/_assets/live/toys.js";
import { stream } from "../../book/_assets/live/xoshiro.js";

const pointSet = ({ name, options }) => toys[name](...options);

const actions = {
  random({ seed, count }) {
    const [a, b, c] = [stream(seed), stream(seed), stream(seed)];
    const draw = (next) => Array.from({ length: count }, next);
    return [draw(a.uniform), draw(b.normal), draw(() => c.below(7))];
  },
  points({ set, seed, count, extent, side, width, radius }) {
    const made = pointSet(set);
    const points = toys.sample(made, count, stream(seed));
    const density = toys.blurred(made.centers, width, extent, side);
    const places = Array.from({ length: count }, (_, i) => [points[2 * i], points[2 * i + 1]]);
    const other = toys.blurred(places, width, extent, side);
    return {
      modes: made.modes.flat(),
      points: [...points],
      count: toys.countModes(made, points, radius),
      density: [...density],
      divergence: toys.jensenShannon(density, other, (2 * extent / side) ** 2),
    };
  },
  dirac({ settings, rule, start, etaG, etaD, count }) {
    const rules = dirac.game(settings);
    const { values, size } = dirac.atGoal(rules, rule, etaG, etaD);
    const path = dirac.trajectory(rules, rule, start, etaG, etaD, count);
    const { jacobian } = dirac.STEPS[rule](rules, start, etaG, etaD);
    return { path, values: values.map(({ re, im }) => [re, im]), size, jacobian };
  },
  game({ set, settings, at, z, places }) {
    const state = games.start(pointSet(set), settings);
    const seen = [];
    for (let step = 1; step <= Math.max(...at); step += 1) {
      games.play(state);
      if (!at.includes(step)) continue;
      seen.push([
        state.logs.d, state.logs.g,
        ...games.generate(state, Float64Array.from(z)),
        ...games.judge(state, Float64Array.from(places)),
      ]);
    }
    return seen;
  },
  train({ set, settings, steps }) {
    const made = pointSet(set);
    const state = games.start(made, settings);
    for (let step = 0; step < steps; step += 1) games.play(state);
    const eyes = stream(settings.seed + 7919); // the latents that the laboratory looks at
    const points = games.generate(state, Float64Array.from({ length: 2000 }, () => eyes.normal()));
    return { ...toys.countModes(made, points), points: [...points] };
  },
};

const cases = JSON.parse(readFileSync(process.argv[2], "utf8"));
const finite = (key, value) => (Number.isNaN(value) ? "NaN" : value);
process.stdout.write(JSON.stringify(cases.map(({ action, ...how }) => actions[action](how)), finite));
