// Small fully connected networks with leaky ReLU 0.2, as gan_book.models.mlp builds them, in
// float64 and with hand-written derivatives. Batches are flat: n rows of `width` numbers.

const SLOPE = 0.2;
const LEAKY_GAIN = Math.sqrt(2 / (1 + SLOPE ** 2));

/** A network widths[0] -> ... -> widths.at(-1). All numbers stand in one array `numbers`; a layer
 * has views of it: weight (rows x columns) and bias (or null). `used` is the weight that computes:
 * the same array, or the weight over its largest singular value where `spectral` is true. */
export function network(widths, lastBias, random, spectral = false) {
  const shapes = widths.slice(1).map((rows, i) => ({
    rows,
    columns: widths[i],
    hasBias: lastBias || i < widths.length - 2,
  }));
  const size = shapes.reduce((sum, s) => sum + s.rows * s.columns + (s.hasBias ? s.rows : 0), 0);
  const numbers = new Float64Array(size);
  let at = 0;
  const take = (n) => numbers.subarray(at, (at += n));
  const layers = shapes.map(({ rows, columns, hasBias }, i) => {
    const weight = take(rows * columns);
    const bias = hasBias ? take(rows) : null;
    const gain = i === 0 || i === shapes.length - 1 ? 1 : LEAKY_GAIN;
    for (let j = 0; j < weight.length; j += 1) {
      weight[j] = (gain / Math.sqrt(columns)) * random.normal();
    }
    if (bias) {
      for (let j = 0; j < rows; j += 1) bias[j] = (2 * random.uniform() - 1) / Math.sqrt(columns);
    }
    return { rows, columns, weight, bias, used: weight };
  });
  const net = { widths, numbers, layers };
  if (spectral) {
    for (const layer of layers) {
      layer.used = new Float64Array(layer.weight.length);
      layer.left = new Float64Array(layer.rows);
      layer.right = Float64Array.from({ length: layer.columns }, () => random.normal());
    }
    normalize(net, 15);
  }
  return net;
}

const scaled = (vector) => {
  const norm = Math.max(Math.hypot(...vector), 1e-12);
  vector.forEach((value, i) => (vector[i] = value / norm));
};

/** Spectral normalization (Miyato et al., 2018): `turns` power iterations, then used = W / sigma
 * with sigma = left . W right. Call it after every change of the numbers; does nothing for a
 * network built without it. */
export function normalize(net, turns) {
  for (const layer of net.layers) {
    if (!layer.left) return;
    const { rows, columns, weight, left, right } = layer;
    for (let turn = 0; turn < turns; turn += 1) {
      for (let r = 0; r < rows; r += 1) {
        left[r] = 0;
        for (let c = 0; c < columns; c += 1) left[r] += weight[r * columns + c] * right[c];
      }
      scaled(left);
      right.fill(0);
      for (let r = 0; r < rows; r += 1) {
        for (let c = 0; c < columns; c += 1) right[c] += weight[r * columns + c] * left[r];
      }
      scaled(right);
    }
    layer.sigma = 0;
    for (let r = 0; r < rows; r += 1) {
      for (let c = 0; c < columns; c += 1) {
        layer.sigma += left[r] * weight[r * columns + c] * right[c];
      }
    }
    for (let j = 0; j < weight.length; j += 1) layer.used[j] = weight[j] / layer.sigma;
  }
}

/** An empty gradient of a network: {numbers, layers: [{weight, bias}]}. */
export function gradient(net) {
  const numbers = new Float64Array(net.numbers.length);
  let at = 0;
  const take = (n) => numbers.subarray(at, (at += n));
  const layers = net.layers.map(({ weight, bias }) => ({
    weight: take(weight.length),
    bias: bias ? take(bias.length) : null,
  }));
  return { numbers, layers };
}

function multiply(x, n, { rows, columns, used }, bias) {
  const y = new Float64Array(n * rows);
  for (let i = 0; i < n; i += 1) {
    const row = i * columns;
    for (let r = 0; r < rows; r += 1) {
      const place = r * columns;
      let sum = bias ? bias[r] : 0;
      for (let c = 0; c < columns; c += 1) sum += used[place + c] * x[row + c];
      y[i * rows + r] = sum;
    }
  }
  return y;
}

function multiplyBack(y, n, { rows, columns, used }) {
  const x = new Float64Array(n * columns);
  for (let i = 0; i < n; i += 1) {
    const row = i * columns;
    for (let r = 0; r < rows; r += 1) {
      const value = y[i * rows + r];
      const place = r * columns;
      for (let c = 0; c < columns; c += 1) x[row + c] += value * used[place + c];
    }
  }
  return x;
}

