// The page of the shared whiteboard. What is on the board, it is told by /events; what is drawn here goes to the server,
// stays pale until it comes back from there, and is then a shape like all others.
"use strict";

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 1600, HEIGHT = 1000, MAX_POINTS = 1000;
const COLOURS = [
	["#1f2933", "Black"], ["#667380", "Grey"], ["#dc2626", "Red"], ["#ea580c", "Orange"], ["#eab308", "Yellow"],
	["#16a34a", "Green"], ["#2563eb", "Blue"], ["#9333ea", "Purple"], ["#ffffff", "White"],
];
const WIDTHS = [[3, "Fine"], [6, "Medium"], [12, "Bold"], [28, "Broad"]];
const KEYS = {p: "stroke", l: "line", r: "rectangle", e: "ellipse", x: "eraser"};

const $ = id => document.getElementById(id);
const pen = {tool: "stroke", colour: COLOURS[0][0], width: WIDTHS[1][0], filled: false};
const shapes = new Map();  // what is on the board: id to element
const awaited = new Map(); // what was drawn here and was not yet heard of: id to {element (the pale one), version}
let mine = [];             // ids of what was drawn here, newest last
let drawing = null;        // what is being drawn: {pointer, start, graphic, element}
let online = false, version = 0;

// --- shapes

function path(points) {
	const [first, ...rest] = points;
	if (rest.length === 0) return `M${first} h0`; // a dot
	let d = `M${first}`;
	for (let i = 0; i < rest.length - 1; i++) { // curves through the midpoints are smoother than what the mouse does
		const [x, y] = rest[i], [nx, ny] = rest[i + 1];
		d += ` Q${x},${y} ${(x + nx) / 2},${(y + ny) / 2}`;
	}
	return d + ` L${rest.at(-1)}`;
}

// render makes an element look like a graphic, and makes the element if there is none.
function render(g, element) {
	const names = {stroke: "path", line: "line", rectangle: "rect", ellipse: "ellipse"};
	element ??= document.createElementNS(SVG, names[g.kind]);
	const set = attributes => { for (const k in attributes) element.setAttribute(k, attributes[k]); };
	set({class: "thing", stroke: g.colour, "stroke-width": g.width, fill: g.filled ? g.colour : "none"});
	if (g.kind === "stroke") {
		set({d: path(g.points)});
		return element;
	}
	const [[x1, y1], [x2, y2]] = g.points;
	if (g.kind === "line") set({x1, y1, x2, y2});
	if (g.kind === "rectangle") set({x: Math.min(x1, x2), y: Math.min(y1, y2), width: Math.abs(x2 - x1), height: Math.abs(y2 - y1), rx: 2});
	if (g.kind === "ellipse") set({cx: (x1 + x2) / 2, cy: (y1 + y2) / 2, rx: Math.abs(x2 - x1) / 2, ry: Math.abs(y2 - y1) / 2});
	return element;
}

function forget(id) {
	shapes.get(id)?.remove();
	shapes.delete(id);
}

// apply takes an update of the board.
function apply(u) {
	if (u.reset) [...shapes.keys()].forEach(forget);
	u.removed?.forEach(forget);
	for (const g of u.added ?? []) {
		const element = render(g);
		element.dataset.id = g.id;
		shapes.set(g.id, element);
		$("shapes").append(element);
	}
	version = u.version;
	for (const [id, a] of awaited) { // a restarted server has another board
		if (u.version < a.version && u.online === online) continue;
		a.element.remove();
		awaited.delete(id);
	}
	mine = mine.filter(id => shapes.has(id) || awaited.has(id));
	show(u.online, u.online ? `version ${u.version} · ${u.pages === 1 ? "only this page" : u.pages + " pages"}` : `${u.why}; trying again`);
}

function show(isOnline, text) {
	online = isOnline;
	document.body.classList.toggle("online", online);
	$("state").textContent = $("status").title = text;
	$("hint").hidden = shapes.size > 0 || drawing !== null;
	$("undo").disabled = !online || mine.length === 0;
	$("clear").disabled = !online || shapes.size === 0;
}

