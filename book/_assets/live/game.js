// One small GAN on the plane, step by step: the loop of gan_book.training with the objectives of
// gan_book.objectives.

import { LOSSES } from "./losses.js";
import {
  addPenalty, backward, forward, gradient, network, normalize, optimizer, slopes, throughNorm,
} from "./mlp.js";
import { stream } from "./xoshiro.js";
import { sample } from "./toys.js";

/** What a game is made of, and where the laboratory starts. */
export const DEFAULTS = {
  loss: "non-saturating",
  r1: 0, r2: 0, gp: 0, spectral: false,
  order: "alternating", // or "simultaneous"
  dSteps: 1,
  adam: true, beta1: 0.5, beta2: 0.99,
  rateG: 0.01, rateD: 0.01,
  width: 32, layers: 2, zDim: 2, batch: 64,
  seed: 2,
};

/** A new game on a set of `toys.js`. Its networks come from one stream of random numbers, the
 * points, latents and mixing numbers of its steps from another. */
export function start(set, settings = {}) {
  const use = { ...DEFAULTS, ...settings };
  const hidden = new Array(use.layers).fill(use.width);
  const first = stream(use.seed);
  const g = network([use.zDim, ...hidden, 2], true, first);
  const d = network([2, ...hidden, 1], false, first, use.spectral);
  return {
    set, use, g, d,
    half: LOSSES[use.loss],
    random: stream(use.seed + 1000003),
    moveG: optimizer(g, use),
    moveD: optimizer(d, use),
    step: 0,
    logs: {},
  };
}

const latents = (n, random) => Float64Array.from({ length: n }, () => random.normal());

/** Points of the generator for n latents: Float64Array(2n). */
export function generate(state, z) {
  return forward(state.g, z, z.length / state.use.zDim).at(-1);
}

/** D's logits at n points: Float64Array(n). */
export function judge(state, points) {
  return forward(state.d, points, points.length / 2).at(-1);
}

/** D's loss with its penalties, and the gradient by D's numbers. */
export function discriminatorGradient({ d, half, use }, real, fake, mix) {
  const n = real.length / 2;
  const into = gradient(d);
  const [onReal, onFake] = [forward(d, real, n), forward(d, fake, n)];
  const [r, f] = [onReal.at(-1), onFake.at(-1)];
  const [byReal, byFake] = [new Float64Array(n), new Float64Array(n)];
  let loss = 0;
  for (let i = 0; i < n; i += 1) {
    const part = half.discriminator(r[i], f[i]);
    loss += part.value / n;
    byReal[i] = part.r / n;
    byFake[i] = part.f / n;
  }
  backward(d, onReal, n, byReal, into);
  backward(d, onFake, n, byFake, into);
  // weight / 2 E |slope|^2 has the derivative weight / n slope
  for (const [weight, inputs] of [[use.r1, onReal], [use.r2, onFake]]) {
    if (!weight) continue;
    const found = slopes(d, inputs, n);
    loss += (0.5 * weight * found.values.reduce((sum, v) => sum + v * v, 0)) / n;
    addPenalty(d, found, found.values.map((v) => (weight * v) / n), into);
  }
  if (use.gp) {
    const between = real.map((x, j) => mix[j >> 1] * x + (1 - mix[j >> 1]) * fake[j]);
    const found = slopes(d, forward(d, between, n), n);
    const p = new Float64Array(2 * n);
    for (let i = 0; i < n; i += 1) {
      const [x, y] = [found.values[2 * i], found.values[2 * i + 1]];
      const norm = Math.hypot(x, y);
      loss += (use.gp * (norm - 1) ** 2) / n;
      const factor = norm > 0 ? (2 * use.gp * (norm - 1)) / norm / n : 0;
      p[2 * i] = factor * x;
      p[2 * i + 1] = factor * y;
    }
    addPenalty(d, found, p, into);
  }
  throughNorm(d, into);
  return { loss, into };
}

/** G's loss against this D; its gradient by G's numbers, and by the generated points. */
export function generatorGradient({ g, d, half, use }, real, z) {
  const n = z.length / use.zDim;
  const into = gradient(g);
  const made = forward(g, z, n);
  const onFake = forward(d, made.at(-1), n);
  const f = onFake.at(-1);
  const r = use.loss === "relativistic" ? forward(d, real, n).at(-1) : f;
  const byFake = new Float64Array(n);
  let loss = 0;
  for (let i = 0; i < n; i += 1) {
    const part = half.generator(r[i], f[i]);
    loss += part.value / n;
    byFake[i] = part.f / n;
  }
  const byPoint = backward(d, onFake, n, byFake, null).at(-1);
  backward(g, made, n, byPoint, into);
  return { loss, into, byPoint };
}

function stepD(state) {
  const { set, use, g, d, random } = state;
  const real = sample(set, use.batch, random);
  const z = latents(use.batch * use.zDim, random);
  const mix = use.gp ? Float64Array.from({ length: use.batch }, () => random.uniform()) : null;
  normalize(d, 1);
  const { loss, into } = discriminatorGradient(state, real, forward(g, z, use.batch).at(-1), mix);
  state.logs.d = loss;
  state.moveD(into, use.rateD);
  normalize(d, 0);
}

function gradientG(state) {
  const { set, use, random } = state;
  const real = sample(set, use.batch, random); // a fresh batch, as in the package
  const { loss, into } = generatorGradient(state, real, latents(use.batch * use.zDim, random));
  state.logs.g = loss;
  return into;
}

/** Play one round. In turns ("alternating"): D moves first, G answers the new D. At once
 * ("simultaneous"): G's gradient is taken against the D of before. */
export function play(state) {
  const { use } = state;
  const early = use.order === "simultaneous" ? gradientG(state) : null;
  for (let k = 0; k < use.dSteps; k += 1) stepD(state);
  state.moveG(early ?? gradientG(state), use.rateG);
  state.step += 1;
}

/** Whether both networks still hold finite numbers. */
export function alive(state) {
  return Number.isFinite(state.g.numbers.reduce((a, b) => a + b, 0))
    && Number.isFinite(state.d.numbers.reduce((a, b) => a + b, 0));
}
