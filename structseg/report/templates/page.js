"use strict";
/* Switching and drawing. Words and verdicts come from the page (templates by pair of rows); numbers are points. */
const D = JSON.parse(document.getElementById("data").textContent);
const $ = (selector) => document.querySelector(selector);
const $$ = (selector) => [...document.querySelectorAll(selector)];
const C = D.classes.length;
const single = D.a === null;
const S = { a: D.a, b: D.b, measure: "iou", sort: single ? "score" : "gain", curve: "miou",
            order: single ? "worst" : "changed", off: new Set(), picture: 0, view: "mask", wall: "pair", all: false, allPictures: false };

/* numbers and words */
const one = (x) => (Math.abs(x) < 0.05 ? 0 : x).toFixed(1).replace("-", "−");
const signed = (x) => (x >= 0.05 ? "+" : "") + one(x);
const esc = (text) => String(text).replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
const SIGN = { gain: "▲", loss: "▼", unclear: "≈" };
const WORD = { gain: "clear gain", loss: "clear loss", unclear: "not clear" };
const value = (row, key) => D.rows[row].scores[key]?.[0] ?? null;

/* difference of row b from row a: {v, lo, hi, state}, or null */
function difference(a, b, key) {
  const flip = a > b;
  const found = a === b ? null : D.pairs[flip ? `${b}-${a}` : `${a}-${b}`]?.[key];
  if (!found || found[0] === null) return null;
  const [v, lo, hi] = flip ? [-found[0], found[2] === null ? null : -found[2], found[1] === null ? null : -found[1]] : found;
  return { v, lo, hi, state: lo !== null && lo > 0 ? "gain" : hi !== null && hi < 0 ? "loss" : "unclear" };
}
/* ± only where both sides are about as long, else both ends */
function written(d) {
  if (d.lo === null) return signed(d.v);
  const even = Math.abs(d.lo + d.hi - 2 * d.v) <= Math.max(0.2, 0.15 * (d.hi - d.lo));
  return even ? `${signed(d.v)} ± ${one((d.hi - d.lo) / 2)}` : `${signed(d.v)} (${signed(d.lo)} to ${signed(d.hi)})`;
}
const role = (row) => (row === S.a ? "a" : row === S.b ? "b" : "o");
const drawn = () => D.rows.map((_, row) => row).sort((x, y) => "oab".indexOf(role(x)) - "oab".indexOf(role(y)));
const colour = (c) => `rgb(${D.palette[c].join(",")})`;

/* verdict and table */
function verdict() {
  if (single) return;
  const same = S.a === S.b ? null : $(`template[data-pair="${S.a}-${S.b}"]`);
  const box = $("#verdict");
  if (same) box.replaceChildren(same.content.cloneNode(true));
  else box.innerHTML = '<h1 aria-live="polite">A and B are the same run.</h1><p class="lead">Choose another one to compare.</p>';
}
function table() {
  if (single) return;
  for (const key of $$("[data-key]")) {
    const is = role(+key.dataset.key);
    key.className = `key ${is}`;
    key.textContent = is === "o" ? "" : is.toUpperCase();
  }
  for (const span of $$("[data-d]")) {
    const row = +span.dataset.d, d = difference(S.a, row, span.dataset.k);
    span.className = `d ${d ? d.state : "unclear"}`;
    span.textContent = row === S.a ? "A" : d ? `${written(d)}\u00a0${SIGN[d.state]}` : "";
    span.title = d ? WORD[d.state] : "";
  }
  for (const line of $$("tr.more")) line.classList.toggle("fold", !S.all && role(+line.dataset.row) === "o");
}

/* charts */
const svg = (w, h, body, label) => `<svg viewBox="0 0 ${w} ${h}" role="img" aria-label="${esc(label)}"${D.rows.length > 8 ? ' class="many"' : ""}>${body}</svg>`;
const width = (element) => Math.max(260, Math.round(element.clientWidth));
function mark(is, x, y, k = 5) {
  if (is === "a") return `<circle cx="${x}" cy="${y}" r="${k}" class="fa"/>`;
  if (is === "b") return `<rect x="${x - k + 0.5}" y="${y - k + 0.5}" width="${2 * k - 1}" height="${2 * k - 1}" class="fb"/>`;
  return `<circle cx="${x}" cy="${y}" r="${k - 2}" class="fo"/>`;
}
function legend() {
  const others = D.rows.length > 8;
  const item = (is, text) => `<span><svg viewBox="0 0 24 12" aria-hidden="true"><line class="s${is} ln" x1="0" x2="24" y1="6" y2="6"/>${mark(is, 12, 6, 4.5)}</svg>${esc(text)}</span>`;
  const rows = drawn().reverse().filter((row) => !(others && role(row) === "o"));
  rows.sort((x, y) => "abo".indexOf(role(x)) - "abo".indexOf(role(y)));
  const items = rows.map((row) => item(role(row), (role(row) === "o" || single ? "" : role(row).toUpperCase() + " ") + D.rows[row].title));
  return items.join("") + (others ? item("o", "the other runs") : "");
}
/* round steps for an axis from lo to hi */
function axis(lo, hi, count) {
  const raw = Math.max(hi - lo, 1e-6) / count, size = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((k) => k * size).find((k) => k >= raw * 0.999);
  const first = Math.floor(lo / step + 1e-9) * step, ticks = [];
  for (let v = first; v < hi + step * 0.999; v += step) ticks.push(+v.toFixed(9));
  return { ticks, lo: ticks[0], hi: ticks[ticks.length - 1], step };
}
const short = (text, most) => (text.length > most ? text.slice(0, most - 1) + "…" : text);

