// What can be done with codes: as `gan_book.latents` does it, number for number.

const PARALLEL = 1e-6; // radians; closer codes are walked in a straight line

/** The norm of a vector. */
function norm(a) {
  return Math.sqrt(a.reduce((sum, x) => sum + x * x, 0));
}

/** The straight line from `a` to `b` at `t`. */
export function lerp(a, b, t) {
  return a.map((x, i) => x + t * (b[i] - x));
}

/** The great circle from `a` to `b` at `t`; lengths go linearly. As `gan_book.latents.slerp`. */
export function slerp(a, b, t) {
  const [m, n] = [norm(a), norm(b)];
  if (!m || !n) return lerp(a, b, t); // a code pulled into the origin has no direction
  const [u, v] = [a.map((x) => x / m), b.map((x) => x / n)];
  const omega = 2 * Math.atan2(norm(u.map((x, i) => x - v[i])), norm(u.map((x, i) => x + v[i])));
  const close = omega < PARALLEL;
  const first = close ? 1 - t : Math.sin((1 - t) * omega) / Math.sin(omega);
  const second = close ? t : Math.sin(t * omega) / Math.sin(omega);
  const length = m + t * (n - m);
  return u.map((x, i) => (first * x + second * v[i]) * length);
}

/** A code pulled towards the mean: 1 changes nothing, 0 leaves the mean. */
export function truncate(code, psi, mean) {
  return code.map((x, i) => mean[i] + psi * (x - mean[i]));
}

/** A code moved along unit `directions` by `amounts`, each in units of its `steps`. */
export function move(code, directions, steps, amounts) {
  const moved = code.slice();
  amounts.forEach((amount, k) => {
    const by = amount * steps[k];
    if (by) directions[k].forEach((x, i) => { moved[i] += by * x; });
  });
  return moved;
}

/** Weights of the classes, 1 for one of them, for a network that takes labels as weights. */
export function oneHot(index, count) {
  return Float32Array.from({ length: count }, (_, i) => Number(i === index));
}
