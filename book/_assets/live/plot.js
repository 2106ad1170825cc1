// Drawing: a square piece of the plane, and small charts over steps.

/** Marks at round distances that cover [low, high], about `count` of them. */
export function ticks(low, high, count = 4) {
  const rough = (high - low) / count || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((k) => k * power).find((s) => s >= rough);
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.floor(high / step + 1e-9);
  return Array.from({ length: Math.max(0, last - first + 1) }, (_, i) => (first + i) * step);
}

/** A number with as few digits as it needs, and a true minus. */
export function told(value, digits = 3) {
  if (!Number.isFinite(value)) return "not a number";
  const size = Math.abs(value);
  const text = size >= 1e5 || (size > 0 && size < 1e-4)
    ? value.toExponential(1)
    : String(Number(value.toPrecision(digits)));
  return text.replace(/-/g, "−");
}

/** Font of all labels in a drawing. */
export function font(context, size, weight = 400) {
  const family = getComputedStyle(context.canvas).fontFamily;
  context.font = `${weight} ${size}px ${family}`;
}

/** A text that lines behind it do not disturb. */
export function written(context, look, text, x, y) {
  context.strokeStyle = look.paper;
  context.lineWidth = 4;
  context.lineJoin = "round";
  context.strokeText(text, x, y);
  context.fillText(text, x, y);
}

/** The square [-extent, extent]^2 on a square canvas: `x` and `y` place a point, `back` undoes it. */
export function plane(size, extent) {
  const scale = size / (2 * extent);
  return {
    scale,
    x: (x) => (x + extent) * scale,
    y: (y) => (extent - y) * scale,
    back: ([left, top]) => [left / scale - extent, extent - top / scale],
  };
}

/** An arrow from [x, y] along [dx, dy], in pixels. */
export function arrow(context, x, y, dx, dy, head = 4) {
  const length = Math.hypot(dx, dy);
  if (length < 0.5) return;
  const [ux, uy] = [dx / length, dy / length];
  const h = Math.min(head, 0.6 * length);
  context.beginPath();
  context.moveTo(x, y);
  context.lineTo(x + dx, y + dy);
  context.moveTo(x + dx - h * (ux + 0.55 * uy), y + dy - h * (uy - 0.55 * ux));
  context.lineTo(x + dx, y + dy);
  context.lineTo(x + dx - h * (ux - 0.55 * uy), y + dy - h * (uy + 0.55 * ux));
  context.stroke();
}

/** A small chart: `lines` are {points: [[x, y]], color, dash, name}; y from `low` to `high` or what
 * the points need; `log` draws powers of ten. Names stand in the chart's top line, in color and
 * dash, with the last value; or, where a line stands at x = `at`, with the value there. */
export function chart(picture, look, options) {
  const { title, lines, low, high, log = false, xName = "step", at = Infinity } = options;
  const context = picture.clear();
  const { width, height } = picture;
  context.fillStyle = look.paper;
  context.fillRect(0, 0, width, height);
  const seen = lines.flatMap(({ points }) => points.map(([, y]) => y)).filter(Number.isFinite);
  const scale = log ? (y) => Math.log10(Math.max(y, 1e-12)) : (y) => y;
  let bottom = scale(low ?? Math.min(...seen));
  let top = scale(high ?? Math.max(...seen));
  if (!(bottom < top)) [bottom, top] = [(Number.isFinite(bottom) ? bottom : 0) - 0.5, bottom + 1];
  if (!Number.isFinite(top)) top = bottom + 1;
  if (log) [bottom, top] = [Math.floor(bottom), Math.ceil(top)];
  const end = Math.max(1, ...lines.flatMap(({ points }) => points.slice(-1).map(([x]) => x)));
  const box = { left: 44, right: width - 12, top: 42, bottom: height - 24 };
  const px = (x) => box.left + (x / end) * (box.right - box.left);
  const py = (y) => box.bottom - ((y - bottom) / (top - bottom)) * (box.bottom - box.top);
  font(context, 12);
  context.lineWidth = 1;
  context.textBaseline = "middle";
  context.textAlign = "right";
  const marks = log
    ? ticks(bottom, top, 3).filter(Number.isInteger)
    : ticks(bottom, top, 3);
  for (const mark of marks) {
    context.strokeStyle = look.rule;
    context.beginPath();
    context.moveTo(box.left, py(mark));
    context.lineTo(box.right, py(mark));
    context.stroke();
    context.fillStyle = look.faint;
    context.fillText(log ? told(10 ** mark, 1) : told(mark), box.left - 6, py(mark));
  }
  context.textBaseline = "top";
  context.textAlign = "left";
  context.fillText("0", box.left, box.bottom + 6);
  context.textAlign = "right";
  context.fillText(`${xName} ${end.toLocaleString("en")}`, box.right, box.bottom + 6);
  context.save();
  context.beginPath();
  context.rect(box.left, box.top - 2, box.right - box.left + 2, box.bottom - box.top + 4);
  context.clip();
  for (const { points, color, dash = [] } of lines) {
    context.strokeStyle = color;
    context.lineWidth = 1.6;
    context.setLineDash(dash);
    context.beginPath();
    let pen = false;
    for (const [x, y] of points) {
      if (!Number.isFinite(y)) {
        pen = false;
        continue;
      }
      context[pen ? "lineTo" : "moveTo"](px(x), py(scale(y)));
      pen = true;
    }
    context.stroke();
  }
  context.restore();
  context.setLineDash([]);
  if (at <= end) {
    context.strokeStyle = look.ink;
    context.lineWidth = 1.2;
    context.beginPath();
    context.moveTo(px(at), box.top - 4);
    context.lineTo(px(at), box.bottom);
    context.stroke();
  }
  context.textAlign = "left";
  context.fillStyle = look.ink;
  font(context, 13, 650);
  context.fillText(title, 8, 5);
  font(context, 12);
  let left = 8;
  for (const { name, color, dash = [], points } of lines) {
    if (!name) continue;
    context.strokeStyle = color;
    context.lineWidth = 2;
    context.setLineDash(dash);
    context.beginPath();
    context.moveTo(left, 30);
    context.lineTo(left + 18, 30);
    context.stroke();
    context.setLineDash([]);
    const last = (points.findLast(([x]) => x <= at) ?? [0, NaN])[1];
    const text = Number.isFinite(last) ? `${name} ${told(last)}` : name;
    context.fillText(text, left + 23, 24);
    left += 37 + context.measureText(text).width;
  }
}