function classes() {
  const element = $("#chart-classes"), key = S.measure, name = key === "iou" ? "IoU" : "Boundary F";
  const w = width(element), phone = w < 560;
  let list = D.classes.map((text, c) => ({
    text, c, a: single ? null : value(S.a, `${key}:${c}`), b: value(S.b, `${key}:${c}`),
    d: single ? null : difference(S.a, S.b, `${key}:${c}`), size: D.share ? D.share[c] : null }));
  const unknown = list.filter((r) => r.b === null && r.a === null).length;
  list = list.filter((r) => r.b !== null || r.a !== null);
  const low = -1e9;
  list.sort({ gain: (x, y) => (y.d?.v ?? low) - (x.d?.v ?? low), score: (x, y) => (x.a ?? x.b) - (y.a ?? y.b),
              size: (x, y) => (x.size ?? 0) - (y.size ?? 0), name: (x, y) => x.text.localeCompare(y.text) }[S.sort]);
  const gains = list.filter((r) => r.d?.state === "gain").length, losses = list.filter((r) => r.d?.state === "loss").length;
  const rest = list.length - gains - losses;
  const summary = single ? `${name} of each class.` : list.some((r) => r.d)
    ? `${name}: ${gains} ${gains === 1 ? "class" : "classes"} clearly better with B, ${losses} clearly worse, ${rest} not clear.`
    : `${name}: not compared for this choice.`;
  $("#classes-sum").textContent = summary + (unknown ? ` ${unknown} without a score.` : "");
  if (!list.length) { element.innerHTML = ""; $("#legend-classes").innerHTML = ""; return; }
  const longest = Math.max(...list.map((r) => r.text.length));
  const L = phone ? Math.min(118, 34 + 7 * Math.min(longest, 12)) : Math.min(250, Math.max(110, 30 + 7.4 * longest)) + (D.share ? 58 : 14);
  const top = 30, rh = phone ? 34 : 32, h = top + list.length * rh + 4;
  const gw = single ? 50 : phone ? 62 : w < 900 ? 230 : 300, M = phone || single ? 12 : 40, x1 = w - gw - M;
  const most = Math.max(...list.flatMap((r) => [r.a ?? 0, r.b ?? 0]));
  const top100 = most > 62 ? 100 : most > 42 ? 60 : 40, gap = phone ? top100 / 2 : top100 === 100 ? 20 : 10;
  const x = (v) => L + ((x1 - L) * v) / top100;
  let o = "";
  for (let v = 0; v <= top100; v += gap) o += `<line class="g" x1="${x(v)}" x2="${x(v)}" y1="${top - 6}" y2="${h}"/><text class="m s" x="${x(v)}" y="14" text-anchor="middle">${v}</text>`;
  const ends = list.filter((r) => r.d).map((r) => Math.max(Math.abs(r.d.v), Math.abs(r.d.lo ?? 0), Math.abs(r.d.hi ?? 0)));
  const reach = Math.max(2, Math.ceil(Math.max(0, ...ends) / 2) * 2), left = w - gw + 66, right = w - 14;
  const gx = (v) => left + ((right - left) * (v + reach)) / (2 * reach);
  const wide = !phone && !single;
  if (wide) for (const v of [-reach, 0, reach]) o += `<line class="${v ? "g" : "z"}" x1="${gx(v)}" x2="${gx(v)}" y1="${top - 6}" y2="${h}"/><text class="m s" x="${gx(v)}" y="14" text-anchor="middle">${v ? signed(v).replace(".0", "") : "B − A"}</text>`;
  if (phone && !single) o += `<text class="m s" x="${w}" y="14" text-anchor="end">B − A</text>`;
  if (!phone && D.share) o += `<text class="m s" x="${L - 14}" y="14" text-anchor="end">size</text>`;
  list.forEach((r, j) => {
    const y = top + j * rh + rh / 2, state = r.d?.state ?? "unclear";
    const told = [single ? `${name} ${one(r.b)}` : `A ${r.a === null ? "–" : one(r.a)}, B ${r.b === null ? "–" : one(r.b)}`,
                  r.d ? `difference ${written(r.d)} (${WORD[state]})` : "", r.size === null ? "" : `${r.size} % of the pixels`];
    o += `<g><title>${esc(r.text)}: ${told.filter(Boolean).join(", ")}</title><rect class="hit" x="0" y="${y - rh / 2}" width="${w}" height="${rh}"/>`;
    o += `<rect class="swatch" x="0" y="${y - 6}" width="12" height="12" rx="2" fill="${colour(r.c)}"/><text x="20" y="${y + 4.5}">${esc(short(r.text, phone ? 12 : 30))}</text>`;
    if (!phone && r.size !== null) o += `<text class="m s" x="${L - 14}" y="${y + 4.5}" text-anchor="end">${r.size.toFixed(1)} %</text>`;
    D.rows.forEach((row, k) => {
      const v = value(k, `${key}:${r.c}`);
      if (role(k) === "o" && v !== null) o += `<line class="so" stroke-width="${D.rows.length > 8 ? 1 : 1.5}" x1="${x(v)}" x2="${x(v)}" y1="${y - 6}" y2="${y + 6}" opacity="${D.rows.length > 8 ? 0.5 : 0.8}"/>`;
    });
    if (single) {
      const ci = D.rows[S.b].scores[`${key}:${r.c}`];
      o += `<rect class="fb" x="${x(0)}" y="${y - 7}" width="${Math.max(0, x(r.b) - x(0))}" height="14" rx="2" opacity=".85"/>`;
      if (ci[1] !== null) o += `<line class="z grow" style="stroke-width:1.5" x1="${x(ci[1])}" x2="${x(ci[2])}" y1="${y}" y2="${y}"/>`;
      o += `<text x="${w}" y="${y + 4.5}" text-anchor="end">${one(r.b)}</text>`;
    } else {
      if (r.a !== null && r.b !== null) o += `<line class="${state}" stroke-width="3" x1="${x(r.a)}" x2="${x(r.b)}" y1="${y}" y2="${y}"/>`;
      if (r.a !== null) o += mark("a", x(r.a), y);
      if (r.b !== null) o += mark("b", x(r.b), y);
      if (r.d) {
        const c = state === "gain" ? "tb" : state === "loss" ? "ta" : "m";
        o += `<text class="${c}" x="${phone ? w : w - gw + 48}" y="${y + 4.5}" text-anchor="end">${signed(r.d.v)} ${SIGN[state]}</text>`;
        if (wide && r.d.lo !== null) o += `<line class="grow ${state}" x1="${gx(r.d.lo)}" x2="${gx(r.d.hi)}" y1="${y}" y2="${y}"/>`;
        if (wide) o += `<circle class="${state}" cx="${gx(r.d.v)}" cy="${y}" r="4.5"/>`;
      }
    }
    o += "</g>";
  });
  element.innerHTML = svg(w, h, o, `${name} of each class${single ? "" : " for A and B, with the difference"}`);
  const keys = single ? [] : ["▲ clear gain", "▼ clear loss", "≈ not clear"];
  if (!phone && D.share) keys.push("size: share of the labelled pixels");
  $("#legend-classes").innerHTML = (single ? "" : legend()) + keys.map((text) => `<span>${text}</span>`).join("");
}

