// Sorts and filters the tables (DataTables), opens a cell's runs and draws their curves (Plotly).
// Both libraries and the runs lie packed in this page; nothing is loaded from elsewhere. Text from
// the results only ever becomes text of the document, never HTML.

const byId = (id) => document.getElementById(id);

/** Unpack what `gta.page.build.pack` packed. */
async function unpack(id) {
  const packed = Uint8Array.from(atob(byId(id).textContent), (char) => char.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream);
}

/** Run a packed library; gives what it exports as a module. */
async function load(id) {
  const script = new Blob([await (await unpack(id)).text()], { type: "text/javascript" });
  const url = URL.createObjectURL(script);
  try {
    return await import(url);
  } finally {
    URL.revokeObjectURL(url);
  }
}

/** An element with properties, and children that are elements or text. */
function make(name, properties = {}, ...children) {
  const element = Object.assign(document.createElement(name), properties);
  element.append(...children);
  return element;
}

// Tables

const filters = byId("filters");
const tables = [];

function narrowed() {
  const wanted = {};
  for (const box of filters.querySelectorAll("input:checked")) {
    (wanted[box.name] ??= new Set()).add(box.value);
  }
  return wanted;
}

/** Whether a cell has what is wanted of every field that it has; a column of names has none. */
function fits(cell, wanted) {
  return Object.entries(wanted).every(
    ([field, values]) => !(field in cell.dataset) || values.has(cell.dataset[field]),
  );
}

function filter() {
  const wanted = narrowed();
  const text = filters.elements.text.value;
  let rows = 0;
  for (const { table, cells, names } of tables) {
    const fitting = cells.map((row) => row.map((cell) => fits(cell, wanted)));
    for (let column = 0; column < cells[0].length; column++) {
      const visible = fitting.some((row) => row[column]);
      table.column(names + column).visible(visible, false);
    }
    table.search.fixed("fields", (_text, _data, index) => fitting[index].some(Boolean));
    table.search(text).draw();
    const left = table.rows({ search: "applied" }).count();
    table.table().node().closest(".block").hidden = left === 0;
    rove(table.table().node());
    rows += left;
  }
  for (const section of document.querySelectorAll("section.table")) {
    const blocks = [...section.querySelectorAll(".block")];
    const nothing = section.querySelector(".nothing");
    if (nothing) nothing.hidden = blocks.some((block) => !block.hidden);
  }
  for (const shows of filters.querySelectorAll("[data-shows]")) {
    const boxes = [...filters.querySelectorAll(`input[name="${shows.dataset.shows}"]:checked`)];
    shows.textContent = boxes.map((box) => box.nextElementSibling.textContent).join(", ") || "all";
    shows.closest(".filter").classList.toggle("narrows", boxes.length > 0);
  }
  byId("shown").textContent = `${rows} rows`;
}

/** One of a table's cells is in the page's tab order; the arrow keys move among the others. */
function rove(table, chosen = table.querySelector("td button")) {
  for (const button of table.querySelectorAll("td button")) button.tabIndex = -1;
  if (chosen) chosen.tabIndex = 0;
}

function moveFocus(event) {
  const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
  const button = event.target.closest("td button");
  if (!button || !(event.key in step)) return;
  event.preventDefault();
  const rows = [...button.closest("tbody").rows];
  const grid = rows.map((row) => [...row.querySelectorAll("td button")]);
  const row = grid.findIndex((buttons) => buttons.includes(button));
  const [down, right] = step[event.key];
  const next = grid[row + down]?.[grid[row].indexOf(button) + right];
  if (next) {
    rove(button.closest("table"), next);
    next.focus();
  }
}