// --- the gateway

let events = null;

// listen keeps a stream of updates while the page can be seen: a browser has few connections to one server.
function listen() {
	events?.close();
	events = null;
	if (document.hidden) return;
	const source = events = new EventSource("events");
	source.onmessage = e => apply(JSON.parse(e.data));
	source.onerror = () => {
		if (events !== source) return;
		show(false, "the gateway cannot be reached; trying again");
		if (source.readyState === EventSource.CLOSED) setTimeout(() => events === source && listen(), 1000); // else it retries itself
	};
}

async function request(method, url, body) {
	let answer;
	try {
		answer = await fetch(url, {method, body: body && JSON.stringify(body), headers: body ? {"Content-Type": "application/json"} : {}});
	} catch {
		throw new Error("the gateway cannot be reached");
	}
	if (!answer.ok) throw new Error((await answer.text()).trim());
	return answer.status === 204 ? null : answer.json();
}

const attempt = promise => promise.catch(e => toast(e.message));

async function draw(graphic, element) {
	$("pending").append(element);
	try {
		const answer = await request("POST", "shapes", graphic);
		mine.push(answer.id);
		if (version >= answer.version) element.remove(); // the callback was faster than the answer
		else awaited.set(answer.id, {element, version: answer.version});
		$("undo").disabled = !online;
	} catch (e) {
		element.remove();
		throw e;
	}
}

const remove = id => attempt(request("DELETE", "shapes/" + id));

function undo() {
	const id = mine.pop();
	if (id) remove(id);
	$("undo").disabled = !online || mine.length === 0;
}

let toasting;
function toast(text) {
	$("toast").textContent = text[0].toUpperCase() + text.slice(1);
	$("toast").hidden = false;
	clearTimeout(toasting);
	toasting = setTimeout(() => $("toast").hidden = true, 4000);
}

// --- the pen

function place(event) {
	const p = new DOMPoint(event.clientX, event.clientY).matrixTransform($("board").getScreenCTM().inverse());
	return [Math.round(Math.min(Math.max(p.x, 0), WIDTH)), Math.round(Math.min(Math.max(p.y, 0), HEIGHT))];
}

// regular makes a square, a circle, or a line at a multiple of 45 degrees.
function regular(kind, [x, y], [px, py]) {
	const dx = px - x, dy = py - y, size = Math.max(Math.abs(dx), Math.abs(dy));
	let sx = Math.sign(dx) || 1, sy = Math.sign(dy) || 1;
	if (kind === "line" && Math.abs(dx) > 2.4 * Math.abs(dy)) sy = 0;
	if (kind === "line" && Math.abs(dy) > 2.4 * Math.abs(dx)) sx = 0;
	const room = Math.min(size, sx > 0 ? WIDTH - x : sx < 0 ? x : size, sy > 0 ? HEIGHT - y : sy < 0 ? y : size);
	return [x + sx * room, y + sy * room];
}

function begin(event, start) {
	const kind = pen.tool, closed = kind === "rectangle" || kind === "ellipse";
	const graphic = {kind, points: kind === "stroke" ? [start] : [start, start], colour: pen.colour, width: pen.width, filled: closed && pen.filled};
	drawing = {pointer: event.pointerId, start, graphic, element: render(graphic)};
	$("draft").append(drawing.element);
	$("hint").hidden = true;
}

function move(event) {
	const {graphic, start} = drawing;
	if (graphic.kind !== "stroke") {
		const p = place(event);
		graphic.points[1] = event.shiftKey ? regular(graphic.kind, start, p) : p;
	} else {
		const between = event.getCoalescedEvents?.() ?? [];
		for (const e of between.length ? between : [event]) {
			const p = place(e), last = graphic.points.at(-1);
			if (Math.hypot(p[0] - last[0], p[1] - last[1]) >= 2) graphic.points.push(p);
		}
		if (graphic.points.length >= MAX_POINTS - 100) { // a long stroke is several shapes
			end();
			begin(event, place(event));
			return;
		}
	}
	render(drawing.graphic, drawing.element);
}