/* push labels apart so that none covers another */
function spread(labels, gap, lo, hi) {
  labels.sort((p, q) => p.y - q.y);
  for (let k = 0; k < 40; k++) for (let i = 1; i < labels.length; i++) {
    const over = gap - (labels[i].y - labels[i - 1].y);
    if (over > 0) { labels[i].y += over / 2; labels[i - 1].y -= over / 2; }
  }
  return labels;
}
/* series: [{row, points: [[x, y]…], band: [[x, lo, hi]…]}], x already on the axis 0…1 */
function lines(element, series, { ticks, label, below, digits = 0, names = true }) {
  const w = width(element), h = 300, L = 36, R = 104, T = 12, B = 42;
  const shown = series.filter((s) => s.points.length);
  if (!shown.length) { element.innerHTML = '<p class="muted">Nothing recorded for this choice.</p>'; return; }
  const all = shown.flatMap((s) => [...s.points.map((p) => p[1]), ...(s.band ?? []).flatMap((p) => [p[1], p[2]])]);
  const ys = axis(Math.min(...all), Math.max(...all), 6), places = Math.max(digits, ys.step < 1 ? 1 : 0);
  const x = (u) => +(L + (w - L - R) * u).toFixed(1), y = (v) => +(T + ((h - T - B) * (ys.hi - v)) / (ys.hi - ys.lo)).toFixed(1);
  let o = "";
  for (const v of ys.ticks) o += `<line class="g" x1="${L}" x2="${w - R}" y1="${y(v)}" y2="${y(v)}"/><text class="m s" x="${L - 8}" y="${y(v) + 4}" text-anchor="end">${v.toFixed(places && ys.step < 1 ? 1 : 0)}</text>`;
  for (const [u, text] of ticks) o += `<text class="m s" x="${x(u)}" y="${h - B + 20}" text-anchor="middle">${text}</text>`;
  o += `<text class="m s" x="${(L + w - R) / 2}" y="${h - 4}" text-anchor="middle">${esc(below)}</text>`;
  for (const s of shown) if (s.band?.length && role(s.row) !== "o") {
    const there = s.band.map((p) => `${x(p[0])},${y(p[2])}`), back = s.band.map((p) => `${x(p[0])},${y(p[1])}`).reverse();
    o += `<path class="f${role(s.row)} band" d="M${there.join("L")}L${back.join("L")}Z"/>`;
  }
  for (const s of shown) {
    const is = role(s.row);
    o += `<path class="s${is} ln" d="M${s.points.map((p) => `${x(p[0])},${y(p[1])}`).join("L")}"/>`;
    if (is !== "o" && s.points.length <= 24) for (const p of s.points) o += mark(is, x(p[0]), y(p[1]), 4);
    if (is === "o" && s.points.at(-1)[0] < 0.999) o += mark("o", x(s.points.at(-1)[0]), y(s.points.at(-1)[1]), 5);
  }
  const tagged = shown.filter((s) => role(s.row) !== "o" || (names && D.rows.length <= 8));
  for (const { s, y: at } of spread(tagged.map((s) => ({ s, y: y(s.points.at(-1)[1]) })), 16)) {
    const is = role(s.row), v = s.points.at(-1)[1].toFixed(digits || 1), text = is === "o" ? short(D.rows[s.row].short, 10) : single ? "" : is.toUpperCase();
    o += `<text class="${is === "o" ? "m" : "t" + is}" x="${w - R + 10}" y="${at + 4.5}">${v} ${esc(text)}</text>`;
  }
  element.innerHTML = svg(w, h, o, label);
}
function borders() {
  const element = $("#chart-borders");
  if (!element) return;
  const n = D.distances.length, at = (i) => i / n;
  const series = drawn().filter((row) => D.rows[row].finished && D.rows[row].distances).map((row) => {
    const keys = [...D.distances.map((_, i) => `trimap:${i}`), "miou"];
    const got = keys.map((key, i) => [at(i), ...(D.rows[row].scores[key] ?? [null])]).filter((p) => p[1] !== null);
    const band = got.filter((p) => p[2] != null && p[3] != null).map((p) => [p[0], p[2], p[3]]);
    return { row, points: got.length > 1 ? got.map((p) => [p[0], p[1]]) : [], band: band.length === got.length ? band : [] };
  });
  const ticks = [...D.distances.map((d, i) => [at(i), d]), [1, "all"]];
  lines(element, series, { ticks, label: "mIoU by distance to the border", below: "distance d to the border, pixels" });
  if (single || S.a === S.b) { $("#borders-note").textContent = ""; return; }
  const near = difference(S.a, S.b, "trimap:0"), middle = difference(S.a, S.b, `trimap:${n >> 1}`), whole = difference(S.a, S.b, "miou");
  const parts = [[near, `within ${D.distances[0]} px`], [n > 2 ? middle : null, `within ${D.distances[n >> 1]} px`], [whole, "over all pixels"]];
  const text = parts.filter(([d]) => d).map(([d, where]) => `${signed(d.v)} ${where}`).join(", ");
  const sits = near && whole && near.state === "gain" && near.v > whole.v + 1 ? " The gain sits at the borders." : "";
  $("#borders-note").textContent = text ? `B − A: ${text}.${sits}` : "";
}
function curves() {
  const element = $("#chart-curves");
  if (!element) return;
  const label = { miou: "validation mIoU", boundary: "validation boundary F", loss: D.loss ? `${D.loss} part of the loss` : "loss" }[S.curve];
  const raw = drawn().map((row) => ({ row, points: D.rows[row][S.curve] })).filter((s) => s.points.length);
  const steps = raw.flatMap((s) => s.points.map((p) => p[0]));
  const xs = axis(0, Math.max(1, ...steps), width(element) < 380 ? 3 : 6), last = Math.max(1, ...steps);
  const series = raw.map((s) => ({ row: s.row, points: s.points.map(([step, v]) => [step / last, v]) }));
  const ticks = xs.ticks.filter((v) => v <= last).map((v) => [v / last, v >= 1e4 ? `${+(v / 1000).toFixed(1)}k` : v]);
  lines(element, series, { ticks, label: `Learning curves: ${label}`, below: `training step · ${label}`, digits: S.curve === "loss" ? 2 : 0 });
}
function kernels() {
  const element = $("#chart-kernels");
  if (!element) return;
  const chosen = [S.b, S.a, ...D.rows.keys()].find((row) => row !== null && D.rows[row].kernels);
  $("#kernels").hidden = chosen === undefined;
  if (chosen === undefined) return;
  const K = D.rows[chosen].kernels, w = width(element), phone = w < 560, is = role(chosen);
  const longest = Math.max(...D.classes.map((text) => text.length));
  const L = Math.min(phone ? 120 : 210, 34 + 7.4 * longest), R = 50, columns = phone || C < 6 ? 1 : 2;
  const cw = columns === 1 ? Math.min(w, 640) : (w - 40) / 2, rh = 26, per = Math.ceil(C / columns), h = per * rh + 34;
  const lo = Math.min(...K.sizes), hi = Math.max(...K.sizes), near = (v) => Math.abs(v - K.start) < (hi - lo) / 12;
  const cell = K.cell ? ` (1 cell = ${+K.cell.toFixed(1)} px of the picture)` : "";
  $("#kernels-sum").textContent = `How far ${D.rows[chosen].title} looked around each pixel, in cells of the loss${cell}. Every class starts at ${one(K.start)}, the mean of ${K.sizes.map((k) => `${k}×${k}`).join(" and ")}.`;
  $("#kernels-note").textContent = K.note;
  const order = [...D.classes.keys()].sort((i, j) => K.edge[i] - K.edge[j]);
  let o = "";
  for (let column = 0; column < columns; column++) {
    const X = column * (cw + 40), x = (v) => X + L + ((cw - L - R) * (v - lo)) / (hi - lo);
    const part = order.slice(column * per, (column + 1) * per);
    for (const v of K.sizes.filter((k) => !near(k))) o += `<line class="g" x1="${x(v)}" x2="${x(v)}" y1="22" y2="${h - 6}"/><text class="m s" x="${x(v)}" y="14" text-anchor="middle">${v}×${v}</text>`;
    o += `<line class="z" stroke-dasharray="3 3" x1="${x(K.start)}" x2="${x(K.start)}" y1="22" y2="${h - 6}"/><text class="m s" x="${x(K.start)}" y="14" text-anchor="middle">start ${+K.start.toFixed(1)}</text>`;
    part.forEach((c, j) => {
      const y = 26 + j * rh + rh / 2, e = K.edge[c], n = K.interior[c], text = D.classes[c];
      o += `<g><title>${esc(text)}: edge ${e.toFixed(2)}, interior ${n.toFixed(2)}</title><rect class="hit" x="${X}" y="${y - rh / 2}" width="${cw}" height="${rh}"/>`;
      o += `<rect class="swatch" x="${X}" y="${y - 6}" width="12" height="12" rx="2" fill="${colour(c)}"/><text x="${X + 20}" y="${y + 4.5}">${esc(short(text, phone ? 12 : 26))}</text>`;
      o += `<line class="so" stroke-width="2" x1="${x(n)}" x2="${x(e)}" y1="${y}" y2="${y}"/><circle class="ring" cx="${x(n)}" cy="${y}" r="4.5"/><path class="f${is}" d="M${x(e)} ${y - 6}l6 6-6 6-6-6Z"/>`;
      o += `<text class="m s" x="${X + cw}" y="${y + 4.5}" text-anchor="end">${e.toFixed(2)}</text></g>`;
    });
  }
  element.innerHTML = svg(w, h, o, "Effective kernel size of each class, edge and interior");
  $("#kernels .k14 path").setAttribute("class", `f${is}`);
}
function charts() {
  classes(); borders(); curves(); kernels();
  for (const box of $$(".legend")) box.innerHTML = single && D.rows.length === 1 ? "" : legend();
}