async function startTables() {
  const { default: DataTable } = await load("datatables");
  for (const element of document.querySelectorAll("table[data-table]")) {
    const rows = [...element.tBodies[0].rows];
    if (rows.length === 0) continue;
    const cells = rows.map((row) => [...row.querySelectorAll("td")]);
    const names = rows[0].querySelectorAll("th").length;
    const table = new DataTable(element, {
      autoWidth: false,
      info: false,
      layout: { topStart: null, topEnd: null, bottomStart: null, bottomEnd: null },
      order: [],
      paging: false,
    });
    table.on("draw", () => rove(element));
    element.addEventListener("keydown", moveFocus);
    tables.push({ table, cells, names });
  }
  filters.addEventListener("input", filter);
  filters.addEventListener("submit", (event) => event.preventDefault());
  filters.addEventListener("reset", () => setTimeout(filter));
  document.addEventListener("click", closeFilters);
  document.addEventListener("keydown", (event) => event.key === "Escape" && closeFilters(event));
  filters.hidden = byId("how").hidden = false;
  filter();
}

/** Close the lists of the filters, but the one that the event is in; Escape closes that too. */
function closeFilters(event) {
  for (const open of filters.querySelectorAll("details[open]")) {
    const inside = open.contains(event.target);
    if (inside && event.type === "click") continue;
    open.open = false;
    if (inside) open.querySelector("summary").focus();
  }
}

// Details of a cell

const dialog = byId("detail");
const number = (value, digits = 2) => (value === null ? "–" : value.toFixed(digits));
const NARROW = 640; // pixels, below which a dialog shows one thing beside another no more
let data = null;

/** What the cells and tables say, unpacked once. */
async function details() {
  data ??= unpack("data").then((response) => response.json());
  return data;
}

async function openCell(cell) {
  const { cells, tables: says } = await details();
  const name = cell.closest("table").dataset.table;
  const found = cells[cell.dataset.opens];
  const here = says[name][cell.dataset.opens];
  byId("detail-title").textContent = found.title;
  byId("detail-table").textContent = name;
  byId("detail-holes").replaceChildren(...here.notes.map(withCommands));
  byId("detail-values").replaceChildren(valuesTable(here.values));
  history.replaceState(null, "", `#${name}/${found.key}`);
  byId("detail-command").replaceChildren(command(here.command));
  byId("copied").textContent = "";
  const same = cell.closest("tr").querySelector(`td[data-opens="${cell.dataset.opens}"] button`);
  const opener = cell.querySelector("button") ?? same;
  dialog.addEventListener("close", () => opener.focus(), { once: true });
  dialog.showModal();
  dialog.scrollTop = 0;
  const runs = dialog.clientWidth < NARROW ? runsList(found) : runsTable(found);
  byId("detail-runs").replaceChildren(runs, ...importedLines(found.runs), ...stateLines(found.runs));
  await draw(found.runs);
}

/** Open the cell that the page's address names: #table2/cub/ibot/gta/none/15. */
async function openLinked() {
  const [name, ...rest] = decodeURIComponent(location.hash.slice(1)).split("/");
  if (rest.length === 0) return;
  const { cells } = await details();
  const number = cells.findIndex((cell) => cell.key === rest.join("/"));
  const places = `#${CSS.escape(name)} td[data-opens="${number}"]`;
  const cell = [...document.querySelectorAll(places)].find((td) => td.querySelector("button"));
  if (!cell) return;
  if (dialog.open) dialog.close();
  cell.scrollIntoView({ block: "center" });
  await openCell(cell);
}

/** A note, what stands in backquotes as commands to copy. */
function withCommands(note) {
  const parts = note.split("`");
  const children = parts.map((part, index) => (index % 2 ? command(part) : part));
  return make("div", { className: "fault" }, ...children);
}

function command(text) {
  const code = make("code", {}, text);
  const button = make("button", { type: "button" }, "Copy");
  button.addEventListener("click", async () => {
    const copied = await copy(text);
    if (!copied) getSelection().selectAllChildren(code); // to copy by hand
    byId("copied").textContent = copied ? "Copied." : "Selected; copy it with the keyboard.";
  });
  return make("div", { className: "command" }, code, button);
}

/** Whether the text is on the clipboard, where a page may write to it. */
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}