/** Add the outer products of y's rows with x's rows: what a weight's gradient is. */
function addOuter(weight, y, x, n, rows, columns) {
  for (let i = 0; i < n; i += 1) {
    for (let r = 0; r < rows; r += 1) {
      const value = y[i * rows + r];
      if (value === 0) continue;
      const place = r * columns;
      for (let c = 0; c < columns; c += 1) weight[place + c] += value * x[i * columns + c];
    }
  }
}

/** Multiply by the activation's slope: 1 where its output is positive, 0.2 elsewhere. */
function bent(values, outputs) {
  for (let j = 0; j < values.length; j += 1) if (!(outputs[j] > 0)) values[j] *= SLOPE;
  return values;
}

/** Evaluate at n inputs: every layer's input, and the output last. */
export function forward(net, x, n) {
  const inputs = [x];
  net.layers.forEach((layer, l) => {
    const y = multiply(inputs[l], n, layer, layer.bias);
    if (l < net.layers.length - 1) {
      for (let j = 0; j < y.length; j += 1) if (!(y[j] > 0)) y[j] *= SLOPE;
    }
    inputs.push(y);
  });
  return inputs;
}

/** Carry dLoss/dOutput back. Adds to `into` (or not, where it is null), and returns what arrives at
 * each layer's output, the first layer's last, with the input's own derivative at the very end. */
export function backward(net, inputs, n, derivative, into) {
  const arrived = [derivative];
  for (let l = net.layers.length - 1; l >= 0; l -= 1) {
    const layer = net.layers[l];
    const y = arrived.at(-1);
    if (into) {
      addOuter(into.layers[l].weight, y, inputs[l], n, layer.rows, layer.columns);
      const bias = into.layers[l].bias;
      if (bias) for (let j = 0; j < y.length; j += 1) bias[j % layer.rows] += y[j];
    }
    const x = multiplyBack(y, n, layer);
    arrived.push(l > 0 ? bent(x, inputs[l]) : x);
  }
  return arrived;
}

/** The gradient of each logit by its own input, (n x 2), with what `addPenalty` needs. */
export function slopes(net, inputs, n) {
  const arrived = backward(net, inputs, n, new Float64Array(n).fill(1), null);
  return { inputs, arrived, n, values: arrived.at(-1) };
}

/** Add the derivative, by the weights, of any function of the slopes; `p` is its derivative by the
 * slopes. The second derivative of a network, by hand: with the kinks held where they are, the sum
 * of p . slope is the network's derivative in the direction p, which one pass forward carries from
 * layer to layer; each weight multiplies what has come to it from both sides. */
export function addPenalty(net, { inputs, arrived, n }, p, into) {
  let ahead = p;
  net.layers.forEach((layer, l) => {
    const back = arrived[net.layers.length - 1 - l];
    addOuter(into.layers[l].weight, back, ahead, n, layer.rows, layer.columns);
    ahead = multiply(ahead, n, layer, null);
    if (l < net.layers.length - 1) bent(ahead, inputs[l + 1]);
  });
}

/** From the derivative by the used weights to that by the weights: of W / (left . W right). */
export function throughNorm(net, into) {
  net.layers.forEach((layer, l) => {
    if (!layer.left) return;
    const { rows, columns, used, left, right, sigma } = layer;
    const weight = into.layers[l].weight;
    let along = 0;
    for (let j = 0; j < weight.length; j += 1) along += weight[j] * used[j];
    for (let r = 0; r < rows; r += 1) {
      for (let c = 0; c < columns; c += 1) {
        const j = r * columns + c;
        weight[j] = (weight[j] - along * left[r] * right[c]) / sigma;
      }
    }
  });
}

/** An optimizer of a network: Adam (Kingma and Ba, 2015) or plain gradient descent. Its function
 * takes a gradient and a learning rate, and moves the numbers. */
export function optimizer(net, { adam = true, beta1 = 0, beta2 = 0.99, epsilon = 1e-8 } = {}) {
  const first = new Float64Array(net.numbers.length);
  const second = new Float64Array(net.numbers.length);
  let count = 0;
  return ({ numbers }, rate) => {
    count += 1;
    const [one, two] = [1 - beta1 ** count, Math.sqrt(1 - beta2 ** count)];
    for (let j = 0; j < numbers.length; j += 1) {
      const g = numbers[j];
      first[j] = beta1 * first[j] + (1 - beta1) * g;
      second[j] = beta2 * second[j] + (1 - beta2) * g * g;
      const step = adam ? first[j] / one / (Math.sqrt(second[j]) / two + epsilon) : g;
      net.numbers[j] -= rate * step;
    }
  };
}