/* pictures: every view is drawn from the picture and the index masks */
const FIXED = [69, 189, 255], BROKEN = [255, 154, 46], BOTH = [207, 207, 207], WHITE = [255, 255, 255];
const SCALE = Math.floor(255 / C), FIRST = 6;
let P = [], order = [];
const loaded = (address) => new Promise((done, failed) => { const image = new Image(); image.onload = () => done(image); image.onerror = failed; image.src = address; });
function canvas(w, h) { const made = document.createElement("canvas"); made.width = w; made.height = h; return made; }
async function pixels(address, w, h) {
  const context = canvas(w, h).getContext("2d", { willReadFrequently: true });
  context.drawImage(await loaded(address), 0, 0, w, h);
  return context.getImageData(0, 0, w, h).data;
}
async function indices(address, w, h) {
  const grey = await pixels(address, w, h), out = new Uint8Array(w * h);
  for (let i = 0; i < out.length; i++) out[i] = Math.round(grey[4 * i] / SCALE);
  return out;
}
async function read(p) {
  const { name, width: w, height: h } = p, masks = {};
  for (const [row, address] of Object.entries(p.predictions)) masks[row] = await indices(address, w, h);
  return { name, w, h, random: p.random, rgb: await pixels(p.image, w, h), target: await indices(p.target, w, h), masks };
}
function miou(prediction, target) {
  const both = new Float64Array(C), any = new Float64Array(C);
  for (let i = 0; i < target.length; i++) {
    const t = target[i], p = prediction[i];
    if (t >= C) continue;
    any[t]++;
    if (t === p) both[t]++; else if (p < C) any[p]++;
  }
  let sum = 0, n = 0;
  for (let c = 0; c < C; c++) if (any[c]) { sum += both[c] / any[c]; n++; }
  return n ? (100 * sum) / n : 0;
}
function statistics(p) {
  const b = p.masks[S.b], a = single ? b : p.masks[S.a];
  if (!a || !b) return null;
  let n = 0, changed = 0, fixed = 0, broken = 0, wrong = 0;
  for (let i = 0; i < p.target.length; i++) {
    const t = p.target[i];
    if (t >= C) continue;
    n++;
    if (b[i] !== t) wrong++;
    if (a[i] !== b[i]) { changed++; if (b[i] === t) fixed++; else if (a[i] === t) broken++; }
  }
  const share = (k) => (100 * k) / Math.max(1, n);
  return { changed: share(changed), fixed: share(fixed), broken: share(broken), wrong: share(wrong), a: miou(a, p.target), b: miou(b, p.target) };
}
function border(p, mask, i, k) {
  if (S.off.has(mask[i])) return false;
  const here = p.target[i] < C, x = i % p.w, right = i + k, below = i + k * p.w;
  if (!here) return false;
  return (x + k < p.w && mask[i] !== mask[right] && p.target[right] < C) || (below < mask.length && mask[i] !== mask[below] && p.target[below] < C);
}
/* colour of pixel i in an error view, or null: side "" = both runs, "a"/"b" = the errors of one */
function errorColour(t, a, b, side) {
  const A = a === t, B = b === t;
  if (A && B) return null;
  if (!A && !B) return BOTH;
  if (side === "a") return A ? null : FIXED;
  if (side === "b") return B ? null : BROKEN;
  return B ? FIXED : BROKEN;
}
/* kind: image target a b, run-N | error, error-a, error-b | border, border-a, border-b */
function draw(context, p, kind, strength) {
  const out = context.createImageData(p.w, p.h), to = out.data, b = p.masks[S.b], a = single ? b : p.masks[S.a];
  const [view, side = ""] = kind.split("-"), mask = view === "run" ? p.masks[side] : { target: p.target, a, b }[kind], R = p.rgb, wide = side ? 1 : Math.max(1, Math.round(p.w / 190));
  for (let i = 0; i < p.w * p.h; i++) {
    let r = R[4 * i], g = R[4 * i + 1], u = R[4 * i + 2];
    const grey = 0.3 * r + 0.59 * g + 0.11 * u, t = p.target[i];
    if (mask) {
      const c = mask[i];
      if (S.off.has(c)) r = g = u = grey * 0.5 + 70;
      else {
        const k = c >= C ? 0.75 : strength, [x, y, z] = c >= C ? [0, 0, 0] : D.palette[c];
        r = r * (1 - k) + x * k; g = g * (1 - k) + y * k; u = u * (1 - k) + z * k;
      }
    } else if (kind !== "image") {
      let paint = null;
      if (view === "error" && t < C && !S.off.has(t)) paint = errorColour(t, a[i], b[i], side);
      if (view === "border") {
        if (border(p, p.target, i, wide)) paint = WHITE;
        if (!single && side !== "b" && border(p, a, i, wide)) paint = BROKEN;
        if (side !== "a" && border(p, b, i, wide)) paint = FIXED;
      }
      [r, g, u] = paint ?? [grey * 0.45, grey * 0.45, grey * 0.45];
    }
    to[4 * i] = r; to[4 * i + 1] = g; to[4 * i + 2] = u; to[4 * i + 3] = 255;
  }
  context.putImageData(out, 0, 0);
}
function wall() {
  const box = $("#wall");
  if (!box || !P.length) return;
  const told = new Map(P.map((p) => [p, statistics(p)]));
  order = P.filter((p) => told.get(p) && (S.order !== "random" || p.random));
  const everyRun = S.wall === "all";
  box.className = everyRun ? "every-run" : single ? "one-run" : "";
  if (!order.length) { box.innerHTML = '<p class="muted">One of the two runs saved no pictures.</p>'; $("#more-pictures").hidden = true; return; }
  order.sort({ changed: (x, y) => told.get(y).changed - told.get(x).changed, worst: (x, y) => told.get(y).wrong - told.get(x).wrong,
               random: () => 0 }[S.order]);
  const shown = S.allPictures ? order : order.slice(0, FIRST);
  const badge = (is) => `<i class="key ${is}">${is.toUpperCase()}</i>`;
  const start = [["image", "Picture", ""], ["target", "Truth", ""]], saved = D.rows.flatMap((row, k) => order[0].masks[k] ? [[row, k]] : []);
  const tiles = everyRun ? [...start, ...saved.map(([row, k]) => [`run-${k}`, row.short, k === S.a ? badge("a") : k === S.b ? badge("b") : ""])] : [...start, ...(single ? [["b", "Prediction", ""]] :
    [["a", D.rows[S.a].short, badge("a")], ["b", D.rows[S.b].short, badge("b")]]), ["error", "Errors", ""], ["border", "Borders", ""]];
  box.innerHTML = shown.map((p, j) => {
    const s = told.get(p), wide = (k) => `${s.changed ? (100 * k) / s.changed : 0}%`;
    const words = single ? `<span class="small muted">${s.wrong.toFixed(1)} % of the pixels wrong</span><span class="small muted">mIoU ${s.b.toFixed(1)}</span>` :
      `<span class="fbar" role="img" aria-label="share of fixed and broken"><i class="f" style="width:${wide(s.fixed)}"></i><i class="k" style="width:${wide(s.broken)}"></i></span><span class="small muted">changed ${s.changed.toFixed(1)} % of the pixels: ${s.fixed.toFixed(1)} fixed, ${s.broken.toFixed(1)} broken</span><span class="small muted">mIoU ${s.a.toFixed(1)} → ${s.b.toFixed(1)}</span>`;
    const buttons = tiles.map(([kind, text, sign]) => `<button type="button" class="tile" data-place="${j}" data-kind="${kind}" aria-label="${esc(text)} of ${esc(p.name)}: open the slider"><canvas width="${p.w}" height="${p.h}"></canvas><span>${sign}${esc(short(text, 18))}</span></button>`);
    return `<article class="pic"><header><h3 class="mono">${esc(p.name)}</h3>${words}</header><div class="tiles">${buttons.join("")}</div></article>`;
  }).join("");
  $("#more-pictures").hidden = S.allPictures || order.length <= FIRST;
  paint();
}
function paint() {
  for (const tile of $$("#wall .tile")) draw(tile.firstChild.getContext("2d"), order[+tile.dataset.place], tile.dataset.kind, 0.78);
}
function chips() {
  const chip = (c) => `<button type="button" class="chip" data-class="${c}" aria-pressed="${!S.off.has(c)}"><i style="background:${colour(c)}"></i>${esc(D.classes[c])}</button>`;
  $("#chips").innerHTML = [...D.classes.keys()].map(chip).join("") + '<button type="button" class="chip" data-set="all">All</button>' +
    (D.thin.length ? '<button type="button" class="chip" data-set="thin">Only thin</button>' : "");
}

