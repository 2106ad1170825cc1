// The Dirac-GAN of gan_book.dirac: the generator says the number theta, all real data are 0, and
// D(x) = bias + psi x. A state is [theta, psi]; both players descend their own loss.

import { LOSSES } from "./losses.js";

/** A game: {loss, r1, r2, noise}, the last three at least 0. `noise` is the standard deviation of
 * instance noise, added to real and generated numbers by the toss of a coin, so that expectations
 * are exact sums of four terms. The least-squares loss gets the constant 1/2. */
export function game({ loss = "non-saturating", r1 = 0, r2 = 0, noise = 0 }) {
  return { half: LOSSES[loss], gamma: r1 + r2, noise, bias: loss === "least-squares" ? 0.5 : 0 };
}

/** Both players' negative gradients at [theta, psi], with their four derivatives (row by row). */
export function field({ half, gamma, noise, bias }, [theta, psi]) {
  const v = [0, -gamma * psi];
  const jacobian = [0, 0, 0, -gamma];
  for (const x of [noise, -noise]) {
    for (const y of [theta + noise, theta - noise]) {
      const d = half.discriminator(bias + psi * x, bias + psi * y);
      const g = half.generator(bias + psi * x, bias + psi * y);
      v[0] -= (g.f * psi) / 4;
      v[1] -= (d.r * x + d.f * y) / 4;
      jacobian[0] -= (g.ff * psi * psi) / 4;
      jacobian[1] -= (g.f + psi * (g.rf * x + g.ff * y)) / 4;
      jacobian[2] -= (d.f + psi * (d.rf * x + d.ff * y)) / 4;
      jacobian[3] -= (d.rr * x * x + 2 * d.rf * x * y + d.ff * y * y) / 4;
    }
  }
  return { v, jacobian };
}

const times = (a, b) => [
  a[0] * b[0] + a[1] * b[2], a[0] * b[1] + a[1] * b[3],
  a[2] * b[0] + a[3] * b[2], a[2] * b[1] + a[3] * b[3],
];
const shifted = (m, etas) => [
  1 + etas[0] * m[0], etas[0] * m[1], etas[1] * m[2], 1 + etas[1] * m[3],
];

/** The rules by which the players may move: (game, state, etaG, etaD) -> {state, jacobian}, the next
 * state and the derivative of this step (row by row). */
export const STEPS = {
  /** Both at once. */
  simultaneous(rules, state, etaG, etaD) {
    const { v, jacobian } = field(rules, state);
    return {
      state: [state[0] + etaG * v[0], state[1] + etaD * v[1]],
      jacobian: shifted(jacobian, [etaG, etaD]),
    };
  },
  /** D first, and G answers the new D. */
  alternating(rules, state, etaG, etaD) {
    const first = field(rules, state);
    const middle = [state[0], state[1] + etaD * first.v[1]];
    const second = field(rules, middle);
    return {
      state: [state[0] + etaG * second.v[0], middle[1]],
      jacobian: times(
        shifted(second.jacobian, [etaG, 0]),
        shifted(first.jacobian, [0, etaD]),
      ),
    };
  },
  /** Look one step ahead and move from here by the gradients found there (Korpelevich, 1976). */
  extragradient(rules, state, etaG, etaD) {
    const first = field(rules, state);
    const ahead = [state[0] + etaG * first.v[0], state[1] + etaD * first.v[1]];
    const second = field(rules, ahead);
    const there = times(second.jacobian, shifted(first.jacobian, [etaG, etaD]));
    return {
      state: [state[0] + etaG * second.v[0], state[1] + etaD * second.v[1]],
      jacobian: shifted(there, [etaG, etaD]),
    };
  },
};

/** `start` and the states after each of `count` steps; stops early where a number is too large. */
export function trajectory(rules, rule, start, etaG, etaD, count) {
  const states = [start];
  for (let i = 0; i < count; i += 1) {
    const { state } = STEPS[rule](rules, states[i], etaG, etaD);
    if (!(Math.hypot(...state) < 1e6)) break;
    states.push(state);
  }
  return states;
}

/** Eigenvalues [{re, im}, {re, im}] of a 2 x 2 matrix, the larger in size first. */
export function eigenvalues([a, b, c, d]) {
  const half = (a + d) / 2;
  const inside = ((a - d) / 2) ** 2 + b * c; // half trace squared minus determinant
  if (inside < 0) {
    const im = Math.sqrt(-inside);
    return [{ re: half, im }, { re: half, im: -im }];
  }
  const far = half + (half >= 0 ? 1 : -1) * Math.sqrt(inside);
  return [{ re: far, im: 0 }, { re: 2 * half - far, im: 0 }];
}

/** The eigenvalues of a step at the goal [0, 0], their largest size, and what follows from it:
 * "arrive", "leave", or "undecided" where the size is 1 and smaller terms decide. */
export function atGoal(rules, rule, etaG, etaD) {
  const { jacobian } = STEPS[rule](rules, [0, 0], etaG, etaD);
  const values = eigenvalues(jacobian);
  const size = Math.max(...values.map(({ re, im }) => Math.hypot(re, im)));
  const verdict = Math.abs(size - 1) < 1e-9 ? "undecided" : size < 1 ? "arrive" : "leave";
  return { values, size, verdict };
}