/** A table of rows under headings: rows of [text, columns it spans, rows it spans]. */
function table(heads, rows) {
  const heading = ([text, colSpan = 1, rowSpan = 1]) =>
    make("th", { scope: colSpan > 1 ? "colgroup" : "col", colSpan, rowSpan }, text);
  const headRows = heads.map((head) => make("tr", {}, ...head.map(heading)));
  return make("table", {}, make("thead", {}, ...headRows), make("tbody", {}, ...rows));
}

/** What a table says of a cell: a row for each choice of lambda, a column for each heading. */
function valuesTable(values) {
  const heads = [...new Set(values.map(([, heading]) => heading))];
  const rows = [...new Set(values.map(([by]) => by))].map((by) => {
    const texts = heads.map((head) => values.find((v) => v[0] === by && v[1] === head)?.[2] ?? "");
    const cells = texts.map((text) => make("td", {}, text));
    return make("tr", {}, make("th", { scope: "row" }, by), ...cells);
  });
  return table([[[""], ...heads.map((head) => [head])]], rows);
}

/** A point in words: text that begins with a name stands for itself. */
const point = (lam) => (/^[a-z]/.test(String(lam)) ? lam : `λ ${lam}`);

/** A run in words; one without a penalty has lambda 0. */
const named = (run) => (run.lam ? `${point(run.lam)}, seed ${run.seed}` : `seed ${run.seed}`);

