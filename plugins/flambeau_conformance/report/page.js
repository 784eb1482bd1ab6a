"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const place = Object.fromEntries(data.columns.map((name, index) => [name, index]));
  const numbered = new Set(["op", "level", "variant", "dtype", "status", "way", "oracle", "reason", "outcome"]);
  const cases = data.rows.map(row => {
    const found = {};
    for (const name of data.columns) found[name] = numbered.has(name) ? data.words[row[place[name]]] : row[place[name]];
    found.dtype = found.dtype || "-";
    found.id = `${found.level}/${found.op}/${found.variant}`;
    return found;
  });
  const severity = Object.fromEntries(Object.keys(data.codes).map((letter, index) => [letter, index]));
  const dtypes = [...new Set(cases.map(each => each.dtype))].sort((a, b) => a === "-" ? 1 : b === "-" ? -1 : a < b ? -1 : 1);
  const bad = each => each.status === "fail" || each.status === "error";
  const get = name => document.getElementById(name);
  const make = (tag, text, cls) => {
    const node = document.createElement(tag);
    if (text !== undefined) node.textContent = text;
    if (cls) node.className = cls;
    return node;
  };
  const line = each => each.reproduce || `flambeau conformance --device ${data.device} --case '${each.id}' --seed ${data.seed}`;

  const tip = get("tip");
  let pinned = false;
  function show(group) {
    tip.replaceChildren();
    const close = make("button", "close", "close");
    close.onclick = hide;
    tip.append(close);
    const order = [...group].sort((a, b) => severity[b.code] - severity[a.code]);
    for (const each of order.slice(0, 8)) {
      tip.append(make("h3", each.id));
      const ran = each.fallbacks.length ? `, on the host: ${each.fallbacks.join(", ")}` : "";
      tip.append(make("div", `${each.outcome || each.status}, ${each.way}${ran}; ${each.samples} samples, ${each.seconds.toFixed(3)} s`
        + (each.oracle ? `; oracle: ${each.oracle}` : "")));
      if (each.reason) tip.append(make("div", `reason: ${each.reason}`));
      if (each.message) tip.append(make("pre", each.message));
      tip.append(make("pre", line(each)));
    }
    if (order.length > 8) tip.append(make("div", `and ${order.length - 8} more cases`));
    tip.hidden = false;
  }
  function hide() { pinned = false; tip.hidden = true; }
  document.addEventListener("keydown", event => { if (event.key === "Escape") hide(); });

  function square(group) {
    const worst = group.reduce((a, b) => severity[b.code] > severity[a.code] ? b : a);
    const node = make("button", worst.code, `c c-${worst.code}`);
    node.setAttribute("aria-label", `${worst.id}: ${data.codes[worst.code]}`);
    node.onmouseenter = () => { if (!pinned) show(group); };
    node.onmouseleave = () => { if (!pinned) hide(); };
    node.onclick = () => { show(group); pinned = true; };
    return node;
  }

  function rowOf(op, members, levels) {
    const row = make("tr");
    const head = make("th", op);
    head.scope = "row";
    row.append(head);
    const own = levels.filter(level => members.some(each => each.level === level));
    for (const dtype of dtypes) {
      const cell = make("td");
      const here = members.filter(each => each.dtype === dtype);
      for (const level of here.length ? own : []) {   // a place for each level, so that they stand under one another
        const group = here.filter(each => each.level === level);
        cell.append(group.length ? square(group) : make("i", "", "c"));
      }
      row.append(cell);
    }
    row.append(make("td", members.reduce((sum, each) => sum + each.seconds, 0).toFixed(2), "time"));
    return row;
  }

  let turn = 0;
  function draw() {
    const mine = ++turn;
    const [op, level, status, way, sort] = ["op", "level", "status", "way", "sort"].map(name => get(`f-${name}`).value);
    const wanted = op.trim().toLowerCase();
    const found = cases.filter(each => (!wanted || each.op.toLowerCase().includes(wanted)
        || each.message.toLowerCase().includes(wanted)) && (!level || each.level === level)
      && (!status || (status === "bad" ? bad(each) : each.status === status)) && (!way || each.way === way));
    const groups = new Map();
    for (const each of found) (groups.get(each.op) || groups.set(each.op, []).get(each.op)).push(each);
    const time = list => list.reduce((sum, each) => sum + each.seconds, 0);
    const rank = { name: () => 0, time: list => -time(list), bad: list => -list.filter(bad).length }[sort];
    const order = [...groups].map(([name, list]) => [rank(list), name, list])
      .sort((a, b) => a[0] - b[0] || (a[1] < b[1] ? -1 : 1));
    get("f-count").textContent = `${found.length} cases, ${order.length} operators`;
    const body = document.querySelector("#grid tbody");
    body.replaceChildren();
    const levels = data.levels.filter(each => !level || each === level);
    const some = from => {   // in pieces, so that a long report does not freeze the page
      if (mine !== turn) return;
      const piece = document.createDocumentFragment();
      for (const [, name, list] of order.slice(from, from + 60)) piece.append(rowOf(name, list, levels));
      body.append(piece);
      if (from + 60 < order.length) setTimeout(some, 0, from + 60);
    };
    some(0);
  }

  const head = make("tr");
  for (const name of ["operator", ...dtypes.map(each => each === "-" ? "no dtype" : each), "seconds"]) head.append(make("th", name));
  document.querySelector("#grid thead").append(head);
  for (const level of data.levels) get("f-level").append(make("option", level));
  for (const name of ["op", "level", "status", "way", "sort"]) get(`f-${name}`).addEventListener("input", draw);
  const slowest = document.querySelector("#slowest tbody");
  for (const each of [...cases].sort((a, b) => b.seconds - a.seconds).slice(0, 25)) {
    const row = make("tr");
    const name = make("td");
    name.append(make("code", each.id));
    row.append(make("td", each.seconds.toFixed(3)), name, make("td", `${each.status}, ${each.way}`));
    slowest.append(row);
  }
  draw();
})();