/* slider */
const halves = [canvas(1, 1), canvas(1, 1)];
function slide(redraw = true) {
  const p = order[S.picture], stage = $("#canvas"), context = stage.getContext("2d"), at = +$("#share").value / 100;
  if (redraw) {
    for (const part of halves) { part.width = p.w; part.height = p.h; }
    stage.width = 2 * p.w; stage.height = 2 * p.h;
    for (const selector of ["#stage", "#share", "#probe", "#legend-errors"]) $(selector).style.maxWidth = `calc(64dvh * ${p.w / p.h})`;
    for (const selector of ["#share", "#probe", "#legend-errors"]) $(selector).style.marginInline = "auto";
    const kinds = single ? { mask: ["image", "b"], error: ["image", "error"], border: ["image", "border"] }[S.view]
      : { mask: ["a", "b"], error: ["error-a", "error-b"], border: ["border-a", "border-b"] }[S.view];
    kinds.forEach((kind, side) => draw(halves[side].getContext("2d"), p, kind, +$("#strength").value / 100));
  }
  const X = Math.round(at * stage.width);
  context.drawImage(halves[1], 0, 0, stage.width, stage.height);
  if (X) context.drawImage(halves[0], 0, 0, (X * p.w) / stage.width, p.h, 0, 0, X, stage.height);
  $("#at").style.left = `calc(${100 * at}% - 1px)`;
  $("#slider-title").innerHTML = `<span class="mono">${esc(p.name)}</span> <span class="muted small">${S.picture + 1} of ${order.length}</span>`;
  const what = S.view === "error" ? ": errors" : "";
  $("#label-left").textContent = single ? "Picture" : `A ${D.rows[S.a].short}${what}`;
  $("#label-right").textContent = single ? "Prediction" + what : `B ${D.rows[S.b].short}${what}`;
  $("#legend-errors").hidden = S.view !== "error";
  $("#strength-label").hidden = S.view !== "mask";
}
function openSlider(place) {
  S.picture = place;
  if (!$("#slider").open) $("#slider").showModal();
  slide();
  $("#share").focus();
}
function point(event, drag) {
  const p = order[S.picture], box = $("#canvas").getBoundingClientRect();
  const clip = (u) => Math.max(0, Math.min(0.9999, u));
  const u = clip((event.clientX - box.left) / box.width), v = clip((event.clientY - box.top) / box.height);
  if (drag) { $("#share").value = 100 * u; slide(false); }
  const i = Math.floor(v * p.h) * p.w + Math.floor(u * p.w), name = (c) => D.classes[c] ?? "no label";
  const b = name(p.masks[S.b][i]);
  $("#probe").textContent = `Truth: ${name(p.target[i])} · ` + (single ? `prediction: ${b}` : `A: ${name(p.masks[S.a][i])} · B: ${b}`);
}

