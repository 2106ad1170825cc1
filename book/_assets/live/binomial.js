// How much a score says: the exact interval of Clopper and Pearson (1934).

/** P(X >= k) for X ~ Binomial(n, p). */
export function atLeast(k, n, p) {
  let sum = 0;
  for (let i = Math.max(0, k); i <= n; i++) {
    let term = 1;
    for (let j = 1; j <= i; j++) term *= ((n - i + j) / j) * p;
    sum += term * (1 - p) ** (n - i);
  }
  return sum;
}

/** The p in [0, 1] at which `grows(p)`, which grows, reaches `value`. */
function solved(grows, value) {
  let [low, high] = [0, 1];
  for (let i = 0; i < 60; i++) {
    const middle = (low + high) / 2;
    if (grows(middle) < value) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}

/** The interval [low, high] for the probability behind `right` answers out of `n`. */
export function interval(right, n, level = 0.95) {
  const tail = (1 - level) / 2;
  return [
    right === 0 ? 0 : solved((p) => atLeast(right, n, p), tail),
    right === n ? 1 : solved((p) => atLeast(right + 1, n, p), 1 - tail),
  ];
}