function mean(values) {
  if (values.some((value) => value === null)) return null;
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

const RULES = { test: "test", heldout: "held-out" };

/** By which rules a lambda was chosen; empty where there is one lambda alone. */
function chosenBy({ runs, chosen }, lam) {
  if (runs.every((run) => run.lam === lam)) return "";
  return Object.keys(RULES).filter((rule) => chosen[rule] === lam).map((rule) => RULES[rule]).join(", ");
}

/** How long a run took, linked to the log of its job where that is there. */
function took(run) {
  if (!run || run.seconds === null) return "–";
  const minutes = run.seconds / 60;
  const text = minutes < 2 ? `${Math.round(run.seconds)} s` : minutes < 120 ? `${Math.round(minutes)} min` : `${(minutes / 60).toFixed(1)} h`;
  return run.log ? make("a", { href: run.log, target: "_blank" }, text) : text;
}

/** The test accuracy of a run, marked where it came from another machine. */
function tested(run) {
  const mark = run?.imported ? [make("i", { title: `imported from ${run.imported}` }, "⇣")] : [];
  return make("td", {}, number(run?.acc1 ?? null), ...mark);
}

/** Where runs came from that were not trained here, those alike in one line. */
function importedLines(runs) {
  const alike = Map.groupBy(runs.filter((run) => run.imported), (run) => run.imported);
  return [...alike].map(([origin, members]) => {
    const who = members.length === runs.length ? "all of these runs" : members.map(named).join("; ");
    return make("p", { className: "notes" }, `⇣ imported from ${origin}: ${who}`);
  });
}

/** A row a run, for narrow windows. */
function runsList(found) {
  const rows = found.runs.map((run) => {
    const said = chosenBy(found, run.lam);
    const cells = [number(run.heldout), took(run)].map((cell) => make("td", {}, cell));
    const name = make("th", { scope: "row" }, run.lam ? String(run.lam) : "none");
    const seed = make("td", {}, run.seed);
    return make("tr", { className: said ? "chosen" : "", title: said }, name, seed, tested(run), ...cells);
  });
  const heads = ["λ", "seed", "test", "held-out", "took"];
  const list = table([heads.map((head) => [head])], rows);
  const lambdas = [...new Set(found.runs.map((run) => run.lam))];
  const said = lambdas.filter((lam) => chosenBy(found, lam)).map((lam) => `${point(lam)} by ${chosenBy(found, lam)} accuracy`);
  return make("div", {}, list, said.length ? make("p", { className: "notes" }, `Chosen: ${said.join("; ")}.`) : "");
}

/** Accuracies by lambda (rows) and seed (columns), on test and on held-out images. */
function runsTable(found) {
  const { runs } = found;
  const seeds = [...new Set(runs.map((run) => run.seed))];
  const lambdas = [...new Set(runs.map((run) => run.lam))];
  const rows = lambdas.map((lam) => {
    const members = seeds.map((seed) => runs.find((run) => run.lam === lam && run.seed === seed));
    const [acc1, heldout] = ["acc1", "heldout"].map((measure) => members.map((run) => run?.[measure] ?? null));
    const means = [acc1, heldout].map((values) => make("td", {}, number(mean(values))));
    const judged = heldout.map((value) => make("td", {}, number(value)));
    const cells = [...members.map(tested), means[0], ...judged, means[1]];
    const said = chosenBy(found, lam);
    return make(
      "tr",
      { className: said ? "chosen" : "" },
      make("th", { scope: "row" }, lam ? String(lam) : "none"),
      make("td", {}, said),
      ...cells,
      ...members.map((run) => make("td", {}, took(run))),
    );
  });
  const each = seeds.map((seed) => [`seed ${seed}`]);
  const columns = [...each, ["mean"]];
  const groups = ["Test images", "Held-out images"].map((title) => [title, columns.length]);
  const heads = [["λ", 1, 2], ["chosen by", 1, 2], ...groups, ["Took", each.length]];
  return table([heads, [...columns, ...columns, ...each]], rows);
}

/** Why runs or curves are not there, those alike in one line. */
function stateLines(runs) {
  const alike = Map.groupBy(runs.filter((run) => run.state), (run) => run.state);
  return [...alike].map(([state, members]) => {
    const who = members.map(named).join("; ");
    return make("p", { className: "fault" }, `${who}: ${state}`);
  });
}

// Curves

const PANELS = [
  { y: "cross_entropy", x: "iteration", title: "Cross-entropy (nats)" },
  { y: "penalty", x: "iteration", title: "Penalty, weighted" },
  { y: "train_acc1", x: "iteration", title: "Training accuracy (%)" },
  { y: "heldout_acc1", x: "heldout_iteration", title: "Held-out accuracy (%)" },
  { y: "lr", x: "iteration", title: "Learning rate" },
];
// Lines of a lambda share colour and dash, so that neither has to be told alone.
const DASHES = ["solid", "dash", "dot", "dashdot", "longdash", "longdashdot"];
const STROKES = ["none", "9 6", "2 4", "9 4 2 4", "14 5", "14 4 2 4"]; // the same in a legend
const COLOURS = {
  light: ["#0550ae", "#b35900", "#116329", "#a40e57", "#6639ba", "#444c56"],
  dark: ["#79b8ff", "#ffab70", "#56d364", "#ff80b5", "#d2a8ff", "#cdd9e5"],
};
let plotly = null;

async function draw(runs) {
  const place = byId("detail-curves");
  byId("detail-legend").replaceChildren();
  const shown = runs.filter((run) => run.curve?.iteration.length);
  place.replaceChildren();
  place.classList.toggle("empty", shown.length === 0);
  if (shown.length === 0) {
    place.append("No run of this cell has a history.");
    return;
  }
  plotly ??= load("plotly");
  await plotly;
  const panels = PANELS.filter(({ y }) => shown.some((run) => run.curve[y].length));
  const lambdas = [...new Set(runs.map((run) => run.lam))];
  const colours = COLOURS[isDark() ? "dark" : "light"];
  const traces = panels.flatMap(({ x, y }, panel) =>
    shown.map((run) => {
      const rank = lambdas.indexOf(run.lam);
      return {
        x: run.curve[x],
        y: run.curve[y],
        xaxis: `x${panel + 1}`,
        yaxis: `y${panel + 1}`,
        mode: run.curve[y].length === 1 ? "markers" : "lines",
        line: { color: colours[rank % colours.length], dash: DASHES[rank % DASHES.length], width: 1.5 },
        name: lambdas.length > 1 ? point(run.lam) : "runs",
        legendgroup: String(run.lam),
        showlegend: false,
        hovertemplate: `${named(run)}: %{y:.4g} at %{x}<extra></extra>`,
      };
    }),
  );
  const columns = place.clientWidth < 640 ? 1 : 2;
  const rows = Math.ceil(panels.length / columns);
  const style = getComputedStyle(dialog);
  const line = isDark() ? "#3d444d" : "#d1d9e0";
  const layout = {
    grid: { rows, columns, pattern: "independent", ygap: 0.3, xgap: 0.12 },
    height: 210 * rows + 40,
    margin: { l: 55, r: 10, t: 25, b: 30 },
    font: { color: style.color, family: style.fontFamily, size: 12 },
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    annotations: [],
  };
  panels.forEach(({ title }, panel) => {
    const axis = { gridcolor: line, linecolor: line, zeroline: false };
    layout[`xaxis${panel + 1}`] = axis;
    layout[`yaxis${panel + 1}`] = { ...axis, exponentformat: "e" };
    layout.annotations.push({
      text: title,
      xref: `x${panel + 1} domain`,
      yref: `y${panel + 1} domain`,
      x: 0,
      y: 1,
      yanchor: "bottom",
      showarrow: false,
    });
  });
  place.ariaLabel = `Training curves of ${shown.length} runs: ${panels.map((p) => p.title).join(", ")}`;
  await window.Plotly.newPlot(place, traces, layout, { displayModeBar: false, responsive: true });
  if (lambdas.length > 1) byId("detail-legend").replaceChildren(...lambdas.map((lam, rank) => legendEntry(lam, rank, traces, colours)));
}

/** A button that hides or shows the curves of a lambda, with a piece of its line. */
function legendEntry(lam, rank, traces, colours) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 36 8");
  const line = document.createElementNS("http://www.w3.org/2000/svg", "path");
  line.setAttribute("d", "M0 4H36");
  line.setAttribute("stroke", colours[rank % colours.length]);
  line.setAttribute("stroke-width", "2");
  line.setAttribute("stroke-dasharray", STROKES[rank % STROKES.length]);
  svg.append(line);
  const button = make("button", { type: "button", ariaPressed: "true" }, svg, point(lam));
  button.addEventListener("click", () => {
    const show = button.ariaPressed !== "true";
    button.ariaPressed = String(show);
    const own = traces.flatMap((trace, index) => (trace.legendgroup === String(lam) ? [index] : []));
    window.Plotly.restyle(byId("detail-curves"), { visible: show }, own);
  });
  return button;
}

// Theme

const system = matchMedia("(prefers-color-scheme: dark)");
const isDark = () => (document.documentElement.style.colorScheme || (system.matches ? "dark" : "")) === "dark";

function startTheme() {
  const button = byId("theme");
  const themes = ["system", "light", "dark"];
  let theme = 0;
  button.addEventListener("click", () => {
    theme = (theme + 1) % themes.length;
    document.documentElement.style.colorScheme = theme ? themes[theme] : "";
    button.textContent = `Theme: ${themes[theme]}`;
  });
  button.hidden = false;
}

startTheme();
document.addEventListener("click", (event) => {
  const cell = event.target.closest("td[data-opens]");
  if (cell) openCell(cell);
});
byId("close").addEventListener("click", () => dialog.close());
byId("link").addEventListener("click", async () => {
  byId("link").textContent = (await copy(location.href)) ? "Copied" : "Copy the address";
});
dialog.addEventListener("close", () => {
  byId("link").textContent = "Link";
  history.replaceState(null, "", location.pathname + location.search);
});
window.addEventListener("hashchange", openLinked);
dialog.addEventListener("close", () => window.Plotly?.purge(byId("detail-curves")));
dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
await startTables();
await openLinked();
document.documentElement.dataset.ready = "";