/* wiring */
function all() { verdict(); table(); charts(); wall(); }
function choose(which, row) { S[which] = row; menus(); all(); }
function menus() {
  for (const which of ["a", "b"]) {
    const menu = $(`#pick-${which}`);
    if (menu.tagName === "SELECT") menu.value = S[which];
    else { menu.value = ""; menu.placeholder = D.rows[S[which]].title; }
  }
}
function group(attribute, then) {
  for (const button of $$(`button[data-${attribute}]`)) button.addEventListener("click", () => {
    for (const other of button.parentNode.querySelectorAll("button")) other.setAttribute("aria-pressed", other === button);
    then(button.dataset[attribute]);
  });
}
if (!single) {
  for (const which of ["a", "b"]) $(`#pick-${which}`).addEventListener("change", (event) => {
    const menu = event.target;
    const row = menu.tagName === "SELECT" ? +menu.value : D.rows.findIndex((r) => r.finished && r.title === menu.value);
    if (row >= 0) choose(which, row); else menus();
  });
  $("#swap").addEventListener("click", () => { [S.a, S.b] = [S.b, S.a]; menus(); all(); });
  menus();
}
group("measure", (to) => { S.measure = to; classes(); });
group("sort", (to) => { S.sort = to; classes(); });
group("curve", (to) => { S.curve = to; curves(); });
for (const button of $$("button[data-curve]")) button.hidden = !D.rows.some((row) => row[button.dataset.curve]?.length);
if ($('button[data-curve="miou"]')?.hidden) $('button[data-curve="loss"]').click();
group("order", (to) => { S.order = to; wall(); });
group("wall", (to) => { S.wall = to; wall(); });
group("view", (to) => { S.view = to; slide(); });
const more = $("#all-rows");
if (more) {
  more.hidden = false;
  const words = more.textContent;
  const fold = (open) => { S.all = open; more.setAttribute("aria-expanded", open); more.textContent = open ? "Show fewer rows" : words; table(); };
  more.addEventListener("click", () => fold(!S.all));
  fold(false);
}
const copy = $("#copy");
if (copy) {
  copy.hidden = false;
  copy.addEventListener("click", async () => {
    try { await navigator.clipboard.writeText($("#protocol").textContent); copy.textContent = "Copied"; }
    catch { getSelection().selectAllChildren($("#protocol")); copy.textContent = "Selected"; }
  });
}
if (D.pictures.length) {
  chips();
  $("#chips").addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    const c = button.dataset.class;
    if (c !== undefined) S.off.has(+c) ? S.off.delete(+c) : S.off.add(+c);
    else S.off = button.dataset.set === "all" ? new Set() : new Set([...D.classes.keys(), C].filter((k) => !D.thin.includes(k)));
    chips();
    $(c !== undefined ? `#chips [data-class="${c}"]` : `#chips [data-set="${button.dataset.set}"]`).focus();
    paint();
  });
  $("#wall").addEventListener("click", (event) => {
    const tile = event.target.closest(".tile");
    if (!tile) return;
    S.view = { error: "error", border: "border" }[tile.dataset.kind] ?? "mask";
    for (const button of $$("[data-view]")) button.setAttribute("aria-pressed", button.dataset.view === S.view);
    openSlider(+tile.dataset.place);
  });
  $("#more-pictures button").addEventListener("click", () => { S.allPictures = true; wall(); });
  $("#share").addEventListener("input", () => slide(false));
  $("#strength").addEventListener("input", () => slide());
  $("#close").addEventListener("click", () => $("#slider").close());
  const go = (by) => { S.picture = (S.picture + by + order.length) % order.length; slide(); };
  $("#previous").addEventListener("click", () => go(-1));
  $("#next").addEventListener("click", () => go(1));
  $("#slider").addEventListener("click", (event) => { if (event.target === $("#slider")) $("#slider").close(); });
  const stage = $("#stage");
  stage.addEventListener("pointerdown", (event) => { stage.setPointerCapture(event.pointerId); point(event, true); });
  stage.addEventListener("pointermove", (event) => point(event, event.buttons > 0));
}
addEventListener("beforeprint", () => { for (const fold of $$("details")) fold.open = true; });
let timer;
new ResizeObserver(() => { clearTimeout(timer); timer = setTimeout(charts, 80); }).observe($("main"));
table();
charts();
Promise.all(D.pictures.map(read)).then((found) => { P = found; wall(); document.documentElement.dataset.ready = "1"; });
