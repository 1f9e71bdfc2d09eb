
const SVG = "http://www.w3.org/2000/svg";
const byId = (id) => document.getElementById(id);
// An element with properties and children. Texts become text, never markup.
function element(name, properties, ...children) {
  const made = Object.assign(document.createElement(name), properties || {});
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}
function drawn(name, attributes, text) {
  const made = document.createElementNS(SVG, name);
  for (const [key, given] of Object.entries(attributes)) made.setAttribute(key, given);
  if (text !== undefined) made.textContent = text;
  return made;
}
function nice(most) {
  if (!(most > 0)) return 1;
  const power = Math.pow(10, Math.floor(Math.log10(most)));
  return [1, 2, 2.5, 5, 10].map((one) => one * power).find((one) => one >= most) || most;
}

// One chart over time: curves of one unit, a legend with the newest values or those under the pointer.
class Chart {
  constructor(title, key, format, tools) {
    this.key = key;
    this.format = format;
    this.picture = drawn("svg", { role: "img", "aria-label": title });
    this.legend = element("ul", { className: "legend" });
    this.at = null;
    const line = element("div", { className: "line" }, element("h2", { textContent: title }), tools || null);
    byId("charts").append(element("article", { className: "card chart" }, line, this.legend, this.picture));
    this.picture.addEventListener("pointermove", (event) => this.point(event.clientX));
    this.picture.addEventListener("pointerleave", () => this.point(null));
  }
  point(clientX) {
    if (clientX === null || !this.points) this.at = null;
    else {
      const box = this.picture.getBoundingClientRect();
      const part = (clientX - box.left - Chart.LEFT) / Math.max(1, box.width - Chart.LEFT - Chart.RIGHT);
      this.at = Math.min(1, Math.max(0, part));
    }
    this.draw(this.points || [], this.from, this.to);
  }
  names(points) {
    const names = [];
    for (const one of points) for (const name of Object.keys(one[this.key] || {})) if (!names.includes(name)) names.push(name);
    return names;
  }
  draw(points, from, to) {
    Object.assign(this, { points, from, to });
    const width = Math.max(120, this.picture.clientWidth), height = Math.max(80, this.picture.clientHeight);
    const names = this.names(points), bottom = height - 18;
    const of = (point, name) => (point[this.key] && point[this.key][name] !== undefined ? point[this.key][name] : null);
    const most = nice(Math.max(0, ...points.flatMap((one) => names.map((name) => of(one, name) || 0))));
    const x = (at) => Chart.LEFT + (at - from) / (to - from) * (width - Chart.LEFT - Chart.RIGHT);
    const y = (amount) => bottom - amount / most * (bottom - 8);
    const parts = [];
    for (const share of [0, 0.5, 1]) {
      parts.push(drawn("line", { class: "grid", x1: Chart.LEFT, x2: width - Chart.RIGHT, y1: y(share * most), y2: y(share * most) }));
      parts.push(drawn("text", { class: "axis", x: Chart.LEFT - 6, y: y(share * most) + 4, "text-anchor": "end" }, short(share * most)));
    }
    for (const share of [0, 0.5, 1]) {
      const anchor = share === 0 ? "start" : share === 1 ? "end" : "middle", ago = Math.round((1 - share) * (to - from) / 1000);
      parts.push(drawn("text", { class: "axis", x: x(from + share * (to - from)), y: height - 3, "text-anchor": anchor }, ago ? `${ago} s ago` : "now"));
    }
    names.forEach((name, number) => {
      // A gap in the figures is a gap in the curve.
      let path = "", alone = true;
      for (const one of points) {
        const amount = of(one, name);
        if (amount === null) { alone = true; continue; }
        path += `${alone ? "M" : "L"}${x(one.at).toFixed(1)} ${y(amount).toFixed(1)}`;
        alone = false;
      }
      parts.push(drawn("path", { class: `curve s${number % 5 + 1}`, d: path || "M0 0" }));
    });
    const shown = this.nearest(points, from, to);
    if (shown && this.at !== null) parts.push(drawn("line", { class: "cursor", x1: x(shown.at), x2: x(shown.at), y1: 8, y2: bottom }));
    this.picture.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.picture.replaceChildren(...parts);
    this.legend.replaceChildren(...names.map((name, number) => {
      const mark = drawn("svg", { viewBox: "0 0 12 12", "aria-hidden": "true" });
      mark.append(drawn("circle", { class: `dot s${number % 5 + 1}`, cx: 6, cy: 6, r: 5 }));
      return element("li", {}, mark, name + " ", element("b", { textContent: this.format(shown ? of(shown, name) : null) }));
    }));
  }
  // The point under the pointer, or the newest.
  nearest(points, from, to) {
    if (this.at === null) return points[points.length - 1];
    const at = from + this.at * (to - from);
    return points.reduce((best, one) => (!best || Math.abs(one.at - at) < Math.abs(best.at - at) ? one : best), null);
  }
}
Chart.LEFT = 44;
Chart.RIGHT = 8;

function table(columns, rows) {
  const cell = (kind, content, column) => element(kind, { className: column.kind || "" }, content);
  const head = element("tr", {}, ...columns.map((column) => cell("th", column.name, column)));
  const body = rows.map((row) => element("tr", {}, ...columns.map((column) => {
    const content = column.of(row);
    return cell("td", content === null || content === undefined ? "" : content, column);
  })));
  const made = element("table", {}, element("thead", {}, head), element("tbody", {}, ...body));
  return element("div", { className: "wide" }, made);
}