function end() {
	const {graphic, element, start} = drawing;
	drawing = null;
	const [x, y] = graphic.points.at(-1);
	if (graphic.kind !== "stroke" && Math.hypot(x - start[0], y - start[1]) < 4) element.remove(); // a click
	else attempt(draw(graphic, element));
	$("hint").hidden = shapes.size > 0 || $("pending").hasChildNodes();
}

function erase(event) {
	const hit = document.elementFromPoint(event.clientX, event.clientY)?.dataset.id;
	if (hit) remove(hit);
}

const board = $("board");
board.addEventListener("pointerdown", e => {
	if (drawing || e.button !== 0 || !e.isPrimary) return;
	e.preventDefault();
	if (!online) return toast("the whiteboard cannot be reached right now");
	if (pen.tool === "eraser") return erase(e);
	board.setPointerCapture(e.pointerId);
	begin(e, place(e));
});
board.addEventListener("pointermove", e => {
	if (drawing?.pointer === e.pointerId) move(e);
	else if (pen.tool === "eraser" && e.buttons === 1 && online) erase(e);
});
board.addEventListener("pointerup", e => { if (drawing?.pointer === e.pointerId) end(); });
board.addEventListener("pointercancel", e => {
	if (drawing?.pointer !== e.pointerId) return;
	drawing.element.remove();
	drawing = null;
});

// --- the tools

function pickTool(tool) {
	pen.tool = tool;
	for (const b of $("tools").children) b.setAttribute("aria-pressed", b.dataset.tool === tool);
	document.body.classList.toggle("erasing", tool === "eraser");
}

function choice(group, kind, options, dress, pick) {
	for (const [value, name] of options) {
		const b = document.createElement("button");
		b.className = kind;
		b.title = name;
		b.dataset[kind] = value;
		b.setAttribute("role", "radio");
		b.setAttribute("aria-label", name);
		const i = document.createElement("i");
		dress(i.style, value);
		b.append(i);
		b.addEventListener("click", () => {
			pick(value);
			if (pen.tool === "eraser") pickTool("stroke");
			for (const other of group.children) other.setAttribute("aria-checked", other === b);
		});
		b.setAttribute("aria-checked", pen[kind] === value);
		group.append(b);
	}
}
choice($("colours"), "colour", COLOURS, (style, c) => style.background = c, c => pen.colour = c);
choice($("widths"), "width", WIDTHS, (style, w) => style.width = style.height = `${Math.sqrt(w) * 3.2}px`, w => pen.width = w);

function toggleFill() {
	pen.filled = !pen.filled;
	$("fill").setAttribute("aria-pressed", pen.filled);
}

let sure;
function clear() {
	const b = $("clear"), ask = !b.classList.contains("sure");
	clearTimeout(sure);
	b.classList.toggle("sure", ask);
	b.textContent = ask ? "Really?" : "Clear";
	if (ask) sure = setTimeout(() => { b.classList.remove("sure"); b.textContent = "Clear"; }, 3000);
	else attempt(request("DELETE", "shapes"));
}

$("tools").addEventListener("click", e => { const b = e.target.closest("button"); if (b) pickTool(b.dataset.tool); });
$("fill").addEventListener("click", toggleFill);
$("undo").addEventListener("click", undo);
$("clear").addEventListener("click", clear);
document.addEventListener("keydown", e => {
	if ((e.ctrlKey || e.metaKey) && e.key.toLowerCase() === "z" && !e.shiftKey) {
		e.preventDefault();
		if (!$("undo").disabled) undo();
	} else if (!e.ctrlKey && !e.metaKey && !e.altKey) {
		const key = e.key.toLowerCase();
		if (KEYS[key]) pickTool(KEYS[key]);
		if (key === "f") toggleFill();
		if (key === "escape" && drawing) { drawing.element.remove(); drawing = null; }
	}
});
document.addEventListener("visibilitychange", listen);
addEventListener("pagehide", () => events?.close());
addEventListener("pageshow", e => { if (e.persisted) listen(); });
listen();
