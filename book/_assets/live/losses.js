// The losses of gan_book.losses with their first and second derivatives, one pair of logits at a
// time: r = D(x) on a real, f = D(G(z)) on a generated point. Both players descend their half.

const softplus = (x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
const sigmoid = (x) => (x >= 0 ? 1 / (1 + Math.exp(-x)) : Math.exp(x) / (1 + Math.exp(x)));
const bend = (x) => sigmoid(x) * sigmoid(-x); // second derivative of softplus

const crossEntropy = (r, f) => ({
  value: softplus(-r) + softplus(f),
  r: -sigmoid(-r), f: sigmoid(f), rr: bend(r), rf: 0, ff: bend(f),
});
const critic = (r, f) => ({ value: -f, r: 0, f: -1, rr: 0, rf: 0, ff: 0 });

/** Each loss has two halves, `discriminator(r, f)` and `generator(r, f)`. Both return the value and
 * its partial derivatives {value, r, f, rr, rf, ff}; the mean over a batch is the caller's. */
export const LOSSES = {
  "non-saturating": {
    discriminator: crossEntropy,
    generator: (r, f) => ({
      value: softplus(-f), r: 0, f: -sigmoid(-f), rr: 0, rf: 0, ff: bend(f),
    }),
  },
  saturating: {
    discriminator: crossEntropy,
    generator: (r, f) => ({
      value: -softplus(f), r: 0, f: -sigmoid(f), rr: 0, rf: 0, ff: -bend(f),
    }),
  },
  "least-squares": {
    discriminator: (r, f) => ({
      value: 0.5 * (r - 1) ** 2 + 0.5 * f ** 2, r: r - 1, f, rr: 1, rf: 0, ff: 1,
    }),
    generator: (r, f) => ({ value: 0.5 * (f - 1) ** 2, r: 0, f: f - 1, rr: 0, rf: 0, ff: 1 }),
  },
  hinge: {
    discriminator: (r, f) => ({
      value: Math.max(0, 1 - r) + Math.max(0, 1 + f),
      r: r < 1 ? -1 : 0, f: f > -1 ? 1 : 0, rr: 0, rf: 0, ff: 0,
    }),
    generator: critic,
  },
  wasserstein: {
    discriminator: (r, f) => ({ value: f - r, r: -1, f: 1, rr: 0, rf: 0, ff: 0 }),
    generator: critic,
  },
  relativistic: {
    discriminator: (r, f) => ({
      value: softplus(f - r),
      r: -sigmoid(f - r), f: sigmoid(f - r), rr: bend(f - r), rf: -bend(f - r), ff: bend(f - r),
    }),
    generator: (r, f) => ({
      value: softplus(r - f),
      r: sigmoid(r - f), f: -sigmoid(r - f), rr: bend(r - f), rf: -bend(r - f), ff: bend(r - f),
    }),
  },
};

/** Names for readers, in the order of the menu. */
export const LOSS_NAMES = [
  ["non-saturating", "non-saturating"],
  ["saturating", "minimax (saturating)"],
  ["least-squares", "least squares"],
  ["hinge", "hinge"],
  ["wasserstein", "Wasserstein"],
  ["relativistic", "relativistic (pairs)"],
];
